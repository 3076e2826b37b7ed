"""An exported C header, compiled by the compiler of this machine, and run row by row."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rnnspec.contract.capabilities import DTYPES
from rnnspec.errors import BackendUnavailable, BrokenBackend
from rnnspec.export import to_c
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tree import Tree, flat, flat_as

__all__ = ["GLUE", "STRICT", "CProgram", "c_program", "compiled", "loaded"]

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
    """A compiled header in one precision; `opened(steps)` is the library for so many steps."""

    def __init__(
        self, net: Network, precision: str, opened: Callable[[int], ctypes.CDLL], prefix: str = "net"
    ) -> None:
        self.net, self.dtype, self.opened, self.prefix = net, np.dtype(DTYPES[precision]), opened, prefix

    def run(self, inputs: Array, state: Tree | None, lengths: Array | None) -> tuple[Array, Tree]:
        """As `Program.run`: each row is a sequence of its own."""
        steps, batch = inputs.shape[:2]
        library, given = self.opened(steps), np.intc if inputs.dtype.kind == "i" else self.dtype
        ends = np.full(batch, steps) if lengths is None else lengths
        final = self.net.state_tree(batch, partial(np.zeros, dtype=self.dtype))
        is_last = isinstance(self.net.read, Last)
        outputs = np.zeros((batch, *(() if is_last else (steps,)), self.net.features), self.dtype)
        for row in range(batch):
            begun = None if state is None else [a[row].ravel() for a in flat_as(final, state)]
            x = np.ascontiguousarray(inputs[: ends[row], row], given)
            ended = self._run_row(library, x, begun, outputs[row])
            for a, new in zip(flat(final), _parted(ended, flat(final)), strict=True):
                a[row] = new.reshape(a.shape[1:])
        return outputs if is_last else np.ascontiguousarray(outputs.swapaxes(0, 1)), final

    def _run_row(self, library: ctypes.CDLL, x: Array, begun: list[Array] | None, outputs: Array) -> Array:
        """The memory after one row, whose outputs are written. Without a state it begins as a reset does."""
        reset, run, size = (getattr(library, f"{self.prefix}_{name}") for name in ("reset", "run", "size"))
        size.restype = ctypes.c_size_t
        memory = np.full(size() // self.dtype.itemsize, np.nan, self.dtype)
        reset(_pointer(memory))
        if begun:
            given = np.concatenate(begun)
            memory[: given.size] = given
        if run(_pointer(x), ctypes.c_size_t(len(x)), _pointer(memory), _pointer(outputs)):
            raise BrokenBackend("exported c", "so many steps must be allowed", str(len(x)), "look at NET_MAX_STEPS")
        return memory


def _parted(memory: Array, states: list[Array]) -> list[Array]:
    """The states of a row, which come first in memory."""
    ends = np.cumsum([0, *(a[0].size for a in states)])
    return [memory[low:high] for low, high in pairwise(ends)]


def _pointer(a: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(a.ctypes.data)


def loaded(files: Mapping[str, bytes], steps: int) -> ctypes.CDLL:
    """The compiled header for so many steps, with its weights.

    Raises BrokenBackend where it refuses them, or takes a file of another size or of another network.
    """
    library = compiled(files[".h"], flags=(*QUICK, f"-DNET_MAX_STEPS={1 << max(steps, 1).bit_length()}"))
    weights = files[".bin"]
    wrong = {"a byte less": weights[:-1], "a byte more": weights + b"0", "another signature": b"?" + weights[1:],
             "nothing": b""}  # fmt: skip
    for what, other in wrong.items():
        if not library.net_load(other, ctypes.c_size_t(len(other))):
            raise BrokenBackend("exported c", "the header must refuse a file of other weights", what,
                                "look at net_load")  # fmt: skip
    if library.net_load(weights, ctypes.c_size_t(len(weights))):
        raise BrokenBackend("exported c", "the header must take its own weights", "a refusal", "look at net_load")
    return library


def c_program(net: Network, params: Tree, precision: str) -> CProgram:
    """The program of a network; the compiled header serves all parameters of the network."""
    return CProgram(net, precision, partial(loaded, to_c(net, params, precision=precision, beside=True).files))
