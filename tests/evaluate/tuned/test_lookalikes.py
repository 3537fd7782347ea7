"""Look-alikes in a run: where they stand, what is said of them, what they do to scores."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.core.errors import InputError
from striate.core.files import read_json
from striate.data import Split, SplitConfig
from striate.data.images.decode import decode_image
from striate.encoding import Encoding
from striate.encoding.scores import score_r
from striate.evaluate import CompareConfig, compare
from striate.evaluate.common.lookalikes import crossing, describe_lookalikes, lookalike_facts
from striate.report import build
from tests.evaluate.conftest import settings, write_world
from tests.evaluate.tuned.test_checks import picture, world

SHARES = {"tune": 0.2, "fit": 0.3, "select": 0.25, "test": 0.25}
WARN, GROUP = SplitConfig(lookalikes="warn"), SplitConfig()


def jpeg(rgb: np.ndarray) -> np.ndarray:
    stream = BytesIO()
    Image.fromarray(rgb).save(stream, "jpeg", quality=80)
    return decode_image(stream.getvalue())


def test_copies_on_both_sides_of_the_split_are_one_line_that_names_the_first():
    ann = {"a": (picture(0), "tune"), "b": (picture(1), "test"), "c": (picture(2), "select")}
    bob = {
        "x": (jpeg(picture(0)), "test"),
        "y": (jpeg(picture(1)), "fit"),
        "z": (picture(1), "test"),  # the very same as ann/b: one picture, counted once
    }
    _, split = world("warn", ann=ann, bob=bob)
    (text,) = describe_lookalikes(split, WARN)
    assert text.startswith("4 images look like another one, re-encoded or resized (16 x 16")
    assert "2 groups. 2 test images look like an image outside of test" in text
    assert "(first: ann/b in test, bob/y in fit)" in text
    facts = lookalike_facts(split, WARN)
    assert [facts[k] for k in ("pictures", "classes", "test", "crossing")] == [4, 2, 2, 2]
    assert crossing(split, "ann").tolist() == [1]
    assert crossing(split, "bob").tolist() == [0, 2]


def test_copies_on_one_side_and_unused_ones_are_no_matter():
    ann = {
        "a": (picture(0), "tune"),
        "b": (jpeg(picture(0)), "tune"),
        "c": (picture(1), "test"),
        "d": (jpeg(picture(1)), "test"),
        "e": (jpeg(jpeg(picture(1))[::-1])[::-1], "unused"),
    }
    _, split = world(ann=ann)
    (text,) = describe_lookalikes(split, GROUP)
    assert "2 groups, each in one part of the split and drawn as one; 2 of the" in text
    assert not len(crossing(split, "ann"))
    _, alone = world(ann={"a": (picture(0), "tune"), "b": (picture(1), "test")})
    assert describe_lookalikes(alone, GROUP) == describe_lookalikes(alone, WARN) == []
    ignored = SplitConfig(lookalikes="ignore")
    assert "not looked for" in describe_lookalikes(alone, ignored)[0]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 photographs, each saved once more by another program at another size."""
    root = write_world(tmp_path_factory.mktemp("copied") / "world", ("ann",))
    files = sorted((root / "ann" / "images").iterdir())
    for k in range(0, 60, 2):
        coarse = np.random.default_rng(k).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((48, 48))
        image.save(files[k])
        image.resize((40, 40)).save(files[k + 1])
    return root


def config_of(root: Path, mode: str) -> CompareConfig:
    split = {**SHARES, "lookalikes": mode}
    return CompareConfig.from_dict(settings(root, methods=["untuned"], split=split))


def test_a_run_keeps_look_alikes_in_one_part_and_goes_on_from_the_saved_split(
    copied, tmp_path, quiet
):
    lines: list[str] = []
    out = tmp_path / "run"
    result = compare(config_of(copied, "group"), out, replace(quiet, say=lines.append))
    table = Split.load(out / "splits.parquet").table
    parts = table["part"].to_numpy()
    assert (parts[::2] == parts[1::2]).all()
    (text,) = [w for w in result.warnings if "look like another one" in w]
    assert f"note: {text}" in lines
    assert "30 groups, each in one part" in text
    facts = read_json(out / "leaks.json")["lookalikes"]
    assert facts["pictures"] == 60
    assert facts["test"] == (parts == "test").sum()
    assert facts["crossing"] == 0
    assert pd.read_parquet(out / "tables/lookalikes.parquet").empty
    page = build(out).read_text()
    assert "60 images look like another one, in 30 groups" in page
    assert "of which 0 look like an image outside of test" in page

    # What is saved counts, not what would be found now: another part for one pair is kept.
    moved = table["together"] == table["together"].iloc[0]
    other = "fit" if table["part"].iloc[0] != "fit" else "select"
    Split.from_table(table.assign(part=table["part"].where(~moved, other))).save(
        out / "splits.parquet"
    )
    compare(config_of(copied, "group"), out, quiet)
    assert Split.load(out / "splits.parquet").table["part"].iloc[0] == other

    first = copied / "ann" / "images" / "im000.png"
    original = first.read_bytes()
    try:
        Image.fromarray(picture(77)).save(first)
        with pytest.raises(InputError, match=r"1 images are other pictures.*im000.*--overwrite"):
            compare(config_of(copied, "group"), out, quiet)
    finally:
        first.write_bytes(original)


def test_with_warn_scores_stand_with_and_without_the_look_alikes(copied, tmp_path, quiet):
    out = tmp_path / "run"
    result = compare(config_of(copied, "warn"), out, quiet)
    split = Split.load(out / "splits.parquet")
    parts = split.table["part"].to_numpy()
    across = parts[::2] != parts[1::2]
    near = crossing(split, "ann")
    assert len(near) == ((parts[::2][across] == "test") | (parts[1::2][across] == "test")).sum() > 0
    assert any(f"{len(near)} test images look like an image outside" in w for w in result.warnings)
    table = pd.read_parquet(out / "tables/lookalikes.parquet")
    (folder,) = (f.parent for f in (out / "pieces").glob("*/encoding.json"))
    encoding = Encoding.load(folder)
    read = split.part("ann", "fit", "select", "test")[encoding.stimuli]
    keep = ~np.isin(read, near)
    for row in table.itertuples():
        roi = encoding.rois[f"lh/{row.roi}"]
        assert (row.n, row.n_without) == (len(keep), keep.sum())
        assert row.r == pytest.approx(np.nanmean(roi.r))
        without = score_r(roi.observed[keep], roi.predictions[keep])
        assert row.r_without == pytest.approx(np.nanmean(without))
    assert set(table["roi"]) == {"V1", "V2"}
    page = build(out).read_text()
    assert "Scores with and without these" in page
    assert "r without" in page
