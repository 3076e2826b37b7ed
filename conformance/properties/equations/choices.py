"""Choices: what `where`, `relu`, `maximum` and `minimum` do not take contributes exactly 0 to gradients.

The derivatives of what is not taken are NaN or infinite in many of this cell's steps. A selection inside a product
makes NaN of them; multiplied by 0 they are NaN too.
"""

from __future__ import annotations

from dataclasses import replace

from conformance import tolerance
from conformance.cases import BATCH, STEPS, Case, cases, network_for
from conformance.judge import Judge
from conformance.properties.asking import ask
from conformance.properties.networks import Labels
from conformance.registry import Scope, law
from conformance.statements import VALUES
from conformance.tolerance import PROFILES
from rnnspec import Backend, cell
from rnnspec.primitives import log, maximum, relu, sqrt, tanh, where

__all__ = ["choosy"]


@cell
def choosy(x, R, p, h):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Invented: roots and logarithms where they are none, behind every function that chooses."""
    a = where(x.a > 0, sqrt(x.a), p.a)
    b = relu(sqrt(relu(x.b)) - 0.5)
    c = maximum(sqrt(relu(R.c(h))) - 0.25, p.c)
    d = where(x.a + x.b > 0, 0.25 * h, where(x.b > 0, p.a, log(relu(x.a)) * where(x.a > 0, h, 1)))
    return tanh(0.5 * a + b + c + where(x.a > 0, d, 0))


def choosing(scope: Scope) -> Labels:
    """One layer of this cell; a program that the first precision affords."""
    affordable = scope.eager or scope.wide or not (scope.brief or scope.share[0])
    if scope.shapes or scope.closed or not affordable:
        return {}
    return {"choosy": cases([network_for(choosy)]).map(_with_lengths)}


def _with_lengths(case: Case) -> Case:
    return replace(case, lengths=case.lengths or (STEPS,) * BATCH)


@law(VALUES["P122"], cases=choosing, needs=("lengths", "gradients"), oracle=True)
def choices(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares the gradients of a cell that chooses often with the oracle."""
    judge.close("pullback", ask(backend, case).pull(), tolerance.pullback(case, PROFILES[backend.precision]))
