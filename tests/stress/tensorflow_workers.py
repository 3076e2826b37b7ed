"""Four workers of TensorFlow: ten steps beside one process, workers that are lost, and a layer that goes on."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.workers.tensorflow_launches import TRAINED, commanded, judgement, launched, losses
from tests.workers.trees import part

SIZE = 4
WAYS = ("KILL", "KILL", "KILL", "KILL", "STOP", "LATE")
"""How a worker is lost; a late one lives, and does not come to an exchange."""
TOLD = re.compile(r"WorkerError: .* every worker must answer, got none of rank (\d) after ([\d.]+) s")


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """How far the steps are from the reference, and what the others were told; on TensorFlow, whatever `names` asks."""
    kappas, seconds, misnamed, wrong = [], [], 0, 0
    for number in range(count):
        lost = (seed + number) % SIZE
        ends = launched("tensorflow_steps", SIZE, lost, WAYS[number % len(WAYS)])
        others = [end for end in ends if end.rank != lost]
        told = [TOLD.match(str(end.gave.get("told"))) for end in others]
        right = [one and int(one[1]) == lost and end.status == 0 for one, end in zip(told, others, strict=True)]
        misnamed += sum(not each for each in right)
        seconds += [float(one[2]) for one in told if one]
        judged = [one for name in TRAINED for one in judgement(ends[0].gave, name).values()]
        wrong += sum(not one.passed for one in judged) + sum(bits(end.gave) != bits(ends[0].gave) for end in others)
        kappas += [one.kappa for one in judged]
    resumed = goes_on()
    return {"workers": SIZE, "lost": count, "seed": seed, "worst_kappa": round(max(kappas), 3), "wrong": wrong,
            "misnamed": misnamed, "most_seconds_until_told": max(seconds), "a_layer_goes_on": resumed,
            "holds": not wrong and not misnamed and resumed}  # fmt: skip


def bits(found: dict[str, Any]) -> dict[str, bytes]:
    """Those of what all workers have alike."""
    return {f"{name}.{leaf}": array.tobytes() for name in TRAINED for leaf, array in part(found, name).items()}


def goes_on() -> bool:
    """Whether the example of a layer does its last step again, with the same loss, from the checkpoint before it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = losses(commanded(1, folder))
        (folder / "checkpoints/checkpoint").write_text('model_checkpoint_path: "ckpt-9"\n')
        for file in folder.glob("checkpoints/ckpt-10*"):
            file.unlink()
        return losses(commanded(1, folder)) == first[-1:]
