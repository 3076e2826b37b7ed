"""JAX's exporter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import export

from exporters.cases import CASES, Case, found, held
from rnnspec import Path

__all__ = ["CASES", "WAYS", "tried"]

WAYS = {"jax.export, serialised": 0, "jax.export with gradients, serialised": 1}


def tried(way: str, path: Path | None, case: Case) -> str:
    """What came of one export."""
    init, apply = held("jax", path).as_layer(case.net)
    params = jax.tree.map(jax.numpy.asarray, init(0))

    def outputs(params: Any, x: Any, *around: Any) -> Any:
        if not around:
            return apply(params, x)[0]
        if len(around) == 1:
            return apply(params, x, None, around[0])[0]
        return apply(params, x, [{"forward": dict(zip("hc", around, strict=True))}])[0]

    def asked(params: Any, *given: Any, run: Any = outputs) -> Any:
        """The outputs, or in training the gradient of the inputs' map, as one vector."""
        if not WAYS[way]:
            return run(params, *given)
        slopes = jax.grad(lambda own: (run(own, *given) ** 2).sum())(params)
        return np.concatenate([np.ravel(a) for a in jax.tree.leaves(slopes)])

    given = arguments(case, case.called)

    def make() -> Callable[[], Any]:
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (params, *sized(case)))
        program = export.export(jax.jit(outputs))(*shapes)
        loaded = export.deserialize(program.serialize(vjp_order=WAYS[way]))
        return lambda: asked(params, *given, run=loaded.call)

    return found(case, make, lambda: asked(params, *given), {})


def arguments(case: Case, size: tuple[int, int]) -> list[np.ndarray]:
    around = {"": [], "lengths": [case.lengths(size).astype(np.int32)], "state": case.state(size)}[case.around]
    return [case.inputs(size), *around]


def sized(case: Case) -> list[jax.ShapeDtypeStruct]:
    """The arguments' shapes, with a symbol for the size that is left open."""
    (n,) = export.symbolic_shape("n")
    inputs, *around = arguments(case, case.exported)
    shape = {"": inputs.shape, "time": (n, *inputs.shape[1:]), "batch": (inputs.shape[0], n, inputs.shape[2])}
    return [jax.ShapeDtypeStruct(shape[case.free], inputs.dtype),
            *(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in around)]  # fmt: skip
