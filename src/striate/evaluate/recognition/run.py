"""Training a recognition model as a run: labeled images in, model and generalization out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from striate.core.files import locked, read_json
from striate.core.hashing import hash_json
from striate.core.run import RunFolder, check_run_folder, holds_same_run
from striate.data import assert_unseen_by
from striate.data.images.labeled import Labeled
from striate.evaluate.common.cost import duration
from striate.evaluate.common.options import Options
from striate.evaluate.recognition.config import TrainRunConfig
from striate.evaluate.recognition.inputs import make_model, read_data
from striate.evaluate.recognition.measure import score_conditions
from striate.evaluate.recognition.plan import describe, predict_cost
from striate.evaluate.recognition.tables import DONE, folder_name, write_results
from striate.learning import train
from striate.learning.common.distributed import is_first_process
from striate.learning.recognition.loop import check_batch
from striate.learning.recognition.run import check_training
from striate.models import Model, is_model_folder


def train_model(config: TrainRunConfig, out: str | Path, options: Options | None = None) -> Path:
    """Train a recognition model, test how it generalizes, and return the run folder.

    The folder gets `model/` (see `striate.learning.train`), `tables/conditions.parquet` (accuracy
    in each), `tables/distortions.parquet` (means of each), `decisions.npz` (the class given to
    each test image in each condition) and, last, `training.json`. Under torchrun all processes
    train, and the first one tests and writes.

    Raises:
        InputError: images, labels or settings that do not fit, before anything is computed.
        LeakError: a training image, of this or of any earlier stage, is a test image.
        DivergedError: the loss became not finite.
    """
    options, out = options or Options(), Path(out)
    check_run_folder(out, config, overwrite=options.overwrite)
    compute = config.compute(options.cache, options.progress)
    device, training_config = compute.torch_device(), config.training
    training, testing, notes = read_data(config)
    model = make_model(config, training.classes)
    assert_unseen_by(model, testing.images, f"the front {config.front.id}")
    plan = describe(model, training, testing, training_config)
    # before the config in that folder is written anew
    check_batch(training_config.batch_size, len(training))
    check_training(model, training.labels, training.images.hashes, training_config, out / "model")
    asked, same = _hash_request(config, testing), holds_same_run(out, config)

    def learn() -> Model:
        shape = model.preprocessing
        return train(
            model,
            training.images.decoded(shape.size, shape.resize, options.cache),
            training.labels,
            training.images.hashes,
            training_config,
            out / "model",
            file_hashes=training.images.file_hashes,
            name=config.data.name or folder_name(config.data.train),
            device=str(device),
            progress=options.progress,
        )

    if not is_first_process():  # the first one writes, and waits for the others while it learns
        learn()
        return out
    run = RunFolder(out, config, command=options.command, verb="train", overwrite=options.overwrite)
    with locked(run.path / ".lock"):
        for line in (plan, *notes):
            options.say(line)
        if (run / DONE).exists():
            answered = read_json(run / DONE).get("asked")
            if answered == asked or (answered is None and same):  # earlier versions do not say
                return run.path
            (run / DONE).unlink()  # tested otherwise, or with other images
        if not is_model_folder(run / "model"):
            cost = predict_cost(model, len(training), training_config, device)
            options.say(
                f"about {cost.gigabytes:.1f} GB of memory, {duration(cost.seconds)} on {device} "
                "to train"
            )
        trained, shape = learn(), model.preprocessing
        assert_unseen_by(trained, testing.images, "the trained model")
        table, decisions = score_conditions(
            trained,
            np.asarray(testing.images.decoded(shape.size, shape.resize, options.cache)),
            testing.labels,
            config.distortions.experiments,
            seed=config.distortions.seed,
            compute=compute,
            say=lambda name: options.say(f"testing: {name}"),
        )
        write_results(run.path, config, table, decisions, testing, trained, notes, asked)
    return run.path


def _hash_request(config: TrainRunConfig, testing: Labeled) -> str:
    """Hash all that decides what a finished run tells."""
    settings = {k: v for k, v in config.to_dict().items() if k not in ("device", "batch_size")}
    return hash_json([settings, list(testing.images.hashes), testing.labels.tolist()])
