"""What training a recognition model takes in: labeled images, and a front with a new back-end."""

from __future__ import annotations

from striate.data.images.labeled import Labeled, check_apart
from striate.evaluate.recognition.config import TrainRunConfig
from striate.models import Model, recognition_model


def read_data(config: TrainRunConfig) -> tuple[Labeled, Labeled, list[str]]:
    """Read training and test images, apart from each other, and what a reader must be told."""
    data = config.data
    columns = {"image_column": data.image_column, "label_column": data.label_column}
    training, testing = (Labeled.read(p, **columns) for p in (data.train, data.test))
    if training.classes == testing.classes:  # else check_apart says how they differ
        training = training.sample(data.train_images)
        testing = testing.sample(data.test_images)
    training, notes = check_apart(training, testing, data.leaks)
    return training, testing, notes


def make_model(config: TrainRunConfig, classes: tuple[str, ...]) -> Model:
    """Make the front with an untrained back-end."""
    seed = config.training.seed
    return recognition_model(
        config.front.load_model(seed=seed),
        classes,
        tap=config.front.tap,
        frozen=config.front.frozen,
        image_size=config.image_size,
        seed=seed,
        back=config.back.to_dict(),
    )
