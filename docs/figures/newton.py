"""Measures Newton's method over time beside single steps, for cells that are not affine, in interleaved rounds.

    python docs/figures/newton.py --json docs/figures/newton.json

Each cell has units that see their own states alone. `forward` solves all steps at once, from the inputs to the outputs,
beside the backend's own run. `backward` is the pullback with the cotangents by one scan after a run step by step,
beside the backend's own pullback. float32; the figures are the shortest times of all rounds, by the clock and of all
processors together, and their ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from newton_layer import Equations, Solved, Solver, gradients

import rnnspec
from rnnspec import Layer, Network, cell, cells
from rnnspec.contract.kernel import Path as Way
from rnnspec.primitives import tanh
from rnnspec.tree import tree_map

BACKENDS = ("numpy", "torch", "jax")
STEPS = {"default": (2_048, 8_192, 65_536), "large": (2_048,)}
"""The steps for each kind of parameters."""
UNITS = 128
BOUND = 1e-5
"""The largest residual, over 1 plus the size of the state, with which states count as found."""
MOST = 40
"""The most iterations."""
ROUNDS = {2_048: 7, 8_192: 3, 65_536: 2}


@cell
def indrnn_tanh(x, p, h):
    """Li et al. (2018) with tanh, as torchrecurrent has it by default."""
    return tanh(x.h + p.h * h)


CELLS = {"indrnn": cells.indrnn, "indrnn_tanh": indrnn_tanh, "brc": cells.brc, "paragru": cells.paragru,
         "paralstm": cells.paralstm}  # fmt: skip


class Given:
    """A layer of one cell on one backend, with parameters and inputs."""

    def __init__(self, backend: Any, name: str, steps: int, kind: str, units: int) -> None:
        rng = np.random.default_rng(0)
        self.backend, self.net = backend, Network(units, [Layer(CELLS[name], units)])
        params = self.net.init(0)
        if kind == "large":  # recurrent vectors with entries up to 1, or 2 where a gate bounds what they do
            half = params["layers"][0]["forward"]
            most = 1.0 if name.startswith("indrnn") else 2.0
            half["p"] = tree_map(lambda a: rng.uniform(-most, most, a.shape).astype(np.float32), half["p"])
        self.params = backend.asarray(params)
        self.own = self.params["layers"][0]["forward"]
        self.inputs = backend.asarray(rng.normal(size=(steps, 1, units)).astype(np.float32))
        self.cotangent = backend.asarray(rng.normal(size=(steps, 1, units)).astype(np.float32))
        self.equations = Equations(self.net.layers[0].cell)
        states = self.equations.plan.cell.states
        self.initial = backend.asarray({s: np.zeros((1, units), np.float32) for s in states})
        self.stepwise = backend.through(Way.GENERIC)
        self.solver = Solver(backend, self.equations, self.compiled)
        self.back = self.compiled(self._gradients)

    @property
    def settings(self) -> Any:
        """The context in which arrays of the backend are computed with."""
        return self.backend.settings() if hasattr(self.backend, "settings") else contextlib.nullcontext()

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of arrays under XLA, where the backend has it."""
        if self.backend.name != "jax":
            return function
        return import_module("jax").jit(function)

    def solved(self) -> Solved:
        """The layer by Newton's method."""
        with self.settings:
            return self.solver.solve(self.own, self.inputs, self.initial, BOUND, MOST)

    def run(self) -> Any:
        """The outputs, step by step."""
        return self.stepwise.run(self.net, self.params, self.inputs).outputs

    def pullback(self) -> Any:
        """The gradients, step by step."""
        return self.stepwise.pullback(self.net, self.params, self.inputs, self.cotangent).params

    def scanned(self, before: Any) -> Any:
        """The gradients by a scan, from the states before each step."""
        with self.settings:
            return self.back(self.own, self.inputs, self.initial, before, self.cotangent)

    def _gradients(self, own: Any, inputs: Any, initial: Any, before: Any, cotangent: Any) -> Any:
        return gradients(self.backend.arrays, self.equations, own, inputs, initial, before, cotangent)

    def waited(self, tree: Any) -> Any:
        """Numbers that are there: one of each array, since the arrays are computed together."""
        return tree_map(lambda a: self.backend.to_numpy(a[:1]), tree)


def compared(given: Given, rounds: int) -> dict[str, Any]:
    """Both comparisons in interleaved rounds, after one call of each."""
    solved = given.solved()
    exact = given.backend.to_numpy(given.run())
    apart = float(np.abs(given.backend.to_numpy(solved.outputs) - exact).max())
    calls = {
        "newton": lambda: given.waited(given.solved().outputs),
        "run": lambda: given.waited(given.run()),
        "scan": lambda: given.waited(given.scanned(solved.before)),
        "pullback": lambda: given.waited(given.pullback()),
    }
    calls["scan"]()
    calls["pullback"]()
    rows = [{key: timed(call) for key, call in calls.items()} for _ in range(rounds)]
    best, work = ({key: min(row[key][kind] for row in rows) for key in calls} for kind in (0, 1))
    return {
        "iterations": solved.iterations, "residual": solved.residual, "converged": solved.converged,
        "failed": len(solved.failed), "apart": apart, "seconds": best, "processor_seconds": work, **ratios(best),
        **{f"processor_{key}": value for key, value in ratios(work).items()},
    }  # fmt: skip


def ratios(seconds: dict[str, float]) -> dict[str, float]:
    """Newton's method over the run, and a run with a backward scan over the pullback."""
    return {"forward_ratio": seconds["newton"] / seconds["run"],
            "backward_ratio": (seconds["run"] + seconds["scan"]) / seconds["pullback"]}  # fmt: skip


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """The seconds of one call, and those of all processors together."""
    begun, work = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begun, time.process_time() - work


def measure(
    backends: tuple[str, ...] = BACKENDS, steps: dict[str, tuple[int, ...]] = STEPS
) -> Iterator[dict[str, Any]]:
    """A row for each number of steps, backend, cell and kind of parameters."""
    for kind, counts in steps.items():
        for count in counts:
            for name in backends:
                for own in CELLS:
                    given = Given(rnnspec.get_backend(name), own, count, kind, UNITS)
                    found = compared(given, ROUNDS.get(count, 2))
                    print(name, own, kind, count, *(f"{key}={found[key]:.3g}" for key in SHOWN), flush=True)
                    yield {"backend": name, "cell": own, "parameters": kind, "steps": count, **found}


SHOWN = ("iterations", "residual", "failed", "apart", "forward_ratio", "backward_ratio", "processor_forward_ratio",
         "processor_backward_ratio")  # fmt: skip


def main() -> None:
    """Measure all, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    rows = []
    for row in measure():
        rows.append(row)
        found = {"units": UNITS, "bound": BOUND, "most": MOST, "rows": rows}
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
