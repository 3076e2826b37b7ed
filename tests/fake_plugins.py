"""Distributions on disk that offer a backend with one fault, for the processes of the suite to meet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HEAD = """
import gc, os, signal, subprocess, sys, time
import numpy as np
import rnnspec
from rnnspec import Backend, Capabilities, LayerResult, hookimpl

{top}

class Fake(Backend):
    name = {name!r}
    version = "1.0"
    faults = 0
    {body}

    def layer(self, cell, params, inputs, state, lengths, call):
        Fake.faults += 1
        {fault}
        return super().layer(cell, params, inputs, state, lengths, call)

@hookimpl
def rnnspec_backend(name, device, precision):
    {make}
    return Fake(device, precision)
"""


def install(
    site: Path, name: str, fault: str = "pass", make: str = "pass", body: str = "", top: str = "", project: str = "fake"
) -> None:
    """Write a distribution that offers the backend `name`.

    `fault` runs in every layer, `make` in the hook, `body` in the class, `top` when the plugin is imported.
    """
    module = f"{project}_{name}"
    (site / f"{module}.py").write_text(HEAD.format(name=name, fault=fault, make=make, body=body, top=top))
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[rnnspec.backends]\n{name} = {module}\n")


@contextmanager
def site(folder: Path) -> Iterator[Path]:
    """The folder for distributions, on the path of every child process meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield folder
