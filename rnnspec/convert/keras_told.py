"""What a Keras layer says of itself, whether it is alive or in a file: its kind, its configuration and its weights.

Weights of Keras 1, and those of cuDNN's layers, are put into the form of today.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnspec.convert.assembly import numbers
from rnnspec.errors import ArgumentError, TreeError

__all__ = ["CELLS", "KINDS", "SIDES", "Told", "modern", "named", "named_arrays"]

Array = Any
KINDS = {"SimpleRNN": "SimpleRNN", "LSTM": "LSTM", "GRU": "GRU", "CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}
"""The recurrent layers, and the kind that each is of; cuDNN's differ in how they store their numbers."""
CELLS = {"SimpleRNNCell": "SimpleRNN", "LSTMCell": "LSTM", "GRUCell": "GRU"}
SIDES = {"forward": "forward", "backward": "reverse"}
"""What the names of a Bidirectional's weights begin with, and the half that it is."""
RECURRENT, DENSE = ("kernel", "recurrent_kernel", "bias"), ("kernel", "bias")
GATES = {12: "ifco", 9: "zrh"}
"""The gates of Keras 1 by the number of arrays, in the order in which a kernel stacks them today."""
FORMER = {"W": "kernel", "U": "recurrent_kernel", "b": "bias"}


@dataclass(frozen=True)
class Told:
    """A layer: its kind, its name, its configuration, its weights by name, and the layers in it.

    `generation` is the version of Keras whose functions its configuration names: 2, also for Keras 1, or 3.
    `variables` are the weights themselves where the layer is alive.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    weights: Mapping[str, Array] = field(default_factory=dict)
    generation: int = 3
    inner: tuple[Told, ...] = ()
    variables: tuple[Any, ...] = ()
    is_layer: bool = True

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


def named(call: str, arrays: Any, names: Sequence[str]) -> dict[str, Array]:
    """Arrays by the last parts of their names, or, where they are a list as `get_weights` gives, in this order."""
    if isinstance(arrays, Mapping):
        found = {_last(name): array for name, array in arrays.items()}
        if len(found) < len(arrays):
            raise TreeError(call, "arrays of one layer must have names of their own", ", ".join(arrays),
                            "give the prefix of the layer: (cell, arrays, prefix)")  # fmt: skip
    else:
        found = dict(zip(names, arrays, strict=False))
    by_number = {str(number): name for number, name in enumerate(names)}
    return {by_number.get(name, name): numbers(call, name, array) for name, array in found.items()}


def _last(name: str) -> str:
    """The last part of the name of a weight: `lstm/lstm_cell/kernel:0` is the kernel, `lstm_1_W_i` is W_i."""
    last = name.rpartition("/")[2].partition(":")[0]
    former = last.rpartition("_")
    if former[0].endswith(("_W", "_U", "_b")) and len(former[2]) == 1:
        return f"{former[0][-1]}_{former[2]}"
    return last[-1] if former[0] and former[2] in FORMER else last


def named_arrays(call: str, given: Any, names: Sequence[str] = RECURRENT) -> dict[str, dict[str, Array]]:
    """The arrays of each half of a layer, by name."""
    if isinstance(given, Mapping):
        sides = {side: {name: a for name, a in given.items() if any(_begins(part, side) for part in name.split("/"))}
                 for side in SIDES}  # fmt: skip
        apart: dict[str, Any] = {SIDES[side]: own for side, own in sides.items() if own} or {"forward": given}
    elif isinstance(given, Iterable) and not isinstance(given, str | bytes):
        apart = _halved(list(given))
    else:
        raise ArgumentError(call, "arrays must be a mapping of names to arrays, a list of them as get_weights() gives, "
                            "or the path of a file", type(given).__name__, "give layer.get_weights()")  # fmt: skip
    return {half: modern(call, named(call, own, names)) for half, own in apart.items()}


def _begins(part: str, side: str) -> bool:
    return part == side or part.startswith(f"{side}_")


def _halved(arrays: list[Any]) -> dict[str, list[Any]]:
    """Four or six arrays are two for each half or three."""
    if len(arrays) not in (4, 6):
        return {"forward": arrays}
    return {"forward": arrays[: len(arrays) // 2], "reverse": arrays[len(arrays) // 2 :]}


def modern(call: str, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Weights with the names of today, and kernels as today's layers have them."""
    found = dict(weights)
    gates = GATES.get(len(found), "") if all(len(name) == 3 and name[1] == "_" for name in found) else ""
    if gates:
        _check_gates(call, found, gates)
        found = {FORMER[kind]: np.concatenate([found[f"{kind}_{gate}"] for gate in gates], axis=-1) for kind in "WUb"}
    found = {FORMER.get(name, name): array for name, array in found.items()}
    if _is_cudnn(found):
        units, width = len(found["recurrent_kernel"]), found["kernel"].shape[1]
        split = np.hsplit(found["kernel"], width // units), np.hsplit(found["recurrent_kernel"], width // units)
        found["kernel"] = np.hstack([own.T.reshape(own.shape, order="F") for own in split[0]])
        found["recurrent_kernel"] = np.hstack([own.T for own in split[1]])
    return found


def _check_gates(call: str, found: Mapping[str, Array], gates: str) -> None:
    expected = {f"{kind}_{gate}" for kind in "WUb" for gate in gates}
    if found.keys() != expected:
        raise TreeError(call, f"arrays of Keras 1 must be {', '.join(sorted(expected))}", ", ".join(sorted(found)),
                        "give the arrays of one layer")  # fmt: skip


def _is_cudnn(found: Mapping[str, Array]) -> bool:
    """Whether the weights are those of cuDNN's layer: as Keras itself tells, by two biases of each gate in one axis."""
    if not found.keys() >= set(RECURRENT) or found["kernel"].ndim != 2 or found["recurrent_kernel"].ndim != 2:
        return False
    units, gates = found["recurrent_kernel"].shape
    return found["bias"].shape == (2 * gates,) and gates in (3 * units, 4 * units) and found["kernel"].shape[1] == gates
