"""One self-contained page: the summary, every property with its evidence, charts, and the kill matrix."""

from __future__ import annotations

from typing import Any

from conformance.reports.template import environment

__all__ = ["render"]


def render(document: dict[str, Any]) -> str:
    """The page; nothing is loaded from elsewhere."""
    from conformance.reports import charts  # noqa: PLC0415  # drawing is slow to import, and only this form draws

    template = environment(escape=True).get_template("report.html.jinja")
    return template.render(
        report=document,
        kappas=charts.kappas(document),
        speeds=charts.speeds(document),
        kills=charts.kills(document.get("self_test", {})),
    )
