"""The layout: the blocks and calls of every phase of a cell, for one order of its maps."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

from backends.planning import lifetimes
from backends.planning.emission import Block, Call, Emitter, Kind, Place
from backends.planning.plan import Plan, Product
from backends.planning.rewriting import Logistic, Rewritten, rewrite
from rnnspec.derivation.schedule import Schedule
from rnnspec.tracing.cell import OUTPUT
from rnnspec.tracing.graph import Node, iterate

__all__ = ["Layout"]


class Layout:
    """Every phase of a cell, laid out for one order in which its maps stand side by side.

    It has the forward phases; `pulled` adds the backward phases for one order of the maps' cotangents.
    """

    def __init__(
        self, schedule: Schedule, widths: dict[str, int], order: tuple[str, ...], logistic: Logistic | None
    ) -> None:
        self.schedule, self.rank = schedule, {name: i for i, name in enumerate(order)}
        self.kept: dict[int, Place] = {}
        new = rewrite(schedule, logistic) if logistic else Rewritten(schedule.nodes, schedule.forward)
        found = _node_widths(new.nodes, widths, schedule.cell.graph.result(OUTPUT))
        self.nodes, self.forward = _counted(new.nodes, found), new.forward
        self.e = Emitter(self.nodes, found, self.rank)
        self.new: dict[str, Place] = {}
        self._lay_fixed()
        targets = self._lay_states(widths)
        self._lay_inputs()
        self._emit_forward(targets)

    def deltas(self) -> list[int]:
        """The cotangents of input and recurrent maps that are computed, each once."""
        s = self.schedule
        found = [n for (op, _), n in s.adjoint.leaves if op == "input"] + [use.cotangent for use in s.adjoint.maps]
        computed = {*s.backward.before, *s.backward.step, *s.backward.after}
        return [n for n in dict.fromkeys(found) if n in computed]

    def pulled(self, order: tuple[int, ...]) -> Layout:
        """This layout with the backward phases, the cotangents of maps in this order."""
        found = copy(self)
        found.e, found.kept = self.e.copy(), dict(self.kept)
        found._pull(order)
        return found

    def _pull(self, order: tuple[int, ...]) -> None:
        s, e = self.schedule, self.e
        in_step, after = self._phases()
        outliving = lifetimes.backward(s, e.places, in_step, after)
        targets = self._lay_deltas(order)
        cotangent = {node.name: n for n, node in iterate(s.nodes, "cotangent")}
        self.output_cotangent = Place(
            e.block(Block(Kind.TIME, self.output.high - self.output.low)), 0, self.output.high - self.output.low
        )
        if OUTPUT in cotangent:
            e.places[cotangent[OUTPUT]] = self.output_cotangent
        self.carried = {}
        for state in s.cell.states:
            block = e.block(Block(Kind.STEP, self.new[state].high, state=state))
            self.carried[state] = Place(block, 0, self.new[state].high)
            if state in cotangent:
                e.places[cotangent[state]] = self.carried[state]
        factors = self._lay_factors(order, in_step)
        self.pull_before = e.emit(s.backward.before, Kind.CHUNK, outliving.before, targets | factors)
        self.pull_step = self._pull_step(in_step, cotangent, outliving.step, targets)
        e.places.update(self.kept)
        self.pull_after = e.emit(after, Kind.TIME, outliving.after, targets)
        self._gradients()

    @property
    def cost(self) -> int:
        """The number of calls of one forward step."""
        return len(self.step) + len(self.before)

    @property
    def pull_cost(self) -> tuple[int, int]:
        """The number of calls that pull back one step and all maps, and that of the step only."""
        maps = len(self.input_gradients) + len(self.map_gradients)
        return len(self.pull_step) + len(self.pull_before) + 4 * maps, len(self.pull_step)

    def finished(self) -> Plan:
        """The plan."""
        return Plan(
            self.schedule, self.nodes, tuple(self.e.widths), tuple(self.e.blocks), dict(self.e.places), self.x,
            self.inputs, tuple(self.before), tuple(self.step), tuple(self.after), self.output, self.output_cotangent,
            self.carried, tuple(self.pull_before), tuple(self.pull_step), tuple(self.pull_after), self.input_gradients,
            self.map_gradients, self.vector_gradients, self.x_gradient,
        )  # fmt: skip

    def _lay_fixed(self) -> None:
        for value in (False, True):
            vectors = [n for n, node in enumerate(self.nodes) if node.op == "vector" and bool(node.value) == value]
            self.e.side_by_side(Kind.FIXED, sorted(vectors, key=lambda n: self.rank.get(self.nodes[n].name, 0)))
        for n, node in enumerate(self.nodes):
            if node.op == "constant":
                self.e.side_by_side(Kind.FIXED, [n])

    def _phases(self) -> tuple[list[int], list[int]]:
        """The nodes of the backward step, and those after it; a map's cotangent joins the step with its operands."""
        s = self.schedule
        there = {*s.backward.before, *s.backward.step, *range(s.adjoint.forward)}
        there |= {n for n, node in enumerate(s.nodes) if node.op in ("cotangent", "constant")}
        joining = [n for n in self.deltas() if n in s.backward.after and there.issuperset(s.nodes[n].args)]
        return [*s.backward.step, *joining], [n for n in s.backward.after if n not in joining]

    def _lay_states(self, widths: dict[str, int]) -> dict[int, Place]:
        """Lay out every state before and after a step; return the places of its new values."""
        cell = self.schedule.cell
        targets: dict[int, Place] = {}
        leaf = {node.name: n for n, node in iterate(cell.graph.nodes, "state")}
        for state in cell.states:
            width, result = widths[state], cell.graph.result(state)
            old = self.e.block(Block(Kind.OLD, width, width, state=state))
            self.new[state] = Place(self.e.block(Block(Kind.NEW, width, width, state=state)), 0, width)
            if state in leaf:
                self.e.places[leaf[state]] = Place(old, 0, width)
            if result in self.forward.step:
                targets.setdefault(result, self.new[state])
        return targets

    def _lay_inputs(self) -> None:
        itself = [n for n, _ in iterate(self.nodes, "x")]
        if itself:
            self.e.side_by_side(Kind.TIME, itself)
        self.x = self.e.places[itself[0]] if itself else None
        maps = [n for n in self.forward.before if self.nodes[n].op == "input"]
        self.e.side_by_side(Kind.TIME, sorted(maps, key=lambda n: self.rank[self.nodes[n].name]))
        self.inputs = tuple((self.nodes[n].name, self.nodes[n].value or 1.0, self.e.places[n]) for n in maps)

    def _emit_forward(self, targets: dict[int, Place]) -> None:
        cell, forward, e = self.schedule.cell, self.forward, self.e
        outliving = lifetimes.forward(self.schedule, self.nodes, forward)
        self.before = e.emit([n for n in forward.before if n not in e.places], Kind.TIME, outliving.before, {})
        self.step = e.emit(forward.step, Kind.STEP, outliving.step, targets)
        for state, new in self.new.items():
            if e.places[cell.graph.result(state)] != new:
                self.step.append(Call("copy", (e.places[cell.graph.result(state)],), new))
        self.after = e.emit(forward.after, Kind.TIME, outliving.after, {})
        self.output = e.places[cell.graph.result(OUTPUT)]

    def _lay_deltas(self, order: tuple[int, ...]) -> dict[int, Place]:
        block = self.e.block(Block(Kind.TIME, sum(self.e.widths[n] for n in order), joined=True))
        targets, low = {}, 0
        for n in order:
            targets[n] = Place(block, low, low + self.e.widths[n])
            low += self.e.widths[n]
        return targets

    def _lay_factors(self, order: tuple[int, ...], in_step: list[int]) -> dict[int, Place]:
        """Lay out the factors of the carried value side by side, in the order of the cotangents."""
        s, targets = self.schedule, {}
        columns = sum(self.e.widths[n] for n in order)
        widths = {self.e.widths[n] for n in order}
        width = widths.pop() if len(widths) == 1 else 0
        block, low = self.e.block(Block(Kind.CHUNK, columns, width)), 0
        before = set(s.backward.before)
        for n in order:
            node = s.nodes[n]
            factors = [
                a for a in node.args if a in before and self.e.widths[a] == self.e.widths[n] and a not in targets
            ]
            if factors and n in in_step and node.op == "multiply":
                targets[factors[-1]] = Place(block, low, low + self.e.widths[n])
            low += self.e.widths[n]
        return targets | self._lay_common(in_step, before - set(targets))

    def _lay_common(self, in_step: list[int], before: set[int]) -> dict[int, Place]:
        """Side by side, the factors of one carried value: its products with them are one call."""
        nodes, widths, targets = self.schedule.nodes, self.e.widths, dict[int, Place]()
        common: dict[int, list[int]] = {}
        for n in in_step:
            if nodes[n].op == "multiply" and nodes[n].args[1] in before:
                carried, factor = nodes[n].args
                if widths[carried] == widths[factor]:
                    common.setdefault(carried, []).append(factor)
        for carried, factors in common.items():
            new, width = [f for f in dict.fromkeys(factors) if f not in targets], widths[carried]
            if len(new) > 1:
                block = self.e.block(Block(Kind.CHUNK, width * len(new), width))
                targets |= {f: Place(block, i * width, (i + 1) * width) for i, f in enumerate(new)}
        return targets

    def _pull_step(
        self,
        in_step: list[int],
        cotangent: dict[str, int],
        outliving: lifetimes.Outliving,
        targets: dict[int, Place],
    ) -> list[Call]:
        s, e = self.schedule, self.e
        calls: list[Call] = []
        for n in sorted(cotangent.values()):
            if s.nodes[n].name != OUTPUT and outliving.get(n) is Kind.TIME:
                kept = Place(e.block(Block(Kind.TIME, e.widths[n])), 0, e.widths[n])
                calls.append(Call("copy", (e.places[n],), kept))
                self.kept[n] = kept
        results = {state: s.adjoint.leaf("state", state) for state in s.cell.states}
        moved = self._set_aside(results.items(), set(cotangent.values()))
        calls += [Call("copy", (e.places[n],), aside) for n, aside in moved.items()]
        own = dict(targets)
        passed = {state: n for state, n in results.items() if n is not None}
        for state, n in passed.items():
            if n in s.backward.step and n not in own and outliving[n] is Kind.STEP:
                own[n] = self.carried[state]
        calls += e.emit(in_step, Kind.STEP, outliving, own)
        arrived = {call.out for call in calls if call.op == "copy"}
        for state, n in passed.items():
            if self.carried[state] not in {e.places[n], *arrived}:
                calls.append(Call("copy", (moved.get(n, e.places[n]),), self.carried[state]))
        return calls + [Call("zero", (), self.carried[state]) for state, n in results.items() if n is None]

    def _set_aside(self, results: Iterable[tuple[str, int | None]], cotangents: set[int]) -> dict[int, Place]:
        """Places for the carried values that become another state's as they are, before a step overwrites them."""
        e = self.e
        handed = {n for state, n in results if n in cotangents and e.places[n] != self.carried[state]}
        return {n: Place(e.block(Block(Kind.STEP, e.widths[n])), 0, e.widths[n]) for n in sorted(handed)}

    def _gradients(self) -> None:
        s, e = self.schedule, self.e
        inputs = [(e.places[n], name, -1) for (op, name), n in s.adjoint.leaves if op == "input"]
        maps = [(e.places[use.cotangent], use.name, use.operand) for use in s.adjoint.maps]
        self.input_gradients = tuple(Product(names, place, None) for names, place, _ in _stretches(inputs))
        self.map_gradients = tuple(
            Product(names, place, e.places[operand]) for names, place, operand in _stretches(maps)
        )
        self.x_gradient = next((e.places[n] for (op, _), n in s.adjoint.leaves if op == "x"), None)
        self.vector_gradients = tuple((name, e.places[n]) for (op, name), n in s.adjoint.leaves if op == "vector")


