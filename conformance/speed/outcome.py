"""What the rounds of one row say: of the floor, of the peer, and of the budget that the backend declares.

A budget is judged by the same rule as a peer, by the peer's times multiplied by the ratio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from conformance.cases import load_cell
from conformance.speed.paired import judge
from conformance.speed.peers import Peer
from conformance.speed.row import Row

__all__ = ["Times", "open_question", "outcome"]

Times = Mapping[str, Sequence[float]]
"""The seconds of everybody in each round: "subject", "again", "floor", and each peer by its module."""


def outcome(row: Row, ready: Mapping[str, Any], peer: Peer | None, times: Times, tries: int) -> dict[str, Any]:
    """The row of the report against one peer, or against none; `ready` is what the backend said when it was ready."""
    subject, again = times["subject"], times["again"]
    floor = judge(subject, again, times["floor"])
    found = {
        "cell": row.cell, "shape": asdict(row.shape), "mode": row.mode, "precision": row.precision,
        "ratio_floor": floor.ratio, "ci_floor": [floor.low, floor.high],
        "peer": "", "ratio_peer": 0.0, "ci": [0.0, 0.0], "verdict": "inconclusive", "budget": None,
        "budget_verdict": "", "compile_s": ready["compile_s"]["subject"], "path": ready["path"],
        "seconds": min(subject), "rounds": len(subject), "tries": tries,
    }  # fmt: skip
    if peer is None:
        return found
    name, other = peer.layers[load_cell(row.cell)], times[peer.module]
    paired, budget = judge(subject, again, other), ready["budgets"].get(name)
    found |= {"peer": name, "ratio_peer": paired.ratio, "ci": [paired.low, paired.high], "verdict": paired.verdict}
    if budget is None:
        return found
    allowed = judge(subject, again, [budget * seconds for seconds in other])
    return found | {"budget": budget, "budget_verdict": allowed.verdict}


def open_question(row: Mapping[str, Any]) -> bool:
    """Whether the rounds so far leave something open that more of them might tell."""
    return "inconclusive" in (row["verdict"], row["budget_verdict"])
