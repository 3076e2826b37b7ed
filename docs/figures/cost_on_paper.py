"""Measures sums and steps of two and of four workers beside what `rnnspec.workers.cost` says of them.

    make cost-on-paper

The workers are processes of this machine that send by TCP over the loopback interface, whose counter says how many
bytes they sent. `make` gives them a network namespace of their own, where nobody else sends, and lets the interface
pass 1 Gbit/s, so that the link and not the processor decides how long a sum takes. For each group, bandwidth and
latency are fitted to sums of two sizes; those of the other sizes, and a step of training, are held out. The three
networks of the page are timed on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from cost_on_paper_worker import loopback

import rnnspec
from rnnspec import Dense, Layer, Network, cells, losses, updates
from rnnspec.tree import leaves
from rnnspec.workers.cost import direct, ring, vector

SIZES = (2, 4)
FITTED = (1 << 10, 1 << 19)
WAYS = {"mpi": direct, "gloo": ring}
ROWS, STEPS, FEATURES, CLASSES = 32, 128, 256, 64
LAYERS = {
    "LSTM, 256 units": [Layer(cells.lstm, 256)],
    "LSTM, 2 layers of 1,024 units": [Layer(cells.lstm, 1024)] * 2,
    "gated DeltaNet, 8 heads of 64 x 64": [Layer(cells.gated_deltanet, 64, heads=8)],
}
OVER_TCP = {"MPIR_CVAR_NOLOCAL": "1", "MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp", "FI_TCP_IFACE": "lo"}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
WORKER = str(Path(__file__).with_name("cost_on_paper_worker.py"))


def measured(engine: str, size: int) -> dict[str, Any]:
    """What a group of so many workers measured, with its fitted link, and the model beside each number."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        for process in started(engine, size, [sys.executable, WORKER, engine, str(file)]):
            if process.wait(600):
                raise RuntimeError(f"a worker of {engine} ended with {process.returncode}")
        found = json.loads(file.read_text())
    for row in found["sums"]:
        row["fitted"] = row["elements"] in FITTED
    latency, inverse = link(engine, size, *(row for row in found["sums"] if row["fitted"]))
    for row in found["sums"]:
        row["sent_on_paper"], messages = paper(engine, size, row["elements"])
        row["seconds_on_paper"] = messages * latency + row["sent_on_paper"] * inverse
    step = found["step"]
    sent, messages = paper(engine, size, step["parameters"], marks=size)
    step["on_paper"] = step["local"] + messages * latency + sent * inverse
    return {"engine": engine, "workers": size, "latency": latency, "bandwidth": 1 / inverse, **found}


def started(engine: str, size: int, command: list[str]) -> list[subprocess.Popen[bytes]]:
    """The processes, or the one that starts them."""
    if engine == "mpi":
        mpiexec = str(Path(sys.executable).with_name("mpiexec"))
        return [subprocess.Popen([mpiexec, "-n", str(size), *command], env=os.environ | ONE_THREAD | OVER_TCP)]
    common = os.environ | ONE_THREAD | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29519", "WORLD_SIZE": str(size),
                                        "GLOO_SOCKET_IFNAME": "lo"}  # fmt: skip
    return [subprocess.Popen(command, env=common | {"RANK": str(rank)}) for rank in range(size)]


def paper(engine: str, size: int, elements: int, marks: int = 0) -> tuple[float, int]:
    """The bytes that each worker sends in a sum of so many numbers and one count, and the messages in a row."""
    moved = WAYS[engine](vector(elements - 1, marks), size) if marks else WAYS[engine](4.0 * (elements + 4), size)
    return moved.size, moved.messages


def link(engine: str, size: int, small: dict[str, Any], large: dict[str, Any]) -> tuple[float, float]:
    """The latency, and the seconds that a byte takes, which give a small and a large sum their seconds."""
    (few, messages), (many, _) = (paper(engine, size, row["elements"]) for row in (small, large))
    inverse = (large["seconds"] - small["seconds"]) / (many - few)
    return max(0.0, (small["seconds"] - few * inverse) / messages), inverse


def networks() -> list[dict[str, Any]]:
    """The parameters, the states and the seconds of a step of each network, on one thread of PyTorch."""
    import torch  # noqa: PLC0415  # a test of the other functions needs no framework

    torch.set_num_threads(1)
    be, rule, rng, found = rnnspec.get_backend("torch"), updates.SGD(0.01), np.random.default_rng(0), []
    for name, layers in LAYERS.items():
        net = Network(FEATURES, layers, output=Dense(CLASSES), loss=losses.SoftmaxCrossEntropy())
        params = be.asarray(net.init(0))
        given = be.asarray(rng.normal(size=(STEPS, ROWS, FEATURES))), rng.integers(0, CLASSES, (STEPS, ROWS))
        seconds = []
        for _ in range(3):
            begun = time.perf_counter()
            be.train_step(net, rule, params, rule.init(params), *given)
            seconds.append(time.perf_counter() - begun)
        states = [sum(4 * int(np.prod(shape)) for _, shape in leaves(layer)) for layer in net.state_shapes(ROWS)]
        found.append({"name": name, "parameters": sum(int(np.prod(s)) for _, s in leaves(net.parameter_shapes())),
                      "states": states, "local": min(seconds)})  # fmt: skip
        print(found[-1], flush=True)
    return found


def main() -> None:
    """Measure all, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--engine", choices=WAYS, action="append")
    given = parser.parse_args()
    before = loopback()
    time.sleep(1)
    data = {"sent_by_others_in_a_second": loopback() - before,
            "groups": [measured(engine, size) for engine in given.engine or WAYS for size in SIZES],
            "rows": ROWS, "steps": STEPS, "networks": networks()}  # fmt: skip
    given.json.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