def _stretches(terms: Iterable[tuple[Place, str, int]]) -> list[tuple[tuple[str, ...], Place, int]]:
    """Stretches of cotangents that have one operand and lie side by side."""
    found: list[tuple[tuple[str, ...], Place, int]] = []
    for place, name, operand in sorted(terms, key=lambda t: (t[2], t[0].block, t[0].low)):
        if found:
            names, last, other = found[-1]
            if other == operand and last.block == place.block and last.high == place.low:
                found[-1] = ((*names, name), Place(last.block, last.low, place.high), operand)
                continue
        found.append(((name,), place, operand))
    return found


def _counted(nodes: tuple[Node, ...], widths: tuple[int, ...]) -> tuple[Node, ...]:
    """The nodes with the number in place of a width."""
    return tuple(Node("constant", value=float(widths[n.args[0]])) if n.op == "width" else n for n in nodes)


def _node_widths(nodes: tuple[Node, ...], widths: dict[str, int], output: int) -> tuple[int, ...]:
    found: dict[int, int] = {}

    def width(n: int) -> int:
        if n not in found:
            node = nodes[n]
            match node.op:
                case "x":
                    found[n] = widths["x"]
                case "input":
                    found[n] = widths[f"x.{node.name}"]
                case "vector":
                    found[n] = widths[f"p.{node.name}"]
                case "map":
                    found[n] = widths[f"R.{node.name}"]
                case "transposed":
                    found[n] = widths[f"{node.name.split()[0]}.R"]
                case "state" | "cotangent":
                    found[n] = widths[node.name] if node.name else width(output)
                case "constant" | "width" | "total" | "logsumexp":
                    found[n] = 1
                case "spread":
                    found[n] = width(node.args[1])
                case _:
                    found[n] = max(width(arg) for arg in node.args)
        return found[n]

    return tuple(width(n) for n in range(len(nodes)))
