"""Noise of a call: what its masks make of the inputs of a layer, of its recurrent maps and of its equations.

Noise is selected, never multiplied by 0, so that NaN in what is dropped has no effect. A mask over one step holds for
all steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.contract.kernel import Call, Kernel, run_layer
from rnnspec.contract.resets import Resets
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.layer import Layer
from rnnspec.noise.kinds import Dropout, WeightDrop
from rnnspec.noise.masks import INPUTS
from rnnspec.running.engine import Engine
from rnnspec.running.given import place
from rnnspec.running.padding import in_time, selected
from rnnspec.running.reading import dense, undense
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.widths import INPUT
from rnnspec.tree import Tree

__all__ = ["dropped", "kernel", "of_layer"]


def of_layer(noise: Tree, kind: str, index: int) -> Tree:
    """The masks of one of the `layers` or of the `head`; None where the call has none."""
    return None if noise is None else noise[kind][index]


def dropped(arrays: Arrays, layer: Layer, masks: Tree, values: Array) -> Array:
    """The inputs of a layer after its dropout, or the cotangents of what comes in: both are the same function."""
    if masks is None or INPUTS not in masks or 0 in values.shape:
        return values
    return _scaled(arrays, masks[INPUTS], _rate(layer, Dropout), values)


def kernel(
    backend: Engine, layer: Layer, half: str, call: Call, masks: Tree, lengths: Array | None
) -> tuple[Kernel, Cell]:
    """What runs a half of a layer, and the cell that it is asked for."""
    if masks is None or not layer.noises:
        return backend.runner(layer.evaluated, call), layer.evaluated
    own = masks[half]
    if not layer.masked:
        runner: Kernel = backend.runner(layer.cell, call)
    else:
        cell = layer.masked.cell
        runner = backend.runner(cell, replace(call, inputs=sum(width for _, width in cell.given or ())))
        runner = _Given(backend.arrays, cell, runner, _in_order(backend.arrays, half, own["x"], call, lengths))
    return (_Dropped(backend.arrays, layer, runner, own["U"]) if own["U"] else runner), layer.cell


@dataclass(frozen=True)
class _Dropped:
    """A kernel with some entries of its recurrent maps dropped."""

    arrays: Arrays
    of: Layer
    kernel: Kernel
    masks: Tree

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        """The kernel's result with the maps that are left."""
        return run_layer(self.kernel, cell, self._left(params), inputs, state, lengths, call, resets)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The kernel's pullback; what is dropped gets no gradient."""
        found = self.kernel.layer_pullback(cell, self._left(params), result, output_cotangent, state_cotangent, call)
        return replace(found, params=self._left(found.params))

    def _left(self, params: Tree) -> Tree:
        rate = _rate(self.of, WeightDrop)
        return {**params, "U": {name: _scaled(self.arrays, self.masks[name], rate, map)
                                for name, map in params["U"].items()}}  # fmt: skip


@dataclass(frozen=True)
class _Given:
    """A kernel of a cell that is given all x.name: the products of the maps, and masks beside them."""

    arrays: Arrays
    cell: Cell
    kernel: Kernel
    masks: Tree

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        """The kernel's result, with the inputs that the pullback of the products reads."""
        stacked, own = self._apart(params)
        products = dense(self.arrays, stacked, inputs) if stacked else None
        beside = self._beside(params, inputs, products)
        found = run_layer(self.kernel, self.cell, own, beside, state, lengths, call, resets)
        return replace(found, saved=(found, inputs))

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The kernel's pullback, and that of the products of the maps."""
        (ran, inputs), (stacked, own) = result.saved, self._apart(params)
        found = self.kernel.layer_pullback(self.cell, own, ran, output_cotangent, state_cotangent, call)
        at = {name: found.inputs[..., place(self.cell, name)] for name, _ in self.cell.given or ()}
        learned, into = dict[str, Tree](W={}, b={}), [at[INPUT]] if self.cell.reads_input else []
        if stacked:
            maps, through = undense(self.arrays, stacked, inputs, self._joined([at[name] for name in params["W"]]))
            into.append(through)
            learned = {kind: self._split(params, a) for kind, a in maps.items()}
        total = into[0] if into else self.arrays.zeros(tuple(inputs.shape))
        for more in into[1:]:
            total = self.arrays.functions["add"](total, more)
        return Gradients({**found.params, **learned}, total, found.state)

    def _apart(self, params: Tree) -> tuple[Tree, Tree]:
        """The input maps below each other, nothing where there are none, and the parameters of the rest."""
        maps = {kind: list(params[kind].values()) for kind in ("W", "b")}
        stacked = {kind: self.arrays.concatenate(found, 0) for kind, found in maps.items()} if maps["W"] else {}
        return stacked, {**params, "W": {}, "b": {}}

    def _beside(self, params: Tree, inputs: Array, products: Array | None) -> Array:
        """What the cell is given, side by side."""
        found = {} if products is None else self._split(params, products, -1)
        found |= {**self.masks, INPUT: inputs} if self.cell.reads_input else self.masks
        return self._joined([found[name] for name, _ in self.cell.given or ()])

    def _joined(self, parts: list[Array]) -> Array:
        return parts[0] if len(parts) == 1 else self.arrays.concatenate(parts, -1)

    def _split(self, params: Tree, packed: Array, axis: int = 0) -> dict[str, Array]:
        """The parts of the stacked maps, or of their products, by name."""
        found, low = {}, 0
        for name, b in params["b"].items():
            part = slice(low, low := low + b.shape[0])
            found[name] = packed[part] if axis == 0 else packed[..., part]
        return found


def _in_order(arrays: Arrays, half: str, masks: Tree, call: Call, lengths: Array | None) -> Tree:
    """The masks in processing order, as numbers for all steps."""

    def ordered(mask: Array) -> Array:
        one, zero = arrays.scalar(1.0), arrays.scalar(0.0)
        if mask.shape[0] == 1:
            return arrays.functions["where"](mask, one, zero) + arrays.zeros((call.steps, 1, 1))
        return arrays.functions["where"](in_time(arrays, half, mask, lengths), one, zero)

    return {name: ordered(mask) for name, mask in masks.items()}


def _rate(layer: Layer, kind: type[Dropout | WeightDrop]) -> float:
    return next(one.rate for one in layer.noises if isinstance(one, kind))


def _scaled(arrays: Arrays, mask: Array, rate: float, values: Array) -> Array:
    """Zeros where the mask is false, else the values divided by the share that is kept."""
    return selected(arrays, mask, arrays.functions["multiply"](values, arrays.scalar(1 / (1 - rate))))
