"""Markdown: what one would paste into an issue or a pull request."""

from __future__ import annotations

from typing import Any

from conformance.reports.template import environment

__all__ = ["render"]


def render(document: dict[str, Any]) -> str:
    """The summary, the evidence of what fails, and the speed."""
    return environment(escape=False).get_template("report.md.jinja").render(report=document)
