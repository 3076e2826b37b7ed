"""Every policy on both sides of its threshold, judged by the oracle; and at its edges, by the specification's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

import rnnspec
from conformance.cases import CELLS, Case, drawn_cases
from conformance.judge import Evidence, Failure, IllPosed, Judge
from conformance.tolerance import Reference
from rnnspec.errors import NonFiniteError
from rnnspec.losses import SquaredError
from tests.stress.edges import EDGES
from tests.stress.false_alarms import PRECISIONS, variants
from tests.stress.thresholds import DRAWS, Drawn

STRUCTURES = 5
"""For each policy: a network and its sizes are a program where one is compiled, and serve many draws."""
LEAST_STEPS = 5
"""So that a row can end before the first edge that is cut, and another go on behind it."""
FARTHEST = 20.0
"""The largest ratio to a threshold, and one over the smallest."""
POSED = 0.05
"""The largest part of the cases that may be ill-posed, as of false alarms."""


@dataclass
class Count:
    """What came of a policy's cases on one backend."""

    failed: int = 0
    ill_posed: int = 0
    edges_failed: int = 0
    worst_kappa: float = 0.0


@dataclass
class Tally:
    """A policy's cases, the same for every backend, and what came of them."""

    within: int = 0
    beyond: int = 0
    edges: int = 0
    backends: dict[str, Count] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Nothing failed, and there was enough to be judged on both sides."""
        cases = self.within + self.beyond
        wrong = any(row.failed or row.edges_failed or row.ill_posed > POSED * max(cases, 20)
                    for row in self.backends.values())  # fmt: skip
        return not wrong and min(self.within, self.beyond) >= cases // 4

    def figures(self) -> dict[str, Any]:
        """As JSON values."""
        return {"within": self.within, "beyond": self.beyond, "edges": self.edges,
                "backends": {name: vars(row) for name, row in self.backends.items()}}  # fmt: skip


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """For each policy: cases within and beyond its threshold and at its edges; on each backend, how many failed."""
    backends = {name: {p: rnnspec.get_backend(name, precision=p) for p in PRECISIONS} for name in names}
    tallies = {}
    for i, policy in enumerate(DRAWS):
        tallies[policy] = Tally(backends={name: Count() for name in names})
        drawn(policy, backends, count, seed + i, tallies[policy])
        edged(policy, backends, tallies[policy])
        print(policy, tallies[policy].figures(), flush=True)
    return {"cases": count, "seed": seed, "policies": {name: tally.figures() for name, tally in tallies.items()},
            "holds": all(tally.holds for tally in tallies.values())}  # fmt: skip


def drawn(
    policy: str, backends: Mapping[str, Mapping[str, rnnspec.Backend]], count: int, seed: int, tally: Tally
) -> None:
    """Judge the drawn cases of one policy; a backend that compiles sees each structure in one precision."""
    for i, (case, wanted) in enumerate(cases(count, seed)):
        precision = PRECISIONS[case.seed % 2]
        question = DRAWS[policy](case, precision, wanted)
        reference = question.reference(precision, seed + i)
        tally.beyond, tally.within = tally.beyond + question.beyond, tally.within + (not question.beyond)
        for name, opened in backends.items():
            row, judge = tally.backends[name], Judge(opened[precision])
            try:
                ask(judge, question, reference)
            except IllPosed:
                row.ill_posed += 1
            except Failure as failure:
                row.failed += 1
                print(f"{policy}, {name}, {precision}, {wanted:.4g} of the threshold: {failure}\n{failure.evidence}\n"
                      f"{case.code()}\n", flush=True)  # fmt: skip
            row.worst_kappa = round(max(row.worst_kappa, judge.kappa), 3)


def cases(count: int, seed: int) -> Iterator[tuple[Case, float]]:
    """Cases of a few structures, each with a ratio to the threshold, as often beyond as within."""
    rng = np.random.default_rng(seed)
    for structure in structures(seed):
        for case in variants(structure, count // STRUCTURES):
            yield case, float(np.exp(rng.uniform(-1, 1) * np.log(FARTHEST)))


@cache
def structures(seed: int) -> tuple[Case, ...]:
    """Drawn structures with squared errors, whose gradient can be grown, and with a full row; no network twice."""
    found: dict[Any, Case] = {}

    @settings(max_examples=40 * STRUCTURES, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @seeded(seed)
    @given(drawn_cases(tuple(CELLS.values()), closed=True))
    def each(case: Case) -> None:
        if case.batch and case.steps >= LEAST_STEPS and case.ends.max() == case.steps:
            net = replace(case.net, loss=SquaredError())
            found[tuple((layer.cell, layer.direction) for layer in net.layers)] = replace(case, net=net)

    each()
    chosen = np.random.default_rng(seed).choice(len(found), STRUCTURES, replace=False)
    return tuple(list(found.values())[i] for i in chosen)


def ask(judge: Judge, question: Drawn, reference: Reference) -> None:
    """The pullback under a policy of the layers, or a training step by a rule; it raises where the rule says so."""
    a, backend, net = question.arrays, judge.backend, question.net
    if question.rule is None:
        found = backend.pullback(net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state, a.lengths)
        judge.close("the pullback", found, reference)
        return
    given = (net, question.rule, a.params, question.rule.init(a.params), a.inputs, a.targets, a.state, a.lengths)
    try:
        done = backend.train_step(*given)
    except NonFiniteError as error:
        raised(str(error), reference)
        return
    if raises(reference):
        raise Failure(Evidence("RaiseNonFinite", "", "a step", f"an error about {sorted(raises(reference))}"))
    judge.close("the training step", [vars(judge.numpy(done))], reference)


RAISING = "0.rule_state.0."
"""Where the counts of a chain that begins with RaiseNonFinite stand."""


def raises(reference: Reference) -> dict[str, int]:
    """The maps of which entries are not finite, and how many, where the chain begins with RaiseNonFinite."""
    counts = {name.removeprefix(RAISING): a for name, a in reference.expected().items() if name.startswith(RAISING)}
    return {name: int(a) for name, a in counts.items() if np.ndim(a) == 0 and a > 0}


def raised(said: str, reference: Reference) -> None:
    """An error must name a map and how many of its entries are not finite."""
    expected = [f"{count} entries of {name} that" for name, count in raises(reference).items()]
    if not any(words in said for words in expected):
        raise Failure(Evidence("RaiseNonFinite", "", said, " or ".join(expected) or "no error"))


def edged(policy: str, backends: Mapping[str, Mapping[str, rnnspec.Backend]], tally: Tally) -> None:
    """Judge what the specification says of a policy's edges, on every backend in both precisions."""
    for edge in EDGES.get(policy.split(",", maxsplit=1)[0], ()):
        tally.edges += len(PRECISIONS)
        for name, opened in backends.items():
            for precision, backend in opened.items():
                wrong = edge.wrong(backend)
                if wrong:
                    tally.backends[name].edges_failed += 1
                    print(f"{policy}, {name}, {precision}, {edge.says}: {wrong}", flush=True)
