"""Scores the faults of an LSTM's values on the inputs and tolerances of three other suites, and on this one.

    python docs/figures/other_suites.py --json docs/figures/other_suites.json

The inputs are made anew from what those suites have in common: ONNX's six node tests of LSTM (every weight one number,
no initial state), WebNN's (one activation, the same weights for all gates, no initial state) and Keras' (one number for
every kernel, another for the recurrent ones, the forget bias 1 and the others 0). A fault is told where any value is
further away than the suite allows. Without lengths, as all of them are. What this suite tells is of its last self-test.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from conformance.mutants import mutants
from conformance.mutants.trial import Reference
from rnnspec import Layer, Mutant, Network, Result, cells
from rnnspec.tree import named_map, tree_map

SELF_TEST, HERE = Path(__file__).with_name("self-test.json"), "rnnspec"
KINDS = ("states", "steps", "numbers", "memory", "extents")
"""The kinds of faults outside the equations that can touch a call without lengths."""
VALUES = {"asked", "answered", "given", "run", "make_arrays"}
"""The places at which a fault of values is."""
FORGET_BIAS = "b.f"


@dataclass(frozen=True)
class Suite:
    """`tests` are `(inputs, network, parameters)`, `close` the tolerance; `relu` where all activations are one."""

    name: str
    tests: tuple[Callable[[], tuple[Any, Network, Any]], ...]
    close: Callable[[Any, Any], bool]
    relu: bool = False


def constant(shape: tuple[int, int, int], hidden: int, numbers: Mapping[str, float], direction: str = "forward") -> Any:
    """A test whose maps of a kind are one number each; inputs count up from 1."""
    steps, batch, inputs = shape

    def made() -> tuple[Any, Network, Any]:
        net = Network(inputs, [Layer(cells.lstm, hidden, direction)])
        x = np.arange(1.0, 1 + steps * batch * inputs).reshape(shape)
        return x, net, named_map(lambda name, a: np.full_like(a, _number(numbers, name)), net.init(0))

    return made


def uneven(shape: tuple[int, int, int], hidden: int) -> Any:
    """A test whose input maps and biases differ by unit and are the same for every gate, with small whole numbers."""
    inputs = shape[2]
    rows = np.resize([[1.0, -1.0], [2.0, -2.0]], (hidden, inputs))
    given = {"W": rows, "b": np.resize([1.0, 2.0], hidden), "U": np.full((hidden, hidden), 0.1)}

    def made() -> tuple[Any, Network, Any]:
        net = Network(inputs, [Layer(cells.lstm, hidden)])
        x = np.resize([1.0, 2.0, 2.0, 1.0], shape)
        return x, net, named_map(lambda name, a: given[name.split(".")[-2]], net.init(0))

    return made


def _number(numbers: Mapping[str, float], name: str) -> float:
    kind, gate = name.split(".")[-2:]
    return numbers.get(f"{kind}.{gate}", numbers[kind])


def within(rtol: float, atol: float) -> Callable[[Any, Any], bool]:
    return lambda found, right: bool(np.allclose(found, right, rtol, atol))


def one_ulp(found: Any, right: Any) -> bool:
    return bool((np.abs(found - right) <= np.spacing(np.abs(right))).all())


TENTH = {"W": 0.1, "U": 0.1, "b": 0.0}
KERAS = {"W": 0.01, "U": 0.02, "b": 0.0, FORGET_BIAS: 1.0}
SUITES = (
    Suite("ONNX", (constant((1, 3, 2), 3, TENTH), constant((1, 3, 3), 4, {**TENTH, "b": 0.1}),
                   constant((1, 2, 4), 3, TENTH), constant((1, 3, 2), 7, {"W": 0.3, "U": 0.3, "b": 0.0}),
                   constant((2, 3, 2), 3, TENTH, "bidirectional"), constant((2, 3, 2), 3, TENTH, "reverse")),
          within(1e-3, 1e-7)),
    Suite("WebNN", (uneven((1, 2, 2), 2), uneven((2, 2, 2), 2)), one_ulp, relu=True),
    Suite("Keras", (constant((3, 2, 4), 3, KERAS), constant((3, 2, 4), 3, KERAS, "reverse")), within(1e-6, 1e-6)),
)  # fmt: skip


class Relu(Reference):
    """All activations are relu, as in WebNN's tests."""

    def make_arrays(self) -> Any:
        arrays = super().make_arrays()
        relu = arrays.functions["relu"]
        arrays.functions = {**arrays.functions, "sigmoid": relu, "tanh": relu}
        return arrays


def faults() -> list[Mutant]:
    """Those of the values of an LSTM, and of the protocol around one layer."""
    return [m for m in mutants() if _is_of_lstm(m) or (m.name.partition(":")[0] in KINDS and _is_of_values(m))]


def _is_of_lstm(mutant: Mutant) -> bool:
    is_own = getattr(mutant, "cell", None) == cells.lstm and not getattr(mutant, "twin", "")
    return is_own and (mutant.name.endswith(("(forward)", "(both)")) or "the forward loop" in mutant.name)


def _is_of_values(mutant: Mutant) -> bool:
    is_of_gradients = any(word in mutant.name for word in ("gradient", "cotangent"))
    return not is_of_gradients and bool(vars(mutant.make.args[0]).keys() & VALUES)


def is_told(suite: Suite, fault: Mutant) -> bool:
    right = (Relu if suite.relu else Reference)()
    wrong = fault.make(right)
    for test in suite.tests:
        x, net, params = test()
        try:
            with np.errstate(all="ignore"):
                found, expected = (list(_values(be.run(net, params, x))) for be in (wrong, right))
        except Exception:
            return True
        if not all(a.shape == b.shape and suite.close(a, b) for a, b in zip(found, expected, strict=True)):
            return True
    return False


def _values(result: Result) -> Iterator[Any]:
    found: list[Any] = []
    tree_map(lambda a: found.append(np.array(a)), [result.outputs, result.state])
    yield from found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    rows, kills = [], json.loads(SELF_TEST.read_text())["self_test"]["kills"]
    for fault in track(faults()):
        told = {suite.name: is_told(suite, fault) for suite in SUITES} | {HERE: fault.name in kills}
        kind = "an LSTM's equations" if getattr(fault, "cell", None) else fault.name.partition(":")[0]
        rows.append({"fault": fault.name, "kind": kind, "told": told})
    given.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
