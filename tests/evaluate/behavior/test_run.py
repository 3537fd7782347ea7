"""`striate behave` as a run: the table of humans, models against humans, and its page."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.cli.main import make_app
from striate.core.cache import Cache
from striate.core.errors import InputError, LeakError
from striate.data.behavior.trials import CATEGORIES
from striate.evaluate import BehaveConfig, Options, behave
from striate.evaluate.behavior.inputs import describe_other_start
from striate.models import load, save
from striate.models.lineage import record_start
from striate.report import build
from striate.report.scorecard.card import as_table, make_scorecard

# docs/papers/lcl-v2.md 5.5: observers, conditions, trials an observer, accuracy, its
# difference, observed and error consistency, as printed
PRINTED = {
    "colour": "4 1 640 .887 .001 .883 .415",
    "contrast": "4 5 800 .661 .008 .780 .437",
    "cue-conflict": "10 1 1280 .776 .012 .765 .331",
    "edge": "10 1 160 .871 .020 .839 .318",
    "eidolonI": "4 5 800 .608 .009 .783 .386",
    "eidolonII": "4 4 640 .583 .004 .788 .454",
    "eidolonIII": "4 3 480 .639 .011 .779 .460",
    "false-colour": "4 1 560 .874 .003 .876 .444",
    "high-pass": "4 4 640 .629 .015 .765 .440",
    "low-pass": "4 5 800 .661 .002 .791 .469",
    "phase-scrambling": "4 4 640 .688 .001 .798 .447",
    "power-equalisation": "4 1 560 .759 .003 .820 .511",
    "rotation": "4 3 960 .830 .001 .843 .439",
    "silhouette": "10 1 160 .753 .008 .803 .476",
    "sketch": "7 1 800 .916 .004 .900 .370",
    "stylized": "5 1 800 .471 .009 .750 .501",
    "uniform-noise": "4 5 800 .683 .002 .782 .434",
}
MEASURES = ("accuracy", "accuracy_difference", "observed_consistency", "error_consistency")


def test_the_table_of_humans_is_reproduced_to_every_printed_digit(shared_data: Path) -> None:
    trials = shared_data / "data" / "model_vs_human_raw"
    if not trials.is_dir():
        pytest.skip(f"{trials} is not there")
    config = BehaveConfig(humans=str(trials), bootstrap=2)
    table = behave(config, options=Options(say=lambda line: None)).tables["humans"]
    by = table.set_index("experiment")
    assert list(by.index) == [*PRINTED, "mean"]
    for experiment, printed in PRINTED.items():
        row = by.loc[experiment]
        counts = [f"{row[c]:.0f}" for c in ("observers", "conditions", "trials")]
        values = [f"{row[m]:.3f}".lstrip("0") for m in MEASURES]
        assert " ".join([*counts, *values]) == printed, experiment
    mean = by.loc["mean"]
    shown = f"{mean.iloc[3]:.3f} " + " ".join(f"{mean[m]:.4f}" for m in MEASURES[1:])
    assert shown == "0.723 0.0066 0.8085 0.4312"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three humans in two experiments, images of one of them, and a mapping of classes."""
    root = tmp_path_factory.mktemp("behave")
    rng = np.random.default_rng(0)
    names = [f"{a}{i}-{b}{i}" for i in (1, 2) for a in CATEGORIES[:3] for b in CATEGORIES[:3]]
    for name in names:
        shape = re.match("[a-z]+", name)[0]  # type: ignore[index]
        (root / "stimuli" / shape).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "stimuli" / shape / f"{name}.png")
    for experiment, images in (("cue-conflict", names), ("sketch", [f"x{i}" for i in range(8)])):
        (root / "humans" / experiment).mkdir(parents=True)
        for human in ("ann", "bob", "cyd"):
            right = [re.match("[a-z]+", n)[0] if "-" in n else "cat" for n in images]  # type: ignore[index]
            said = [r if rng.random() < 0.8 else str(rng.choice(CATEGORIES[:3])) for r in right]
            table = pd.DataFrame(
                {"subj": human, "object_response": said, "category": right, "condition": 0,
                 "imagename": images}
            )  # fmt: skip
            table.to_csv(root / "humans" / experiment / f"{human}.csv", index=False)
    mapping = {name: [10 * i, 10 * i + 1] for i, name in enumerate(CATEGORIES)}
    (root / "map.json").write_text(json.dumps(mapping))
    tuned = load("squeezenet1_1@random", seed=1)
    tuned.provenance["stages"] = [
        {
            "kind": "contrastive tuning",
            "start": record_start(tuned),  # not the reference below, whose seed is 0
            "targets": ["V4"],
            "config": {"tap": "features.10"},
        }
    ]
    save(tuned, root / "tuned")
    other = pd.read_csv(root / "humans" / "sketch" / "ann.csv").assign(
        subj="elsewhere", experiment="sketch"
    )
    other.to_csv(root / "outside.csv", index=False)
    return root


