"""The outcome of the rounds of one row: compared with the floor, with the peer, and with the declared budget.

The rule for a budget is that for a peer, with the peer's times multiplied by the ratio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from conformance.cases import load_cell
from conformance.speed.paired import judge, moved_by_the_machine
from conformance.speed.peers import Peer
from conformance.speed.row import Row

__all__ = ["Times", "beyond_doubt", "given_up", "open_question", "outcome"]

Times = Mapping[str, Sequence[float]]
"""The seconds of each round, under "subject", "again", "floor", and each peer's module."""

MARGIN = 1.25
"""What is so many times faster than the peer, and than its budget allows, at all of the interval, needs few rounds."""


def outcome(row: Row, ready: Mapping[str, Any], peer: Peer | None, times: Times, tries: int) -> dict[str, Any]:
    """The row of the report for one peer, or for none; `ready` is the backend's message when it was ready."""
    subject, again = times["subject"], times["again"]
    floor = judge(subject, again, times["floor"])
    found = {
        "cell": row.cell, "shape": asdict(row.shape), "mode": row.mode, "precision": row.precision,
        "ratio_floor": floor.ratio, "ci_floor": [floor.low, floor.high],
        "peer": "", "ratio_peer": 0.0, "ci": [0.0, 0.0], "verdict": "inconclusive", "budget": None,
        "budget_verdict": "", "compile_s": ready["compile_s"]["subject"], "path": ready["path"],
        "seconds": min(subject), "rounds": len(subject), "tries": tries, "more_rounds": 0, "given_up": "",
    }  # fmt: skip
    if peer is None:
        return found
    name, other = peer.layers[load_cell(row.cell)], times[peer.module]
    paired, budget = judge(subject, again, other), ready["budgets"].get(name)
    found |= {"peer": name, "ratio_peer": paired.ratio, "ci": [paired.low, paired.high], "verdict": paired.verdict,
              "more_rounds": paired.more}  # fmt: skip
    if budget is None:
        return found
    allowed = judge(subject, again, [budget * seconds for seconds in other])
    return found | {"budget": budget, "budget_verdict": allowed.verdict, "more_rounds": max(paired.more, allowed.more)}


def beyond_doubt(row: Mapping[str, Any]) -> bool:
    """Whether the verdict on a row that is much faster than the peer, and than its budget allows, needs no more rounds.

    One that is slower has all rounds of a try, since it may fail a run.
    """
    allowed = 1.0 if row["budget"] is None else min(1.0, row["budget"])
    return bool(row["verdict"] == "faster" and MARGIN * row["ci"][1] < allowed)


def open_question(row: Mapping[str, Any]) -> bool:
    """Whether a verdict is open that more rounds might decide."""
    return "inconclusive" in (row["verdict"], row["budget_verdict"])


def given_up(row: Mapping[str, Any], times: Times, left: int) -> str:
    """The reason to measure a row no longer, if the rounds that are left cannot decide it; the empty text if they can.

    `more_rounds` of the row is what the rule needs.
    """
    if not open_question(row) or row["more_rounds"] <= left:
        return ""
    machine = moved_by_the_machine(times["subject"], times["again"], times["floor"])
    return "the machine is too noisy" if machine else "its own times differ too much"
