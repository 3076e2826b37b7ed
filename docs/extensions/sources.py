"""Links between an entry of the reference and its source, where a name is public elsewhere than it is written."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

from sphinx.application import Sphinx

BACK = re.compile(r'(<a class="viewcode-back" href="[^"#]*#)([\w.]+)(".*?</a>)')


def home(app: Sphinx, module: str, name: str) -> str:
    """The module where a public name is written: only classes and functions know it."""
    value = getattr(import_module(module), name.partition(".")[0], None)
    return value.__module__ if inspect.isclass(value) or inspect.isfunction(value) else module


def lead_back(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Sphinx takes all names of a file to be public in one place; some are public in the package, some in a module."""
    if page.startswith("_modules/"):
        known = app.env.domains["py"].objects
        context["body"] = BACK.sub(lambda m: _link(m, _public(m[2], known)), context["body"])


def _link(found: re.Match[str], place: str) -> str:
    return f"{found[1]}{place}{found[3]}" if place else ""


def _public(name: str, known: dict[str, Any]) -> str:
    """The place that ends as a name does; none for a class of which one method alone has an entry."""
    parts = name.split(".")
    tails = (".".join(parts[index:]) for index in range(len(parts)))
    return next((place for tail in tails for place in known if f".{place}".endswith(f".{tail}")), "")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("viewcode-follow-imported", home)
    app.connect("html-page-context", lead_back)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
