"""Times bound calls: steps of a stream beside ONNX Runtime, and runs beside the framework's own layers.

    python docs/figures/bound.py --json docs/figures/bound.json

A step is one step of one row, with the state in and out; ONNX Runtime runs the same model, written by
`rnnspec.convert.to_onnx`. A run is `bound.run(x)`. Each backend has a process of its own, whose libraries of products
have one thread. JAX is timed
twice: by default it hands each program to another thread, and "jax, synchronous" is JAX with
`jax_cpu_enable_async_dispatch` off. Float32, rounds in random order, judged by the paired rule of the speed table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rounds import interleaved

import rnnspec
from conformance.registry import Shape
from conformance.speed.paired import judge
from conformance.speed.peers import PEERS
from conformance.speed.row import INPUTS, Row
from conformance.tiers import CELLS, ONE, SMALL
from rnnspec.convert import to_onnx

ROUNDS = 15
BACKENDS = ("numpy", "torch", "jax", "jax, synchronous", "tensorflow")
STEP = Shape(1, 1, 64, 128)
STEPPED = ("lstm", "gru")
SKIPPED = {"conformance.speed.peers.torch_compiled_loop_peer": "it needs a compiler of C++",
           "conformance.speed.peers.onnxruntime_peer": "its threads would take the cores from NumPy"}  # fmt: skip
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}

Call = Callable[[int], None]


def step(be: Any, row: Row) -> Call:
    """Steps of a stream."""
    bound, wait = be.bound(row.network, row.network.init(0)), waiting(be)
    given = [be.asarray(x[0]) for x in row.inputs()]
    return lambda count: wait(bound.step(given[count % INPUTS]))


def session(row: Row) -> Call:
    """The same steps by ONNX Runtime, which is given the state and gives the next one."""
    import onnxruntime  # noqa: PLC0415  # only where it is timed

    net = row.network
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = to_onnx(net, net.init(0), state=True).model.SerializeToString()
    found = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given, names = row.inputs(), [place.name for place in found.get_inputs()[1:]]
    state = [np.zeros((1, row.shape.batch, row.shape.hidden), np.float32) for _ in names]

    def call(count: int) -> None:
        _, *state[:] = found.run(None, {"inputs": given[count % INPUTS], **dict(zip(names, state, strict=True))})

    return call


def run(be: Any, row: Row) -> Call:
    """Runs of a bound call."""
    bound, wait = be.bound(row.network, row.network.init(0)), waiting(be)
    given = [be.asarray(x) for x in row.inputs()]
    return lambda count: wait(bound.run(given[count % INPUTS]).outputs)


def unbound(be: Any, row: Row) -> Call:
    """The same runs by `be.run`."""
    net, wait = row.network, waiting(be)
    params, given = be.asarray(net.init(0)), [be.asarray(x) for x in row.inputs()]
    return lambda count: wait(be.run(net, params, given[count % INPUTS]).outputs)


def waiting(be: Any) -> Callable[[Any], Any]:
    """Returns when an array is computed; only JAX returns earlier."""
    return importlib.import_module("jax").block_until_ready if be.name == "jax" else lambda a: None


def rivals(be: Any, row: Row) -> dict[str, Call]:
    """The framework's own layers for the cell of a row, and the call that is not bound."""
    able = [peer for peer in PEERS[be.name] if row.declared in peer.layers and peer.module not in SKIPPED]
    found = {peer.layers[row.declared]: importlib.import_module(peer.module).make(row) for peer in able}
    return {**found, "be.run": unbound(be, row)}


def compared(own: Call, others: dict[str, Call]) -> list[dict[str, Any]]:
    """A call against each other one, in rounds that time all of them."""
    subject, again, times = interleaved(own, others, ROUNDS)
    return [{"peer": peer, "seconds": median(subject), "peer_seconds": median(other),
             **asdict(judge(subject, again, other))} for peer, other in times.items()]  # fmt: skip


def measured(name: str) -> list[dict[str, Any]]:
    """All rows of a backend, which has this process for itself."""
    framework = name.split(",", maxsplit=1)[0]
    os.environ["KERAS_BACKEND"] = framework
    if name != framework:
        importlib.import_module("jax").config.update("jax_cpu_enable_async_dispatch", False)
    be, rows = rnnspec.get_backend(framework), []
    for cell in STEPPED:
        row = Row(cell, STEP, "forward", "f32")
        rows += [{"what": "step", "cell": cell, "shape": asdict(STEP), **found}
                 for found in compared(step(be, row), {"onnxruntime": session(row)})]  # fmt: skip
    for cell in (*CELLS, "lstm_peephole") if name == framework else ():
        for shape in (ONE, SMALL):
            row = Row(cell, shape, "forward", "f32")
            rows += [{"what": "run", "cell": cell, "shape": asdict(shape), **found}
                     for found in compared(run(be, row), rivals(be, row))]  # fmt: skip
    return [{"backend": name, **row} for row in rows]


def main() -> None:
    """Measure each backend in a process of its own, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--backend", choices=BACKENDS)
    given = parser.parse_args()
    if given.backend:
        print(json.dumps(measured(given.backend)))
        return
    rows = []
    for name in BACKENDS:
        done = subprocess.run([sys.executable, __file__, "--backend", name], check=True, stdout=subprocess.PIPE,
                              env=os.environ | ONE_THREAD)  # fmt: skip
        rows += json.loads(done.stdout.splitlines()[-1])
    given.json.write_text(json.dumps({"rounds": ROUNDS, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
