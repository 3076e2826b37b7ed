"""The parts of a network in the links of a chain: what one layer computes is one part.

A map and the function after it are one dense layer. Factors and summands of features, as a norm with constant
statistics has them, become part of the map beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rnnspec.convert.onnx_chain import Broken, Link
from rnnspec.convert.onnx_features import Affine, End, Function, Half, Norm
from rnnspec.convert.onnx_operator import Operator
from rnnspec.derivation.correspondence import correspondence
from rnnspec.primitives import mean, sqrt
from rnnspec.tracing.cell import Cell, cell
from rnnspec.tracing.graph import iterate

__all__ = ["Part", "parts_of"]

ENDINGS = ("Sigmoid",)
"""Functions that models apply to logits, besides Softmax and LogSoftmax."""


@dataclass(frozen=True, eq=False)
class Part:
    """What becomes one layer: directions of a recurrent node, or an `affine` map, a `norm` or none of them, and then a
    `function`.

    `scale` acts on what it reads. `columns` are those of its outputs that the next part reads, at the steps of `time`
    as in a link. `covers` is the number of links in it.
    """

    operator: Operator
    columns: Any
    halves: tuple[Half, ...] = ()
    affine: Affine | None = None
    norm: Norm | None = None
    function: Function | None = None
    scale: Affine | None = None
    time: str = ""
    select: Operator | None = None
    residual: bool = False
    covers: int = 1
    folded: tuple[Operator, ...] = ()

    @property
    def width(self) -> int:
        """The number of features that it gives."""
        if self.halves:
            return len(self.halves) * int(self.halves[0].node.width)
        if self.affine is not None:
            return len(self.affine.weight)
        stage = self.norm or self.function
        return len(stage.source) if stage else 0

    @property
    def whole(self) -> bool:
        """Whether the next part reads all features in their order, and none of them were added to the inputs."""
        return not self.residual and np.array_equal(self.columns, np.arange(self.width))

    @property
    def is_map(self) -> bool:
        """Whether it is a map and nothing else."""
        return self.affine is not None and self.function is None and self.whole

    @property
    def is_function(self) -> bool:
        """Whether it is a function of features and nothing else."""
        return self.function is not None and self.affine is None and self.norm is None and self.whole

    @property
    def is_scale(self) -> bool:
        """Whether it is one factor for each feature."""
        return self.is_map and self.affine is not None and self.affine.weight.ndim == 1


def parts_of(links: Sequence[Link]) -> tuple[list[Part], Operator | None]:
    """The parts of a chain, and the function of the logits at its end, which is no part."""
    parts, ending = list[Part](), _ending(links)
    for link in links[:-1] if ending else links:
        joined = _joined(parts[-1], link) if parts else None
        if joined is None:
            parts.append(_part(link))
        else:
            parts[-1] = joined
        if link.block:
            parts[-1] = _residual(parts[-1], link)
    if ending:
        parts[-1] = replace(parts[-1], time=parts[-1].time or links[-1].time, columns=links[-1].columns)
    return parts, ending


def _ending(links: Sequence[Link]) -> Operator | None:
    if len(links) < 2 or not isinstance(links[-2].stages[0], Affine):
        return None
    last = links[-1].stages[0]
    ends = isinstance(last, End) or (isinstance(last, Function) and last.operator.kind in ENDINGS)
    return last.operator if ends else None


def _part(link: Link) -> Part:
    stage = link.stages[0]
    own: dict[str, Any] = {"columns": link.columns, "time": link.time, "select": link.select}
    if isinstance(stage, Half):
        return Part(stage.operator, halves=link.stages, **own)
    kinds = {Affine: "affine", Norm: "norm", Function: "function"}
    if type(stage) not in kinds:
        raise Broken(stage.operator, "it does not end the graph after a dense layer")
    return Part(stage.operator, **{kinds[type(stage)]: stage}, **own)


def _joined(before: Part, link: Link) -> Part | None:
    """The part before a link and the link as one part, or None where they are two."""
    stage = link.stages[0]
    later: dict[str, Any] = {"columns": link.columns, "time": link.time or before.time,
                             "select": link.select or before.select, "covers": before.covers + 1}  # fmt: skip
    if isinstance(stage, Function) and before.is_map and not before.is_scale:
        return replace(before, function=stage, **later)
    if isinstance(stage, Function) and before.function is not None and before.whole:
        return replace(before, operator=stage.operator, function=_composed(before.function, stage), **later)
    if isinstance(stage, Affine) and before.is_map and (before.is_scale or stage.weight.ndim == 1):
        first = before.affine
        assert first is not None
        scale = stage.operator if stage.weight.ndim == 1 else first.operator
        operator = first.operator if stage.weight.ndim == 1 else stage.operator
        later["folded"] = (*before.folded, scale)
        return replace(before, operator=operator, affine=_product(first, stage), **later)
    if isinstance(stage, Affine) and before.is_function and stage.weight.ndim == 1:
        norm = _norm(before.function, stage)
        return None if norm is None else Part(before.operator, norm=norm, **later)
    if isinstance(stage, Half) and before.is_scale:
        return Part(stage.operator, halves=link.stages, scale=before.affine, folded=(*before.folded, before.operator),
                    **later)  # fmt: skip
    return None


def _composed(first: Any, then: Function) -> Function:
    return Function(then.operator, first.source, lambda a: then.function(first.function(a)))


def _norm(function: Any, then: Affine) -> Norm | None:
    """The layer normalisation that a function and the factors and summands after it are, or None."""
    epsilon = _epsilon(function.function)
    return None if epsilon is None else Norm(function.operator, function.source, then.weight, then.bias, epsilon)


def _epsilon(function: Callable[[Any], Any]) -> float | None:
    """The epsilon of a function of all features that is a layer normalisation without scale and shift, else None."""
    written = _traced(function)
    for _, node in iterate(written.graph.nodes, "constant"):
        epsilon = float(node.value or 0)
        if correspondence(_traced(partial(_normalised, epsilon=epsilon)), written) is not None:
            return epsilon
    return None


def _traced(function: Callable[[Any], Any]) -> Cell:
    def equations(x: Any) -> Any:
        return function(x)

    return cell(equations)


def _normalised(x: Any, epsilon: float) -> Any:
    centred = x - mean(x)
    return centred / sqrt(mean(centred * centred) + epsilon)


def _residual(part: Part, link: Link) -> Part:
    if part.covers != link.block or part.scale is not None:
        raise Broken(link.operator, "its inputs are added to the outputs of several layers")
    return replace(part, residual=True)


def _product(first: Affine, then: Affine) -> Affine:
    """The map of two maps, one of which at least is a factor of each feature."""
    one, two = first.weight.astype(np.float64), then.weight.astype(np.float64)
    dtype = np.result_type(first.weight, then.weight)
    weight = two[:, None] * one if one.ndim > two.ndim else two * one
    shift = np.zeros(len(one)) if first.bias is None else first.bias.astype(np.float64)
    shift = two * shift if two.ndim == 1 else two @ shift
    shift = shift if then.bias is None else shift + then.bias
    none = first.bias is None and then.bias is None
    return Affine(then.operator, first.source, weight.astype(dtype), None if none else shift.astype(dtype))
