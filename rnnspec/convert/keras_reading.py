"""Layers of Keras, read one after the other into a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnnspec.convert.activations import Activation, elu, leaky_relu
from rnnspec.convert.assembly import Assembly
from rnnspec.convert.conversion import Imported, Note, PlacedNote
from rnnspec.convert.keras_cells import activation, row_of
from rnnspec.convert.keras_chain import Link
from rnnspec.convert.keras_told import CELLS, KINDS, Told, named_arrays
from rnnspec.convert.layout import Layout, layout_for, named_layout
from rnnspec.convert.layouts import KERAS
from rnnspec.errors import TreeError, UnsupportedError
from rnnspec.feed_forward import LayerNorm, RMSNorm
from rnnspec.output import Dense, Last, Read, Steps
from rnnspec.tracing.cell import Cell

__all__ = ["Reading"]

PLAIN = {"zero_output_for_mask": False, "go_backwards": False}
"""Options of a recurrent layer, and the only values that convert."""
ENFORCED = ("zero_output_for_mask",)
"""Options that a Bidirectional sets in its layers."""
ANNOTATIONS = ("_regularizer", "_constraint")
NOISE = {name: "rate" for name in ("Dropout", "SpatialDropout1D", "GaussianDropout", "AlphaDropout")}
NOISE["GaussianNoise"] = "stddev"
"""The layers that act in training alone, and the option that says how much."""
ENDINGS = ("softmax", "log_softmax")
"""The activations of all features together."""


class Reading:
    """A network that grows layer by layer."""

    def __init__(self, call: str) -> None:
        self.call, self.assembly = call, Assembly(call)
        self.read: Read = Steps()
        self.batch_first = True
        self._made: dict[str, int] = {}
        self._last: str | None = None

    def add(self, link: Link) -> None:
        """Add a layer of a chain; raises UnsupportedError where it reads more than the one before it."""
        if link.told.kind == "Add":
            self._add_residual(link)
        else:
            if link.reads is not None and self._last is not None and link.reads != (self._last,):
                raise UnsupportedError(self.call, "a layer must read the outputs of the layer before it, "
                                       f"{self._last!r}", f"{link.told}, which reads {', '.join(link.reads)}",
                                       "give the layers up to it")  # fmt: skip
            READERS[link.told.kind](self, link.told)
        self._made[link.told.name] = self.assembly.index
        self._last = link.told.name

    def _add_residual(self, link: Link) -> None:
        """The sum of the outputs of a layer and of its inputs."""
        others = [name for name in link.reads or () if name != self._last]
        if len(link.reads or ()) != 2 or len(others) != 1 or self.assembly.index - self._made.get(others[0], -9) != 1:
            raise UnsupportedError(self.call, "an Add must be of the outputs and the inputs of one layer",
                                   f"{link.told} of {', '.join(link.reads or ())}",
                                   "give the layers up to it")  # fmt: skip
        self.assembly.add_residual()

    def add_arrays(self, what: Any, given: Any) -> None:
        """Add what arrays hold: those of a cell, or of Dense."""
        if what is Dense:
            weights = named_arrays(self.call, given, ("kernel", "bias"))["forward"]
            self._check(weights, ("kernel",), ("bias",))
            self.assembly.add_dense(weights["kernel"].T, weights.get("bias"))
            return
        row, halves = self._row_for(what), named_arrays(self.call, given)
        for weights in halves.values():
            self._check(weights, ("kernel", "recurrent_kernel"), ("bias",))
        row = _with_two_biases(row, next(iter(halves.values())))
        self.assembly.add_layer(row, {half: _flat(halves[half]) for half in ("forward", "reverse") if half in halves})

    def _row_for(self, given: Any) -> Layout:
        if isinstance(given, Cell):
            row = layout_for(KERAS, given)
            if row is not None:
                return row
            row = named_layout(KERAS, given)
            if row is not None:
                self.assembly.note(Note.EQUATIONS, f"{given.label} in place of {row.kind}")
                return replace(row, cell=given)
        names = ", ".join(known.cell.name for known in KERAS)
        raise UnsupportedError(self.call, "arrays must come with Dense, or a cell that Keras has or that has the same "
                               f"maps: {names}", repr(given), "say where its maps lie with convert.Layout, and call "
                               "from_tensors")  # fmt: skip

    def _check(self, weights: Mapping[str, Any], required: Sequence[str], optional: Sequence[str]) -> None:
        odd = [name for name in required if name not in weights]
        odd = odd or [name for name in weights if name not in (*required, *optional)]
        if odd:
            raise TreeError(self.call, f"arrays must be {', '.join((*required, *optional))}",
                            f"no {odd[0]}" if odd[0] in required else repr(odd[0]),
                            "give those of one layer, with its prefix")  # fmt: skip

    def finish(self) -> Imported:
        """The finished network."""
        if self.batch_first:
            self.assembly.notes.append(PlacedNote("", Note.BATCH_FIRST))
        return self.assembly.finish(self.read)


def _recurrent(reading: Reading, told: Told) -> None:
    """An LSTM and so on, an RNN of cells, or both directions of one of these."""
    assembly, call = reading.assembly, reading.call
    if isinstance(reading.read, Last):
        raise UnsupportedError(call, "every recurrent layer before the last must have return_sequences",
                               f"{told.name} after one without", "set return_sequences=True")  # fmt: skip
    halves = _halves(call, told)
    every = {half: _cells(own) for half, own in halves.items()}
    if len(every) > 1 and any(len(cells) > 1 for cells in every.values()):
        raise UnsupportedError(call, "a Bidirectional must be of one cell", f"{told}", "give the layers one by one")
    for half, own in halves.items():
        _check_options(call, own, half, alone=own is told)
        reading.batch_first &= not own.config.get("time_major", False)
        if own.config.get("stateful"):
            assembly.note(Note.INITIAL_STATE, f"{own.name} is stateful: give the state after the call before")
    for level in zip(*every.values(), strict=True):
        _add_level(reading, dict(zip(every, level, strict=True)))
    last = next(iter(halves.values()))
    reading.read = Steps() if last.config.get("return_sequences") else Last()


def _cells(told: Told) -> tuple[Told, ...]:
    """The cells that run at each step of a layer; a layer such as LSTM is its own."""
    if told.kind not in ("RNN", "StackedRNNCells"):
        return (told,)
    return tuple(cell for own in told.inner for cell in _cells(own))


def _add_level(reading: Reading, halves: Mapping[str, Told]) -> None:
    assembly = reading.assembly
    row = assembly.one_kind(_row(reading.call, own) for own in halves.values())
    tensors = {}
    for half, own in halves.items():
        assembly.see(f"{assembly.place}.{half}", own.variables)
        _tell(reading, own, f".{half}")
        tensors[half] = _flat(own.weights)
        reading._check(own.weights, ("kernel", "recurrent_kernel"), ("bias",))
    assembly.add_layer(_with_two_biases(row, next(iter(halves.values())).weights), tensors)


def _flat(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {name: a.reshape(-1) if name == "bias" else a for name, a in weights.items()}


def _with_two_biases(row: Layout, weights: Mapping[str, Any]) -> Layout:
    """The row of an LSTM, whose bias lies twice in that of cuDNN's layer."""
    text = row.tensors["bias"]
    twice = "bias" in weights and "kernel" in weights and weights["bias"].size == 2 * weights["kernel"].shape[1]
    once = len(text.split()) * weights["recurrent_kernel"].shape[0] < weights["bias"].size if twice else False
    return replace(row, tensors={**row.tensors, "bias": f"{text} {text}"}) if once else row


