"""Optional imports: packages that a framework imports wherever they are installed, and that no law needs.

A process that tests a backend does without them. They take memory and seconds, and the backend is then tested as it is
where its framework is installed alone.

>>> from types import ModuleType
>>> modules = {"jax": ModuleType("jax")}
>>> without_optional_imports("tensorflow", modules)
>>> modules["pandas"] is None, modules["jax"] is None
(True, False)
"""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from typing import Any

__all__ = ["without_optional_imports"]

OPTIONAL = {"tensorflow": ("jax", "matplotlib", "pandas", "sklearn")}
"""By the name of the backend; Keras and TensorFlow Lite import these, and work without them."""


def without_optional_imports(name: str, modules: MutableMapping[str, Any] = sys.modules) -> None:
    """Let a backend's optional imports fail in this process; what is imported already stays."""
    for package in OPTIONAL.get(name, ()):
        modules.setdefault(package, None)
