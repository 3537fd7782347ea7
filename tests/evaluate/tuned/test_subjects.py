"""A folder's name is no subject: units and images tell to what a model generalizes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from striate.data import Recording, Responses, StimulusSet, Target
from striate.data.responses.unit_identity import record_units
from striate.evaluate import EncodeRunConfig
from striate.evaluate.tuned.run import score_models
from striate.evaluate.tuned.subjects import Generalization
from striate.models import Model, load
from tests.evaluate.conftest import settings

N, UNITS = 40, 10


def recording(
    subject: str, seed: int = 0, *, units: int = UNITS, ids: str = "u", images: int = 0
) -> Recording:
    """Random responses of a seed to random images of a seed."""
    rng = np.random.default_rng(images)
    pictures = [rng.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in range(N)]
    values = np.random.default_rng(seed).normal(size=(N, 30))[:, :units]
    names = [f"im{i}" for i in range(N)]
    responses = Responses.build(
        values, names, subject=subject, unit_ids=[f"{ids}{i}" for i in range(units)]
    )
    return Recording(subject, StimulusSet(names, pictures), responses)


def tuned_to(recorded: Recording, name: str = "ann_V1", units: slice = slice(None)) -> Model:
    model = load("squeezenet1_1@random", image_size=64)
    values, ids = recorded.responses.mean()[:, units], recorded.responses.unit_ids[units]
    note = record_units(recorded.stimuli.hashes, values, ids, np.arange(N))
    stage = {"kind": "contrastive tuning", "targets": [name], "subjects": [recorded.subject]}
    stage["tuned_to"] = [{"subject": recorded.subject, "target": name, **note}]
    model.provenance["stages"] = [stage]
    return model


def kind(model: Model, recorded: Recording, units: list[int] | None = None, roi: str = "V1"):
    target = Target(
        recorded.subject, "", roi, np.array(units or range(len(recorded.responses.unit_ids)))
    )
    means = {recorded.subject: recorded.responses.mean()}
    return Generalization({recorded.subject: recorded}, means).kind(model, target)


def test_the_same_units_in_a_folder_of_another_name_are_no_new_subject() -> None:
    model = tuned_to(recording("ann"))
    assert kind(model, recording("ann")).name == "new images"
    of_renamed = kind(model, recording("renamed", ids="other"), roi="all")
    assert of_renamed.name == "new images"
    assert "same subject under another name" in of_renamed.notes[0]
    assert kind(model, recording("bob", seed=5)).name == "new subjects"


def test_a_subset_of_units_and_another_region() -> None:
    model = tuned_to(recording("ann", units=20), units=slice(0, 10))
    for name in ("ann", "renamed"):
        recorded = recording(name, units=20)
        assert kind(model, recorded, [2, 3, 4]).name == "new images"
        assert kind(model, recorded, list(range(12, 20)), "V2").name == "other units"
        mixed = kind(model, recorded, [8, 9, 10, 11, 12], "V1V2")
        assert mixed.name == "other units"
        assert "2 of its 5 units are among those" in mixed.notes[-1]
    assert kind(model, recording("bob", seed=5, units=20), [12, 13], "V2").name == "new subjects"


def test_one_name_in_another_laboratory_is_another_subject() -> None:
    model = tuned_to(recording("ann"))
    elsewhere = recording("ann", seed=3, units=30, ids="cell", images=8)
    of_elsewhere = kind(model, elsewhere)
    assert (
        of_elsewhere.name == "new subjects" and "taken for another subject" in of_elsewhere.notes[0]
    )
    same_images = kind(model, recording("ann", seed=3))  # and the same default ids
    assert same_images.name == "new subjects" and "in another way" in same_images.notes[0]


def test_units_measured_again_are_the_same_units() -> None:
    first, again = recording("ann"), recording("ann")
    noise = np.random.default_rng(4).normal(size=(N, UNITS))
    again.responses.data.values[:] += noise
    assert kind(tuned_to(first), again).name == "new images"


def test_other_images_of_the_same_units_cannot_be_told_under_another_name() -> None:
    model = tuned_to(recording("ann"))
    assert kind(model, recording("ann", seed=0, images=8)).name == "new images"
    of_dan = kind(model, recording("dan", seed=1, images=8))
    assert of_dan.name == "new subjects"
    assert "10 unit ids of ann" in of_dan.notes[0] and "if it is the same" in of_dan.notes[0]


def test_models_that_were_tuned_to_nobody_follow_the_run() -> None:
    ann = recording("ann")
    target = Target("ann", "", "V1", np.arange(3))
    model = load("lcl_v2")  # grown, which is no tuning
    means = {"ann": ann.responses.mean()}
    assert Generalization({"ann": ann}, means).kind(model, target).name == "new images"
    assert Generalization({"ann": ann}, means, ["ann"]).kind(model, target).name == "new subjects"


@pytest.mark.parametrize(
    ("name", "roi", "expected"),
    [("ann", "V1", "new images"), ("ann", "V2", "other units"), ("bob", "V1", "new subjects")],
)
def test_models_of_earlier_versions_go_by_names(name: str, roi: str, expected: str) -> None:
    model = tuned_to(recording("ann"))
    del model.provenance["stages"][0]["tuned_to"]
    assert kind(model, recording(name, seed=5), roi=roi).name == expected


def rename(world: Path, out: Path) -> Path:
    """Subject ann in a folder of another name: units shuffled, renamed, and z-scored."""
    shutil.copytree(world / "ann" / "images", out / "dan" / "images")
    values = np.load(world / "ann" / "responses.npy").astype(np.float64)
    order = [4, 2, 0, 1, 3]
    values = ((values - values.mean(0)) / values.std(0))[:, order]
    np.save(out / "dan" / "responses.npy", values)
    ids = (world / "ann" / "stimulus_ids.txt").read_text()
    (out / "dan" / "stimulus_ids.txt").write_text(ids)
    units = pd.read_csv(world / "ann" / "units.csv").iloc[order]
    units.assign(unit_id=[f"cell{i}" for i in range(5)]).to_csv(
        out / "dan" / "units.csv", index=False
    )
    return out


def test_a_run_on_a_renamed_folder_says_that_it_is_the_same_subject(run, world, quiet, tmp_path):
    base = {k: v for k, v in settings(world).items() if k in ("model", "split", "encode")}
    base["split"] = {**base["split"], "held_out": []}
    base["data"] = {"name": "folder", "path": str(rename(world, tmp_path / "world"))}
    model = run / "models" / "contrastive" / "ann_lh_V1"
    config = EncodeRunConfig.from_dict({**base, "models": {"mine": str(model)}})
    result = score_models(config, tmp_path / "e", quiet)
    kinds = result.rois[result.rois["model"] == "mine"].set_index("roi")["generalization"]
    assert kinds.to_dict() == {"V1": "new images", "V2": "other units"}
    assert any("dan has 5 units" in w or "dan has 3 units" in w for w in result.warnings)
