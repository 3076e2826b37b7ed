"""The language of a page, by its name: browsers choose the forms of Chinese characters by it."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def speak(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if page.endswith(".zh"):
        context["language"] = "zh-CN"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", speak)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
