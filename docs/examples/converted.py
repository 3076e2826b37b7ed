"""A classifier that torch trained, read from its file and run everywhere else: the same logits, the same answers.

    python docs/examples/converted.py --json figures.json

An `nn.LSTM` with an `nn.Linear` learns scikit-learn's digits in torch, and its state_dict is written to a file. The
file is all that is left of it: read with `rnnspec.convert`, the network runs on every backend, and as an ONNX model in
ONNX Runtime. A difference of logits is measured by what float32 may round, the yardstick of the conformance suite.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import safetensors.numpy
import safetensors.torch
import torch
import typer
from handwriting import CLASSES, Digits, digits
from rich.console import Console
from rich.table import Table

import rnnspec
from conformance import oracle, tolerance
from rnnspec import Dense, Last, cells, convert

BACKENDS = ("numpy", "torch", "jax", "tensorflow")


class Classifier(torch.nn.Module):
    """An LSTM reads an image row by row; a linear layer names the digit from its last state."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.rnn, self.out = torch.nn.LSTM(8, hidden, num_layers=2), torch.nn.Linear(hidden, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.out(self.rnn(images)[1][0][-1])


def train(data: Digits, hidden: int, epochs: int, seed: int) -> Classifier:
    torch.manual_seed(seed)
    model = Classifier(hidden)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(data.labels)).numpy()[: len(data.labels) // 32 * 32].reshape(-1, 32):
            batch = data.take(rows)
            optimiser.zero_grad()
            logits = model(torch.tensor(batch.images, dtype=torch.float32))
            torch.nn.functional.cross_entropy(logits, torch.tensor(batch.labels)).backward()
            optimiser.step()
    return model


def read(path: Path) -> convert.Imported:
    """The network in a file of torch's weights, by the names that its parts had there."""
    stored = safetensors.numpy.load_file(path)

    def part(prefix: str) -> dict[str, Any]:
        return {name.removeprefix(prefix): a for name, a in stored.items() if name.startswith(prefix)}

    return convert.from_torch((cells.lstm, part("rnn.")), (Dense, part("out.")), read=Last())


def everywhere(found: convert.Imported, images: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The logits of every backend, then those of ONNX Runtime."""
    for name in BACKENDS:
        be = rnnspec.get_backend(name)
        yield f"{name} {be.version}", be.to_numpy(be.run(found.net, found.params, images).outputs)
    model = convert.to_onnx(found.net, found.params).model.SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    yield f"ONNX Runtime {onnxruntime.__version__}", session.run(None, {"inputs": images})[0]


def compare(found: convert.Imported, images: np.ndarray, theirs: np.ndarray) -> Iterator[dict[str, Any]]:
    """Every answer against that of torch itself; both may round."""
    yardstick = tolerance.reference(tolerance.PROFILES["f32"], lambda exact: oracle.run(
        found.net, found.params, images, arithmetic=exact)).at("outputs")  # fmt: skip
    for name, logits in everywhere(found, images):
        verdict = tolerance.agreement(logits, theirs, yardstick)
        yield {"where": name, "largest_difference": float(np.abs(logits - theirs).max()),
               "over_yardstick": verdict.kappa, "allowed": verdict.allowed, "within": verdict.passed,
               "same_answers": int((logits.argmax(-1) == theirs.argmax(-1)).sum()), "of": len(theirs)}  # fmt: skip


def shown(rows: list[dict[str, Any]]) -> Table:
    table = Table("run by", "worst difference", "over the yardstick", "allowed", "same answers")
    for row in rows:
        table.add_row(row["where"], f"{row['largest_difference']:.1e}",
                      f"[{'green' if row['within'] else 'red'}]{row['over_yardstick']:.2f}", f"{row['allowed']:.1f}",
                      f"{row['same_answers']} of {row['of']}")  # fmt: skip
    return table


def main(
    seed: Annotated[int, typer.Option(min=0, help="Draws the initial values and the order of training.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A short course, to see that everything works.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
) -> None:
    """Train in torch, and run everywhere."""
    console, (training, testing) = Console(), digits()
    model = train(training, *((24, 4) if quick else (64, 15)), seed)
    images = testing.images.astype(np.float32)
    with torch.no_grad():
        theirs = model(torch.tensor(images)).numpy()
    accuracy = float((theirs.argmax(-1) == testing.labels).mean())
    console.print(f"torch: {accuracy:.1%} of {len(theirs)} test digits right")
    with tempfile.TemporaryDirectory() as folder:
        safetensors.torch.save_file(model.state_dict(), Path(folder) / "classifier.safetensors")
        found = read(Path(folder) / "classifier.safetensors")
    for note in found.notes:
        console.print(f"note: {note}")
    rows = list(compare(found, images, theirs))
    console.print(shown(rows))
    if json_file:
        figures = {"test_accuracy": accuracy, "notes": list(map(str, found.notes)), "rows": rows}
        json_file.write_text(json.dumps(figures, indent=1) + "\n")
    if not all(row["within"] and row["same_answers"] == row["of"] for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
