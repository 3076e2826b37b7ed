"""Templates, and what they all need: the statuses that are shown, and how numbers are written."""

from __future__ import annotations

from typing import Any

import jinja2

from conformance.findings.entry import missing
from conformance.findings.finding import BAD, STATUSES
from conformance.findings.verdict import chosen, spoken
from conformance.reports.asked import left_out, not_asked, of_each
from conformance.reports.likeness import alike, page
from conformance.reports.parts import machines, said
from conformance.reports.ratio import written

__all__ = ["environment"]


def environment(*, escape: bool) -> jinja2.Environment:
    """The environment of the templates of this package; with `escape`, texts are HTML's."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("conformance.reports", "templates"), autoescape=escape,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    found.filters |= {"shape": _shape, "cell": _cell, "spoken": spoken, "chosen": chosen, "ratio": written,
                      "alike": alike, "page": page}
    found.globals |= {"BAD": BAD, "missing": missing, "shown": _shown, "of_each": of_each, "left_out": left_out,
                      "not_asked": not_asked, "said": said, "machines": machines}
    return found


def _shown(document: dict[str, Any]) -> list[str]:
    """The statuses that some backend has."""
    return [s for s in STATUSES if any(e["counts"].get(s) for e in document["backends"])]


def _shape(shape: dict[str, int]) -> str:
    return ", ".join(str(shape[axis]) for axis in ("batch", "time", "inputs", "hidden"))


def _cell(text: Any) -> str:
    """A text that fits into one cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")
