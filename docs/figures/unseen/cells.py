"""Equations that people write wrongly, in values and gradients together, and functions with a wrong derivative."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Pulled
from rnnspec import Cell, Gradients, LayerResult
from rnnspec import cells as right
from rnnspec.contract.arrays import Array
from rnnspec.primitives import maximum, minimum, relu, sigmoid, tanh
from rnnspec.tracing.cell import cell
from rnnspec.tree import Tree


class _Written(Faulty):
    """Runs another cell in the place of one."""

    kind: ClassVar[str] = "equation"
    cell: ClassVar[Cell]
    instead: ClassVar[Cell]

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, cell=self.instead) if asked.cell == self.cell else asked

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, cell=self.instead) if pulled.cell == self.cell else pulled


@cell
def _writes_where_it_keeps(x, R, h, c):
    i = sigmoid(x.i + R.i(h))
    f = sigmoid(x.f + R.f(h))
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h))
    c = i * c + f * g
    return o * tanh(c), c


@cell
def _hard_gates(x, R, h, c):
    i = maximum(minimum(0.2 * (x.i + R.i(h)) + 0.5, 1.0), 0.0)
    f = maximum(minimum(0.2 * (x.f + R.f(h)) + 0.5, 1.0), 0.0)
    g = tanh(x.g + R.g(h))
    o = maximum(minimum(0.2 * (x.o + R.o(h)) + 0.5, 1.0), 0.0)
    c = f * c + i * g
    return o * tanh(c), c


@cell
def _forget_bias(x, R, h, c):
    i = sigmoid(x.i + R.i(h))
    f = sigmoid(x.f + R.f(h) + 1.0)
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h))
    c = f * c + i * g
    return o * tanh(c), c


@cell
def _order_of_another_framework(x, R, h, c):
    i = sigmoid(x.i + R.i(h))
    f = sigmoid(x.f + R.f(h))
    g = tanh(x.o + R.o(h))
    o = sigmoid(x.g + R.g(h))
    c = f * c + i * g
    return o * tanh(c), c


@cell
def _coupled(x, R, h, c):
    i = sigmoid(x.i + R.i(h)) + 0.0 * R.f(h) + 0.0 * x.f
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h))
    c = (1 - i) * c + i * g
    return o * tanh(c), c


@cell
def _blend_exchanged(x, R, p, h):
    r = sigmoid(x.r + R.r(h))
    z = sigmoid(x.z + R.z(h))
    n = tanh(x.n + r * (R.n(h) + p.n))
    return z * n + (1 - z) * h


@cell
def _reset_before(x, R, p, h):
    r = sigmoid(x.r + R.r(h))
    z = sigmoid(x.z + R.z(h))
    n = tanh(x.n + R.n(r * h) + p.n)
    return (1 - z) * n + z * h


@cell
def _reset_after(x, R, h):
    r = sigmoid(x.r + R.r(h))
    z = sigmoid(x.z + R.z(h))
    n = tanh(x.n + r * R.n(h))
    return (1 - z) * n + z * h


@cell
def _relu(x, R, h):
    return relu(x.h + R.h(h))


@cell
def _tanh_inside(x, h):
    z = sigmoid(x.z)
    return (1 - z) * h + z * tanh(x.h)


@cell
def _gate_of_the_state_before(x, R, p, h, c):
    i = sigmoid(x.i + R.i(h) + p.i * c)
    f = sigmoid(x.f + R.f(h) + p.f * c)
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h) + p.o * c)
    c = f * c + i * g
    return o * tanh(c), c


class InputAndForgetGateExchanged(_Written):
    """The LSTM keeps with its input gate and writes with its forget gate."""

    cell, instead = right.lstm, _writes_where_it_keeps


class HardSigmoidInLstm(_Written):
    """The gates of the LSTM are a hard sigmoid."""

    cell, instead = right.lstm, _hard_gates


class ForgetGateHasABiasOfOne(_Written):
    """The LSTM adds 1 to its forget gate in every step."""

    cell, instead = right.lstm, _forget_bias


class GatesInTheOrderOfAnotherFramework(_Written):
    """The LSTM takes the maps of its output gate for those of its new value."""

    cell, instead = right.lstm, _order_of_another_framework


class GatesAreCoupled(_Written):
    """The LSTM forgets 1 minus what it writes."""

    cell, instead = right.lstm, _coupled


class GruBlendsTheOtherWay(_Written):
    """The GRU's update gate weighs the new value, as in the first paper's text."""

    cell, instead = right.gru, _blend_exchanged


class GruResetsBeforeTheMap(_Written):
    """The GRU resets the state before the recurrent map."""

    cell, instead = right.gru, _reset_before


class GruResetsAfterTheMap(_Written):
    """The GRU that must reset before its map resets after it."""

    cell, instead = right.gru_reset_before, _reset_after


class ElmanIsARelu(_Written):
    """The Elman cell has relu for tanh."""

    cell, instead = right.elman, _relu


class MingruSquashesItsValue(_Written):
    """The minGRU's new value passes through a tanh."""

    cell, instead = right.mingru, _tanh_inside


