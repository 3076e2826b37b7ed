"""A cell with the functions that no shipped cell has, so that a backend that compiles runs each of them as well."""

from __future__ import annotations

from dataclasses import replace

from conformance.cases import BATCH, STEPS, Case, cases, network_for
from conformance.properties.networks import Labels
from conformance.registry import Scope
from rnnspec import cell
from rnnspec.primitives import cos, erf, exp, log, logsumexp, mean, sin, softplus, sqrt, stop, tanh, width

__all__ = ["worded", "wording"]


@cell
def worded(x, R, p, h, c):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Invented: a state that turns and fades beside one that is normalised."""
    angle = erf(x.b + R.b(c)) + stop(c)
    turned = cos(angle) * c - sin(angle) * tanh(R.c(h)) / sqrt(width(h))
    u = x.a + R.a(turned)
    u = u - mean(u)
    v = p.gain * u / sqrt(mean(u * u) + 0.25)
    return tanh(v + 0.25 * logsumexp(h)), exp(-softplus(x.f)) * turned + log(1 + x.g * x.g) / width(c)


def wording(scope: Scope) -> Labels:
    """One layer of this cell; a program that the first precision affords."""
    affordable = scope.eager or scope.wide or not (scope.brief or scope.share[0])
    if scope.shapes or scope.closed or not affordable:
        return {}
    return {"every function": cases([network_for(worded)]).map(_with_lengths)}


def _with_lengths(case: Case) -> Case:
    return replace(case, lengths=case.lengths or (STEPS,) * BATCH)
