"""Model: a network with named taps, its preprocessing and its provenance."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.core.hashing import hash_json, hash_tensors
from striate.models.description import Observation, observe, probe_images, versions
from striate.models.preprocessing import Preprocessing
from striate.models.taps import evaluating, resolve_tap, tapped_forward


class Model(nn.Module):
    """A network that takes uint8 images and can be asked for the output of any module.

    Args:
        id: registry id, or the id of the model that this one was tuned from.
        network: takes normalized images (B, 3, H, W).
        preprocessing: how uint8 images become the network's input.
        taps: module paths scored by default, shallow to deep.
        provenance: JSON-able facts; `seen` lists content hashes of all stimuli that any stage of
            training saw, `seen_files` the hashes of their files where there were any, `stages` what
            was done, `simulated` whether simulated responses were used.
        options: JSON-able options that the registry built the network with, in full; `{}` where
            the network has none.
    """

    def __init__(
        self,
        id: str,
        network: nn.Module,
        preprocessing: Preprocessing,
        taps: Sequence[str],
        provenance: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.id = id
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocessing = preprocessing
        for tap in taps:
            resolve_tap(network, tap)
        self.taps = tuple(taps)
        self.provenance: dict[str, Any] = {
            "seen": [],
            "seen_files": [],
            "stages": [],
            "simulated": False,
            **copy.deepcopy(dict(provenance or {})),
        }
        self.options: dict[str, Any] = copy.deepcopy(dict(options or {}))
        self.given: dict[str, Any] = {}
        """How the model was loaded (arguments of `striate.models.load`), for messages alone."""
        self._observed: Observation | None = None
        self._observed_state = ""

    @property
    def device(self) -> torch.device:
        """Where the network's weights lie; fixed filters are buffers and count as well."""
        first = next(chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if first is None else first.device

    @property
    def seen(self) -> frozenset[str]:
        """Content hashes of the stimuli that any stage of training or selection saw."""
        return frozenset(self.provenance["seen"])

    @property
    def seen_files(self) -> frozenset[str]:
        """Hashes of the files of those stimuli; older model folders hold none."""
        return frozenset(self.provenance["seen_files"])

    def note_seen(self, hashes: Iterable[str], file_hashes: Iterable[str] = ()) -> None:
        """Add what a stage of training saw to the provenance; `` stands for no file."""
        for name, new in (("seen", hashes), ("seen_files", file_hashes)):
            self.provenance[name] = sorted({*self.provenance[name], *new} - {""})

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 images (B, H, W, 3) to the network's output."""
        return self.network(self.preprocessing(images))

    def activations(self, images: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Return the output of each tap for uint8 images (B, H, W, 3).

        Gradients flow, and the train or eval mode is as you set it: wrap the call in
        `striate.models.evaluating` when features are taken. Nothing behind the last tap runs.

        Raises:
            InputError: unknown tap, nearest names offered.
        """
        return tapped_forward(self.network, self.preprocessing(images), taps)

    def tap_shapes(self, taps: Sequence[str] | None = None) -> dict[str, tuple[int, ...]]:
        """Return the shape of one image's output at each tap, found with one gray image.

        Raises:
            InputError: unknown tap, or an image size that the network cannot take.
        """
        size = self.preprocessing.size
        gray = torch.full((1, size, size, 3), 128, dtype=torch.uint8, device=self.device)
        with evaluating(self), torch.no_grad():
            try:
                outputs = self.activations(gray, taps or self.taps)
            except RuntimeError as error:  # a map shrank to nothing on its way
                raise InputError(
                    f"{self.id} cannot take images of {size} x {size} pixels ({error}). "
                    "Choose a larger image_size."
                ) from error
        return {name: tuple(out.shape[1:]) for name, out in outputs.items()}

    def fingerprint(self) -> str:
        """Hash of everything that decides the output: what a cache entry is found by.

        It holds the tensors, the preprocessing, the options, the class, settings, plain attributes,
        functions and hooks of every module with their code, the versions of the packages that
        they come from, and what every module gives for fixed images (`striate.models.description`),
        computed on the CPU by one thread. It stays the same on one machine with one installation;
        elsewhere it can be another, and only costs computing anew. What is to be known again
        elsewhere goes by `weights_fingerprint` or `stored_fingerprint`.

        Raises:
            InputError: the network gives another output from call to call, in eval mode.
        """
        network, x = self._on_probe()
        tensors = hash_tensors(_all_tensors(network))
        state = hash_json([tensors, self.preprocessing.to_dict()])
        before = self._observed if self._observed_state == state else None
        self._observed, self._observed_state = observe(network, x, before=before), state
        parts = [
            dict(self._observed.described),
            self._observed.given,
            versions(network),
            tensors,
            self.preprocessing.to_dict(),
            self.options,
        ]
        return hash_json(parts)

    def stored_fingerprint(self) -> str:
        """Hash by which a saved folder is known to be whole: of what its two files hold.

        Tensors that are saved, preprocessing, options and id: nothing that another machine,
        library or device could change.
        """
        parts = [
            self.id,
            self.options,
            self.preprocessing.to_dict(),
            hash_tensors(self.network.state_dict()),
        ]
        return hash_json(parts)

    def structure_fingerprint(self) -> str:
        """Hash of tensors, preprocessing, and classes and settings of modules.

        Folders of version 0.1 hold it, and runs of learning claim their folder with it. Plain
        attributes are not in it: `attributes_fingerprint`.
        """
        structure = [(n, _describe(m)) for n, m in self.network.named_modules()]
        parts = [
            hash_json(structure),
            hash_tensors(_all_tensors(self.network)),
            hash_json(self.preprocessing.to_dict()),
        ]
        return hash_json(parts)

    def attributes_fingerprint(self) -> str:
        """Hash of the plain attributes of all modules, functions by their names.

        With `structure_fingerprint` it tells networks apart on any machine; code is not in it.

        Raises:
            InputError: as `fingerprint`.
        """
        described = observe(*self._on_probe(), code=False).described
        return hash_json({k: v for k, v in described.items() if not k.endswith("|class")})

    def weights_fingerprint(self) -> str:
        """Hash of the network and its weights, by which a model is known again in another run.

        Unlike `fingerprint` it leaves out the size and the cropping of images, and modules without
        weights (some networks pad according to the size): the same model is shown images at one
        size to decide on photographs and at another to predict neurons.
        """
        shape = self.preprocessing.to_dict()
        parts = [
            self.id.partition("@")[0],
            hash_json(self.options),
            hash_tensors(_all_tensors(self.network)),
            hash_json({k: v for k, v in shape.items() if k not in ("size", "resize")}),
        ]
        return hash_json(parts)

    def _on_probe(self) -> tuple[nn.Module, Tensor]:
        """The network on the CPU, and its input for the images that it is observed with."""
        network = self.network if self.device.type == "cpu" else copy.deepcopy(self.network).cpu()
        return network, self.preprocessing(probe_images(self.preprocessing.size))

    def copy(self) -> Model:
        """Return an independent copy."""
        return copy.deepcopy(self)


def _all_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Tensors by name; a state dict leaves out buffers that are not saved, and they matter too."""
    return {**dict(network.named_buffers()), **network.state_dict()}


def _describe(module: nn.Module) -> str:
    """A leaf module with its settings; a container by its class alone (its parts follow)."""
    name = type(module).__qualname__
    return name if next(module.children(), None) is not None else f"{name}({module.extra_repr()})"
