"""The command line as a user meets it: exit codes, JSON, errors, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import yaml

from tests.evaluate.conftest import settings, write_world
from tests.limits import HANG


def striate(*args, cwd, env=None, wait=True):
    command = [sys.executable, "-c", "from striate.cli import main; main()", *map(str, args)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    if not wait:
        return subprocess.Popen(
            command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=HANG
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data and a config, as a user would have."""
    folder = tmp_path_factory.mktemp("user")
    write_world(folder / "data", ("ann", "bob"))
    config = settings(folder / "data", split={"tune": 0.4, "fit": 0.2, "select": 0.2, "test": 0.2})
    config["methods"] = ["untuned", "random", "contrastive"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def finished(place):
    done = striate(
        "compare", "-c", "config.yaml", "-o", "run", "--json", cwd=place,
        env={"STRIATE_CACHE": str(place / "cache")},
    )  # fmt: skip
    return place / "run", done


def test_compare_ends_with_a_table_and_a_report(finished):
    folder, done = finished
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["report"] == "run/report.html" and (folder / "report.html").exists()
    assert {row["model"] for row in result["group"]} == {"untuned", "random", "contrastive"}
    assert "mean r on test stimuli, new images" in done.stderr
    assert "predicted on this machine" in done.stderr
    command = json.loads((folder / "provenance.json").read_text())["command"]
    assert command == "striate compare -c config.yaml -o run --json"


def test_report_is_built_again(finished):
    folder, _ = finished
    (folder / "report.html").unlink()
    done = striate("report", "run", cwd=folder.parent)
    assert done.returncode == 0 and (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "data.name=folder", "data.pth=x"], "Did you mean path?"),
        (["compare", "data.name=foldr", "data.path=."], "Did you mean folder?"),
        (["compare", "-c", "nowhere.yaml"], "config file nowhere.yaml does not exist"),
        (["compare", "novalue"], "not of the form key=value"),
        (["encode", "data.name=folder", "data.path=nowhere"], "nowhere does not exist"),
        (["grow"], "config key photographs is missing"),
        (["grow", "photographs=[nowhere]"], "nowhere"),
        (["train"], "config key data is missing"),
        (["train", "data.train=nowhere", "data.test=nowhere"], "nowhere: does not exist"),
        (["train", "data.trian=x"], "Did you mean train"),
        (["grow", "photographs=[data]", "batchsize=3"], "Did you mean batch_size"),
        (["report", "data"], "is no run folder"),
        (["doctor", "nowhere"], "nowhere"),
        (["compre"], "compare"),
        (["compare", "--nope"], "nope"),
    ],
)
def test_bad_input_is_exit_code_2_and_says_what_to_do(arguments, words, place):
    done = striate(*arguments, cwd=place)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_grow_ends_with_a_model_and_a_report(place):
    tiny = ["steps=2", "batch_size=4", "projector=4", "patches.held_out=0", "clean=1", "device=cpu"]
    stages = "network.stages=[{channels: 4, kernel: 5, stride: 2, padding: 2}]"
    grow = ["grow", "photographs=[data/ann/images]", *tiny, stages, "-o", "grown", "--json"]
    done = striate(*grow, cwd=place, env={"STRIATE_CACHE": str(place / "cache")})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"folder": "grown", "report": "grown/report.html"}
    assert "GB of memory" in done.stderr and "stage 1 sees 9 px" in done.stderr
    assert "striate grow" in (place / "grown" / "report.html").read_text()
    again = striate("report", "grown", cwd=place)
    assert again.returncode == 0 and "report: grown/report.html" in again.stdout
    other = striate(*grow, "a=0.3", cwd=place)
    assert other.returncode == 2 and "a: there 0.2, asked for 0.3" in other.stderr
    # what was learned with one setting never goes on with another
    before = (place / "grown" / "config.yaml").read_text()
    other = striate(*grow, "a=0.3", "--overwrite", cwd=place)
    assert other.returncode == 2 and "a: there 0.2, asked for 0.3" in other.stderr
    assert (place / "grown" / "config.yaml").read_text() == before


def test_several_processes_are_refused_and_do_not_wait_for_each_other(place):
    probe = ["probe", "models.mine=lcl_v2"]
    done = striate(*probe, cwd=place, env={"WORLD_SIZE": "2"})
    assert done.returncode == 2 and "torchrun started 2" in done.stderr


def test_errors_are_json_too(place):
    done = striate("compare", "data.name=foldr", "data.path=.", "--json", cwd=place)
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit_code"], told["error"]) == (2, 2, "InputError")
    assert "foldr" in told["message"]


def test_an_existing_folder_of_something_else_is_left_alone(place):
    (place / "thesis").mkdir(exist_ok=True)
    (place / "thesis" / "chapter1.txt").write_text("mine")
    done = striate("compare", "-c", "config.yaml", "-o", "thesis", cwd=place)
    assert done.returncode == 2 and "is not empty and holds no run" in done.stderr
    assert [p.name for p in (place / "thesis").iterdir()] == ["chapter1.txt"]


def test_models_lists_ids_and_taps(place):
    done = striate("models", cwd=place)
    assert done.returncode == 0
    assert "alexnet: 61,100,840 parameters" in done.stdout and "features.12" in done.stdout
    listed = json.loads(striate("models", "--json", cwd=place).stdout)["models"]
    assert {"alexnet", "squeezenet1_1", "efficientnet_lite0"} <= {m["id"] for m in listed}
    assert "gabor_energy: 0 parameters" in done.stdout and "fixed filters" in done.stdout
    assert "lcl_v2@random: 330,944 parameters" in done.stdout
    assert "gabor_energy@random" not in done.stdout


def test_doctor_says_what_it_sees(place):
    done = striate("doctor", "data", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dataset"] == "folder"
    ids = place / "broken" / "ann"
    ids.mkdir(parents=True)
    (ids / "responses.npy").write_bytes(b"")
    done = striate("doctor", "broken", cwd=place)
    assert done.returncode == 2 and "responses.npy" in done.stdout


def slow_config(place, epochs):
    config = yaml.safe_load((place / "config.yaml").read_text())
    config["contrastive"] = {**config["contrastive"], "epochs": epochs, "checkpoint_every": 1}
    config["methods"] = ["untuned", "contrastive"]
    (place / f"slow{epochs}.yaml").write_text(yaml.safe_dump(config))
    return f"slow{epochs}.yaml"


def until(condition, process):
    end = time.monotonic() + HANG
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "it did not get that far"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_stopped_anywhere_and_started_again_it_ends_bitwise_the_same(number, place):
    config = slow_config(place, 12)
    env = {"STRIATE_CACHE": str(place / "cache")}
    whole, stopped = place / "whole", place / f"stopped{int(number)}"
    if not whole.exists():
        done = striate("compare", "-c", config, "-o", whole, "-q", cwd=place, env=env)
        assert done.returncode == 0, done.stderr
    process = striate("compare", "-c", config, "-o", stopped, cwd=place, env=env, wait=False)
    curve = stopped / "models" / "contrastive" / "ann_lh_V1" / "metrics.jsonl"
    until(lambda: curve.exists() and curve.read_text().count("\n") >= 4, process)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == (143 if number == signal.SIGTERM else -number)
    assert not (stopped / "scores.parquet").exists()
    done = striate("compare", "-c", config, "-o", stopped, "-q", cwd=place, env=env)
    assert done.returncode == 0, done.stderr
    for name in ("scores.parquet", "tables/rois.parquet"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(whole / name), pd.read_parquet(stopped / name), check_exact=True
        )
