"""Former names of modules: `rnnspec.arrays` is `rnnspec.contract.arrays`.

Plugins, pickles and users' files may import them. Each former name gives the module itself, not a copy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["FORMER", "keep"]

ROOMS = {
    "analysis": ("flow", "picture", "probing"),
    "contract": ("arrays", "budget", "capabilities", "kernel", "results"),
    "control": ("finite", "limits", "recurrence", "rule", "spectral"),
    "derivation": ("adjoint", "correspondence", "schedule"),
    "interface": ("adoption", "backend", "discovery", "plugins", "reopening", "spelling", "validation"),
    "running": (
        "alignment", "columns", "execution", "lowering", "objective", "padding", "programs", "reading", "recomputation",
        "stack",
    ),
    "tracing": ("cell", "graph", "printing"),
}  # fmt: skip

FORMER = {f"rnnspec.{name}": f"rnnspec.{room}.{name}" for room, names in ROOMS.items() for name in names}
"""The present name of each former name."""


class _Former:
    """Finds the module of today by its former name. It has no base: `importlib.abc` is slow to import."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in FORMER else None  # type: ignore[arg-type]  # a loader by its methods

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(FORMER[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Put back the module's own spec, which Python has replaced by that of the former name."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def keep() -> None:
    """Let `import` find modules by their former names.

    `rnnspec.cell` is the decorator. Importing a module of that name later would hide the
    decorator, so the module is registered now.
    """
    sys.meta_path.append(_Former())
    sys.modules["rnnspec.cell"] = sys.modules[FORMER["rnnspec.cell"]]
