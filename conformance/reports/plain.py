"""The document itself, as JSON."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["render"]


def render(document: dict[str, Any]) -> str:
    """The document; `conformance/reports/report.schema.json` says what is in it."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
