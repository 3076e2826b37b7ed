"""Names that modules had before they were grouped: `rnnspec.arrays` is `rnnspec.contract.arrays`.

Plugins, pickles and files of others may say them. Each is the very module, not a copy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
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
"""Each former name, with the name of today."""


class _Former(MetaPathFinder, Loader):
    """Finds the module of today by its former name."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in FORMER else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(FORMER[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Python has set the spec to that of the former name: put back the module's own."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def keep() -> None:
    """Let `import` find modules by their former names.

    `rnnspec.cell` is the decorator. Importing a module of that name later would hide it, so this one is registered now.
    """
    sys.meta_path.append(_Former())
    sys.modules["rnnspec.cell"] = sys.modules[FORMER["rnnspec.cell"]]
