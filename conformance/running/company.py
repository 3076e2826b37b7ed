"""The company of a framework: packages that it imports wherever they are installed, and that no law needs.

A process that tests a backend does without them. They take memory and seconds, and the backend is then tested as it is
where its framework is installed alone.

>>> from types import ModuleType
>>> modules = {"jax": ModuleType("jax")}
>>> without_company("tensorflow", modules)
>>> modules["pandas"] is None, modules["jax"] is None
(True, False)
"""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from types import ModuleType

__all__ = ["without_company"]

COMPANY = {"tensorflow": ("jax", "matplotlib", "pandas", "sklearn")}
"""By the name of the backend; Keras and TensorFlow Lite import these, and work without them."""


def without_company(name: str, modules: MutableMapping[str, ModuleType | None] = sys.modules) -> None:  # type: ignore[assignment]
    """Let imports of a framework's company fail in this process; what is imported already stays."""
    for package in COMPANY.get(name, ()):
        modules.setdefault(package, None)
