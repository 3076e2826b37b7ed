"""Functions of JAX, differentiated by `jax.vjp`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from conformance.operators.function import Array, Called, Function

__all__ = ["JaxFunction"]


class JaxFunction(Function):
    """A function of arrays, on the CPU; constants such as lengths are NumPy arrays."""

    framework = "jax"

    def run(self, arrays: Mapping[str, Array], pullback: bool) -> Called:
        constants = {name: np.asarray(a) for name, a in arrays.items() if np.asarray(a).dtype.kind != "f"}
        wide = any(np.asarray(a).dtype == np.float64 for name, a in arrays.items() if name not in constants)

        def called(given: Mapping[str, Any]) -> list[Any]:
            return self.asked({name: constants.get(name, given.get(name)) for name in arrays})

        with jax.enable_x64(wide):
            given = {name: jnp.asarray(a) for name, a in arrays.items() if name not in constants}
            if not pullback:
                return Called([np.array(a) for a in called(given)], None)
            found, pulled = jax.vjp(called, given)

        def pull(cotangents: Sequence[Array]) -> dict[str, Array]:
            with jax.enable_x64(wide):
                kinds = zip(cotangents, found, strict=True)
                (own,) = pulled([jnp.asarray(d, a.dtype) for d, a in kinds])
                return {name: np.array(a) for name, a in own.items()}

        return Called([np.array(a) for a in found], pull)

    def version(self) -> str:
        return f"jax {jax.__version__}"
