"""The loss of a network's outputs, summed over what counts, and its cotangent, derived from the graph of the loss."""

from __future__ import annotations

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.derivation.adjoint import pulled
from rnnspec.losses import CTC, trace
from rnnspec.network import Network
from rnnspec.running.alignment import aligned
from rnnspec.running.evaluation import evaluate_graph
from rnnspec.running.padding import counted, selected
from rnnspec.tracing.graph import Graph

__all__ = ["objective"]


def objective(
    arrays: Arrays, net: Network, outputs: Array, targets: Array, lengths: Array | None, steps: int
) -> tuple[Array, Array]:
    """The sum of the loss over real steps or rows, and its cotangent at the outputs."""
    loss = net.loss
    assert loss is not None
    if (steps == 0 or 0 in outputs.shape) and not (isinstance(loss, CTC) and outputs.shape[-2]):
        return arrays.sum(arrays.zeros((1,)), None, False), arrays.zeros(tuple(outputs.shape))
    real = counted(arrays, net, steps, outputs.shape[-2], lengths)
    if isinstance(loss, CTC):
        return aligned(arrays, loss, selected(arrays, real, outputs), targets, real)
    y = arrays.one_hot(targets, net.features) if loss.integer_targets else targets
    values = {"z": selected(arrays, real, outputs), "y": selected(arrays, real, y)}
    graph = trace(loss)
    each = evaluate_graph(arrays, graph, values)["loss"]
    cotangent = selected(arrays, real, _cotangent(arrays, graph, values))
    return arrays.sum(selected(arrays, real, each), None, False), cotangent


def _cotangent(arrays: Arrays, graph: Graph, values: dict[str, Array]) -> Array:
    one = arrays.functions["add"](arrays.zeros((1,)), arrays.scalar(1.0))
    return evaluate_graph(arrays, pulled(graph, ("z",)), {**values, "loss": one})["z"]
