"""The machine that a part of a run was tested on, and the project that it ran, which a joined report tells apart.

>>> sorted(machine())
['accelerators', 'cores', 'packages', 'processor', 'python', 'system']
>>> sorted(project())
['source', 'version']
"""

from __future__ import annotations

import os
import platform
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import backends
import conformance
import rnnspec

__all__ = ["machine", "project"]

PACKAGES = ("numpy", "torch", "tensorflow", "keras", "jax", "jaxlib", "flax", "onnxruntime")
PROCESSORS, ACCELERATORS = Path("/proc/cpuinfo"), Path("/proc/driver/nvidia/gpus")


def machine() -> dict[str, Any]:
    """The processor, the accelerators and the versions of the installed frameworks; nothing is imported for that."""
    return {
        "system": platform.platform(), "processor": _named(PROCESSORS, "model name") or platform.machine(),
        "cores": os.cpu_count() or 1, "accelerators": sorted(_accelerators()), "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }  # fmt: skip


def project() -> dict[str, str]:
    """The version of rnnspec, and a digest of its source: two checkouts of one version may differ."""
    found = sha256()
    for package in (rnnspec, backends, conformance):
        home = Path(str(package.__path__[0]))
        for file in sorted(home.rglob("*.py")):
            found.update(f"{package.__name__}/{file.relative_to(home).as_posix()} ".encode() + file.read_bytes())
    return {"version": rnnspec.__version__, "source": found.hexdigest()[:16]}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _accelerators() -> list[str]:
    try:
        return [_named(gpu / "information", "Model") for gpu in ACCELERATORS.iterdir()]
    except OSError:
        return []


def _named(file: Path, name: str) -> str:
    """The first value of a name in a file of lines `name : value`; the empty text where there is none."""
    try:
        lines = (line.partition(":") for line in file.read_text(encoding="utf-8").splitlines())
        return next((value.strip() for key, _, value in lines if key.strip() == name), "")
    except OSError:
        return ""
