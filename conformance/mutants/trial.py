"""A trial: whether a property detects a faulty backend on one network, by cases that are the same for all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase
from hypothesis.strategies import SearchStrategy

from conformance.cases import CELLS, Case
from conformance.judge import Failure, IllPosed, Judge, NotApplicable
from conformance.own_cell import leaky_gate
from conformance.registry import Property, Scope, properties
from rnnspec import Backend, Capabilities, Cell, Mutant

__all__ = ["Reference", "killed_by", "labels", "strategies"]


class Reference(Backend):
    """The base class itself: the generic lowering on NumPy arrays, which the mutants are made from."""

    name = "numpy"
    version = np.__version__
    capabilities = Capabilities(resets=True, recur=True, embedding=True, learned_state=True)


def killed_by(backend: Backend, law: Property, label: str, examples: int) -> str | None:
    """Whether a property does not hold for a backend on one network: "fail" or "error", else None."""
    for case in _cases(law.id, label, examples, backend.capabilities.cells):
        try:
            with np.errstate(all="ignore"):
                law(backend, case, Judge(backend))
        except (NotApplicable, IllPosed):
            continue
        except Failure:
            return "fail"
        except Exception:
            return "error"
    return None


@cache
def strategies(law: str, cells: tuple[Cell, ...] | None = None) -> dict[str, SearchStrategy[Case]]:
    """The networks of a property, of the cells that a backend declares, by label, with their cases."""
    found = next(p for p in properties() if p.id == law)
    return dict(found.cases(Scope(cells or (*CELLS.values(), leaky_gate), eager=True)))


@cache
def _cases(law: str, label: str, examples: int, cells: tuple[Cell, ...] | None = None) -> tuple[Case, ...]:
    """As many cases after the simplest, the same for all properties of one strategy, so that references are kept."""
    found: list[Case] = []
    settings = hypothesis.settings(
        max_examples=1 + examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    hypothesis.seed(0)(settings(hypothesis.given(strategies(law, cells)[label])(_collector(found))))()
    return tuple(case.tested() if isinstance(case, Case) else case for case in found[1:] or found)


def _collector(found: list[Case]) -> Callable[[Case], None]:
    def collect(case: Case) -> None:
        found.append(case)

    return collect


def labels(law: Property, mutant: Mutant, cells: tuple[Cell, ...] | None = None) -> list[str]:
    """The networks that a mutant, which declares these cells, can touch: those with its own, or all; the likeliest
    first.
    """
    cell = getattr(mutant, "cell", None)
    known = list(strategies(law.id, cells))
    if cell is not None:
        networks = {label: _cases(law.id, label, 1)[0].net for label in known}
        touched = [label for label, net in networks.items() if any(layer.cell == cell for layer in net.layers)]
        return sorted(touched, key=lambda label: label != cell.name)
    likely = ("lstm", "bidirectional", "stacked", "last", "plain", "gru")
    return sorted(known, key=lambda label: likely.index(label) if label in likely else len(likely))
