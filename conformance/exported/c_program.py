"""An exported C header, compiled by the compiler of this machine, and run row by row."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rnnspec.errors import BackendUnavailable, UnsupportedError
from rnnspec.export import to_c
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tree import Tree, flat, tree_map

__all__ = ["STRICT", "CProgram", "c_program", "compiled"]

Array = Any
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
"""What every compiler of C99 must accept without a warning."""
QUICK = ("-O1",)
"""A step is short; to compile takes longer."""
GLUE = '#define NET_IMPLEMENTATION\n#include "net.h"\nsize_t net_size(void);\n' \
       "size_t net_size(void)\n{\n    return sizeof(net_state);\n}\n"  # fmt: skip
"""What a program that uses the header has: its implementation, and here the size of a stream."""


def compiler() -> str:
    """The path of a C compiler; raises BackendUnavailable where there is none."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        raise BackendUnavailable("exported c", "a C compiler must be installed", "no cc, gcc or clang on the path",
                                 "install gcc")  # fmt: skip
    return found


@lru_cache(maxsize=256)
def compiled(header: bytes, glue: str = GLUE, flags: Sequence[str] = QUICK) -> ctypes.CDLL:
    """A header `net.h` as a library of this process. Raises RuntimeError with what the compiler says of it."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "net.so")
        Path(folder, "net.h").write_bytes(header)
        Path(folder, "net.c").write_text(glue, encoding="ascii")
        command = [compiler(), *STRICT, *flags, "-shared", "-fPIC", "-o", str(library), "net.c", "-lm"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return ctypes.CDLL(str(library))


class CProgram:
    """A header with its weights in a file, in one precision; `prefix` is that of its functions."""

    def __init__(self, net: Network, files: Mapping[str, bytes], prefix: str = "net") -> None:
        self.net, self.files, self.prefix = net, files, prefix

    def run(self, inputs: Array, state: Tree, lengths: Array | None) -> tuple[Array, Tree]:
        """As `Program.run`: each row is a sequence of its own."""
        steps, batch = inputs.shape[:2]
        library = self.library(steps)
        ends = np.full(batch, steps) if lengths is None else lengths
        is_last, final = isinstance(self.net.read, Last), tree_map(np.array, state)
        outputs = np.zeros((batch, *(() if is_last else (steps,)), self.net.features), inputs.dtype)
        for row in range(batch):
            begun = [a[row].ravel() for a in flat(state)]
            x = np.ascontiguousarray(inputs[: ends[row], row])
            for a, new in zip(flat(final), self._run_row(library, x, begun, outputs[row]), strict=True):
                a[row] = new.reshape(a.shape[1:])
        return outputs if is_last else np.ascontiguousarray(outputs.swapaxes(0, 1)), final

    def library(self, steps: int) -> ctypes.CDLL:
        """The compiled header, for so many steps, with these weights."""
        most = 1 << max(steps, 1).bit_length()
        found = compiled(self.files[".h"], flags=(*QUICK, f"-DNET_MAX_STEPS={most}"))
        weights = self.files[".bin"]
        if found.net_load(weights, ctypes.c_size_t(len(weights))):
            raise UnsupportedError("exported c", "the header must take its own weights", "a refusal", "export again")
        return found

    def _run_row(self, library: ctypes.CDLL, x: Array, begun: list[Array], outputs: Array) -> list[Array]:
        """The final states of one row, whose outputs are written."""
        library.net_size.restype = ctypes.c_size_t
        memory = np.full(library.net_size() // x.itemsize, np.nan, x.dtype)
        library.net_reset(_pointer(memory))
        ends = np.cumsum([0, *(a.size for a in begun)])
        memory[: ends[-1]] = np.concatenate([x[:0].ravel(), *begun])
        if library.net_run(_pointer(x), ctypes.c_size_t(len(x)), _pointer(memory), _pointer(outputs)):
            raise UnsupportedError("exported c", "so many steps must be allowed", str(len(x)), "define NET_MAX_STEPS")
        return [memory[low:high].copy() for low, high in pairwise(ends)]


def _pointer(a: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(a.ctypes.data)


def c_program(net: Network, params: Tree, precision: str) -> CProgram:
    """The program of a network; the compiled header serves all parameters of the network."""
    return CProgram(net, to_c(net, params, precision=precision, beside=True).files)
