"""`python -m tests.stress [PIECE ...] [--json FILE] [--backend NAME ...] [--precision NAME] [--count N] [--seed N]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import rnnspec
from tests.stress import (
    bad_calls,
    drawn,
    false_alarms,
    four_workers,
    jax_workers,
    kill_during_save,
    kill_during_training,
    launches,
    policies,
    sixteen,
    tensorflow_workers,
    torch_workers,
)

PIECES = {
    "bad_calls": (bad_calls.measure, 10_000),
    "kill_during_save": (kill_during_save.measure, 200),
    "kill_during_training": (kill_during_training.measure, 20),
    "four_workers": (four_workers.measure, 10),
    "tensorflow_workers": (tensorflow_workers.measure, 6),
    "jax_workers": (jax_workers.measure, 8),
    "torch_workers": (torch_workers.measure, 8),
    "false_alarms": (false_alarms.measure, 2_500),
    "policies": (policies.measure, 1_000),
    "launches": (launches.measure, 3),
    "drawn": (drawn.measure, 10_000),
    "sixteen": (sixteen.measure, 1_000),
}
JOINED = {"sixteen": sixteen.joined}
"""Pieces that take precisions, and whose parts with other seeds are added to those that the file has."""


def main() -> int:
    """Exit status 0 if everything holds, 1 if not."""
    parser = argparse.ArgumentParser("python -m tests.stress", description=__doc__)
    parser.add_argument("pieces", nargs="*", metavar="PIECE",
                        help=f"of {', '.join(PIECES)}; all but the last by default")
    parser.add_argument("--backend", action="append", help="a backend; every installed one by default")
    parser.add_argument("--precision", choices=sixteen.PRECISIONS, help="of sixteen; both by default")
    parser.add_argument("--count", type=int, help="how many draws; each piece has its own by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", type=Path, help="where the figures are written; what it holds of other pieces is kept"
    )
    given = parser.parse_args()
    pieces = given.pieces or [piece for piece in PIECES if piece not in JOINED]
    odd = set(given.pieces) - PIECES.keys()
    if odd:
        parser.error(f"no piece {', '.join(odd)}")
    names = given.backend or installed()
    figures = json.loads(given.json.read_text()) if given.json and given.json.exists() else {}
    for piece in pieces:
        measure, count = PIECES[piece]
        start = time.perf_counter()
        own = {"precisions": [given.precision]} if piece in JOINED and given.precision else {}
        found = measure(names, given.count or count, given.seed, **own)
        seconds = time.perf_counter() - start
        if piece in JOINED and piece in figures:
            seconds += figures[piece]["seconds"]
            found = JOINED[piece](figures[piece], found)
        figures[piece] = found | {"seconds": round(seconds, 1)}
        print(piece, json.dumps(figures[piece], indent=1), sep="\n", flush=True)
        if given.json:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if all(figures[piece]["holds"] for piece in pieces) else 1


def installed() -> list[str]:
    """The backends whose frameworks are here."""
    found = []
    for name in rnnspec.backend_names():
        try:
            found.append(rnnspec.get_backend(name).name)
        except rnnspec.errors.BackendUnavailable as error:
            print(f"{name}: {error}")
    return found


if __name__ == "__main__":
    sys.exit(main())
