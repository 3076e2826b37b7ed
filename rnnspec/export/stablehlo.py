"""A network as StableHLO, which JAX, and whatever else reads StableHLO, runs without rnnspec."""

from __future__ import annotations

from typing import Any

from rnnspec.convert.assembly import framework
from rnnspec.embedding import Embedding
from rnnspec.errors import ArgumentError
from rnnspec.export.exported import Exported
from rnnspec.export.settings import Asked, asked
from rnnspec.interface.plugins import get_backend
from rnnspec.network import Network
from rnnspec.running import execution
from rnnspec.tree import Tree, tree_map

__all__ = ["to_stablehlo"]

Array = Any
PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(
    net: Network, params: Tree, *, precision: str = "f32", steps: int | None = None, batch: int | None = None,
    text: bool = False,
) -> Exported:
    """The network as an artifact of `jax.export`, a function `(inputs, state, lengths)` to outputs and final state.

    `jax.export.deserialize(artifact).call(...)` runs it, with arrays as `Backend.run` has them, and with class numbers
    and `lengths` (batch) of int32. In float64, `jax.enable_x64` must be on there. It runs any number of steps and rows
    where `steps` and `batch` are None, but at least one of each. `text` adds the text of its StableHLO. Raises
    BackendUnavailable where JAX is not installed, and an RnnSpecError where an argument is not valid.
    """
    given = asked("stablehlo", net, params, precision)
    for what, size in (("steps", steps), ("batch", batch)):
        if size is not None and (type(size) is not int or size < 1):
            raise ArgumentError(given.call, f"{what} must be a whole number of at least 1, or None", repr(size),
                                "leave it out for any number")  # fmt: skip
    framework(given.call, "jax")
    made = _lowered(given, steps, batch)
    files = {".stablehlo": bytes(made.serialize())} | ({".mlir": made.mlir_module().encode()} if text else {})
    return Exported(files)


def _lowered(given: Asked, steps: int | None, batch: int | None) -> Any:
    import jax  # noqa: PLC0415
    from jax import export  # noqa: PLC0415

    be: Any = get_backend("jax", precision=given.precision)

    def run(inputs: Array, state: Tree, lengths: Array) -> tuple[Array, Tree]:
        params = tree_map(lambda a: jax.numpy.asarray(a, given.dtype), given.params)
        (outputs, final), _ = execution.run(be, given.net, params, inputs, state, lengths)
        return outputs, final

    def array(shape: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, given.dtype)

    any_steps, any_batch = export.symbolic_shape("time, batch")
    time, rows = any_steps if steps is None else steps, any_batch if batch is None else batch
    def counted(shape: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, "int32")

    is_class = isinstance(given.net.inputs, Embedding)
    with be.settings():
        inputs = counted((time, rows)) if is_class else array((time, rows, given.net.input_features))
        return export.export(jax.jit(run), platforms=PLATFORMS)(inputs, given.net.state_tree(rows, array),
                                                                counted((rows,)))  # fmt: skip
