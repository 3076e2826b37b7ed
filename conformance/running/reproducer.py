"""Reproducers: Python that fails when pasted, and the function that it calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance import exported, modules, operators
from conformance.judge import Judge
from conformance.registry import properties
from conformance.running.sequence import Asked, replayed
from rnnspec import Backend, get_backend

__all__ = ["code", "reproduce", "reproducer"]


NOT_ALONE = "# On a new backend this case alone passes. It fails after these cases, each asked of the law beside it.\n"
NOT_AGAIN = ("# On a new backend this case passes, also after the cases that were tested before it: its answer "
             "depends on something else.\n")  # fmt: skip


def reproducer(law: str, backend: Backend, case: str, after: Sequence[Asked] | None = ()) -> str:
    """Python that tests one case again; `case` is the code that assigns it.

    `after` are cases that must be tested before it, or None where it did not fail again after any.
    """
    where = f"{backend.name!r}, precision={backend.precision!r}, device={backend.device!r}"
    before = ""
    if isinstance(backend, modules.ModuleBackend):
        where += f", as_cell={backend.cell_name!r}"
        where += f", layout={backend.source.layout!r}" if backend.source.layout else ""
        where += f", form={backend.source.form!r}" if backend.source.form else ""
        set_first = backend.environment.items()
        before = "".join(f"import os\nos.environ[{name!r}] = {value!r}\n" for name, value in set_first)
    if isinstance(backend, operators.OperatorBackend):
        where += f", as_operator={backend.cell_name!r}"
    said = NOT_AGAIN if after is None else NOT_ALONE if after else ""
    first = "".join(f"{code(one).rstrip()}\nearlier.append(({id!r}, case))\n" for id, one in after or ())
    first, where = (f"earlier = []\n{first}", f"{where}, after=earlier") if first else ("", where)
    return (f"{said}{before}import conformance\n{first}{case.rstrip()}\n"
            f"conformance.reproduce({law!r}, case, {where})\n")  # fmt: skip


def code(case: Any) -> str:
    """The lines that assign a case to `case`."""
    return str(case.code()) if hasattr(case, "code") else f"case = {case!r}"


def reproduce(
    law: str, case: Any, name: str, precision: str = "f32", device: str | None = None, as_cell: str = "",
    layout: str = "", form: str = "", after: Sequence[Asked] = (), as_operator: str = "",
) -> None:
    """Test one case of one law again; raises Failure with the evidence where the law does not hold.

    The name may be that of a module, which must compute the cell `as_cell`, perhaps with a named `layout` and a `form`,
    or of an operator for `as_operator`. The cases of `after`, each with the id of its law, are tested before it.
    """
    found = {p.id: p for p in properties()}
    if law not in found:
        raise LookupError(f"reproduce({law!r}, ...): the id must be that of a law; see `python -m conformance --list`")
    if as_operator:
        backend: Backend = operators.load(name, as_operator, precision, device=device)
    elif exported.is_exported(name):
        backend = exported.load(name, precision, device)
    elif modules.is_module(name):
        backend = modules.load(name, as_cell, precision, device=device, layout=layout, form=form)
    else:
        backend = get_backend(name, device=device, precision=precision)
    replayed(backend, after, found)
    found[law](backend, case, Judge(backend))
