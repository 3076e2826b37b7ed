"""Linear attention with a matrix state of two columns, and the same equations with a vector state for each column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnspec import cell, out
from rnnspec.primitives import number, outer, sigmoid, tanh, total
from rnnspec.tree import Tree

__all__ = ["COLUMNS", "attending", "columns", "from_columns", "to_columns"]

COLUMNS = 2
"""The width of a key."""
SPLIT = ("k", "q", "s")
"""The input maps with a row for each column."""


@cell
def attending(x, R, p, S):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Invented: the delta rule with a learned decay of each entry; all products and sums of matrices."""
    k = tanh(x.k)
    S = sigmoid(p.A) * S + number(sigmoid(x.b)) * outer(x.v - S @ k, k)
    read = total((tanh(x.w) @ S) * x.s)
    return out(S @ x.q + read * x.v + R.o(0.25 * x.v + 0.25 * total(S) * x.w)), S


@cell
def columns(x, R, p, a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The same with the columns a and b."""
    k, m = tanh(number(x.k0)), tanh(number(x.k1))
    error, beta, w = x.v - (a * k + b * m), number(sigmoid(x.b)), tanh(x.w)
    a, b = sigmoid(p.A0) * a + beta * error * k, sigmoid(p.A1) * b + beta * error * m
    read = total(w * a) * number(x.s0) + total(w * b) * number(x.s1)
    y = a * number(x.q0) + b * number(x.q1) + read * x.v
    return out(y + R.o(0.25 * x.v + 0.25 * (total(a) + total(b)) * x.w)), a, b


def to_columns(params: Tree) -> Tree:
    """The parameters of `columns` from those of `attending`."""
    own = params["layers"][0]["forward"]
    found = {kind: dict(named) for kind, named in own.items()}
    for kind in ("W", "b"):
        for name in SPLIT:
            rows = found[kind].pop(name)
            found[kind] |= {f"{name}{j}": rows[j : j + 1] for j in range(COLUMNS)}
    matrix = found["p"].pop("A")
    found["p"] |= {f"A{j}": np.ascontiguousarray(matrix[:, j]) for j in range(COLUMNS)}
    return {"layers": [{"forward": found}]}


def from_columns(params: Tree) -> Tree:
    """The inverse, for gradients."""
    own = params["layers"][0]["forward"]
    found = {kind: dict(named) for kind, named in own.items()}
    for kind in ("W", "b"):
        for name in SPLIT:
            found[kind][name] = _joined(found[kind], name, np.concatenate)
    found["p"]["A"] = _joined(found["p"], "A", lambda parts: np.stack(parts, -1))
    return {"layers": [{"forward": found}]}


def _joined(named: dict[str, Any], name: str, join: Callable[[list[Any]], Any]) -> Any:
    return join([named.pop(f"{name}{j}") for j in range(COLUMNS)])
