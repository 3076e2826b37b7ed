"""state_dicts: from a mapping or a file, below a prefix, with weight norm computed.

Nested mappings, such as the checkpoint of a trainer, have their names joined by dots.

>>> import torch
>>> flat({"epoch": 3, "model": {"rnn.weight_ih_l0": torch.zeros(8, 3)}}).keys()
dict_keys(['model.rnn.weight_ih_l0'])
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from rnnspec.errors import ArgumentError, FileFormatError, TreeError

__all__ = ["below", "flat", "is_path", "prefixes", "refusal", "state_of"]

SIGNS = ("weight_ih_l0", "weight_ih")
"""The tensors that only a recurrent module has."""
NORMED = (("_v", "_g"), (".original1", ".original0"))
"""The endings of the two tensors that weight norm makes a weight of: its direction and its length."""


def is_path(given: Any) -> bool:
    """Whether something is the path of a file."""
    return isinstance(given, str | os.PathLike)


def state_of(call: str, given: Any) -> dict[str, Any]:
    """The tensors by name of a mapping, or of the file at a path, without unpickling anything but tensors.

    Raises FileFormatError where the file holds no tensors, and ArgumentError where something else is given.
    """
    found = _read(call, Path(given)) if is_path(given) else given
    if not isinstance(found, Mapping):
        raise ArgumentError(call, "a state_dict must be a mapping of names to tensors, or the path of one",
                            type(found).__name__, "give module.state_dict() or its file")  # fmt: skip
    return flat(found)


def _read(call: str, path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise FileFormatError(call, "the file must hold tensors only, as torch.save(module.state_dict(), path) or "
                              "safetensors writes them", f"{os.fspath(path)!r}: {reason}",
                              "store the state_dict of the model, and give that file") from error  # fmt: skip


def flat(found: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """The tensors and arrays of nested mappings, with names joined by dots; anything else is left out where nested."""
    tensors: dict[str, Any] = {}
    nested = bool(before) or any(isinstance(own, Mapping) for own in found.values())
    for name, own in found.items():
        if isinstance(own, Mapping):
            tensors |= flat(own, f"{before}{name}.")
        elif not nested or isinstance(own, torch.Tensor | np.ndarray):
            tensors[f"{before}{name}"] = own
    return tensors


def below(call: str, state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The tensors whose names begin with a prefix, without it; raises TreeError where there are none."""
    if not isinstance(prefix, str):
        raise ArgumentError(call, "a prefix must be a text", repr(prefix), "write 'encoder.rnn.'")
    found = {name.removeprefix(prefix): a for name, a in state.items() if name.startswith(prefix)}
    if prefix and not found:
        raise TreeError(call, f"names of tensors must begin with {prefix!r}", _some(state), _advice(state))
    return _normed(found)


def prefixes(names: Iterable[str]) -> list[str]:
    """What stands before the tensors of recurrent modules, in the order of the names."""
    ends = [name.removesuffix(sign) for name in map(_plain, names) for sign in SIGNS
            if name == sign or name.endswith(f".{sign}")]  # fmt: skip
    return list(dict.fromkeys(ends))


def _plain(name: str) -> str:
    """The name of the weight that a tensor of weight norm belongs to."""
    return name.replace("parametrizations.", "").removesuffix(".original1").removesuffix("_v")


def _advice(names: Iterable[str]) -> str:
    found = [repr(prefix) for prefix in prefixes(names) if prefix]
    if not found:
        return "give the complete state_dict of the one module"
    return f"give a prefix, as in (cell, state_dict, {found[0]}); recurrent tensors stand below {', '.join(found)}"


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return f"{', '.join(shown[:4])}{' and others' * (len(shown) > 4)}" if shown else "no tensors"


def refusal(call: str, must: str, state: Mapping[str, Any], got: str = "") -> TreeError:
    """The error of tensors that are not those of the one module; it names the prefixes that would lead to one."""
    return TreeError(call, must, got or _some(state), _advice(state))


def _normed(tensors: dict[str, Any]) -> dict[str, Any]:
    """The tensors with those of weight norm computed."""
    found = dict(tensors)
    for direction in tensors:
        length = next((direction.removesuffix(one) + other for one, other in NORMED if direction.endswith(one)), "")
        if length in tensors:
            found[_plain(direction)] = _length(found.pop(direction), found.pop(length))
    return found


def _length(direction: Any, length: Any) -> Any:
    """The direction with this length along the axes on which the length has one entry."""
    direction, length = torch.as_tensor(direction), torch.as_tensor(length)
    axes = [axis for axis in range(direction.ndim) if length.ndim == 0 or length.shape[axis] == 1]
    return direction * (length / torch.linalg.vector_norm(direction, dim=axes, keepdim=True))
