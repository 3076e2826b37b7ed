"""Windows of time in turn: each worker waits for the state of the one before, and going back for its cotangent.

Any cell can run so. With the layers apart, windows of different layers run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rnnspec.contract.arrays import Array
from rnnspec.network import Network
from rnnspec.tree import Tree
from rnnspec.workers.sequence import Backward, Call, Forward, OverTime
from rnnspec.workers.stages import Stage, layered, whole

__all__ = ["Chain", "Wavefront"]


class Chain(OverTime):
    """Windows one after the other, with all layers: for sequences that are too long for the memory of one worker.

    One worker runs at a time. Each keeps what a pullback needs for its own window alone, and runs it twice: first for
    the state that it hands on, and again with its pullback.
    """

    def stages(self, call: str, net: Network) -> tuple[Stage, ...]:
        return whole(net)

    def forward(self, call: Call, state: Sequence[Tree]) -> Forward:
        inputs, begun, path = [call.window.inputs], list[Tree](), list[tuple[str, str]]()

        def part(place: int, before: Tree) -> Tree:
            stage = call.stages[place]
            found = call.run(stage, inputs[-1], before)
            inputs.append(found.outputs)
            begun.append(before)
            path.extend(stage.path(found.path))
            return found.state

        final = _march(call, call.stages, self.group.rank, list(state), part)
        return Forward(inputs[:-1], begun, inputs[-1], final, tuple(path))

    def backward(self, call: Call, ran: Forward, output: Array, final: Sequence[Tree]) -> Backward:
        cotangents, params, top = [output], list[Tree](), len(call.stages) - 1

        def part(place: int, after: Tree) -> Tree:
            at = top - place
            found = call.pull(call.stages[at], ran.inputs[at], ran.begun[at], cotangents[-1], after)
            cotangents.append(found.inputs)
            params.append(found.params)
            return found.state

        back = self.group.size - 1 - self.group.rank
        first = _march(call, call.stages[::-1], back, list(final)[::-1], part)
        return Backward(params[::-1], cotangents[-1], first[::-1])


class Wavefront(Chain):
    """Windows and layers at once: layer l of window w runs while layer l + 1 of window w - 1 does.

    With L layers and N windows of equal work, all is done in L + N - 1 moments in place of L N.
    """

    def stages(self, call: str, net: Network) -> tuple[Stage, ...]:
        return layered(call, net)


def _march(
    call: Call, stages: Sequence[Stage], place: int, reached: list[Tree], part: Callable[[int, Tree], Tree]
) -> list[Tree]:
    """What each stage's state becomes on its way through all workers, from what it is `reached` at first.

    At each moment the worker at a place has the stage that came to the place before it a moment ago. The workers that
    have one run it, and one exchange hands all their states on.
    """
    size, batch = call.exchange.group.size, call.window.batch
    for moment in range(len(stages) + size - 1):
        at_work = [at for at in range(len(stages)) if 0 <= moment - at < size]
        shapes = {str(at): stages[at].net.state_shapes(batch) for at in at_work}
        own = moment - place

        def does(own: int = own, shapes: Tree = shapes) -> tuple[Tree, tuple[()]]:
            if not 0 <= own < len(stages):
                return None, ()
            state = part(own, reached[own])
            return {at: state if int(at) == own else call.exchange.zeros(shape) for at, shape in shapes.items()}, ()

        found, _ = call.exchange.sums(does, shapes)
        for at in at_work:
            reached[at] = found[str(at)]
    return reached
