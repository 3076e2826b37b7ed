"""What the speed of PyTorch's products on the CPU depends on, as far as a process can tell."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import rnnspec

__all__ = ["conditions"]

SETTINGS = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE", "MKL_ENABLE_INSTRUCTIONS",
            "ONEDNN_MAX_CPU_ISA")  # fmt: skip
"""The environment variables that hold libraries to some instructions."""


def conditions() -> Mapping[str, str]:
    """The processor and its instructions, the versions of libraries, the settings, and the number of threads."""
    about: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every PyTorch
    flags = sorted(name for name, holds in about.items() if holds is True)
    return {
        "rnnspec": rnnspec.__version__,
        "torch": f"{torch.__version__} {torch.version.git_version}",
        "processor": f"{platform.machine()} {about.get('cpu_name') or _model()}".strip(),
        "instructions": " ".join([torch.backends.cpu.get_cpu_capability(), *flags]),
        "threads": str(torch.get_num_threads()),
        **{name: os.environ[name] for name in SETTINGS if name in os.environ},
    }


def _model() -> str:
    """The processor's name where the system says it, for versions of PyTorch that do not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
