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
from striate.models.description import all_tensors, versions
from striate.models.observation import Observation, observe, probe_images
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
            training saw, `seen_files` the hashes of their files if there were any, `stages` the
            stages of training, `simulated` whether simulated responses were used.
        options: JSON-able options that the registry built the network with, in full; `{}` if the
            network has none.
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
        """How the model was loaded (arguments of `striate.models.load`), only for messages."""
        self._observed: Observation | None = None
        self._observed_state = ""

    @property
    def device(self) -> torch.device:
        """Device of the network's weights or, for fixed filters, of its buffers."""
        first = next(chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if first is None else first.device

    @property
    def seen(self) -> frozenset[str]:
        """Content hashes of the stimuli that any stage of training or selection saw."""
        return frozenset(self.provenance["seen"])

    @property
    def seen_files(self) -> frozenset[str]:
        """Hashes of the files of those stimuli; older model folders have none."""
        return frozenset(self.provenance["seen_files"])

    def note_seen(self, hashes: Iterable[str], file_hashes: Iterable[str] = ()) -> None:
        """Add the stimuli that a stage of training saw to the provenance; `` means no file."""
        for name, added in (("seen", hashes), ("seen_files", file_hashes)):
            self.provenance[name] = sorted({*self.provenance[name], *added} - {""})

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 images (B, H, W, 3) to the network's output."""
        return self.network(self.preprocessing(images))

    def activations(self, images: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Return the output of each tap for uint8 images (B, H, W, 3).

        Gradients flow, and the train or eval mode is the one that you set: to take features, wrap
        the call in `striate.models.evaluating`. Nothing behind the last tap runs.

        Raises:
            InputError: unknown tap, nearest names offered.
        """
        return tapped_forward(self.network, self.preprocessing(images), taps)

    def tap_shapes(self, taps: Sequence[str] | None = None) -> dict[str, tuple[int, ...]]:
        """Return the shape of one image's output at each tap, measured with a gray image.

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
        return {name: tuple(output.shape[1:]) for name, output in outputs.items()}

    def fingerprint(self) -> str:
        """Return the hash of everything that decides the output, the key of cache entries.

        It covers the tensors, the preprocessing and the options; the class, settings, plain
        attributes, functions and hooks of every module with their code; the versions of the
        packages that they come from; and the output of every module for fixed images
        (`striate.models.observation`), computed on the CPU by one thread. It stays the same on one
        machine with one installation. Elsewhere it can differ, which only costs computing again.
        `weights_fingerprint` and `stored_fingerprint` identify a model on any machine.

        Raises:
            InputError: in eval mode, the network's output changes from call to call.
        """
        network, x = self._prepare_probe()
        tensors = hash_tensors(all_tensors(network))
        state = hash_json([tensors, self.preprocessing.to_dict()])
        previous = self._observed if self._observed_state == state else None
        self._observed, self._observed_state = observe(network, x, before=previous), state
        parts = [
            dict(self._observed.described),
            self._observed.outputs,
            versions(network),
            tensors,
            self.preprocessing.to_dict(),
            self.options,
        ]
        return hash_json(parts)

    def stored_fingerprint(self) -> str:
        """Return the hash by which a saved folder is known to be whole: of what its files hold.

        It covers the saved tensors, preprocessing, options and id, and nothing that another
        machine, library or device could change.
        """
        parts = [
            self.id,
            self.options,
            self.preprocessing.to_dict(),
            hash_tensors(self.network.state_dict()),
        ]
        return hash_json(parts)

    def structure_fingerprint(self) -> str:
        """Return the hash of tensors, preprocessing, and classes and settings of modules.

        Folders of version 0.1 hold it, and runs of learning claim their folder with it. It leaves
        out plain attributes, which `attributes_fingerprint` covers.
        """
        structure = [(n, _describe_module(m)) for n, m in self.network.named_modules()]
        parts = [
            hash_json(structure),
            hash_tensors(all_tensors(self.network)),
            hash_json(self.preprocessing.to_dict()),
        ]
        return hash_json(parts)

    def attributes_fingerprint(self) -> str:
        """Return the hash of the plain attributes of all modules, with functions by their names.

        With `structure_fingerprint` it identifies networks on any machine; it leaves out code.

        Raises:
            InputError: as `fingerprint`.
        """
        described = observe(*self._prepare_probe(), code=False).described
        return hash_json({k: v for k, v in described.items() if not k.endswith("|class")})

    def weights_fingerprint(self) -> str:
        """Return the hash of the network and its weights, which identifies a model across runs.

        Unlike `fingerprint` it leaves out the size and the cropping of images, and modules without
        weights (some networks pad according to the size). One model may be shown images of one
        size to decide on photographs, and of another size to predict neurons.
        """
        shape = self.preprocessing.to_dict()
        parts = [
            self.id.partition("@")[0],
            hash_json(self.options),
            hash_tensors(all_tensors(self.network)),
            hash_json({k: v for k, v in shape.items() if k not in ("size", "resize")}),
        ]
        return hash_json(parts)

    def _prepare_probe(self) -> tuple[nn.Module, Tensor]:
        """Return the network on the CPU, and its input for the images of `probe_images`."""
        network = self.network if self.device.type == "cpu" else copy.deepcopy(self.network).cpu()
        return network, self.preprocessing(probe_images(self.preprocessing.size))

    def copy(self) -> Model:
        """Return an independent copy."""
        return copy.deepcopy(self)


def _describe_module(module: nn.Module) -> str:
    """Describe a leaf module by class and settings, and a container by its class alone."""
    name = type(module).__qualname__
    return name if next(module.children(), None) is not None else f"{name}({module.extra_repr()})"
