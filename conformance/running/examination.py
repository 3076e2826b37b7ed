"""The examination of one backend in one precision: every law on every label, with examples that hypothesis draws.

A failing example is shrunk briefly only. Cases are drawn from short tables, so the first failure is small already, and
a backend that compiles needs a new program for every new shape.
"""

from __future__ import annotations

import math
import random
import traceback
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.strategies import SearchStrategy

from conformance.cases import Case
from conformance.findings.finding import NOT_APPLICABLE, Finding, Verdict, expected
from conformance.findings.tally import Tally
from conformance.judge import Evidence, Failure, IllPosed, Judge, NotApplicable
from conformance.part import WHOLE, Part
from conformance.properties.asking import is_eager
from conformance.registry import Property, Scope, properties
from conformance.running.constants import without_local_constants
from conformance.running.inquiry import Batch, Inquiry
from conformance.running.reproducer import code, reproducer
from conformance.running.sequence import Asked, fails_after
from rnnspec import Backend, Capabilities, Dense, Embedding, Layer, Network, Tied
from rnnspec.errors import UnsupportedError

__all__ = ["Examination", "lacking"]

REMEMBERED = 64
"""The cases that are remembered, for a fault that depends on calls before."""
SHRINKS = 12
"""The most further examples of a failing law."""
DRAWN_FOR_FULL_ROWS = 64
"""The cases drawn for each example on a backend that takes full rows only, which skips those with padding.

A fifth to a half of the cases of most strategies have full rows, and hypothesis draws like cases one after another: the
first full rows may come as late as the thirteenth. A strategy that draws none among so many has none.
"""


def _unheard(law: str, label: str, case: Any) -> None:
    """The default listener, which ignores its calls."""


class _ShrunkEnough(BaseException):
    """Ends hypothesis' search; it is neither a failure of a law nor an interrupt of the user."""


class _TestedEnough(BaseException):
    """Ends hypothesis' search where all examples have passed, or none can be tested."""