class PeepholeSeesTheOldState(_Written):
    """The output gate of the LSTM with peepholes sees the old cell state."""

    cell, instead = right.lstm_peephole, _gate_of_the_state_before


class _Biases(Faulty):
    """Biases of some layers are changed."""

    kind: ClassVar[str] = "bias"

    def factor(self, cell: Cell, name: str) -> float:
        return 1.0

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, params=self._changed(asked.cell, asked.params))

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, params=self._changed(pulled.cell, pulled.params))

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, params=self._changed(pulled.cell, gradients.params))

    def _changed(self, cell: Cell, params: Tree) -> Tree:
        b = {name: a * a.dtype.type(self.factor(cell, name)) for name, a in params["b"].items()}
        return {**params, "b": b}


class NoBias(_Biases):
    """The layers have no bias."""

    def factor(self, cell: Cell, name: str) -> float:
        return 0.0


class TwoBiases(_Biases):
    """The bias is added once with the input map and once with the recurrent map."""

    def factor(self, cell: Cell, name: str) -> float:
        return 2.0


class NoBiasInTheNewValue(_Biases):
    """The new value of the LSTM has no bias."""

    def factor(self, cell: Cell, name: str) -> float:
        return 0.0 if cell == right.lstm and name == "g" else 1.0


class NoInnerBias(Faulty):
    """The GRU lacks the bias inside its reset."""

    kind: ClassVar[str] = "bias"

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, params=_without_inner(asked.cell, asked.params))

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, params=_without_inner(pulled.cell, pulled.params))

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, params=_without_inner(pulled.cell, gradients.params))


def _without_inner(cell: Cell, params: Tree) -> Tree:
    return {**params, "p": {"n": np.zeros_like(params["p"]["n"])}} if cell == right.gru else params


class _Derived(Faulty):
    """A function of the arrays is wrong in pullbacks only."""

    kind: ClassVar[str] = "derivative"
    name_of: ClassVar[str] = "multiply"
    pulling: bool = False

    def make_arrays(self) -> Any:
        arrays = super().make_arrays()
        function = arrays.functions[self.name_of]
        arrays.functions = {**arrays.functions, self.name_of: lambda *a: self._function(function, *a)}
        return arrays

    def layer_pullback(self, *asked: Any) -> Gradients:
        self.pulling = True
        try:
            return super().layer_pullback(*asked)
        finally:
            self.pulling = False

    def _function(self, function: Any, *a: Array) -> Array:
        return self.wrong(function, *a) if self.pulling else function(*a)

    def wrong(self, function: Any, *a: Array) -> Array:
        raise NotImplementedError


class SquareOfTheValueLost(_Derived):
    """Where a pullback multiplies a value by itself, it takes the value once: 1 - a for 1 - a * a."""

    def wrong(self, function: Any, *a: Array) -> Array:
        return a[0] if len(a) == 2 and a[0] is a[1] else function(*a)


class DifferencesTurned(_Derived):
    """A pullback takes differences the other way around."""

    name_of = "subtract"

    def wrong(self, function: Any, *a: Array) -> Array:
        return function(*reversed(a))


class _GateDetached(Faulty):
    """A gate has no gradient."""

    kind: ClassVar[str] = "derivative"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        own = gradients.params
        lost = {group: {name: np.zeros_like(a) if name == self.gate and pulled.cell == self.cell else a
                        for name, a in own[group].items()} for group in own}  # fmt: skip
        return replace(gradients, params=lost)

    gate: ClassVar[str]
    cell: ClassVar[Cell]


class ForgetGateDetached(_GateDetached):
    """The LSTM's forget gate is detached: its maps and its bias do not learn."""

    gate, cell = "f", right.lstm


class ResetGateDetached(_GateDetached):
    """The GRU's reset gate is detached: its maps and its bias do not learn."""

    gate, cell = "r", right.gru


class GradientOfTheWrongCell(Faulty):
    """The GRU's pullback is that of the GRU whose update gate weighs the new value."""

    kind: ClassVar[str] = "derivative"

    def layer(self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Any,
              resets: Any = None) -> LayerResult:  # fmt: skip
        found = super().layer(cell, params, inputs, state, lengths, call, resets)
        if cell != right.gru:
            return found
        other = super().layer(_blend_exchanged, params, inputs, state, lengths, call, resets)
        return replace(found, saved=other.saved)

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, cell=_blend_exchanged) if pulled.cell == right.gru else pulled