def settings(world: Path, **more: Any) -> BehaveConfig:
    return BehaveConfig.from_dict(
        {
            "humans": str(world / "humans"),
            "categories": str(world / "map.json"),
            "stimuli": {"cue-conflict": str(world / "stimuli")},
            "models": {
                "untuned": "squeezenet1_1@random",
                "tuned": {"id": str(world / "tuned"), "reference": "untuned", "group": "tuned"},
                "lcl": "lcl_v2@random",
            },
            "decisions": {"outside": str(world / "outside.csv")},
            "image_size": 32,
            "bootstrap": 50,
            "device": "cpu",
            **more,
        }
    )


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def run(world: Path, said: list[str]) -> Path:
    how = Options(command="striate behave …", say=said.append, cache=Cache(world / "cache"))
    folder = behave(settings(world), world / "run", how).folder
    assert folder is not None
    return folder


def test_what_a_run_holds(run: Path, said: list[str]) -> None:
    assert re.search(r"2 models decide on 18 images: at most [\d.]+ GB", said[1])
    decisions = pd.read_parquet(run / "decisions.parquet")
    assert set(decisions["observer"]) == {"untuned", "tuned", "outside"}
    bench = pd.read_parquet(run / "tables" / "benchmark.parquet")
    status = bench.groupby(["experiment", "observer"])["status"].first()
    assert status["cue-conflict", "untuned"] == "measured"
    assert status["sketch", "untuned"] == status["cue-conflict", "lcl"] == "not measured"
    key = ["experiment", "observer", "measure"]
    value = bench.set_index(key)["value"]
    assert value["sketch", "outside", "observed_consistency"] > 0.5
    gap = pd.read_parquet(run / "tables" / "differences.parquet").set_index(
        ["experiment", "model", "measure"]
    )["delta"]
    want = value["cue-conflict", "tuned", "accuracy"] - value["cue-conflict", "untuned", "accuracy"]
    assert gap["cue-conflict", "tuned", "accuracy"] == pytest.approx(want)
    facts = json.loads((run / "behavior.json").read_text())
    assert facts["models"]["lcl"]["status"].startswith("no classifier: its output has shape")
    assert (
        "up to features.10; layers behind it as they were" in facts["models"]["tuned"]["tuned"][0]
    )
    assert any("not measured" in note and "sketch" in note for note in facts["notes"])
    wrong = [note for note in facts["notes"] if "did not start from its reference untuned" in note]
    assert len(wrong) == 1 and "random weights (seed 1)" in wrong[0]


def test_a_reference_that_is_not_the_start_is_named() -> None:
    reference, other = (load("squeezenet1_1@random", seed=s, image_size=32) for s in (0, 1))
    tuned = reference.copy()
    tuned.provenance["stages"] = [{"kind": "contrastive tuning", "start": record_start(reference)}]
    assert describe_other_start(tuned, reference) == ""
    assert "random weights (seed 0)" in describe_other_start(tuned, other)
    del tuned.provenance["stages"][0]["start"]
    assert describe_other_start(tuned, other) == ""  # nothing is known


