"""Measures how much of the allowed rounding the parallel form uses, over cells, lengths, decays and precisions.

    python docs/figures/parallel_kappa.py --json docs/figures/parallel_kappa.json

Each entry is the worst ratio of an error to its yardstick, over outputs, final state, and the gradients of everything,
in `CASES` drawn cases with initial states and cotangents of outputs and final states: 5 rows of several lengths, one of
them empty, in chunks of 64 steps, beside the same cases step by step. NumPy runs 32 and 64 bits, and PyTorch bfloat16.
A ratio beyond what the suite allows stops the measurement.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

import rnnspec
from conformance.cases import Case, Pull, hidden_for
from conformance.judge import IllPosed, Judge
from conformance.properties.asking import Question, ask
from conformance.properties.parallel.decays import EXTREMES, forgetting
from rnnspec import Layer, Network, cells

CASES, BATCH, INPUTS, CHUNK = 4, 5, 6, 64
BACKENDS = {"f32": "numpy", "f64": "numpy", "bf16": "torch"}
NAMES = ("gla", "mlstm", "mamba2", "deltanet", "gated_deltanet", "rwkv7", "mingru", "rglru", "lru")
STEPS = (16, 65, 200)
DECAYS = {"0": EXTREMES[:1], "1e-6": EXTREMES[1:2], "1 - 1e-6": EXTREMES[2:3], "1": EXTREMES[3:], "all": EXTREMES}
WIDTH = 3


def cases(net: Network, steps: int) -> Iterator[Case]:
    for seed in range(CASES):
        lengths = (steps, 0, steps // 2, 1, steps - 1)
        yield Case(net, steps, BATCH, lengths, seed=seed, scale=(0.3, 1.0, 2.0, 1.0)[seed], pull=Pull.BOTH)


def worst(questions: Iterator[tuple[Question, Question]]) -> dict[str, Any]:
    """The worst ratios of questions in parallel and step by step, and how many had no answer in the precision."""
    found, ill_posed = {"kappa": 0.0, "stepwise": 0.0}, 0
    for pair in questions:
        try:
            ratios = [ratio(question) for question in pair]
        except IllPosed:
            ill_posed += 1
            continue
        found = {key: max(most, new) for (key, most), new in zip(found.items(), ratios, strict=True)}
    return {**{key: round(most, 3) for key, most in found.items()}, "ill_posed": ill_posed}


def ratio(question: Question) -> float:
    judge = Judge(question.backend)
    judge.close("run", question.run(), question.run_reference())
    judge.close("pullback", question.pull(), question.pull_reference())
    return judge.kappa


def asked(precision: str, net: Network, steps: int) -> Iterator[tuple[Question, Question]]:
    backend = rnnspec.get_backend(BACKENDS[precision], precision=precision)
    for case in cases(net, steps):
        yield (ask(backend.through(rnnspec.Path.PARALLEL).chunking(CHUNK), case),
               ask(backend.through(rnnspec.Path.GENERIC), case))  # fmt: skip


def decaying(question: Question, chosen: tuple[float, ...]) -> Question:
    """The question where the first input features are the decays."""
    params, inputs = question.given.params, question.given.inputs
    own, rng = params["layers"][0]["forward"], np.random.default_rng(0)
    for name, low, high in (("a", 0, WIDTH), ("n", WIDTH, WIDTH + 1)):
        own["W"][name][...] = np.eye(INPUTS, dtype=own["W"][name].dtype)[low:high]
        own["b"][name][...] = 0
    inputs[..., : WIDTH + 1] = rng.choice(chosen, (*inputs.shape[:2], WIDTH + 1))
    return question.but(params=params, inputs=inputs)


def by_cell() -> Iterator[dict[str, Any]]:
    for precision, name, steps in track(list(product(BACKENDS, NAMES, STEPS)), description="cells"):
        own = getattr(cells, name)
        net = Network(INPUTS, [Layer(own, hidden_for(own))])
        yield {"precision": precision, "cell": name, "steps": steps, **worst(asked(precision, net, steps))}


def by_decay() -> Iterator[dict[str, Any]]:
    net = Network(INPUTS, [Layer(forgetting, {"h": WIDTH, "S.columns": 2})])
    for precision, (name, chosen), steps in track(list(product(BACKENDS, DECAYS.items(), STEPS)), description="decays"):
        pairs = asked(precision, net, steps)
        questions = ((decaying(one, chosen), decaying(other, chosen)) for one, other in pairs)
        yield {"precision": precision, "decay": name, "steps": steps, **worst(questions)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    rows = {"cells": list(by_cell()), "decays": list(by_decay())}
    parser.parse_args().json.write_text(json.dumps({"cases": CASES, **rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
