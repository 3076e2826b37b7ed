"""The parallel form of a cell: its equations over all steps at once, with the recurrences of its states taken out.

The equations become stages, one for each group of states. A scan runs states that are affine entry by entry, or a
maximum of sums; chunks run a matrix with a decay of its keys and writes of rank one. What stands between the stages is
computed for all steps together. In the pullback the stages follow in reverse order, and every scan is linear there.

>>> from rnnspec import cells
>>> [type(stage).__name__ for stage in parallel(cells.mlstm).stages]
['Scan', 'Chunks', 'Scan']
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from rnnspec.derivation.adjoint import Adjoint, derive
from rnnspec.derivation.affine import Affinity, NotAffine
from rnnspec.derivation.components import components
from rnnspec.derivation.rank_one import Matrices
from rnnspec.derivation.schedule import Phases, Schedule, schedule
from rnnspec.derivation.semirings import LINEAR, TROPICAL, Semiring
from rnnspec.derivation.tropical import maximum_of
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.graph import MAPS, Graph, GraphBuilder, Node, ancestors, descendants, iterate
from rnnspec.tracing.ranks import MATRIX, narrowness, ranks

__all__ = ["Chunks", "Derivation", "Factors", "Form", "Query", "Scan", "Stage", "parallel"]

Factors = tuple[tuple[tuple[str, str], int], ...]
"""The node that multiplies a state or a cotangent, the second of a pair of names, in the equation of the first."""

COSTLY = (*MAPS, "tanh", "sigmoid", "softplus", "exp", "log", "cos", "sin", "erf", "logsumexp")
"""The operations that take many times as long as a product of two numbers; a root takes no longer than a quotient."""


@dataclass(frozen=True)
class Scan:
    """States whose steps are `s' = sum over t of factor[s, t] * t + rest[s]` in a semiring, and their cotangents.

    The cotangent of the state before a step is that sum too, always linear: `back` and `back_rest` in those after it.
    """

    states: tuple[str, ...]
    semiring: Semiring
    factors: Factors
    rest: tuple[tuple[str, int], ...]
    back: Factors = ()
    back_rest: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Query:
    """A read of a matrix as a leaf, by name, and the result that is its query; of the state before or after a step."""

    leaf: str
    query: str
    after: bool


@dataclass(frozen=True)
class Chunks:
    """A matrix that steps by `S' = diag(decay) S + sum of outer(key, value)`, keys along its rows or its columns.

    All are named results of the schedule's graph. The value of a write is `value + sum of feedback[j, i] * read i`, a
    number times a read of the state before the step. A decay or value of None is 1 or 0. Reads before the step come
    first, and of them those that feed back.
    """

    state: str
    keys_are_rows: bool
    decay: str | None
    keys: tuple[str, ...]
    values: tuple[str | None, ...]
    feedback: tuple[tuple[tuple[int, int], str], ...]
    reads: tuple[Query, ...]

    @property
    def before(self) -> int:
        """How many reads are of the state before the step."""
        return sum(not read.after for read in self.reads)

    @property
    def fed(self) -> int:
        """How many reads feed back into the values of writes."""
        return len({i for (_, i), _ in self.feedback})

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of all results that the stage reads."""
        named = (self.decay, *self.keys, *self.values, *(name for _, name in self.feedback))
        return (*(name for name in named if name is not None), *(read.query for read in self.reads))


Stage = Scan | Chunks


@dataclass(frozen=True, eq=False)
class Form:
    """The stages in order, and the schedule of the equations between them; its cell's graph has the stages' leaves.

    `loop` is the schedule of the same cell step by step.
    """

    stages: tuple[Stage, ...]
    schedule: Schedule
    loop: Schedule

    @property
    def has_chunks(self) -> bool:
        """Whether a stage runs by chunks."""
        return any(isinstance(stage, Chunks) for stage in self.stages)

    @property
    def of_vectors(self) -> bool:
        """Whether all states are vectors, so that a scan keeps no matrix of each step."""
        return all(rank < MATRIX for rank in self.schedule.cell.ranks.values()) and not self.has_chunks

    def spares(self, pullback: bool) -> bool:
        """Whether the form does of all steps at once what costs the loop time in each, beside the recurrence itself.

        That is to compute maps and elementary functions, or for a pullback to record other values than states.
        """
        return self._computes or (pullback and self._records)

    @cached_property
    def _computes(self) -> bool:
        return any(self.loop.nodes[index].op in COSTLY for index in self.loop.forward.step)

    @cached_property
    def _records(self) -> bool:
        cell = self.loop.cell
        states = {cell.graph.result(name) for name in cell.states}
        return any(index not in states for index in {*self.loop.saved}.intersection(self.loop.forward.step))


