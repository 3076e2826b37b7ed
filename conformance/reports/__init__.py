"""The forms of the report, each a text made of the one document: JSON, Markdown, JUnit's XML, and one page of HTML.

>>> sorted(FORMS)
['html', 'json', 'junit', 'markdown']
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.reports import html as page
from conformance.reports import junit, markdown, plain

__all__ = ["FORMS"]

FORMS: dict[str, Callable[[dict[str, Any]], str]] = {
    "json": plain.render,
    "markdown": markdown.render,
    "junit": junit.render,
    "html": page.render,
}
"""What the command's options of these names write."""
