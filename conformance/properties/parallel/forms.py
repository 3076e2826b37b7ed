"""Which networks the laws of time in parallel are judged on, and the lengths of sequences and chunks of a case.

A backend that compiles is asked for one network, of one cell that has every kind of stage, in the first precision; and
in the deep tier for all.
"""

from __future__ import annotations

from dataclasses import replace

from conformance.cases import (
    BATCH,
    HIDDEN,
    INPUTS,
    PUBLISHED,
    STEPS,
    WIDTHS,
    Case,
    Pull,
    affine_cell_cases,
    cases,
    hidden_for,
)
from conformance.judge import Judge
from conformance.properties.asking import Question, ask
from conformance.properties.networks import Labels
from conformance.registry import Scope
from rnnspec import Backend, Cell, Layer, Network, Path, cell, out
from rnnspec.derivation.parallel import parallel
from rnnspec.losses import SquaredError
from rnnspec.primitives import number, outer, sigmoid, sqrt, total

__all__ = ["CHUNKS", "EVERY_STAGE", "ask_parallel", "chunk_of", "drawn", "every_stage", "formed", "mixed_stages",
           "paths", "published", "set_apart"]  # fmt: skip

CHUNKS = (1, 2, 4, 8, 16)
"""The lengths of chunks that are drawn."""
EVERY_STAGE = "every stage"
"""The label of the network with every kind of stage."""
AROUND = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 25, 34)
"""Steps below, at and above whole chunks, and such as a scan runs by blocks, full ones and others."""
SHARE = 0.15
"""Of the steps of most rows that are resets."""
DRAWN, DRAWN_WIDE, DRAWN_BRIEF = 12, 40, 3
"""Labels of drawn cells: in the default tier, in the deep one, in the smoke tier."""
TOGETHER = 2
"""Cells above one another: resets and long rows make more of them ill-posed in short precisions."""


@cell
def every_stage(x, h, m, S):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Invented: a vector is the key of a matrix that is read before and after it is written, also for what is written,
    and what is read goes into a vector with a decay of its own.
    """
    k = sigmoid(x.f) * h + x.k
    a = k / sqrt(1 + total(k * k))
    T = outer(sigmoid(x.a), 1) * S
    T = T + outer(a, sigmoid(number(x.b)) * (x.v - a @ T))
    r = x.q @ S + k @ T
    return out(r + m), k, sigmoid(r) * m + x.v, T


SINGLE = Network(INPUTS, [Layer(every_stage, {"h": 4, "m": 3}, heads=2)], loss=SquaredError())


def formed(given: Cell) -> bool:
    """Whether a cell has a state, and a parallel form for it."""
    return bool(given.states) and not isinstance(parallel(given), str)


def paths(scope: Scope) -> Labels:
    """Every cell of the scope, with or without a form, and the network with every kind of stage; the latter alone, in
    the first precision, where programs cost."""
    if scope.shapes:
        return {}
    if scope.eager:
        own = {given.name: cases([Network(INPUTS, [Layer(given, hidden_for(given))])]) for given in scope.cells}
        return {**{name: strategy.map(_resized) for name, strategy in own.items()}, **mixed_stages(scope)}
    affordable = scope.wide or not (scope.brief or scope.closed or scope.share[0])
    return {EVERY_STAGE: cases([SINGLE]).map(_lengthy)} if affordable else {}


def mixed_stages(scope: Scope) -> Labels:
    """The network with every kind of stage, where another one costs no program."""
    return {EVERY_STAGE: cases([SINGLE]).map(_resized)} if _affords(scope) and not scope.closed else {}


def published(scope: Scope) -> Labels:
    """The cells that have a form, a few above one another in all directions, with and without heads."""
    if not _affords(scope):
        return {}
    chosen = [given for given in (scope.cells if scope.closed else PUBLISHED.values()) if formed(given)]
    pairs = [chosen[low : low + TOGETHER] for low in range(0, len(chosen), TOGETHER)]
    return {", ".join(given.name for given in pair): cases([_tower(pair, i)]).map(_resized)
            for i, pair in enumerate(pairs)}  # fmt: skip


def drawn(scope: Scope) -> Labels:
    """Cells that nobody thought of, which have a form by construction."""
    if not _affords(scope) or scope.closed:
        return {}
    count = DRAWN_BRIEF if scope.brief else DRAWN_WIDE if scope.wide else DRAWN
    return {f"affine cell {i}": affine_cell_cases().map(_resized) for i in range(count)}


def ask_parallel(backend: Backend, case: Case, judge: Judge, chunk: int | None = None) -> Question:
    """The question of a case to the backend, held to run in parallel over time; without resets where it has none."""
    judge.applies(Path.PARALLEL in backend.capabilities.paths, "the backend runs nothing in parallel over time")
    question = ask(backend.through(Path.PARALLEL).chunking(chunk or chunk_of(case)), case)
    return question if backend.capabilities.resets else question.but(resets=None)


def chunk_of(case: Case) -> int:
    """The steps of a chunk, of which there are most often several."""
    return CHUNKS[case.seed // 7 % len(CHUNKS)]


def set_apart(question: Question) -> Question:
    """The same question to the backend held to run step by step."""
    return replace(question, backend=question.backend.through(Path.GENERIC))


def _tower(pair: list[Cell], place: int) -> Network:
    layers, features = [], INPUTS
    for i, given in enumerate(pair):
        direction = ("forward", "bidirectional", "reverse")[(place + i) % 3]
        heads = 2 if (place + i) % 2 and _splits(given, features) else None
        widths = WIDTHS if (place + i) % 3 else (HIDDEN,) * len(WIDTHS)  # of squares, rows and columns look alike
        layers.append(Layer(given, hidden_for(given, widths), direction, heads=heads))
        features = Network(INPUTS, layers).features
    return Network(INPUTS, layers)


def _splits(given: Cell, features: int) -> bool:
    """Whether two heads can have their parts of `x` itself."""
    return not given.reads_input or features % 2 == 0


def _affords(scope: Scope) -> bool:
    return (scope.eager or scope.wide) and not scope.shapes


def _resized(case: Case) -> Case:
    """Any number of steps, mostly with ragged lengths and resets, and cotangents of everything."""
    steps = AROUND[case.seed % len(AROUND)]
    ends = None if case.seed % 5 == 0 else tuple(-(-steps * n // STEPS) for n in case.lengths or (STEPS, 3, 0, 5, 6))
    resets = None if case.seed % 3 == 0 else SHARE
    return replace(case, steps=steps, lengths=ends, pull=Pull.BOTH, resets=resets)


def _lengthy(case: Case) -> Case:
    """The default sizes with lengths and resets: one program."""
    return replace(case, lengths=case.lengths or (STEPS,) * BATCH, pull=Pull.BOTH, resets=SHARE)
