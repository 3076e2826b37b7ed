"""Measures what running again costs at 4,096 steps: its time beside a plain run's, and how far its numbers are off.

    python docs/figures/recomputation.py --json docs/figures/recomputation.json

Times are of the processor, medians of rounds in which both run once. Numbers are judged as the conformance suite does:
in units of what rounding in the precision can do to them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

import rnnspec
from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from rnnspec import Backend, Last, Layer, Network, cells, losses
from rnnspec.tree import leaves

STEPS, ROUNDS = 4096, 3
INPUTS, HIDDEN, BATCH = 16, 64, 16
SMALL = Case(Network(4, [Layer(cells.lstm, 8)], loss=losses.SquaredError()), STEPS, 2)
"""One layer, since the oracle keeps every step of nine runs; a loss at each, since the last one's does not go back."""


def times(plain: Backend) -> dict[str, Any]:
    """Seconds of one loss and its gradients, and the median of the rounds' ratios."""
    net = Network(INPUTS, [Layer(cells.lstm, HIDDEN)], Last(), loss=losses.SquaredError())
    rng, found = np.random.default_rng(0), []
    x, y = rng.normal(size=(STEPS, BATCH, INPUTS)), rng.normal(size=(BATCH, HIDDEN))
    given = [plain.asarray(tree) for tree in (net.init(0), x, y)]
    for _ in range(ROUNDS + 1):
        found.append([seconds(backend, net, given) for backend in (plain, plain.recomputing())])
    first, second = zip(*found[1:], strict=True)
    ratios = [again / once for once, again in found[1:]]
    return {"plain_seconds": statistics.median(first), "recomputing_seconds": statistics.median(second),
            "ratio": statistics.median(ratios), "ratios": [min(ratios), max(ratios)]}  # fmt: skip


def seconds(backend: Backend, net: Network, given: Any) -> float:
    start = time.process_time()
    step = backend.value_and_grad(net, *given)
    backend.to_numpy((step.loss_sum, step.grads.params, step.grads.inputs))
    return time.process_time() - start


def numbers(plain: Backend) -> dict[str, Any]:
    """The worst ratio to the yardstick, and which numbers are the plain run's to the bit."""
    a, profile = SMALL.arrays(plain.precision), tolerance.PROFILES[plain.precision]
    reference = tolerance.value_and_grad(SMALL, profile)
    found, verdicts = [], []
    for backend in (plain, plain.recomputing()):
        step = Judge(backend).numpy(backend.value_and_grad(SMALL.net, a.params, a.inputs, a.targets, a.state))
        verdicts.append(tolerance.verdict(step, reference))
        found.append(dict(leaves({"loss": step.loss_sum, "state": step.state, "grads": vars(step.grads)})))
    equal = {name: bool(np.array_equal(array, found[1][name])) for name, array in found[0].items()}
    others = [same for name, same in equal.items() if not name.startswith("grads.params")]
    once, again = verdicts
    return {"plain_kappa": once.kappa, "recomputing_kappa": again.kappa, "allowed": again.allowed,
            "within": again.passed, "ill_posed": again.ill_posed, "bitwise": all(others),
            "bitwise_sums": all(equal.values())}  # fmt: skip


def measured() -> dict[str, Any]:
    timed, judged = [], []
    for name in track(rnnspec.backend_names()):
        timed.append({"backend": name, **times(rnnspec.get_backend(name, precision="f32"))})
        judged += [{"backend": name, "precision": precision, **numbers(rnnspec.get_backend(name, precision=precision))}
                   for precision in ("f32", "f64")]  # fmt: skip
    return {"steps": STEPS, "timed_at": [BATCH, INPUTS, HIDDEN], "timed": timed, "judged": judged}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.parse_args().json.write_text(json.dumps(measured(), indent=1) + "\n")
