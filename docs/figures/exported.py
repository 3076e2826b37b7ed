"""Measures exported headers: a step of C beside ONNX Runtime, and the code and memory that a network takes.

    python docs/figures/exported.py --json docs/figures/exported.json

A step is one step of one row. Both are called from Python, with arrays that exist. ONNX Runtime has one thread and two
models of the network, one of `to_onnx` and one of `to_onnx_step`; the quicker one counts. C is compiled with
`-O3 -march=native` for the times, and with `-Os` for the sizes. Rounds are in random order, and judged by the paired
rule of the speed table.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rounds import interleaved

from conformance.exported.c_program import STRICT, compiled, compiler
from conformance.speed.paired import judge
from rnnspec import Layer, Network, cells
from rnnspec.convert import to_onnx, to_onnx_step
from rnnspec.export import to_c

ROUNDS = 15
CELLS = ("lstm", "gru", "mingru", "mlstm")
SIZES = ((16, 32), (64, 128), (128, 256))
FLAGS = ("-O3", "-march=native")

Call = Callable[[int], None]


def network(cell: str, inputs: int, hidden: int) -> Network:
    """One layer; the matrix of an mLSTM has a quarter of the width in rows and in columns."""
    widths = {"C.rows": hidden // 4, "C.columns": hidden // 4} if cell == "mlstm" else hidden
    return Network(inputs, [Layer(getattr(cells, cell), widths)])


def in_c(net: Network, int8: bool = False) -> Call:
    """Steps of a stream in C."""
    library = compiled(to_c(net, net.init(0), int8=int8).main, flags=FLAGS)
    library.net_size.restype = ctypes.c_size_t
    memory, y = np.zeros(library.net_size() // 4, np.float32), np.zeros(net.features, np.float32)
    given = np.random.default_rng(0).normal(size=(16, net.inputs)).astype(np.float32)
    places = [ctypes.c_void_p(x.ctypes.data) for x in given]
    state, outputs, step = ctypes.c_void_p(memory.ctypes.data), ctypes.c_void_p(y.ctypes.data), library.net_step
    library.net_reset(state)

    def call(count: int) -> None:
        step(places[count % 16], state, outputs)

    call.kept = memory, y, given  # type: ignore[attr-defined]  # C knows their addresses only
    return call


def in_onnx(net: Network) -> dict[str, Call]:
    """The same steps in ONNX Runtime, which is given the state and gives the next one."""
    import onnxruntime  # noqa: PLC0415  # only where it is timed

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    given = np.random.default_rng(0).normal(size=(16, 1, net.inputs)).astype(np.float32)

    def session(model: Any, x: Any) -> Call:
        found = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        states = {name: np.zeros((1, 1, *shape), np.float32) for name, shape in net.layers[0].state_shapes.items()}
        named = {place.name for place in (*found.get_inputs(), *found.get_overridable_initializers())}
        feed = {next(n for n in named if n.endswith(f".{name}")): a for name, a in states.items()}
        entry = "inputs" if "inputs" in named else "x_t"

        def call(count: int) -> None:
            _, *new = found.run(None, {entry: x[count % 16], **feed})
            feed.update(zip(feed, new, strict=True))

        return call

    params = net.init(0)
    return {"to_onnx": session(to_onnx(net, params, state=True).model, given[:, None]),
            "to_onnx_step": session(to_onnx_step(net, params).model, given)}  # fmt: skip


def compared(own: Call, others: dict[str, Call], rounds: int) -> dict[str, Any]:
    """A call against the quickest of others, in rounds that time all of them."""
    subject, again, times = interleaved(own, others, rounds)
    middle = {who: median(seconds) for who, seconds in times.items()}
    peer = min(middle, key=middle.__getitem__)
    return {"peer": peer, "seconds": median(subject), "peer_seconds": middle[peer],
            **asdict(judge(subject, again, times[peer]))}  # fmt: skip


def sized(net: Network, int8: bool) -> dict[str, Any]:
    """The bytes of code, weights and memory of a header, and the error of 8 bits."""
    exported = to_c(net, net.init(0), int8=int8)
    beside = to_c(net, net.init(0), int8=int8, beside=True).files[".bin"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "net.h").write_bytes(exported.main)
        Path(folder, "net.c").write_text('#define NET_IMPLEMENTATION\n#include "net.h"\n', encoding="ascii")
        subprocess.run([compiler(), *STRICT, "-Os", "-c", "net.c"], cwd=folder, check=True)
        printed = subprocess.run(["size", "net.o"], cwd=folder, check=True, capture_output=True, text=True).stdout
    text, data, bss, *_ = map(int, printed.splitlines()[1].split()[:3])
    library = compiled(exported.main)
    library.net_size.restype = ctypes.c_size_t
    weights = len(beside) - 24
    return {"code": text + data + bss - weights, "weights": weights, "memory": library.net_size(),
            "error": exported.error and asdict(exported.error)}  # fmt: skip


def measure(names: tuple[str, ...] = CELLS, sizes: tuple[tuple[int, int], ...] = SIZES, rounds: int = ROUNDS) -> Any:
    """The figures: a row of times and one of sizes for each cell and width."""
    times, taken = [], []
    for cell in names:
        for inputs, hidden in sizes:
            net = network(cell, inputs, hidden)
            of = {"cell": cell, "inputs": inputs, "hidden": hidden}
            times.append({**of, **compared(in_c(net), in_onnx(net), rounds)})
            taken += [{**of, "int8": int8, **sized(net, int8)} for int8 in (False, True)]
    return {"rounds": rounds, "flags": " ".join(FLAGS), "times": times, "sizes": taken}


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    given.json.write_text(json.dumps(measure(), indent=1) + "\n")


if __name__ == "__main__":
    main()