def _halves(call: str, told: Told) -> dict[str, Told]:
    if told.kind != "Bidirectional":
        # go_backwards returns steps in processing order: only the last one equals that of a reverse layer.
        backwards = told.config.get("go_backwards") and not told.config.get("return_sequences")
        return {"reverse" if backwards else "forward": told}
    if told.config["merge_mode"] != "concat":
        raise UnsupportedError(call, "merge_mode must be 'concat'", f"{told.config['merge_mode']!r} of {told.name}",
                               "rebuild the layer with merge_mode='concat'")  # fmt: skip
    return dict(zip(("forward", "reverse"), told.inner, strict=True))


def _check_options(call: str, told: Told, half: str, alone: bool) -> None:
    if told.kind not in (*KINDS, "RNN"):
        raise _unknown(call, told)
    for name, value in (PLAIN | {"go_backwards": half == "reverse"}).items():
        if told.config.get(name, value) != value and (alone or name not in ENFORCED):
            raise UnsupportedError(call, f"{name} must be {value}", f"{name}={told.config[name]} of {told.name}",
                                   "rebuild the layer with that value")  # fmt: skip


def _row(call: str, told: Told) -> Layout:
    kind = KINDS.get(told.kind, CELLS.get(told.kind))
    if kind is None or not told.generation:
        raise _unknown(call, told)
    config = told.config
    squash = config.get("activation", "tanh")
    gate = config.get("recurrent_activation", config.get("inner_activation", "sigmoid"))
    reset_after = config.get("reset_after", told.kind == "CuDNNGRU")
    known = isinstance(squash, str) and isinstance(gate, str)
    row = row_of(kind, squash, gate, bool(reset_after), told.generation) if known else None
    if row is None:
        names = ("activation", "recurrent_activation")
        got = ", ".join(f"{name}={config[name]!r}" for name in names if name in config)
        raise UnsupportedError(call, f"activations of {kind} must be functions of one vector that Keras names",
                               f"{got} of {told.name}", "declare a cell with these activations, and give (cell, "
                               "layer.get_weights())")  # fmt: skip
    return row


