"""The calls of a backend as pure functions of arrays: a run, a pullback, a loss with its gradients, an update.

Each takes `(backend, constants, arrays)` and returns a tree of arrays and a tree of other values, so that a backend may
compile the complete call. In a state, a half that begins with its learned states is None.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rnnspec.contract.arrays import Array
from rnnspec.contract.kernel import Path
from rnnspec.embedding import Embedding
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.running.beginning import begun, unbegun
from rnnspec.running.engine import Engine
from rnnspec.running.evaluation import evaluate_graph
from rnnspec.running.objective import objective
from rnnspec.running.operands import Operands
from rnnspec.running.stack import backward, forward, path
from rnnspec.tracing.graph import Graph
from rnnspec.tree import Tree, leaves, tree_map

__all__ = ["pullback", "recur", "recur_pullback", "run", "step", "update", "value_and_grad", "vjp"]

Pull = Callable[[Array, Tree], tuple[Tree, Array | None, Tree]]
"""From cotangents of outputs and final state to cotangents of parameters, inputs and initial state.

Those of class numbers are None."""


def run(
    backend: Engine, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
    resets: Array | None = None, noise: Tree = None,
) -> tuple[Tree, Tree]:
    """`(outputs, final state)`, and the path of each half; `noise` are the masks of `rnnspec.noise.masks`."""
    first = begun(backend.arrays, net, params, state, inputs.shape[1])
    outputs, final, tape = forward(backend, net, params, inputs, first, lengths, resets, noise, pullback=False)
    return (outputs, final), path(tape)


def step(backend: Engine, net: Network, params: Tree, x: Array, state: Tree) -> tuple[Tree, Tree]:
    """The outputs (batch, feature) of one step (batch, feature), or (batch,) of class numbers; the state after it."""
    inputs = backend.arrays.reshape(x, (1, *x.shape))
    outputs, final, _ = forward(backend, net, params, inputs, state, None, pullback=False)
    return (outputs if isinstance(net.read, Last) else outputs[0], final), None


def recur(
    backend: Engine, net: Network, given: Tree, params: Tree, state: Tree, lengths: Array | None,
    resets: Array | None,
) -> tuple[Tree, Tree]:
    """`(outputs, final state)` of a layer without maps and of what is `given` for them, and the path."""
    own = Operands(backend.arrays, net.layers[0])
    (outputs, final), said = run(backend, net, own.params(params), own.inputs(given), [{"forward": state}], lengths,
                                 resets)  # fmt: skip
    return (own.outputs(outputs), final[0]["forward"]), said


def recur_pullback(
    backend: Engine, net: Network, given: Tree, params: Tree, state: Tree, lengths: Array | None,
    resets: Array | None, output_cotangent: Array, state_cotangent: Tree,
) -> tuple[Tree, Tree]:
    """The cotangents of `(params, given, state)`."""
    own = Operands(backend.arrays, net.layers[0])
    found, _ = pullback(backend, net, own.params(params), own.inputs(given), [{"forward": state}], lengths, resets,
                        own.beside(output_cotangent), [{"forward": state_cotangent}])  # fmt: skip
    return (own.own_params(found[0]), own.given(found[1]), found[2][0]["forward"]), None


def pullback(
    backend: Engine, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
    resets: Array | None, output_cotangent: Array, state_cotangent: Tree, noise: Tree = None,
) -> tuple[Tree, Tree]:
    """The cotangents of `(params, inputs, state)`."""
    _, _, pull = vjp(backend, net, params, inputs, state, lengths, resets, noise)
    return pull(output_cotangent, state_cotangent), None


def value_and_grad(
    backend: Engine, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
    resets: Array | None, targets: Array, scale: Array | None = None, noise: Tree = None,
) -> tuple[Tree, Tree]:
    """The sum of the loss, the cotangents of `(params, inputs, state)`, and the final state.

    `scale` multiplies the cotangent of the outputs, and so all cotangents.
    """
    outputs, final, pull = vjp(backend, net, params, inputs, state, lengths, resets, noise)
    loss_sum, cotangent = objective(backend.arrays, net, outputs, targets, lengths, inputs.shape[0])
    cotangent = cotangent if scale is None else cotangent * scale
    zeros = tree_map(lambda a: backend.arrays.zeros(tuple(a.shape)), final)
    return (loss_sum, *pull(cotangent, zeros), final), None


def vjp(
    backend: Engine, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
    resets: Array | None = None, noise: Tree = None,
) -> tuple[Array, Tree, Pull]:
    """Outputs, final state, and their pullback by the derived adjoint or the framework's differentiation."""
    first = begun(backend.arrays, net, params, state, inputs.shape[1])
    outputs, final, pull = _vjp(backend, net, params, inputs, first, lengths, resets, noise)

    def whole(*cotangents: Tree) -> tuple[Tree, Array | None, Tree]:
        own, x, ends = pull(*cotangents)
        return unbegun(backend.arrays, net, state, own, ends), x, ends

    return outputs, final, whole


def _vjp(
    backend: Engine, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
    resets: Array | None, noise: Tree,
) -> tuple[Array, Tree, Pull]:
    """As `vjp`, from a given state."""
    if backend.path is Path.FRAMEWORK and isinstance(net.inputs, Embedding):

        def of_classes(params: Tree, state: Tree) -> tuple[Array, Tree]:
            return forward(backend, net, params, inputs, state, lengths, resets, noise, pullback=False)[:2]

        (outputs, final), both = backend.framework_vjp(of_classes, params, state)

        def beside(*cotangents: Tree) -> tuple[Tree, None, Tree]:
            own, first = both(cotangents)
            return own, None, first

        return outputs, final, beside
    if backend.path is Path.FRAMEWORK:

        def outputs_and_final(params: Tree, inputs: Array, state: Tree) -> tuple[Array, Tree]:
            return forward(backend, net, params, inputs, state, lengths, resets, noise, pullback=False)[:2]

        (outputs, final), pull = backend.framework_vjp(outputs_and_final, params, inputs, state)
        return outputs, final, lambda *cotangents: pull(cotangents)
    outputs, final, tape = forward(backend, net, params, inputs, state, lengths, resets, noise, pullback=True)
    return outputs, final, partial(backward, backend, net, params, tape)


def update(
    backend: Engine, graph: Graph, changes: Tree, states: Tree, params: Tree, rule_state: Tree, gradients: Tree,
    scale: Array,
) -> tuple[Tree, Tree]:
    """The parameters and the rule's state after one update with the gradients times `scale`."""
    given = {f"gradients.{name}": leaf * scale for name, leaf in leaves(gradients)}
    given |= {f"state.{name}": leaf for name, leaf in leaves(rule_state)}
    given |= {f"params.{name}": leaf for name, leaf in leaves(params)}
    found = evaluate_graph(backend.arrays, graph, given, axes=None)
    new = tree_map(lambda w, name: w + found[name], params, changes)
    return (new, tree_map(lambda name: found[name], states)), None
