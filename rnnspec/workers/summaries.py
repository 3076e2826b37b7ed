"""Windows of time at once, for cells that are affine in their states: h_end = A h_start + b over a whole window.

Each worker finds A and b of its own window, one exchange gives them to all, and each joins those of the windows before
its own. Going back, the cotangents join by the same A, transposed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from rnnspec.contract.arrays import Array
from rnnspec.contract.results import Result
from rnnspec.derivation import wording
from rnnspec.derivation.linearity import linearity
from rnnspec.errors import NetworkError
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.tracing.graph import descendants, iterate
from rnnspec.tree import Shape, Tree
from rnnspec.workers.packing import Host, Packing, packing
from rnnspec.workers.sequence import Backward, Call, Forward, OverTime
from rnnspec.workers.stages import Stage, layered

__all__ = ["Summaries"]


@dataclass(frozen=True)
class Joint:
    """The states of one group, and the factors A (size, batch, free, mixed, mixed) of all windows."""

    packing: Packing
    factors: Host

    def forward(self, first: Host, rests: Host) -> list[Host]:
        """The states before each window and after the last, from those before the first and what each window adds."""
        found = [first]
        for factor, rest in zip(self.factors, rests, strict=True):
            found.append(np.einsum("bfij,bfj->bfi", factor, found[-1]) + rest)
        return found

    def backward(self, last: Host, rests: Host) -> list[Host]:
        """The cotangents before each window and after the last, from those after the last."""
        found = [last]
        for factor, rest in zip(self.factors[::-1], rests[::-1], strict=True):
            found.append(np.einsum("bfij,bfi->bfj", factor, found[-1]) + rest)
        return found[::-1]


class Summaries(OverTime):
    """Windows at once, each from a state that its worker joins from the summaries of the windows before.

    Every layer's states must be affine in themselves, as `rnnspec.linearity` says. A summary takes as many pullbacks
    as entries mix: one where a factor is a number for each entry, as many as a key is wide for a delta rule. Raises
    NetworkError for another cell, and for a layer with a gradient policy.
    """

    def stages(self, call: str, net: Network) -> tuple[Stage, ...]:
        for i, layer in enumerate(net.layers):
            _check(call, i, layer)
        return layered(call, net)

    def forward(self, call: Call, state: Sequence[Tree]) -> Forward:
        inputs, begun, joints, final, path = [call.window.inputs], [], [], [], list[tuple[str, str]]()
        for stage, first in zip(call.stages, state, strict=True):
            one = _Affine(call, stage, inputs[-1])
            known, own = one.joined(first)
            before = first if self.group.rank == 0 else one.tree(known)
            ran, after = one.run(before)
            final.append(after)
            inputs.append(ran.outputs)
            begun.append(before)
            joints.append(own)
            path.extend(stage.path(ran.path))
        return Forward(inputs[:-1], begun, inputs[-1], final, tuple(path), joints)

    def backward(self, call: Call, ran: Forward, output: Array, final: Sequence[Tree]) -> Backward:
        params, first = list[Tree](), list[Tree]()
        stages = zip(call.stages, ran.inputs, ran.begun, ran.kept, final, strict=True)
        for stage, inputs, begun, joints, last in reversed(list(stages)):
            one = _Affine(call, stage, inputs)
            after, before = one.pulled(begun, joints, output, last)
            found = call.exchange.each(partial(call.pull, stage, inputs, begun, output, one.tree(after)))
            output = found.inputs
            params.append(found.params)
            first.append(one.tree(before))
        return Backward(params[::-1], output, first[::-1])


@dataclass(frozen=True)
class _Affine:
    """A stage whose one layer with states is affine in them, on this worker's window."""

    call: Call
    stage: Stage
    inputs: Array

    @property
    def at(self) -> int:
        """Which of the stage's layers has states, the first where none has."""
        return next((i for i, layer in enumerate(self.stage.net.layers) if layer.cell.states), 0)

    @property
    def layer(self) -> Layer:
        """The layer with states."""
        return self.stage.net.layers[self.at]

    @property
    def zeros(self) -> dict[str, Host]:
        """Zeros for every state."""
        return {name: np.zeros((self.call.window.batch, *shape)) for name, shape in self.layer.state_shapes.items()}

    def tree(self, states: dict[str, Host]) -> Tree:
        """States, or their cotangents, of the layer as a tree of the stage's."""
        own = self.call.exchange.backend.asarray(states)
        return [{"forward": own if i == self.at else {}} for i in range(len(self.stage.net.layers))]

    def states(self, tree: Tree) -> dict[str, Host]:
        """The states of the layer in a tree of the stage's."""
        found: dict[str, Host] = self.call.exchange.backend.to_numpy(tree[self.at]["forward"])
        return found

    def run(self, before: Tree) -> tuple[Result, Tree]:
        """The stage on this worker's window, and its state after the last window."""
        exchange, found = self.call.exchange, list[Result]()
        is_last = exchange.group.rank == exchange.group.size - 1

        def part() -> tuple[Tree, tuple[()]]:
            found.append(self.call.run(self.stage, self.inputs, before))
            return found[0].state if is_last else None, ()

        after, _ = exchange.sums(part, self.stage.net.state_shapes(self.call.window.batch))
        return found[0], after

    def joined(self, first: Tree) -> tuple[dict[str, Host], list[Joint]]:
        """The states before this window, from those before the first one, and what their cotangents join by.

        A group is summarised from zeros, with the states before it in order as they truly are.
        """
        known, joints, given = self.zeros, [], self._given(first)
        for group in linearity(self.layer.evaluated).groups:
            packed = packing(self.layer, group)
            factors, rests = self._gathered(partial(self._summary, packed, known), packed)
            joint = Joint(packed, factors)
            before = joint.forward(packed.pack(given), rests)
            known = {**known, **packed.unpack(before[self.call.exchange.group.rank])}
            joints.append(joint)
        return known, joints

    def pulled(
        self, begun: Tree, joints: Sequence[Joint], output: Array, last: Tree
    ) -> tuple[dict[str, Host], dict[str, Host]]:
        """The cotangents of the states after this window, and of those before the first one."""
        after, first, rank = self.zeros, self.zeros, self.call.exchange.group.rank
        given = self.zeros if last is None else self.states(last)
        for joint in reversed(joints):
            packed = joint.packing
            _, rests = self._gathered(partial(self._rest, packed, begun, output, after), packed)
            found = joint.backward(packed.pack(given), rests)
            after = {**after, **packed.unpack(found[rank + 1])}
            first = {**first, **packed.unpack(found[0])}
        return after, first

    def _given(self, first: Tree) -> dict[str, Host]:
        """The states before the first window: given, learned, or zeros."""
        if first is not None:
            return self.states(first)
        own = self.call.params["layers"][self.stage.begin + self.at]["forward"].get("initial", {})
        learned = self.call.exchange.backend.to_numpy(own)
        return {name: np.broadcast_to(learned.get(name, zeros), zeros.shape) for name, zeros in self.zeros.items()}

    def _summary(self, packed: Packing, known: dict[str, Host]) -> tuple[Host, Host]:
        """A (batch, free, mixed, mixed) and b (batch, free, mixed) of this window for one group.

        Row i of A is the pullback of the final entry i. A difference of two runs would lose it to rounding.
        """
        begun = self.tree({**known, **{name: self.zeros[name] for name in packed.shapes}})
        ran = self.call.run(self.stage, self.inputs, begun)
        rest, output = packed.pack(self.states(ran.state)), self.call.exchange.backend.zeros(tuple(ran.outputs.shape))
        factors = np.empty((*rest.shape, packed.mixed))
        for entry in range(packed.mixed):
            unit = np.zeros(rest.shape)
            unit[..., entry] = 1.0
            final = self.tree({**self.zeros, **packed.unpack(unit)})
            found = self.call.pull(self.stage, self.inputs, begun, output, final)
            factors[..., entry, :] = packed.pack(self.states(found.state))
        return factors, rest

    def _rest(
        self, packed: Packing, begun: Tree, output: Array, after: dict[str, Host]
    ) -> tuple[None, Host]:
        """The cotangent of a group's states before this window, without what comes through those after it."""
        return None, packed.pack(self.states(self.call.pull(self.stage, self.inputs, begun, output,
                                                            self.tree(after)).state))  # fmt: skip

    def _gathered(self, part: Callable[[], tuple[Host | None, Host]], packed: Packing) -> tuple[Host, Host]:
        """What the parts of all workers return, by rank: factors, or None, and rests."""
        exchange, backend = self.call.exchange, self.call.exchange.backend
        shape = (exchange.group.size, self.call.window.batch, packed.free, packed.mixed)
        shapes = {"factors": Shape((*shape, packed.mixed)), "rests": Shape(shape)}

        def slots() -> tuple[Tree, tuple[()]]:
            found = {name: np.zeros(whole) for name, whole in shapes.items()}
            for name, own in zip(found, part(), strict=True):
                if own is not None:
                    found[name][exchange.group.rank] = own
            return backend.asarray(found), ()

        found = backend.to_numpy(exchange.sums(slots, shapes)[0])
        return found["factors"].astype(np.float64), found["rests"].astype(np.float64)


def _check(call: str, i: int, layer: Layer) -> None:
    must, do = "every state must be affine in itself", "use Chain or Wavefront, which run any cell"
    for group in linearity(layer.evaluated).groups:
        if not group.step.is_affine:
            said = wording.forward(group.states, group.step).rstrip(".")
            raise NetworkError(call, must, f"layers.{i}, a {layer.cell.label}: {said}", do)
    if layer.gradient is not None:
        raise NetworkError(call, "no layer may have a gradient policy", f"layers.{i} {layer.gradient}", do)
    nodes = layer.evaluated.graph.nodes
    stopped = {index for index, node in iterate(nodes, "stop")}
    if stopped & descendants(nodes, [index for index, _ in iterate(nodes, "state")]):
        raise NetworkError(call, must, f"layers.{i}, a {layer.cell.label}: stop hides a state from its gradient", do)
