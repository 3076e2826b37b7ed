"""The properties: what each says, what it needs, which cases it applies to, and the check; found by import, listed by
id.

A property is a function in a module of `conformance.properties`, which `@law` turns into a `Property`. The statement is
that of `conformance.statements`, or one's own:

    @law(SEQUENCE["P11"], cases=single_layers, needs=("lengths",))
    def split_in_time(backend: Backend, case: Case, judge: Judge) -> None:
        whole = ...
        judge.applies(case.steps > 1, "one step cannot be split")
        judge.agree("run", halves, whole, tolerance.run(case, PROFILES[backend.precision]))

`cases(scope)` gives a strategy of cases for each label, which is the name of a cell or of a network. The suite tests
every label, with as many examples each as the tier says, so that no cell depends on luck. Networks are made of the
cells that a backend declares; fewer cells get more examples each. A label whose network needs a size that the backend
does not declare is `unsupported`. Where a property does not need policies or directions, its networks leave out those
that the backend does not declare. A case is any value whose `repr` is code that rebuilds it (see
`conformance.cases.Case`), so that a failure can be pasted. A check that returns passes; otherwise the judge raises.

>>> one, two = (Property(Statement(id, "an example", "It holds."), print, dict) for id in ("P1", "P2"))
>>> [p.id for p in collect([two, one])]
['P1', 'P2']
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from conformance.statements import Statement
from rnnspec import Capabilities, Cell

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["NEEDS", "Check", "Property", "Scope", "Shape", "collect", "law", "properties"]

NEEDS = ("lengths", "resets", "gradients", "bidirectional", "policies", "deterministic", "concurrent", "heads",
         "matrices", "recur", "embedding", "learned_state", "noise")  # fmt: skip
"""The capabilities that a property can need; cells and sizes follow from each network."""

Check = Callable[..., None]
"""`check(backend, case, judge)`: returns where the property holds; the judge raises where it does not."""


@dataclass(frozen=True)
class Shape:
    """Batch, time, inputs, hidden."""

    batch: int
    time: int
    inputs: int
    hidden: int


@dataclass(frozen=True)
class Scope:
    """What the suite tests: the cells, and the shapes that the user names (none: those of the fixed tables).

    `wide` adds long and large cases, whatever they cost to compile. `eager` says that the backend compiles nothing:
    networks and shapes beyond the fixed tables cost it no program. `brief` leaves out the longest and widest cases, and
    those that take many seconds to compile. `closed` says that there are no other cells than these, because the backend
    declares few or the user names some. `share` is the part of the labels to test, and the number of parts: of all
    properties if the scope is brief, and otherwise of those without the oracle whose labels are limited.
    """

    cells: tuple[Cell, ...]
    shapes: tuple[Shape, ...] = ()
    wide: bool = False
    eager: bool = False
    brief: bool = False
    closed: bool = False
    share: tuple[int, int] = (0, 1)

    def within(self, able: Capabilities) -> Scope:
        """The same with the declared cells only; with all cells if none is declared, so that the report shows this."""
        declared = tuple(cell for cell in self.cells if able.cells is None or cell in able.cells)
        return replace(self, cells=declared or self.cells, closed=self.closed or able.cells is not None)


@dataclass(frozen=True)
class Property:
    """One law of the specification: its statement, the check, and the cases by label.

    `oracle` says that the expected values are the oracle's, and not the backend's own from another call. `also` are
    capabilities that the check uses if a backend has them, and does not need. `once` says that one precision tells as
    much of a label as several do: only the deep tier tests each label in all of them.
    """

    statement: Statement
    check: Check
    cases: Callable[[Scope], Mapping[str, SearchStrategy[Any]]]
    needs: frozenset[str] = frozenset()
    oracle: bool = False
    also: frozenset[str] = frozenset()
    once: bool = False

    @property
    def id(self) -> str:
        """The statement's id."""
        return self.statement.id

    @property
    def name(self) -> str:
        """The statement's name, of a few words."""
        return self.statement.name

    @property
    def says(self) -> str:
        """The law as one sentence."""
        return self.statement.says

    def __call__(self, backend: Any, case: Any, judge: Any) -> None:
        """Check one case."""
        self.check(backend, case, judge)


def law(
    statement: Statement, *, cases: Callable[[Scope], Mapping[str, SearchStrategy[Any]]], needs: Iterable[str] = (),
    oracle: bool = False, also: Iterable[str] = (), once: bool = False,
) -> Callable[[Check], Property]:  # fmt: skip
    """Turn a check into a property. Raises ValueError for a need that no backend can declare."""
    unknown = sorted({*needs, *also} - set(NEEDS))
    if unknown:
        raise ValueError(f"law({statement.id}): needs must be among {', '.join(NEEDS)}, got {', '.join(unknown)}; "
                         "name those")  # fmt: skip
    return lambda check: Property(statement, check, cases, frozenset(needs), oracle, frozenset(also), once)


def collect(found: Iterable[Any]) -> tuple[Property, ...]:
    """The properties among some values, by id. Raises ValueError where two have one id."""
    laws: dict[str, Property] = {}
    for item in found:
        if isinstance(item, Property) and laws.setdefault(item.id, item) is not item:
            raise ValueError(f"collect(...): a property's id must be its own, got {item.id} twice; renumber one")
    return tuple(laws[id] for id in sorted(laws))


def properties(package: ModuleType | None = None) -> tuple[Property, ...]:
    """Every property of a package's modules; of `conformance.properties` if none is given."""
    home = package or importlib.import_module("conformance.properties")
    names = [found.name for found in pkgutil.walk_packages(home.__path__, f"{home.__name__}.")]
    modules = [importlib.import_module(name) for name in names]
    return collect(item for module in (home, *modules) for item in vars(module).values())