def test_the_page(run: Path) -> None:
    page = build(run).read_text(encoding="utf-8")
    for heading in ("Shape bias", "Consistency with humans", "What tuning changed", "Models"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("data:image/png;base64,") == 2
    assert "not measured" in page and "no classifier" in page
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"', page)


def test_a_scorecard_shows_it(run: Path) -> None:
    card = make_scorecard([run])
    assert {"untuned", "outside"} <= {c.label for c in card.columns}
    table = as_table(card)
    shown = table[(table["status"] == "measured") & (table["model"] == "untuned")]
    assert set(shown["measure"]) >= {"OOD accuracy", "error consistency"}
    assert shown["ceiling_is"].eq("humans").all() and shown["ceiling"].notna().all()
    assert any("no weights of outside" in note for note in card.notes)


def test_again_is_the_same_without_deciding_and_other_settings_are_refused(
    run: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **more: Any) -> None:
        raise AssertionError("decided again")

    monkeypatch.setattr("striate.evaluate.behavior.decisions.decide", never)
    how = Options(say=lambda line: None, cache=Cache(world / "cache"))
    before = pd.read_parquet(run / "tables" / "benchmark.parquet")
    behave(settings(world), run, how)
    after = pd.read_parquet(run / "tables" / "benchmark.parquet")
    pd.testing.assert_frame_equal(before, after, check_exact=True)
    with pytest.raises(InputError, match="seed: there 0, asked for 1"):
        behave(settings(world, seed=1), run, how)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stimuli": {"cue-conflct": "x"}}, "unknown experiment 'cue-conflct'. Did you mean cue-"),
        ({"stimuli": {"cue-conflict": "nowhere"}}, "image folder nowhere does not exist"),
        ({"decisions": {"untuned": "x"}}, "is a name of a model and of decisions"),
        ({"categories": None}, "categories is missing: models need a JSON file"),
        ({"models": {"a": {"id": "x", "reference": "b"}}}, "'b' is no model of this run"),
        ({"exclude": {"sketch": ["1"]}}, "unknown condition of experiment sketch '1'"),
        ({"categories": "nowhere.json"}, "nowhere.json does not exist"),
    ],
)
def test_bad_settings(world: Path, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        behave(settings(world, **change), tmp_path / "out", Options(say=lambda line: None))
    assert not (tmp_path / "out").exists()


def test_missing_images_and_seen_images_are_refused(world: Path, tmp_path: Path) -> None:
    quiet = Options(say=lambda line: None, cache=Cache(tmp_path / "cache"))
    few = tmp_path / "few"
    (few / "bear").mkdir(parents=True)
    first = world / "stimuli" / "bear" / "bear1-bear1.png"
    (few / "bear" / first.name).write_bytes(first.read_bytes())
    with pytest.raises(InputError, match="lacks 17 of 18 images"):
        behave(settings(world, stimuli={"cue-conflict": str(few)}), tmp_path / "out", quiet)
    model = load("squeezenet1_1@random")
    from striate.data import StimulusSet

    model.provenance["seen"] = list(StimulusSet.from_folder(few).hashes)
    save(model, tmp_path / "leaky")
    leaky = settings(world, models={"leaky": str(tmp_path / "leaky")})
    with pytest.raises(LeakError, match="leaky on cue-conflict"):
        behave(leaky, tmp_path / "out", quiet)


def test_the_verb(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["striate"])
    arguments = ["behave", "--humans", str(world / "humans"), "bootstrap=20", "--json"]
    app = make_app()
    app(arguments, standalone_mode=False)
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [row["experiment"] for row in told["humans"]] == ["cue-conflict", "sketch", "mean"]
    assert told["folder"] is None and not list(tmp_path.iterdir())
    assert "humans with each other" in err
    app([*arguments, f"decisions.net={world / 'outside.csv'}"], standalone_mode=False)
    told = json.loads(capsys.readouterr()[0])
    assert told["report"] == "striate-behave/report.html" and Path(told["report"]).exists()
    assert told["benchmark"]