def _unknown(call: str, told: Told) -> Exception:
    return UnsupportedError(call, f"a recurrent layer must be {', '.join(KINDS)}, or an RNN of cells of these",
                            f"{told}", "declare a cell with its equations")  # fmt: skip


def _tell(reading: Reading, told: Told, half: str = "") -> None:
    """Note what a layer has that acts in training alone."""
    place = f"{reading.assembly.place}{half}"
    if any(value is not None for name, value in told.config.items() if name.endswith(ANNOTATIONS)):
        reading.assembly.notes.append(PlacedNote(place, Note.REGULARISERS))
    rates = [f"{name}={told.config[name]:g}" for name in ("dropout", "recurrent_dropout") if told.config.get(name)]
    if rates:
        reading.assembly.notes.append(PlacedNote(place, Note.DROPOUT, f"{', '.join(rates)} of {told.name} in training"))


def _dense(reading: Reading, told: Told) -> None:
    reading._check(told.weights, ("kernel",), ("bias",))
    _tell(reading, told)
    reading.assembly.see(reading.assembly.place, told.variables)
    reading.assembly.add_dense(told.weights["kernel"].T, told.weights.get("bias"))
    _activate(reading, told, told.config.get("activation"))


def _activate(reading: Reading, told: Told, name: Any) -> None:
    if name in ENDINGS:
        reading.assembly.add_activation(name)
    elif name not in (None, "linear"):
        function = activation(name, told.generation)
        if function is None:
            raise UnsupportedError(reading.call, "an activation must be a function of one vector that Keras names",
                                   f"{name!r} of {told.name}", "set layer.activation = keras.activations.linear, and "
                                   "apply it to outputs")  # fmt: skip
        reading.assembly.add_activation(name, function)