@lru_cache(maxsize=256)
def parallel(cell: Cell) -> Form | str:
    """The parallel form of a cell, or the reason why it has none, as a clause without a full stop."""
    try:
        return Derivation(cell.graph, ranks(cell.graph), cell.numbers).form(cell)
    except NotAffine as found:
        return f"a step that is not affine in its state ({found})"


class Derivation:
    """Carries equations into a new graph, state by state; `numbers` are the states of one feature."""

    def __init__(self, graph: Graph, ranks: Sequence[int], numbers: Collection[str]) -> None:
        self.graph, self.nodes, self.ranks, self.numbers = graph, graph.nodes, ranks, numbers
        self.narrow = narrowness(graph.nodes)
        self.builder, self.place = GraphBuilder(has_matrices=True), dict[int, int]()
        self.matrices: dict[str, Matrices] = {}
        self.results: dict[str, int] = {}
        self.staged: set[str] = set()

    def form(self, cell: Cell) -> Form:
        """The form of the cell of the equations; raises NotAffine."""
        stages: list[Stage] = []
        for group in components(self.graph, cell.states):
            stages.append(self.stage(group))
            self.staged |= set(group)
        self.results[OUTPUT] = self.carried(self.graph.result(OUTPUT))
        graph = self.builder.graph(self.results)
        adjoint = derive(graph)
        builder = GraphBuilder(list(adjoint.nodes))
        done = tuple(self._scan(builder, adjoint, graph, s) if isinstance(s, Scan) else s for s in stages)
        complete = Adjoint(tuple(builder.nodes), adjoint.forward, adjoint.leaves, adjoint.maps)
        inner = Cell(cell.name, cell.states, graph, None, cell.heads, cell.shared, cell.given)
        between = Schedule(inner, complete, Phases((), (), ()), Phases((), (), ()))
        return Form(done, between, schedule(cell))

    def carried(self, index: int) -> int:
        """The node of the new graph for a node of the equations that is no matrix of a chunked state."""
        if index not in self.place:
            node = self.nodes[index]
            self.place[index] = self._read(node) if self._is_read(node) else self._same(node)
        return self.place[index]

    def _same(self, node: Node) -> int:
        if any(self._in_chunks(arg) for arg in node.args) or (node.op == "state" and node.name in self.matrices):
            raise NotAffine(node, mixed=True)
        return self.builder.add(node.op, [self.carried(arg) for arg in node.args], node.name, node.value)

    def _is_read(self, node: Node) -> bool:
        return node.op == "matmul" and any(self._in_chunks(arg) for arg in node.args)

    def _read(self, node: Node) -> int:
        return next(m for m in self.matrices.values() if any(m.depends(arg) for arg in node.args)).read(node)

    def _in_chunks(self, index: int) -> bool:
        return self.ranks[index] == MATRIX and any(m.depends(index) for m in self.matrices.values())

    def stage(self, group: tuple[str, ...]) -> Stage:
        """The stage of a group after those that it reads; raises NotAffine."""
        before = dict(self.place), dict(self.results)
        try:
            found = self.chunks(group)
            if found.keys and found.reads:
                return found
        except NotAffine:
            pass
        self.place, self.results = before
        self.matrices.pop(group[0], None)
        return self._elementwise(group)

    def chunks(self, group: tuple[str, ...]) -> Chunks:
        """The stage of one matrix, also of one that nothing writes to or reads; raises NotAffine."""
        state, new = group[0], self.graph.result(group[0])
        if len(group) > 1 or self.ranks[new] != MATRIX:
            raise NotAffine(self.nodes[new], mixed=True)
        before = dict(self.place), dict(self.results)
        try:
            return self._chunks(state, keys_are_rows=True)
        except NotAffine:
            self.place, self.results = before
            return self._chunks(state, keys_are_rows=False)

    def _are_known(self, queries: Iterable[int]) -> bool:
        """Whether queries read states of earlier stages alone."""
        needed = ancestors(self.builder.nodes, list(queries))
        named = {node.name for i, node in iterate(self.builder.nodes, "state") if i in needed}
        return not named & set(self.graph.names("state")) - self.staged

    def _elementwise(self, group: tuple[str, ...]) -> Scan:
        """The states of a scan; its factors are found once the graph is complete."""
        for state in group:
            self.results[state] = self.carried(self.graph.result(state))
        leaves = {index for index, node in iterate(self.builder.nodes, "state") if node.name in group}
        numbers = {index for index in leaves if self.builder.nodes[index].name in self.numbers}
        trial = GraphBuilder(list(self.builder.nodes))
        semiring = _semiring(trial, leaves, numbers, [self.results[state] for state in group])
        return Scan(group, semiring, (), ())

    def _scan(self, builder: GraphBuilder, adjoint: Adjoint, graph: Graph, stage: Scan) -> Scan:
        """The scan with the factors of its states and of their cotangents, which are added to the graph."""
        leaf = {node.name: i for i, node in iterate(graph.nodes, "state") if node.name in stage.states}
        cotangent = {node.name: i for i, node in iterate(builder.nodes, "cotangent") if node.name in stage.states}
        numbers = {i for named in (leaf, cotangent) for s, i in named.items() if s in self.numbers}
        back = Affinity(builder, set(cotangent.values()), numbers)
        new = {s: graph.result(s) for s in stage.states}
        old = {s: i for s in stage.states if (i := adjoint.leaf("state", s)) is not None}
        backward, back_rest = _factors(back, old, cotangent)
        if stage.semiring is LINEAR:
            factors, rest = _factors(Affinity(builder, set(leaf.values()), numbers), new, leaf)
        else:
            (state,) = stage.states
            form = maximum_of(builder, leaf[state], new[state])
            factors = () if form.shift is None else (((state, state), form.shift),)
            rest = () if form.floor is None else ((state, form.floor),)
        return Scan(stage.states, stage.semiring, factors, rest, backward, back_rest)

    def _chunks(self, state: str, keys_are_rows: bool) -> Chunks:
        leaf = next((i for i, node in iterate(self.nodes, "state") if node.name == state), None)
        new = self.graph.result(state)
        if leaf is None:
            raise NotAffine(self.nodes[new])
        found = Matrices(self.builder, self.nodes, self.ranks, self.narrow, self.carried, leaf, new, keys_are_rows)
        self.matrices[state] = found
        form = found.form(new)
        for i, node in enumerate(self.nodes):
            if self._is_read(node) and any(found.depends(arg) for arg in node.args):
                self.carried(i)
        affinity = Affinity(self.builder, {read.leaf for read in found.reads.values()})
        known = [affinity.of(value) for _, value in form.writes]
        fed = {leaf for value in known for leaf in value.factors}
        reads = sorted(found.reads.values(), key=lambda read: (read.after, read.leaf not in fed))
        moving = descendants(self.builder.nodes, [read.leaf for read in reads])
        feeding = moving & ancestors(self.builder.nodes, [value for _, value in form.writes])
        stops = next((node for i, node in iterate(self.builder.nodes, "stop") if i in feeding), None)
        if stops is not None:  # the pullback has the feedback of the values
            raise NotAffine(stops)
        fixed = [form.decay, *(key for key, _ in form.writes), *(read.query for read in reads)]
        if form.decay is None or moving.intersection(i for i in fixed if i is not None):
            raise NotAffine(self.nodes[new])
        if not self._are_known(read.query for read in reads):
            raise NotAffine(self.nodes[new])
        names = {"decay": form.decay} if form.decay != self.builder.constant(1.0) else {}
        names |= {f"key {j}": key for j, (key, _) in enumerate(form.writes)}
        names |= {f"query {i}": read.query for i, read in enumerate(reads)}
        feedback = []
        for j, value in enumerate(known):
            names |= {} if value.rest is None else {f"value {j}": value.rest}
            for i, read in enumerate(reads):
                factor = value.factors.get(read.leaf)
                if factor is not None:
                    if read.after or not affinity.is_number(factor):
                        raise NotAffine(self.nodes[new], mixed=True)
                    names[f"feedback {j} {i}"] = factor
                    feedback.append(((j, i), f"{state} feedback {j} {i}"))
        self.results |= {f"{state} {name}": index for name, index in names.items()}

        def named(name: str) -> str | None:
            return f"{state} {name}" if name in names else None

        writes = range(len(form.writes))
        return Chunks(state, keys_are_rows, named("decay"), tuple(f"{state} key {j}" for j in writes),
                      tuple(named(f"value {j}") for j in writes), tuple(feedback),
                      tuple(Query(self.builder.nodes[read.leaf].name, f"{state} query {i}", read.after)
                            for i, read in enumerate(reads)))  # fmt: skip


def _semiring(builder: GraphBuilder, leaves: set[int], numbers: set[int], new: list[int]) -> Semiring:
    """The semiring in which the new values are sums of products; raises NotAffine."""
    affinity = Affinity(builder, leaves, numbers)
    try:
        for index in new:
            affinity.of(index)
    except NotAffine:
        if len(leaves) != 1 or len(new) != 1:
            raise
        try:
            maximum_of(builder, next(iter(leaves)), new[0])
        except NotAffine:
            pass
        else:
            return TROPICAL
        raise
    return LINEAR


def _factors(
    affinity: Affinity, ends: dict[str, int], leaves: dict[str, int]
) -> tuple[Factors, tuple[tuple[str, int], ...]]:
    """The factors of leaves in the forms of nodes, and the rests, by name."""
    forms = {name: affinity.of(index) for name, index in ends.items()}
    factors = tuple(((name, other), form.factors[leaf]) for name, form in forms.items()
                    for other, leaf in leaves.items() if leaf in form.factors)  # fmt: skip
    return factors, tuple((name, form.rest) for name, form in forms.items() if form.rest is not None)
