"""What is exported: networks and calls, and how what came of it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import rnnspec
from rnnspec import Dense, Layer, Network, cell, cells
from rnnspec.errors import RnnSpecError
from rnnspec.primitives import sigmoid, tanh

__all__ = ["CASES", "Case", "found", "held"]

INPUTS, HIDDEN = 3, 4


@cell
def leaky(x, R, p, h):  # type: ignore[no-untyped-def]  # the equations are untyped
    """A cell of one's own."""
    a = sigmoid(p.a)
    return a * h + (1 - a) * tanh(x.n + R.n(h))


LSTM = Network(INPUTS, [Layer(cells.lstm, HIDDEN)])
DEEP = Network(INPUTS, [Layer(cells.lstm, HIDDEN, "bidirectional"), Layer(cells.gru, HIDDEN)], output=Dense(2))


@dataclass(frozen=True)
class Case:
    """A call that is exported, and the sizes of the call that is then made."""

    net: Network = LSTM
    around: str = ""
    """What is given beside the inputs: "lengths", "state", or nothing."""
    train: bool = False
    free: str = ""
    """The size that the export must leave open: "batch", "time", or none."""
    exported: tuple[int, int] = (5, 2)
    called: tuple[int, int] = (5, 2)
    """Time and batch."""

    def inputs(self, size: tuple[int, int]) -> np.ndarray:
        """Inputs (time, batch, feature)."""
        return np.random.default_rng(sum(size)).normal(size=(*size, INPUTS)).astype(np.float32)

    def lengths(self, size: tuple[int, int]) -> np.ndarray:
        """A length for each row."""
        return np.arange(size[1]) % size[0] + 1

    def state(self, size: tuple[int, int]) -> list[np.ndarray]:
        """The states of the LSTM."""
        return [np.full((size[1], HIDDEN), value, np.float32) for value in (0.5, -0.25)]


CASES = {
    "LSTM": Case(),
    "GRU": Case(Network(INPUTS, [Layer(cells.gru, HIDDEN)])),
    "a cell of your own": Case(Network(INPUTS, [Layer(leaky, HIDDEN)])),
    "bidirectional": Case(DEEP),
    "lengths": Case(around="lengths"),
    "initial state": Case(around="state"),
    "training": Case(train=True),
    "any batch": Case(free="batch", called=(5, 7)),
    "any time": Case(free="time", called=(9, 2)),
}


def found(case: Case, make: Callable[[], Callable[[], Any]], expected: Callable[[], Any], known: dict[str, str]) -> str:
    """How an export went: `works`, or what to do instead; `known` has sentences for errors that are not rnnspec's."""
    try:
        run = make()
    except Exception as error:  # an exporter may raise anything, and the table says what
        own = next((e for e in _causes(error) if isinstance(e, RnnSpecError)), None)
        if own:  # without what PyTorch adds to it
            return f"{own.call}: {own.must}, got {own.got}; {own.do}"
        return known.get(type(error).__name__, f"{type(error).__name__}: {error}")
    try:
        near = np.allclose(run(), expected(), atol=1e-5)
    except Exception as error:  # a program without rnnspec raises errors of its framework
        if not case.free:
            return f"{type(error).__name__}: {error}"
        return "the exported program refuses sizes that it was not exported with, when it runs"
    return "works" if near else "WRONG NUMBERS"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def held(name: str, path: rnnspec.Path | None) -> Any:
    """A backend on a path, by default on none."""
    be = rnnspec.get_backend(name)
    return be if path is None else be.through(path)