@dataclass
class Examination:
    """Tests laws on a backend.

    Where the backend declares few of the cells in the scope, each label has proportionally more examples. `labels`
    limits the labels of a law without the oracle; those that `first` has for the law are always among them.
    `announce(law, label, case)` is called before each case runs, since the case may end the process. `kappas` collects
    the worst ratio of every example, for the effective unit roundoff. A law that holds in one `part` of a run may be
    broken in another.
    """

    backend: Backend
    scope: Scope
    seed: int = 0
    examples: int = 6
    labels: int | None = None
    announce: Callable[[str, str, Any], None] = _unheard
    kappas: list[float] = field(default_factory=list)
    first: Mapping[str, Sequence[str]] = field(default_factory=dict)
    part: Part = WHOLE
    asked: deque[Asked] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """The last cases that were tested, of any law."""
    failed: dict[tuple[str, str], tuple[Any, list[Asked]]] = field(default_factory=dict)
    """The failing case of each law and label, and the cases before it."""
    reproducers: dict[tuple[str, str], str] = field(default_factory=dict)
    """Those that were written, by law and label."""

    def judge(self, law: Property, xfail: str | None = None) -> Finding:
        """Test one law. With `xfail`, the reason for an expected failure, a failure is `xfail` and a pass fails."""
        inquiry = self.inquire(law, xfail)
        inquiry.ask(inquiry.left)
        return inquiry.finding()

    def inquire(self, law: Property, xfail: str | None = None) -> Inquiry:
        """The inquiry that `judge` completes."""
        able = self.backend.capabilities
        told = self._told(law)
        if told:
            return Inquiry(law, finished=told)
        missing = sorted(need for need in law.needs if need != "lengths" and not getattr(able, need))
        if missing:
            why = f"the backend declares no {', '.join(missing)}"
            return Inquiry(law, finished=Finding.of(law.statement, "unsupported", why=why))
        scope = replace(self.scope, eager=is_eager(self.backend))
        cases = self._cases(law, scope.within(able))
        examples = self.examples * max(1, len(self._cases(law, scope)) // max(1, len(cases)))

        def judge(batch: Batch) -> Tally:
            return self._batch(_Search(self, law, batch, 0 if batch.failed else SHRINKS), cases[batch.label])

        def conclude(finding: Finding, label: str) -> Finding:
            return expected(replace(finding, reproducer=self._pasted(law, label)), xfail, self.part.of == 1)

        return Inquiry(law, tuple(cases), judge, conclude, examples=examples)

    def _pasted(self, law: Property, label: str) -> str:
        """Python that fails when pasted: the case alone, or after the cases before it without which it passes.

        Empty where no case of the label failed.
        """
        place = law.id, label
        if place in self.failed and place not in self.reproducers:
            failing, earlier = self.failed[place]
            after = fails_after(law, failing, self.backend, earlier, {p.id: p for p in properties()})
            self.reproducers[place] = reproducer(law.id, self.backend, code(failing), after)
        return self.reproducers.get(place, "")

    def _told(self, law: Property) -> Finding | None:
        """The error of a module's first calls, at the first law that needs what they asked and at no other."""
        raised = getattr(self.backend, "raised", [])
        needs = law.needs | ({"empty_rows"} if "lengths" in law.needs else set())
        found = next((one for one in raised if not one.need or one.need in needs), None)
        if found is None:
            return None
        raised.remove(found)
        return Finding.of(law.statement, "error", why=found.why, examples=1,
                          reproducer=reproducer(law.id, self.backend, code(found.case)))  # fmt: skip

    def _cases(self, law: Property, scope: Scope) -> dict[str, SearchStrategy[Any]]:
        """The cases by label: all labels for laws with the oracle, at most `labels` for others."""
        cases = dict(law.cases(scope))
        shared = self.scope.brief or (self.labels is not None and (law.once or not law.oracle))
        part, parts = self.scope.share if shared else (0, 1)
        judged = list(cases)[part::parts] or list(cases)
        if not law.oracle and self.labels is not None:
            drawn = random.Random(f"{self.seed} {law.id}").sample(judged, min(len(judged), -(-self.labels // parts)))
            judged = [label for label in judged if label in drawn]
        first = [label for label in self.first.get(law.id, ()) if label in cases]
        return {label: cases[label] for label in dict.fromkeys((*first, *judged))}

    def _batch(self, search: _Search, strategy: SearchStrategy[Any]) -> Tally:
        able = self.backend.capabilities
        settings = hypothesis.settings(
            max_examples=1 + search.batch.examples * (1 if able.lengths else DRAWN_FOR_FULL_ROWS), deadline=None,
            database=None, derandomize=True, report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )  # fmt: skip
        number = f", batch {search.batch.number}" if search.batch.number else ""
        draw = hypothesis.seed(zlib.crc32(f"{self.seed} {search.law.id} {search.batch.label}{number}".encode()))
        try:
            with without_local_constants():
                draw(settings(hypothesis.given(strategy)(search.example)))()
            search.only_simplest()
        except _TestedEnough:
            pass
        except (_ShrunkEnough, Exception) as error:
            if search.found is None:  # the strategy itself failed
                search.found = Verdict("error", why=_shown(error), evidence=_raised("drawing a case"))
        self.kappas += search.kappas
        return search.tally()


@dataclass
class _Search:
    """A batch of examples of one law on one label; it keeps the last failing one, and counts what came before it."""

    examination: Examination
    law: Property
    batch: Batch
    shrinks: int
    drawn: int = 0
    simplest: Any = None
    passed: int = 0
    ill_posed: int = 0
    kappas: list[float] = field(default_factory=list)
    kappa_drawn: float = 0.0
    reason: dict[str, str] = field(default_factory=dict)
    found: Verdict | None = None

    def example(self, case: Any) -> None:
        """Test a case, except the first, which is the strategy's simplest for any seed and finds the fewest faults."""
        self.drawn += 1
        if self.drawn == 1:
            self.simplest = case
            return
        self._judge(case)
        if self.passed >= self.batch.examples or (not self.passed and self.reason and self.drawn > DRAWN_FOR_FULL_ROWS):
            raise _TestedEnough

    def only_simplest(self) -> None:
        """Test the simplest case where the strategy has no other."""
        if self.drawn == 1:
            self._judge(self.simplest)

    def _judge(self, case: Any) -> None:
        if self.found:
            self.shrinks -= 1
            if self.shrinks < 0:
                raise _ShrunkEnough
        backend = self.examination.backend
        able, case = backend.capabilities, _tamed(backend.capabilities, case, self.law.needs)
        case = backend.fitted(case) if hasattr(backend, "fitted") else case
        net = getattr(case, "net", None)
        missing = lacking(able, net) if isinstance(net, Network) else ""
        if not able.lengths and not _is_full(case):
            missing = "lengths"
        if missing:
            self._count("unsupported", f"the backend declares no {missing}")
            return
        case = case.tested() if isinstance(case, Case) else case
        self.examination.announce(self.law.id, self.batch.label, case)
        judge = Judge(backend)
        earlier = list(self.examination.asked)
        self.examination.asked.append((self.law.id, case))
        try:
            self.law(backend, case, judge)
            self._count("pass", "", judge.kappa)
        except NotApplicable as why:
            self._count(NOT_APPLICABLE, str(why), judge.kappa)
        except IllPosed as why:
            self._count("ill_posed", str(why), judge.kappa)
        except UnsupportedError as why:
            if able == replace(able, cells=None, sizes=None, lengths=True, empty_rows=True, any_padding=True):
                self._keep(Verdict("error", 1, why=_shown(why), evidence=_raised("a call")), case, judge, earlier)
                raise
            self._count("unsupported", str(why), judge.kappa)
        except Failure as failure:
            self._keep(Verdict("fail", 1, why=str(failure), evidence=failure.evidence), case, judge, earlier)
            raise
        except Exception as error:
            self._keep(Verdict("error", 1, why=_shown(error), evidence=_raised("a call")), case, judge, earlier)
            raise

    def _count(self, status: str, why: str, *kappa: float) -> None:
        """Count a case that broke nothing, unless it comes of shrinking."""
        if self.found:
            return
        self.passed += status == "pass"
        self.ill_posed += status == "ill_posed"
        self.kappas += kappa
        if status != "pass":
            self.reason[status] = why

    def _keep(self, verdict: Verdict, case: Any, judge: Judge, earlier: list[Asked]) -> None:
        self.examination.failed[self.law.id, self.batch.label] = case, earlier
        kappa = max(judge.kappa, *self.kappas, 0.0)
        self.kappa_drawn = self.kappa_drawn if self.found else kappa
        self.found = replace(verdict, case=code(case), kappa=kappa)

    def tally(self) -> Tally:
        return Tally(self.batch.label, self.batch.place, self.batch.number, self.passed, self.ill_posed,
                     tuple(self.kappas), self.reason, self.found, self.kappa_drawn)  # fmt: skip


def lacking(able: Capabilities, net: Network) -> str:
    """The first need of a network that a backend does not declare, or the empty string."""
    if isinstance(net.inputs, Embedding) and not able.embedding:
        return "embedding"
    for _, layer, inputs in net.placed:
        if layer.passes:
            continue
        size = (inputs, layer.half_width)
        if able.sizes is not None and size not in able.sizes:
            return f"size {size[0]} to {size[1]}"
        if able.lacked(layer.evaluated):
            return able.lacked(layer.evaluated)
        if layer.direction not in able.directions:
            return f"direction {layer.direction}"
        if layer.gradient is not None and not able.policies:
            return "policies"
    return ""


def _is_full(case: Any) -> bool:
    lengths = getattr(case, "lengths", None)
    return lengths is None or all(length == case.steps for length in lengths)


def _tamed(able: Capabilities, case: Any, needs: frozenset[str]) -> Any:
    """The case without empty rows, NaN in the padding, directions, heads, policies and class numbers that are neither
    declared nor needed.
    """
    lengths, padding, net = (getattr(case, name, None) for name in ("lengths", "padding", "net"))
    if isinstance(net, Network):
        case = replace(case, net=_within(able, net, needs))
    if lengths is not None and not able.empty_rows:
        case = replace(case, lengths=tuple(max(length, min(1, case.steps)) for length in lengths))
    return case if able.any_padding or padding is None or math.isfinite(padding) else replace(case, padding=0.0)


def _within(able: Capabilities, net: Network, needs: frozenset[str]) -> Network:
    turned = "bidirectional" not in needs and any(layer.direction not in able.directions for layer in net.layers)

    def within(layer: Layer) -> Layer:
        declared = layer.direction in able.directions or "bidirectional" in needs
        kept = able.policies or "policies" in needs
        own = layer if "heads" in needs or not able.lacked(layer.cell) else _without_heads(layer)
        return replace(own, direction=layer.direction if declared else able.directions[0],
                       gradient=layer.gradient if kept else None, residual=layer.residual and not turned)  # fmt: skip

    net = net if able.embedding or "embedding" in needs or not isinstance(net.inputs, Embedding) else _of_features(net)
    return replace(net, layers=[layer if layer.passes else within(layer) for layer in net.layers])


def _of_features(net: Network) -> Network:
    """The network of as many features, with an output layer of its own."""
    output = Dense(net.features) if isinstance(net.output, Tied) else net.output
    return replace(net, inputs=net.input_features, output=output)


def _without_heads(layer: Layer) -> Layer:
    """A layer with as many units in one."""
    heads, given = layer.heads or 1, layer.widths_given
    hidden = heads * given if isinstance(given, int) else {name: heads * width for name, width in given.items()}
    return replace(layer, cell=replace(layer.cell, heads=None, shared=()), hidden=hidden, heads=None, shared=())


def _shown(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _raised(what: str) -> Evidence:
    trace = traceback.format_exc().strip().splitlines()
    return Evidence(what, "", "\n".join(trace[-8:]), "no exception")
