"""Times layers that `rnnspec.convert.to_onnx` writes as a Scan beside the same layers as an operator of ONNX.

    python docs/figures/onnx_scan.py

ONNX Runtime runs both on one core, in turn, in float32. The table has the quickest run of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime

from rnnspec import Cell, Layer, Network, cells
from rnnspec.convert import to_onnx

ROUNDS, STEPS = 60, 100
CELLS = (cells.lstm, cells.gru, cells.elman)
SIZES = ((1, 64), (1, 256), (32, 64), (32, 256))
"""Rows, and units."""


def session(cell: Cell, hidden: int, *, operators: bool) -> Any:
    """ONNX Runtime with one layer."""
    net = Network(hidden, [Layer(cell, hidden)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = to_onnx(net, net.init(0), operators=operators).model
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def seconds(found: Any, x: Any) -> float:
    """The time of one run."""
    begun = perf_counter()
    found.run(None, {"inputs": x})
    return perf_counter() - begun


def rows() -> Iterator[str]:
    """The rows of the table."""
    for cell in CELLS:
        for batch, hidden in SIZES:
            pair = [session(cell, hidden, operators=given) for given in (True, False)]
            x = np.random.default_rng(0).normal(size=(STEPS, batch, hidden)).astype(np.float32)
            times = [[seconds(one, x) for one in pair] for _ in range(ROUNDS)]
            own, scan = (min(column) * 1e3 for column in zip(*times, strict=True))
            yield f"| `{cell.name}` | {batch} | {hidden} | {own:.2f} ms | {scan:.2f} ms | {scan / own:.1f} |"


if __name__ == "__main__":
    print(f"onnxruntime {onnxruntime.__version__}, {STEPS} steps\n")
    print("| cell | rows | units | operator | Scan | ratio |\n|---|---|---|---|---|---|")
    for line in rows():
        print(line, flush=True)
