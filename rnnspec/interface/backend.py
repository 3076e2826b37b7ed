"""The base class of backends: the calls of users, the methods that a backend overrides, and argument validation.

A new backend overrides `layer`, which runs one layer in one direction, and `layer_pullback` if it has gradients. The
base class validates arguments, stacks layers, reverses sequences, and applies the output layer, the loss and the rule.
A backend declares its capabilities; the base class refuses a call that needs another one and never emulates it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from rnnspec.contract.arrays import Array, Arrays, NumpyArrays
from rnnspec.contract.capabilities import DTYPES
from rnnspec.contract.choice import Choice
from rnnspec.contract.kernel import Call, Kernel, Path
from rnnspec.contract.resets import Resets
from rnnspec.contract.results import Gradients, LayerResult, Result, Step, Trained
from rnnspec.contract.version import SPEC_VERSION
from rnnspec.control.rule import Rule, traced
from rnnspec.derivation.parallel import Form
from rnnspec.derivation.schedule import Schedule, schedule, widest
from rnnspec.errors import NetworkError, UnsupportedError
from rnnspec.interface import operands, validation
from rnnspec.interface.adoption import adopt, check_array, hosted
from rnnspec.interface.bound import Bound
from rnnspec.interface.held import Held
from rnnspec.network import Network
from rnnspec.noise.key import Key
from rnnspec.running import execution, lowering, padding
from rnnspec.running.parallel import CHUNK, InSegments, Parallel, parallel_kernel
from rnnspec.running.recomputation import Recomputing
from rnnspec.showing import shown
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree, bounded, tree_map
from rnnspec.workers.sums import among_all, key_of_rows

__all__ = ["Backend"]


class Backend(Held):
    """A backend: one framework on one device in one precision. The base class runs on NumPy arrays.

    A pickle or a copy is made by `get_backend` by name; where that does not find the class, the class is called with
    `(device, precision)`.

    `spec_version` is the version of the contract that the backend was written for; a backend in a distribution of its
    own must set it.
    """

    spec_version: ClassVar[str] = SPEC_VERSION

    chunks_from: ClassVar[int] = 64
    """The steps from which on chunks are quicker than single steps."""

    scans_from: ClassVar[float] = float("inf")
    """The steps of one row from which on a scan of vectors is quicker than single steps."""

    spares_from: ClassVar[int] = 256
    """The same, of cells for which a scan spares the loop more than the recurrence."""
    binds: ClassVar[type[Bound]] = Bound
    """What `bound` makes; a backend with quicker ones names its own."""

    choices: tuple[Choice[Any], ...] = ()
    """The choices that this backend makes by measurement; the suite tests that what it takes is not the slower one."""

    def __init__(self, device: str | None = None, precision: str = "f32") -> None:
        super().__init__(device, precision)
        self.arrays: Arrays = self.make_arrays()

    # Methods that a backend overrides.

    def make_arrays(self) -> Arrays:
        """The array operations for everything around a layer."""
        return NumpyArrays(DTYPES[self.precision])

    def plan(self, cell: Cell, rows: int | None, width: int) -> Schedule:
        """The schedule of a cell for the generic lowering.

        `rows` is the batch size, None where a traced graph does not know it; `width` is the width of the widest state.
        """
        return schedule(cell)

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        """Run one layer in one direction on `inputs` (time, batch, feature) in processing order, 0 at padded steps.

        `lengths` (batch,) are the rows' ends: after them the states must stay, and outputs must be 0. There is at least
        one step and one row. `resets` are given only where the call has resets and the capabilities declare them.
        """
        mask = padding.mask(self.arrays, inputs.shape[0], lengths)
        plan = self.plan(cell, inputs.shape[1], widest(state))
        outputs, final, saved = lowering.forward(self.arrays, plan, params, inputs, state, mask, resets)
        return LayerResult(outputs, final, (self.path or Path.GENERIC).value, saved)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The pullback of `layer` at its result; `output_cotangent` is 0 at padded steps."""
        plan = self.plan(cell, output_cotangent.shape[1], widest(state_cotangent))
        return Gradients(*lowering.backward(self.arrays, plan, params, result.saved, output_cotangent, state_cotangent,
                                            call.policy))  # fmt: skip

    def shown(self, inputs: Array, lengths: Array) -> Array:
        """The inputs that the first layer sees: zeros at padded steps."""
        return padding.selected(self.arrays, padding.mask(self.arrays, inputs.shape[0], lengths), inputs)

    def native(self, cell: Cell, call: Call) -> Kernel | str:
        """The framework's own kernel for a layer, or the reason why none runs, as a clause without a full stop."""
        return "the backend has no kernels of its framework"

    def prefers_parallel(self, form: Form, call: Call) -> bool:
        """Whether a call that can run in parallel over time does so without being asked: where it is quicker."""
        least = min(self.scans_from, self.spares_from) if form.spares(call.pullback) else self.scans_from
        scans = form.of_vectors and call.batch == 1 and call.steps >= least
        return scans or (form.has_chunks and call.steps >= self.chunks_from)

    def in_parallel(self, kernel: Parallel, call: Call) -> Kernel:
        """What runs a call in parallel over time: the kernel itself, or for a long call the kernel by segments."""
        return kernel if call.steps <= kernel.most else InSegments(kernel)

    def recomputed(self, kernel: Kernel) -> Recomputing:
        """A wrapper of a kernel that runs segments again in the pullback."""
        return Recomputing(kernel, self.arrays, self.every, self.wide, self.narrow)

    def wide(self, a: Array) -> Array:
        """An array in the numbers that sums are accumulated in: float32 for sixteen bits, else its own."""
        return a

    def narrow(self, a: Array) -> Array:
        """An accumulated sum in this backend's numbers."""
        return a

    def framework_vjp(
        self, function: Callable[..., Tree], *arguments: Tree
    ) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        """The value of a function of trees of arrays, and its pullback by the framework's automatic differentiation."""
        raise NotImplementedError(f"{self.name} declares Path.FRAMEWORK and must override framework_vjp")

    def program(self, function: Callable[..., tuple[Tree, Tree]], *constants: Any) -> Callable[..., tuple[Tree, Tree]]:
        """The function `function(self, *constants, *arrays)` as a function of the arrays alone.

        `function` returns a tree of arrays and a tree of other values. A backend that compiles caches the program,
        together with the second tree of the time of tracing.
        """
        return np.errstate(all="ignore")(partial(function, self, *constants))  # NaN and infinity are valid results

    # Methods that users call.

    def runner(self, cell: Cell, call: Call) -> Kernel:
        """The kernel of a layer: the framework's where one is chosen, else the backend itself.

        With recomputation, it is wrapped where a pullback will follow.
        """
        kernel = self._chosen(cell, call)
        if self.recomputes and call.pullback:
            return self.recomputed(kernel)
        return self.in_parallel(kernel, call) if isinstance(kernel, Parallel) else kernel

    def _chosen(self, cell: Cell, call: Call) -> Kernel:
        if self.path is Path.FRAMEWORK and call.policy is not None:
            raise UnsupportedError(f"{self.name}, {call.place}",
                                   "a layer must have no policy on Path.FRAMEWORK",
                                   shown(call.policy), "use another path")  # fmt: skip
        if self.path in (Path.GENERIC, Path.FRAMEWORK) or (self.path is Path.PARALLEL and not cell.states):
            return self
        free = self.path is None and Path.PARALLEL in self.capabilities.paths and cell.states
        if self.path is Path.PARALLEL or free:
            found = parallel_kernel(self.arrays, cell, call, self.chunk or CHUNK)
            if isinstance(found, str) and self.path is Path.PARALLEL:
                raise UnsupportedError(f"{self.name}, {call.place}", "the layer must have a form that is parallel",
                                       found, "let the backend choose its path")  # fmt: skip
            if not isinstance(found, str) and (self.path or self.prefers_parallel(found.form, call)):
                return found
        kernel = self.native(cell, call)
        if not isinstance(kernel, str):
            return kernel
        if self.path is Path.NATIVE:
            raise UnsupportedError(f"{self.name}, {call.place}", "the framework must have a kernel for the layer",
                                   kernel, "let the backend choose its path")  # fmt: skip
        return self

    def asarray(self, tree: Tree) -> Tree:
        """The tree as the framework's own arrays in the backend's precision and on its device, copied.

        Leaves are NumPy arrays of real numbers, or another framework's arrays, which are copied through NumPy. Raises
        ArgumentError, DtypeError, DeviceError or TreeError.
        """
        call = f"{self.name}.asarray(tree)"

        def own(array: Any) -> Array:
            host = hosted(self, call, "an array", array)
            check_array(self, call, "an array", host)
            return adopt(self, call, "an array", host)

        return tree_map(own, bounded(call, tree))

    def to_numpy(self, tree: Tree) -> Tree:
        """The tree as copied NumPy arrays; raises ArgumentError or TreeError."""
        call = f"{self.name}.to_numpy(tree)"

        def host(array: Any) -> np.ndarray[Any, Any]:
            if not self.is_own(array):
                return np.array(array)
            check_array(self, call, "an array", array)
            return self.to_numpy_array(array)

        return tree_map(host, bounded(call, tree))

    def run(
        self, net: Network, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None, key: Key | None = None,
    ) -> Result:
        """The outputs and the final state of a network.

        `inputs` is (time, batch, feature), or class numbers (time, batch), `state` a tree as `Result.state`, zeros or
        learned states if None, and `lengths` (batch,) whole numbers between 0 and the number of steps. `resets` (time,
        batch) is true where a step starts as the first one without a state does, instead of from the state before it.
        With a `key` the network has its noise; without one it is evaluated. Raises an RnnSpecError, before anything
        runs, where an argument is not valid.
        """
        given = validation.arguments(self, "run", net, params, inputs, state, lengths, resets=resets)
        noise = validation.noise(self, "run", net, given[1], key)
        (outputs, final), path = self.program(execution.run, net)(*given, *noise)
        return Result(outputs, final, path)

    def pullback(
        self, net: Network, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
        state: Tree = None, lengths: Array = None, resets: Array = None, key: Key | None = None,
    ) -> Gradients:
        """The vector-Jacobian product of `run`, with the same key.

        `output_cotangent` has the shape of the outputs, `state_cotangent` the shapes of the final state; None is zeros.
        Cotangents at padded steps have no effect. Raises an RnnSpecError, before anything runs, where an argument is
        not valid.
        """
        given = validation.arguments(self, "pullback", net, params, inputs, state, lengths, True, resets)
        cotangents = validation.cotangents(self, "pullback", net, given, output_cotangent, state_cotangent)
        noise = validation.noise(self, "pullback", net, given[1], key)
        (own, x, first), _ = self.program(execution.pullback, net)(*given, *cotangents, *noise)
        return Gradients(own, x, first)

    def recur(
        self, cell: Cell, given: Tree, params: Tree = None, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Result:
        """The outputs and the final state of a cell whose `x.name` are `given` by name, and not mapped from an input.

        Each is (time, batch, width), `x` itself is "x"; `params` are `{"U": ..., "p": ...}`, `state` is by name. With
        heads, an array has an axis for them before its own, also outputs and states; what lacks it is shared by all
        heads. Raises an RnnSpecError, before anything runs, where an argument is not valid.
        """
        asked = operands.arguments(self, "recur", cell, given, params, state, lengths, resets)
        (outputs, final), path = self.program(execution.recur, asked.net)(*asked.arrays)
        return Result(outputs, final, path)

    def recur_pullback(
        self, cell: Cell, given: Tree, output_cotangent: Array, state_cotangent: Tree = None, params: Tree = None,
        state: Tree = None, lengths: Array = None, resets: Array = None,
    ) -> Gradients:
        """The vector-Jacobian product of `recur`; `inputs` of the result are the cotangents of `given` by name."""
        asked = operands.arguments(self, "recur_pullback", cell, given, params, state, lengths, resets, True)
        cotangents = operands.cotangents(self, "recur_pullback", asked, output_cotangent, state_cotangent)
        (own, found, first), _ = self.program(execution.recur_pullback, asked.net)(*asked.arrays, *cotangents)
        return Gradients(own, found, first)

    def value_and_grad(
        self, net: Network, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None, key: Key | None = None,
    ) -> Step:
        """The loss as `(sum, count)`, and the gradients of the sum.

        `targets` are class numbers `(time, batch)` or real numbers `(time, batch, features)`; with `Last()` they have
        no time axis. Targets at padded steps, and those of rows of length 0 with `Last()`, are not read and may be
        invalid. Raises an RnnSpecError, before anything runs, where an argument is not valid.
        """
        own = key_of_rows(self, key, inputs)
        step = partial(self._gradients, net, params, inputs, targets, state, lengths, resets, own)
        return among_all(f"{self.name}.value_and_grad(...)", self, net, step)

    def train_step(
        self, net: Network, rule: Rule, params: Tree, rule_state: Tree, inputs: Array, targets: Array,
        state: Tree = None, lengths: Array = None, resets: Array = None, key: Key | None = None,
    ) -> Trained:
        """One step of an update rule, or of a chain that ends in one; the rule reads the gradient of the mean loss.

        `rule_state` is `rule.init(params)` at first, then that of the step before. A batch without a real step has a
        gradient of zeros. Raises NonFiniteError where the rule is `RaiseNonFinite` and a gradient is not finite, and
        otherwise as `value_and_grad`.
        """
        own = key_of_rows(self, key, inputs)
        found: list[Tree] = []

        def step() -> Step:
            validation.rule(self, "train_step", rule)
            given = validation.arguments(self, "train_step", net, params, inputs, state, lengths, True, resets)
            wanted = validation.targets(self, "train_step", net, given, targets, lengths)
            kept = validation.rule_state(self, "train_step", rule, given[0], rule_state)
            found.extend((given[0], kept))
            factor = rule.loss_scale(kept)
            if factor is not None:
                noise = validation.noise(self, "train_step", net, given[1], own)
                return self._stepped(net, given, (wanted, factor, *noise))
            further = {name: a for name, a in (("resets", given[4]), ("key", own)) if a is not None}
            gradients = self.value_and_grad if self.group is None else self._gradients
            return gradients(net, given[0], given[1], targets, None if state is None else given[2], given[3], **further)

        done = among_all(f"{self.name}.train_step(...)", self, net, step)
        params, kept = found
        return self._updated("train_step", rule, params, kept, done)

    def update(self, net: Network, rule: Rule, params: Tree, rule_state: Tree, step: Step) -> Trained:
        """One step of an update rule with given gradients, such as those of windows, or sums over shards.

        `step` is a result of `value_and_grad`; the rest is as in `train_step`. Raises NetworkError where the rule
        scales the loss, since that must happen before gradients are taken.
        """
        validation.rule(self, "update", rule)
        own, sums = validation.gradients(self, "update", net, params, step)
        kept = validation.rule_state(self, "update", rule, own, rule_state)
        if rule.loss_scale(kept) is not None:
            raise NetworkError(f"{self.name}.update(...)", "the rule must not scale the loss", shown(rule),
                               "call train_step, or leave ScaleLoss out")  # fmt: skip
        return self._updated("update", rule, own, kept, replace(step, grads=replace(step.grads, params=sums)))

    def _updated(self, method: str, rule: Rule, params: Tree, kept: Tree, step: Step) -> Trained:
        """Parameters and the rule's state after the gradients of a step, all as the backend's own arrays."""
        scale = self.from_numpy(np.asarray(1.0 / max(step.count, 1)))
        graph, *places = traced(rule, params, kept)
        validation.rule_numbers(self, method, graph)
        update = self.program(execution.update, graph, *places)
        (new, new_state), _ = update(params, kept, step.grads.params, scale)
        rule.verify(new_state, self.to_numpy)
        return Trained(new, new_state, step.loss_sum, step.count, step.state)

    def _gradients(
        self, net: Network, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None, key: Key | None = None,
    ) -> Step:
        """`value_and_grad` of this worker's rows."""
        given = validation.arguments(self, "value_and_grad", net, params, inputs, state, lengths, True, resets)
        wanted = validation.targets(self, "value_and_grad", net, given, targets, lengths)
        noise = validation.noise(self, "value_and_grad", net, given[1], key)
        return self._stepped(net, given, (wanted, *((None, *noise) if noise else ())))

    def _stepped(self, net: Network, given: tuple[Tree, ...], more: tuple[Tree, ...]) -> Step:
        """The loss and its gradients, for the targets, and what else the program takes after them."""
        (loss_sum, own, x, first, final), _ = self.program(execution.value_and_grad, net)(*given, *more)
        return Step(loss_sum, validation.count(self, net, given, given[3]), Gradients(own, x, first), final)

    def summed(self, net: Network, step: Step) -> Step:
        """The step of all workers, of which `step` is this worker's: for gradients that it made of several calls."""
        return among_all(f"{self.name}.summed(...)", self, net, lambda: step)

    def mean_loss(self, loss_sum: Array, count: int) -> Array:
        """The loss whose gradient, averaged over the workers, is that of the mean over all of them.

        It is `loss_sum * size / count of all`. Give it to what averages gradients over workers, as frameworks do: the
        mean of the workers' own means weighs their rows by other numbers.
        """
        size, (total,) = (1, [count]) if self.group is None else (self.group.size, self.group.sum([], [count])[1])
        return loss_sum * (size / max(total, 1))

    def bound(self, net: Network, params: Tree) -> Bound:
        """The calls of a network with these parameters, which are looked at and packed once: for serving and streaming.

        The parameters are copied. Raises an RnnSpecError where they do not fit, or the backend cannot run the network.
        """
        own = validation.parameters(self, "bound", net, params)
        return self.binds(self, net, self.asarray(self.to_numpy(own)))

    def as_layer(self, net: Network) -> Any:
        """The network as a layer of the framework; raises UnsupportedError where the backend has no layers."""
        raise UnsupportedError(f"{self.name}.as_layer(net)", "the backend must have layers of its framework",
                               "none", "call run and pullback")  # fmt: skip
