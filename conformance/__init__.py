"""The conformance suite of rnnspec: `python -m conformance` tests every installed backend.

`check_backend` does the same from Python, `check_function` tests a function of this process, and `reproduce` runs one
case again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["check_backend", "check_function", "reproduce"]


def check_backend(
    name: str, *, tier: str = "smoke", seed: int = 0, speed: bool = False, limits: Any = None, **selected: Any
) -> dict[str, Any]:
    """Test one backend in a separate process, and return the report in the form of `--json`.

    `limits` is a `conformance.processes.limits.Limits`. `selected` takes the other fields of
    `conformance.selection.Selection`: `examples`, `device`, `precisions`, `only`, `cells`, `shapes`, `modes`,
    `xfails`. A law that does not hold is in the report and raises nothing. A name such as `package:Thing` names a
    module, which must compute the cell `as_cell`, without the capabilities that it `lacks`; if it is in `operators`, it
    names an operator.
    """
    import time  # noqa: PLC0415

    from conformance import selection  # noqa: PLC0415
    from conformance.findings import report  # noqa: PLC0415
    from conformance.processes import limits as within  # noqa: PLC0415
    from conformance.running import runner  # noqa: PLC0415

    begun = time.perf_counter()
    chosen = selection.Selection(tier, seed, **selected)
    plan = runner.Plan((name,), chosen, speed=speed, limits=limits or within.Limits())
    entries = runner.run(plan, lambda name, message: None)
    return report.report(entries, seed, tier, time.perf_counter() - begun)


def check_function(
    function: Callable[..., Any], cell: Any, *, only: Iterable[str] = (), precision: str = "f32", examples: int = 4,
    seed: int = 0, lacks: Iterable[str] = (),
) -> dict[str, Any]:
    """What each law finds in a function that must compute a cell, by the law's id; all laws where `only` is empty.

    A law that does not hold raises nothing: its finding has the status, the evidence, and the case as code. `lacks` are
    the words of `--without`. Raises an RnnSpecError where the function cannot be called by the names of the cell.
    """
    from conformance.running import functions  # noqa: PLC0415

    return functions.findings(function, cell, only, precision, examples, seed, lacks)


def reproduce(
    law: str, case: Any, name: str, precision: str = "f32", device: str | None = None, as_cell: str = "",
    layout: str = "", form: str = "", after: Sequence[tuple[str, Any]] = (), as_operator: str = "",
) -> None:
    """Test one case of one law again; raises an AssertionError with the evidence where the law does not hold.

    A name such as `package:Thing` names a module, which must compute the cell `as_cell`, perhaps with the layout that
    `layout` names and the `form` of its call, or an operator, which must compute the cell `as_operator`. The cases of
    `after`, each with the id of its law, are tested before it.
    """
    from conformance.running import reproducer  # noqa: PLC0415

    reproducer.reproduce(law, case, name, precision, device, as_cell, layout, form, after, as_operator)
