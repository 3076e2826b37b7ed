"""The loss of sequences without alignment, and its cotangent, with the arrays of any framework.

The places of a row are its labels with a blank before, between and after them. The loss declares one step of the
forward recursion (`CTC.extend`), and its pullback is derived; this module runs both over time. Impossible paths have
the probability exp(LOW) instead of 0, since a difference of infinities is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.derivation.adjoint import pulled
from rnnspec.losses import CTC
from rnnspec.primitives import logsumexp, reading
from rnnspec.running.evaluation import evaluate_graph
from rnnspec.tracing.graph import Graph, GraphBuilder

__all__ = ["aligned"]

LOW = -1e30
BEFORE = ("stay", "follow", "skip")
"""The arguments of `CTC.extend` from the step before, 0, 1 and 2 places back."""


def aligned(arrays: Arrays, loss: CTC, outputs: Array, spelt: Array, mask: Array | None) -> tuple[Array, Array]:
    """The sum of the loss over rows, and its cotangent at the outputs (time, batch, feature).

    `spelt` (batch, places) holds a row's labels with blanks around them, and -1 after its last place. `mask`
    (time, batch, 1) is true at real steps, None where all are real; outputs must be finite everywhere.
    """
    f, places = arrays.functions, _Places.of(arrays, loss, spelt, outputs.shape[2])
    last, seen = _spell(arrays, loss, outputs, places, mask)
    ended = f["where"](places.last, last, arrays.scalar(LOW))
    likelihood = evaluate_graph(arrays, _total(), {"a": ended[..., 0]})["total"]
    possible = f["greater"](likelihood, arrays.scalar(LOW / 2))
    each = f["where"](possible, f["negate"](likelihood), arrays.scalar(float("inf")))
    one = f["where"](possible, arrays.scalar(-1.0), arrays.scalar(0.0))
    share = evaluate_graph(arrays, pulled(_total(), ("a",)), {"a": ended[..., 0], "total": one})["a"]
    cotangent = _pull(arrays, loss, seen, places, f["where"](places.last, share[..., None], arrays.scalar(0.0)))
    return arrays.sum(each, None, False), cotangent


@dataclass(frozen=True)
class _Places:
    """For each place: its class, whether a path may skip to it from two places back, and whether a path may end there.

    `classes` is (batch, places, feature), 1 at the class; the others are conditions (batch, places, 1).
    """

    classes: Array
    skipped: Array
    last: Array

    @classmethod
    def of(cls, arrays: Arrays, loss: CTC, spelt: Array, features: int) -> _Places:
        f, half = arrays.functions, arrays.scalar(0.5)
        classes = arrays.one_hot(spelt, features)
        here = arrays.sum(classes, (-1,), True)
        back = _moved(arrays, classes, 2, 0.0)
        unlike = f["subtract"](arrays.sum(back, (-1,), True), arrays.sum(f["multiply"](classes, back), (-1,), True))
        label = f["subtract"](here, classes[..., loss.blank : loss.blank + 1])
        ahead = _moved(arrays, here, -2, 0.0)
        skipped = f["greater"](f["multiply"](label, unlike), half)
        return cls(classes, skipped, f["greater"](f["subtract"](here, ahead), half))


def _spell(arrays: Arrays, loss: CTC, outputs: Array, places: _Places, mask: Array | None) -> tuple[Array, Values]:
    """log alpha at every place after each row's last step, and log alpha before each step."""
    f, graph = arrays.functions, _extension(loss)
    (batch, count, _), low = places.classes.shape, arrays.scalar(LOW)
    first = arrays.concatenate([arrays.zeros((batch, 1, 1)), f["add"](arrays.zeros((batch, count - 1, 1)), low)], 1)
    values = {"z": outputs} if mask is None else {"z": outputs, "mask": mask}

    def step(carried: Values, here: Values, t: Array) -> tuple[Values, Values]:
        a = carried["a"]
        known = _operands(arrays, places, a, here["z"])
        new = evaluate_graph(arrays, graph, known)["extended"]
        return {"a": new if mask is None else f["where"](here["mask"][..., None], new, a)}, {"a": a}

    if outputs.shape[0] == 0:
        return first, values
    carried, recorded = arrays.scan(step, {"a": first}, values, outputs.shape[0], False)
    return carried["a"], {**values, **recorded}


def _pull(arrays: Arrays, loss: CTC, seen: Values, places: _Places, cotangent: Array) -> Array:
    """The cotangent of the outputs, from that of log alpha after the last steps."""
    f, graph = arrays.functions, pulled(_extension(loss), (*BEFORE, "z"))
    zero = arrays.scalar(0.0)

    def step(carried: Values, here: Values, t: Array) -> tuple[Values, Values]:
        d = carried["d"]
        real = here["mask"][..., None] if "mask" in here else None
        given = d if real is None else f["where"](real, d, zero)
        known = _operands(arrays, places, here["a"], here["z"])
        found = evaluate_graph(arrays, graph, {**known, "extended": given})
        skipped = _moved(arrays, f["where"](places.skipped, found["skip"], zero), -2, 0.0)
        new = f["add"](f["add"](found["stay"], _moved(arrays, found["follow"], -1, 0.0)), skipped)
        return {"d": new if real is None else f["where"](real, new, d)}, {"z": arrays.sum(found["z"], (1,), False)}

    if seen["z"].shape[0] == 0:
        return arrays.copy(seen["z"])
    return arrays.scan(step, {"d": cotangent}, seen, seen["z"].shape[0], True)[1]["z"]


def _operands(arrays: Arrays, places: _Places, a: Array, z: Array) -> Values:
    low = arrays.scalar(LOW)
    skip = arrays.functions["where"](places.skipped, _moved(arrays, a, 2, LOW), low)
    return {"stay": a, "follow": _moved(arrays, a, 1, LOW), "skip": skip, "z": z[:, None, :], "y": places.classes}


def _moved(arrays: Arrays, a: Array, by: int, filling: float) -> Array:
    """The array moved `by` places forwards, or backwards where `by` is negative, with `filling` in the free places."""
    batch, places, width = a.shape
    away = min(abs(by), places)
    filled = arrays.functions["add"](arrays.zeros((batch, away, width)), arrays.scalar(filling))
    parts = [filled, a[:, : places - away]] if by > 0 else [a[:, away:], filled]
    return arrays.concatenate(parts, 1)


@lru_cache(maxsize=16)
def _extension(loss: CTC) -> Graph:
    builder = GraphBuilder()
    with reading("CTC.extend"):
        given = (builder.vector("argument", name) for name in (*BEFORE, "z", "y"))
        return builder.graph({"extended": builder.index(loss.extend(*given))})


@lru_cache(maxsize=1)
def _total() -> Graph:
    builder = GraphBuilder()
    with reading("CTC"):
        return builder.graph({"total": builder.index(logsumexp(builder.vector("argument", "a")))})
