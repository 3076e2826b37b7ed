"""Measures the smallest relative defect in one time step that the suite's tolerance sees, in each precision.

    python docs/figures/detectable.py --json docs/figures/detectable.json

Forward: the cell state that enters one step of an LSTM is too large by a factor; backward: the cotangent of the cell
state that leaves one step is. The factor is bisected until the verdict on all outputs and final states, or on all
gradients, changes. The same is done for the default tolerance of `torch.testing.assert_close`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

import rnnspec
from conformance import tolerance
from conformance.cases import Case, Pull, network_for
from conformance.properties.asking import Question, ask
from conformance.tolerance import PROFILES, Reference
from rnnspec import cells
from rnnspec.tree import leaves, tree_map

PRECISIONS = ("f64", "f32", "bf16", "f16")
CLOSE = {"f64": (1e-7, 1e-7), "f32": (1.3e-6, 1e-5), "bf16": (0.016, 1e-5), "f16": (1e-3, 1e-5)}
"""rtol and atol of `torch.testing.assert_close` by dtype."""
STEPS, BATCH, SEEDS = 7, 5, range(4)
WHERE = (1, 3, 6)
HALVINGS = 18


def parts(question: Question, at: int) -> tuple[Question, Question]:
    """The question before a step and from it on."""
    g = question.given
    return (question.but(inputs=g.inputs[:at], output_cotangent=g.output_cotangent[:at]),
            question.but(inputs=g.inputs[at:], output_cotangent=g.output_cotangent[at:]))  # fmt: skip


def grown(state: Any, factor: float) -> Any:
    """A state whose cells are too large by a factor, in its own precision."""
    half = state[0]["forward"]
    return [{"forward": {**half, "c": (half["c"] * half["c"].dtype.type(1) * factor).astype(half["c"].dtype)}}]


def values(question: Question, at: int, factor: float) -> Any:
    first, second = parts(question, at)
    early = first.run()
    late = second.but(state=grown(early.state, factor)).run()
    return {"outputs": np.concatenate([early.outputs, late.outputs]), "state": late.state}


def gradients(question: Question, at: int, factor: float) -> Any:
    first, second = parts(question, at)
    late = second.but(state=first.run().state).pull()
    early = first.but(state_cotangent=grown(late.state, factor)).pull()
    return {"params": tree_map(np.add, early.params, late.params),
            "inputs": np.concatenate([early.inputs, late.inputs]), "state": early.state}  # fmt: skip


def is_seen(answer: Any, reference: Reference) -> bool:
    return not tolerance.verdict(answer, reference).passed


def is_far(answer: Any, reference: Reference) -> bool:
    rtol, atol = CLOSE[reference.profile.name]
    found, expected = dict(leaves(answer)), reference.expected()
    return not all(np.allclose(found[n].astype(float), expected[n].astype(float), rtol, atol) for n in expected)


def smallest(ask_with: Callable[[float], Any], seen: Callable[[Any, Reference], bool], reference: Reference) -> float:
    """The smallest defect that is seen; 0 where a right answer is refused, infinity where not even a threefold is."""
    low, high = -54.0, 1.0
    if seen(ask_with(1.0), reference):
        return 0.0
    if not seen(ask_with(1.0 + 2.0**high), reference):
        return float("inf")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(ask_with(1.0 + 2.0**middle), reference) else (middle, high)
    return float(2.0**high)


def measured(precision: str) -> dict[str, Any]:
    backend = rnnspec.get_backend("torch", precision=precision)
    found: dict[str, list[float]] = {}
    for seed, at in track(list(product(SEEDS, WHERE)), description=precision):
        case = Case(network_for(cells.lstm), STEPS, BATCH, None, seed=seed, pull=Pull.BOTH)
        question, profile = ask(backend, case), PROFILES[precision]
        for what, answer, reference in (("forward", values, tolerance.run(case, profile)),
                                        ("gradient", gradients, tolerance.pullback(case, profile))):  # fmt: skip
            for who, seen in (("suite", is_seen), ("assert_close", is_far)):
                size = smallest(partial(answer, question, at), seen, reference)
                found.setdefault(f"{what} {who}", []).append(size)
    return {"precision": precision, "unit": profile.unit, "found": [_summary(*row) for row in found.items()]}


def _summary(what: str, sizes: list[float]) -> dict[str, Any]:
    seen = [size for size in sizes if size > 0]
    return {"what": what, "median": float(np.median(seen)) if seen else None, "most": max(seen, default=None),
            "refused": len(sizes) - len(seen)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    rows = [measured(precision) for precision in PRECISIONS]
    given.json.write_text(json.dumps({"steps": STEPS, "cases": len(SEEDS) * len(WHERE), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
