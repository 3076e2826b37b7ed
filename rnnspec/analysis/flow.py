"""The gradient flow of a network: the gradient of each state by step, and the Jacobians of one step and of many.

Numbers are kept for each row; a line over steps is the median over the rows that have the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnspec.analysis.half_flow import HalfFlow, median
from rnnspec.analysis.picture import draw
from rnnspec.analysis.probing import Half, in_order, jacobians, output_gradients, state_gradients, with_resets
from rnnspec.contract.arrays import NumpyArrays
from rnnspec.errors import ArgumentError, NetworkError, ShapeError
from rnnspec.interface import validation
from rnnspec.interface.backend import Backend
from rnnspec.network import Network
from rnnspec.running.beginning import begun as first_of
from rnnspec.running.embedding import after
from rnnspec.tree import Tree

__all__ = ["GradientFlow", "gradient_flow"]

Array = Any
MOST_ROWS = 4
"""The most rows, the longest first, whose Jacobians are computed."""
ROUNDINGS = 8.0
"""The rounding error of a step in units of roundoff: four for an elementary function, four for its sums."""
LOST = 0.1
"""The relative rounding error from which on a state means nothing."""
FAR = 9.0
"""The powers of ten of a product from which on the sentence names its step."""
UNITS = {"f64": 2.0**-53, "f32": 2.0**-24, "tf32": 2.0**-11, "f16": 2.0**-11, "bf16": 2.0**-8}
"""The unit roundoff of each precision."""


@dataclass(frozen=True)
class GradientFlow:
    """The gradient flow through all halves of a network, on one backend."""

    backend: str
    precision: str
    halves: tuple[HalfFlow, ...]

    @property
    def unit(self) -> float:
        """The unit roundoff of the precision."""
        return UNITS[self.precision]

    @property
    def sentence(self) -> str:
        """One sentence about the half whose gradients vanish or explode most."""
        return _sentence(max(self.halves, key=lambda half: abs(median(half.products)[half.steps])), self)

    def plot(self) -> Any:
        """A matplotlib figure, for you to show or save. Raises UnsupportedError where matplotlib is missing."""
        return draw(self.halves, self.sentence, self.precision, self.unit)

    def __str__(self) -> str:
        head = ("layer", "state", "dL/ds last", "dL/ds first", "one step", "all steps", "horizon", "trusted")
        rows = [head, *(row for half in self.halves for row in _rows(half))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, self.sentence])


def gradient_flow(
    backend: Backend, net: Network, params: Tree, inputs: Any, targets: Any, state: Tree = None, lengths: Any = None,
    resets: Any = None,
) -> GradientFlow:
    """The flow of the loss's gradient back through every layer with a state, by the backend's own pullback.

    Arguments are those of `Backend.value_and_grad`. For each half it takes a pullback for each state feature, at a
    batch of time times rows: use few rows. The Jacobian of a step that is a reset is 0. Raises as
    `Backend.value_and_grad`, ShapeError where no row has a step, and ArgumentError where a Jacobian is not finite.
    """
    call = "gradient_flow"
    given = validation.arguments(backend, call, net, params, inputs, state, lengths, True, resets)
    validation.targets(backend, call, net, given, targets, lengths)
    if not all(layer.mapped for layer in net.layers):
        raise NetworkError(f"{backend.name}.gradient_flow(...)", "every layer must map its inputs", "mapped=False",
                           "leave mapped=False out")  # fmt: skip
    if not any(layer.cell.states for layer in net.layers):
        raise NetworkError(f"{backend.name}.gradient_flow(...)", "a layer must have a state", "none",
                           "give a network with a recurrent layer")  # fmt: skip
    steps, batch = inputs.shape[:2]
    ends = np.full(batch, steps) if lengths is None else validation.host_lengths(backend, lengths)
    if not ends.sum():
        raise ShapeError(f"{backend.name}.gradient_flow(...)", "a row must have a step", f"lengths {ends.tolist()}",
                         "give a row with steps")  # fmt: skip
    own, x = (backend.to_numpy(tree) for tree in given[:2])
    unset = net.unset_state(batch, np.zeros) if state is None else backend.to_numpy(given[2])
    first = first_of(NumpyArrays("float64"), net, own, unset, batch)
    begun = None if given[4] is None else backend.to_numpy_array(given[4])
    net, own, x = after(net, own, x)
    x = np.where((np.arange(steps)[:, None] < ends)[..., None], x, 0)
    halves: list[HalfFlow] = []
    for i, layer in enumerate(net.layers):
        alone, its, held = Network(net.layer_inputs(i), [layer]), {"layers": own["layers"][i : i + 1]}, first[i : i + 1]
        y = backend.to_numpy(backend.run(alone, its, x, held, ends, **with_resets(begun)).outputs)
        if layer.cell.states:
            upper, above = replace(net, inputs=alone.inputs, layers=net.layers[i:]), own["layers"][i:]
            down = output_gradients(backend, upper, {**own, "layers": above}, y, targets, first[i:], ends, begun)
            gradients = state_gradients(backend, alone, its, x, down, held, ends, begun)
            for half in layer.halves:
                asked = Half(backend, layer, half, own["layers"][i][half], x, first[i][half], ends, begun)
                halves.append(_half(f"layers.{i}.{half}", asked, gradients[half]))
        x = y
    return GradientFlow(backend.name, backend.precision, tuple(halves))


@np.errstate(all="ignore")  # overflow is a result here
def _half(place: str, asked: Half, gradients: Mapping[str, Array]) -> HalfFlow:
    steps = len(asked.inputs)
    real = np.arange(steps)[:, None] < asked.ends
    norms = {s: np.where(real, np.linalg.norm(in_order(g, asked.name, asked.ends), axis=-1), np.nan)
             for s, g in gradients.items()}  # fmt: skip
    rows = np.argsort(-asked.ends, kind="stable")[:MOST_ROWS]
    rows = rows[asked.ends[rows] > 0]
    few = Half(asked.backend, asked.layer, asked.name, asked.params, asked.inputs[:, rows],
               {s: a[rows] for s, a in asked.state.items()}, asked.ends[rows],
               None if asked.resets is None else asked.resets[:, rows])  # fmt: skip
    each, states = jacobians(few)
    _check_finite(place, asked.backend, each, real, rows)
    single = np.where(real[:, rows], np.linalg.norm(each, 2, axis=(-2, -1)), np.nan)
    products = np.full((steps + 1, len(rows)), np.nan)
    trusted = [int(few.ends.max())]
    for r, end in enumerate(few.ends):
        products[: end + 1, r] = _products(each[:end, r])
        limit = _trusted(each[:end, r], states[:end, r], UNITS[asked.backend.precision])
        trusted += [limit] if limit < end else []
    horizons = [_horizon(products[: end + 1, r]) for r, end in enumerate(few.ends)]
    return HalfFlow(place, norms, single, products, float(np.median(horizons)), min(trusted))


def _check_finite(place: str, backend: Backend, each: Array, real: Array, rows: Array) -> None:
    wrong = np.argwhere(real[:, rows] & ~np.isfinite(each).all((-2, -1)))
    if len(wrong):
        step, row = wrong[0]
        raise ArgumentError(f"{backend.name}.gradient_flow(...)", "the Jacobians of all steps must be finite",
                            f"one that is not finite at step {step} of row {rows[row]} in {place}",
                            "check the parameters, and the states before that step")  # fmt: skip


def _products(each: Array) -> Array:
    """log10 of the largest singular value of the product of the last k Jacobians, for k = 0, 1, ..."""
    product, size, logs = np.eye(each.shape[-1]), 0.0, [0.0]
    for jacobian in each[::-1]:
        product = product @ jacobian
        norm = np.linalg.norm(product, 2)
        size += np.log10(norm) if norm else -np.inf
        product = product / norm if norm else product
        logs.append(size)
    return np.array(logs)


def _horizon(logs: Array) -> float:
    """The steps in which the product falls by the factor e, from the farthest product that is not 0."""
    far = int(np.flatnonzero(np.isfinite(logs))[-1])
    if far < len(logs) - 1 and far == 0:
        return 0.0
    return float(-far / (logs[far] * np.log(10.0))) if logs[far] < 0 else float("inf")


def _trusted(each: Array, states: Array, unit: float) -> int:
    """The steps before independent rounding errors, propagated as covariances, reach a tenth of the state."""
    covariance = np.zeros(each.shape[1:])
    for t, (jacobian, state) in enumerate(zip(each, states, strict=True)):
        size = np.linalg.norm(state)
        fresh = (ROUNDINGS * unit * size) ** 2 / len(state)
        covariance = jacobian @ covariance @ jacobian.T + fresh * np.eye(len(state))
        if not np.sqrt(np.trace(covariance)) <= LOST * size:
            return t
    return len(each)


def _sentence(half: HalfFlow, flow: GradientFlow) -> str:
    line, steps = median(half.products), half.steps
    gone = np.flatnonzero(np.abs(line[: steps + 1]) >= FAR)
    k = int(gone[0]) if len(gone) and half.verdict != "carry" else steps
    carry = "they grow" if np.isinf(half.horizon) else f"a factor of e takes {half.horizon:.3g} steps"
    whole = f"all {steps}" if half.trusted >= steps else f"{half.trusted} of {steps}"
    return (f"gradients {half.verdict} in {half.place}: {_power(line[k])} after {k} of {steps} steps; {carry}; "
            f"{flow.precision} can be trusted for {whole} steps.")  # fmt: skip


def _rows(half: HalfFlow) -> Iterator[tuple[str, ...]]:
    for state, norms in half.norms.items():
        line = median(norms)[: half.steps]
        yield (half.place, state, f"{line[-1]:.1e}", f"{line[0]:.1e}", f"{np.nanmedian(half.jacobians):.3g}",
               _power(median(half.products)[half.steps]), f"{half.horizon:.3g}", str(half.trusted))  # fmt: skip


def _power(log: float) -> str:
    """The text of 10 to a power, also where it overflows."""
    if not np.isfinite(log) or -4 < log < 4:
        return f"{10.0**log:.2g}"
    return f"1e{round(log):+03d}"

