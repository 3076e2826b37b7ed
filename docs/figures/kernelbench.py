"""Whether KernelBench's recurrent problems accept wrong kernels, and whether this suite does.

    python docs/figures/kernelbench.py --json docs/figures/kernelbench.json

The ten recurrent problems of KernelBench level 3 are written anew from their descriptions: their shapes, PyTorch's
initial values, inputs from `torch.rand`, one seed, the forward pass alone, and a tolerance of 1e-4, absolute and
relative together. A wrong kernel runs through the complete stack of layers. Then the suite judges one layer with the
same wrong kernel, as `python -m conformance --module` does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor, nn
from wrong_kernels import WRONG, State, WrongKernel

from conformance.modules import load
from conformance.registry import Scope, Shape, properties
from conformance.running.examination import Examination

TOLERANCE, SEED = 1e-4, 42
LAWS, SHAPES = ("P01", "P02"), tuple[Shape, ...]()
CELLS = {"RNN": "elman", "LSTM": "lstm", "GRU": "gru"}
READS: dict[str, Callable[[Tensor, State], Tensor]] = {
    "every output": lambda outputs, final: outputs,
    "last output": lambda outputs, final: outputs[-1],
    "h_n": lambda outputs, final: final[0] if isinstance(final, tuple) else final,
    "c_n": lambda outputs, final: final[1],
}
"""What a problem returns of a run."""


@dataclass(frozen=True)
class Problem:
    """One problem; `features` are those of the linear layer after the recurrent one, 0 where there is none."""

    number: int
    kind: str
    reads: str
    steps: int = 512
    batch: int = 10
    inputs: int = 128
    hidden: int = 256
    layers: int = 6
    bidirectional: bool = False
    features: int = 0
    state: Callable[..., Tensor] = torch.rand

    @property
    def name(self) -> str:
        """The kind of layer, and what is read of it."""
        return f"{'bidirectional ' * self.bidirectional}{self.kind}, {self.reads}"

    def arguments(self) -> tuple[Tensor, State]:
        """The inputs and the initial state."""
        torch.manual_seed(SEED)
        x = torch.rand(self.steps, self.batch, self.inputs)
        shape = self.layers * (1 + self.bidirectional), self.batch, self.hidden
        return x, (self.state(*shape), self.state(*shape)) if self.kind == "LSTM" else self.state(*shape)

    def answer(self, wrong: WrongKernel | None = None) -> Tensor:
        """What the problem's model returns, or what it returns with a wrong kernel."""
        torch.manual_seed(SEED)
        layer = Plain(self.inputs, self.hidden) if self.kind == "RNN" else getattr(nn, self.kind)(
            self.inputs, self.hidden, self.layers, bidirectional=self.bidirectional)  # fmt: skip
        head = nn.Linear(self.hidden * (1 + self.bidirectional), self.features) if self.features else nn.Identity()
        with torch.no_grad():
            x, state = self.arguments()
            outputs, final = wrong.run(layer, x, state) if wrong else layer(x, state)
            return head(READS[self.reads](outputs, final))


class Plain(nn.Module):
    """The vanilla RNN of the first two problems: one linear map of input and state side by side."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.map = nn.Linear(inputs + hidden, hidden)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        outputs, (h,) = [], state
        for x_t in x:
            h = torch.tanh(self.map(torch.cat((x_t, h), -1)))
            outputs.append(h)
        return torch.stack(outputs), h[None]


PROBLEMS = (
    Problem(33, "RNN", "every output", 1, 256, 16384, 16384, 1, features=8192),
    Problem(34, "RNN", "every output", 256, 8, 1024, 256, 1, features=128),
    Problem(35, "LSTM", "last output", features=10, state=torch.randn),
    Problem(36, "LSTM", "h_n"),
    Problem(37, "LSTM", "c_n"),
    Problem(38, "LSTM", "last output", bidirectional=True, features=10),
    Problem(39, "GRU", "every output"),
    Problem(40, "GRU", "h_n"),
    Problem(41, "GRU", "every output", bidirectional=True),
    Problem(42, "GRU", "h_n", bidirectional=True),
)  # fmt: skip


def measured(problem: Problem, kernels: tuple[WrongKernel, ...] = WRONG) -> Iterator[dict[str, Any]]:
    """The largest difference of each wrong kernel, and whether the tolerance accepts it."""
    right = problem.answer()
    for wrong in (kernel for kernel in kernels if kernel.is_wrong(problem.steps)):
        found = problem.answer(wrong)
        yield {"problem": problem.number, "kernel": wrong.name, "difference": float((found - right).abs().max()),
               "accepted": torch.allclose(found, right, rtol=TOLERANCE, atol=TOLERANCE)}  # fmt: skip


def judged(kind: str, wrong: WrongKernel) -> dict[str, Any]:
    """The laws by which the suite refuses one layer with a wrong kernel, with as many cases as its smoke tier has."""
    spec, laws = f"wrong_kernels:{kind}.{wrong.name}", {law.id: law for law in properties()}
    backend = load(spec, CELLS[kind], "f32")
    scope = Scope(backend.capabilities.cells or (), SHAPES, brief=True)
    found = {name: Examination(backend, scope, examples=1).judge(laws[name]) for name in LAWS}
    return {"cell": CELLS[kind], "kernel": wrong.name, "module": spec,
            "refused_by": [name for name, finding in found.items() if finding.status in ("fail", "error")]}  # fmt: skip


def measure() -> dict[str, Any]:
    """All problems and all verdicts."""
    problems = [{"number": problem.number, "name": problem.name, "steps": problem.steps} for problem in PROBLEMS]
    rows = [row for problem in track(PROBLEMS, "problems") for row in measured(problem)]
    verdicts = [judged(kind, wrong) for kind in CELLS for wrong in track(WRONG, f"suite, {kind}")]
    return {"tolerance": TOLERANCE, "seed": SEED, "version": f"torch {torch.__version__}", "laws": LAWS,
            "kernels": {wrong.name: wrong.says for wrong in WRONG}, "problems": problems, "rows": rows,
            "suite": verdicts}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    given.json.write_text(json.dumps(measure(), indent=1) + "\n")


if __name__ == "__main__":
    main()