def _norm(reading: Reading, told: Told) -> None:
    axis = told.config.get("axis", -1)
    if axis not in (-1, [-1], (-1,), 2, [2], (2,)) or told.config.get("rms_scaling"):
        raise UnsupportedError(reading.call, "a norm must be over the features of one step",
                               f"axis={axis}, rms_scaling={told.config.get('rms_scaling')} of {told.name}",
                               "rebuild the layer with axis=-1")  # fmt: skip
    _tell(reading, told)
    reading.assembly.see(reading.assembly.place, told.variables)
    epsilon = float(told.config["epsilon"])
    if told.kind == "RMSNormalization":
        reading.assembly.add_norm(RMSNorm(epsilon), told.weights.get("scale"), None)
    else:
        reading.assembly.add_norm(LayerNorm(epsilon), told.weights.get("gamma"), told.weights.get("beta"))


def _embedding(reading: Reading, told: Told) -> None:
    reading._check(told.weights, ("embeddings",), ())
    _tell(reading, told)
    reading.assembly.see("embedding", told.variables)
    reading.assembly.add_embedding(told.weights["embeddings"])
    if told.config.get("mask_zero"):
        reading.assembly.notes.append(PlacedNote("embedding", Note.MASK, f"class 0 of {told.name}, by mask_zero"))


def _noise(reading: Reading, told: Told) -> None:
    rate = told.config.get(NOISE[told.kind], told.config.get("p", told.config.get("sigma", 0.0)))
    if rate:
        reading.assembly.note(Note.DROPOUT, f"{told.kind}({rate:g}) {told.name!r} in training")


def _masking(reading: Reading, told: Told) -> None:
    reading.assembly.note(Note.MASK, f"{told.kind} {told.name!r}, mask_value={told.config.get('mask_value', 0.0):g}")


def _distributed(reading: Reading, told: Told) -> None:
    """A TimeDistributed of a layer that acts on each step by itself anyway."""
    [own] = told.inner
    if own.kind not in ("Dense", "LayerNormalization", "RMSNormalization", "Activation", *NOISE):
        raise UnsupportedError(reading.call, "a TimeDistributed must be of Dense, a norm or an activation", f"{own}",
                               "give the layers up to it")  # fmt: skip
    READERS[own.kind](reading, own)


def _flatten(reading: Reading, told: Told) -> None:
    """A Flatten of one vector in each row changes nothing."""
    if not isinstance(reading.read, Last):
        raise UnsupportedError(reading.call, "a Flatten must follow a layer without return_sequences", f"{told}",
                               "give the layers up to it")  # fmt: skip


def _nothing(reading: Reading, told: Told) -> None:
    """A layer that is there for form's sake, or in training."""
    if told.kind == "ActivityRegularization":
        reading.assembly.note(Note.REGULARISERS)


def _named(function: Callable[[Mapping[str, Any]], tuple[str, Activation | None]]) -> Callable[[Reading, Told], None]:
    """What reads a layer that is an activation, from its configuration."""

    def read(reading: Reading, told: Told) -> None:
        name, own = function(told.config)
        reading.assembly.add_activation(name, own)

    return read


def _relu(config: Mapping[str, Any]) -> tuple[str, Activation | None]:
    slope = config.get("negative_slope", config.get("alpha", 0.0)) or 0.0
    return ("leaky_relu", leaky_relu(float(np.asarray(slope)))) if slope else ("relu", activation("relu"))


READERS: dict[str, Callable[[Reading, Told], None]] = {
    **dict.fromkeys((*KINDS, "RNN", "Bidirectional"), _recurrent), **dict.fromkeys(NOISE, _noise), "Dense": _dense,
    "TimeDistributed": _distributed, "Embedding": _embedding, "Masking": _masking, "LayerNormalization": _norm,
    "RMSNormalization": _norm, "Flatten": _flatten,
    **dict.fromkeys(("InputLayer", "Identity", "ActivityRegularization"), _nothing),
    "Activation": lambda reading, told: _activate(reading, told, told.config["activation"]),
    "Softmax": _named(lambda _: ("softmax", None)), "ReLU": _named(_relu), "LeakyReLU": _named(_relu),
    "ELU": _named(lambda config: ("elu", elu(float(config.get("alpha", 1.0))))),
}  # fmt: skip
"""What reads a layer of each kind; an Add is read as a residual connection."""
