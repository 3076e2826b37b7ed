"""The first calls of a module: what raises an error there is reported once, and the laws that need it are not asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from conformance.cases import BATCH, INPUTS, STEPS, Case, hidden_for
from conformance.modules.backend import ModuleBackend
from conformance.modules.family import Overwritten
from conformance.properties.asking import Question, ask
from rnnspec import Layer, Network
from rnnspec.errors import ArgumentError, RnnSpecError, UnsupportedError

__all__ = ["Raised", "tried"]

RAGGED, EMPTY = (STEPS, 3, 1, 5, 6), (STEPS, 3, 0, 5, 6)
SEEDS = 6
"""Cases of which some ask for gradients a second time."""
WITHOUT = ("lengths", "empty_rows", "gradients")
"""The capabilities that a module can do without, in the order in which they are tried."""


@dataclass(frozen=True)
class Raised:
    """A first call that raised an error: the capability that it needs, or none, the error, and the case."""

    need: str
    why: str
    case: Case


def tried(backend: ModuleBackend) -> ModuleBackend:
    """The module after its first calls, without the capabilities in whose calls it raised an error.

    Raises ArgumentError where it cannot be called at all.
    """
    case = _case(backend)
    _must_run(backend, case)
    raised = [_asked(backend, "", replace(case, batch=1), Question.run)]
    lengths = {"lengths": RAGGED, "empty_rows": EMPTY, "gradients": None}
    for need in WITHOUT:
        able = backend.capabilities
        if getattr(able, need) and (able.lengths or need != "empty_rows"):
            call = Question.pull if need == "gradients" else Question.run
            raised.append(_asked(backend, need, replace(case, lengths=lengths[need]), call))
    backend.raised = [one for one in raised if one]
    _try_spot_checks(backend, case)
    return backend


def _case(backend: ModuleBackend) -> Case:
    able, cell = backend.capabilities, backend.source.cell
    inputs, hidden = able.sizes[0] if able.sizes else (INPUTS, hidden_for(cell))
    return Case(Network(inputs, [Layer(cell, hidden, able.directions[0])]), STEPS, BATCH,
                fresh=backend.is_begun_by_itself)  # fmt: skip


def _must_run(backend: ModuleBackend, case: Case) -> None:
    try:
        ask(backend, case).run()
    except (Overwritten, UnsupportedError):  # the laws tell
        return
    except RnnSpecError as error:
        raise ArgumentError(backend.source.call, error.must, error.got, error.do) from error
    except Exception as error:
        raise ArgumentError(backend.source.call, f"it must run {BATCH} rows of {STEPS} steps", _shown(error),
                            "see how modules are called in docs/conformance.md") from error  # fmt: skip


def _asked(backend: ModuleBackend, need: str, case: Case, call: Callable[[Question], Any]) -> Raised | None:
    """The error of one call, after which the capability is no longer declared; None where there is none."""
    backend.source.family.spot_checks = False
    try:
        call(ask(backend, case))
    except (Overwritten, UnsupportedError):
        return None
    except Exception as error:
        if need:
            lacking: dict[str, Any] = {need: False}
            backend.capabilities = replace(backend.capabilities, **lacking)
        remedy = f"; correct it, or declare `--without {need}`" if need else ""
        what = {"": "one row"}.get(need, need.replace("_", " "))
        return Raised(need, f"{what}: {_shown(error)}{remedy}; the laws that need this are not asked", case)
    finally:
        backend.source.family.spot_checks = True
    return None


def _try_spot_checks(backend: ModuleBackend, case: Case) -> None:
    """Ask for gradients again and with a frozen parameter; where the module refuses that, no law asks it."""
    if not backend.capabilities.gradients:
        return
    try:
        for seed in range(SEEDS):
            ask(backend, replace(case, seed=seed)).pull()
    except (Overwritten, UnsupportedError):
        return
    except Exception as error:
        backend.source.family.spot_checks = False
        backend.found.append("gradients are taken once, and with all parameters trained: taken again or with a frozen "
                             f"parameter, the module raises {_shown(error)}")  # fmt: skip


def _shown(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
