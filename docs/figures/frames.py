"""Times one frame of a stream: how long each way takes to read a frame and to give its output.

    python docs/figures/frames.py --json docs/figures/frames.json

The network is that of the page on streaming: 16 features in, a GRU of 16 units, one output, one row. Each frame is
timed by itself and waited for. Each backend has a process of its own, whose libraries of products have one thread.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import rnnspec
from rnnspec import Dense, Layer, Network, cells

FRAMES, FIRST = 3000, 300
"""The frames that are timed, and those before them that are not."""
FRAME = 0.02
"""The seconds of sound in a frame."""
NET = Network(16, [Layer(cells.gru, 16)], output=Dense(1))
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}

Step = Callable[[np.ndarray], Any]


def bound(be: Any) -> Step:
    step = be.bound(NET, NET.init(0)).step
    return lambda x: np.asarray(be.to_numpy(step(x)))


def module(be: Any) -> Step:
    torch: Any = importlib.import_module("torch")
    stream = be.as_layer(NET).stream()

    def step(x: np.ndarray) -> Any:
        with torch.no_grad():
            return stream(torch.from_numpy(x)).numpy()

    return step


def pure(be: Any) -> Step:
    jax: Any = importlib.import_module("jax")
    init_state, step = be.as_stream(NET)
    params, kept = be.asarray(NET.init(0)), [init_state(1)]
    run = jax.jit(step)

    def one(x: np.ndarray) -> Any:
        kept[0], found = run(params, kept[0], x)
        return np.asarray(found)

    return one


def stateful(be: Any) -> Step:
    keras: Any = importlib.import_module("keras")
    model = keras.Sequential([keras.Input(batch_shape=(1, 1, 16)), be.as_layer(NET, stateful=True)])
    return lambda x: model.predict_on_batch(x[:, None])


WAYS: dict[str, dict[str, Callable[[Any], Step]]] = {
    "numpy": {"bound.step": bound},
    "torch": {"bound.step": bound, "layer.stream()": module},
    "jax": {"bound.step": bound, "as_stream, under jit": pure},
    "tensorflow": {"bound.step": bound, "a stateful Keras layer, predict_on_batch": stateful},
}


def timed(step: Step) -> dict[str, float]:
    """The seconds of frames: the middle one, and what 5 % of the frames exceed."""
    frames = np.random.default_rng(0).normal(size=(FIRST + FRAMES, 1, 1, 16)).astype(np.float32)[:, 0]
    seconds = []
    for x in frames:
        start = time.perf_counter()
        step(x)
        seconds.append(time.perf_counter() - start)
    found = np.percentile(seconds[FIRST:], [50, 95])
    return dict(zip(("median", "most_of_95"), map(float, found), strict=True))


def measured(name: str) -> list[dict[str, Any]]:
    """All ways of a backend, which has this process for itself."""
    be = rnnspec.get_backend(name)
    return [{"backend": name, "way": way, **timed(make(be))} for way, make in WAYS[name].items()]


def main() -> None:
    """Measure each backend in a process of its own, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--backend", choices=WAYS)
    given = parser.parse_args()
    if given.backend:
        print(json.dumps(measured(given.backend)))
        return
    rows = []
    for name in WAYS:
        done = subprocess.run([sys.executable, __file__, "--backend", name], check=True, stdout=subprocess.PIPE,
                              env=os.environ | ONE_THREAD | {"KERAS_BACKEND": "tensorflow"})  # fmt: skip
        rows += json.loads(done.stdout.splitlines()[-1])
    given.json.write_text(json.dumps({"frames": FRAMES, "frame": FRAME, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
