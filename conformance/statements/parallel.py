"""Layers that run in parallel over time give the numbers of their steps."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["PARALLEL"]

PARALLEL = Theme("Parallel over time", "A layer that runs in parallel over time gives the numbers of its steps.", (
    Statement(
        "P150", "published cells in parallel",
        says="In parallel over time, every published cell that has such a form gives the oracle's values and "
             "gradients, in chunks of any length.",
        failure="A model trains in another way as soon as its sequences are long enough to run in parallel.",
        first="Look at the shortest sequence and the smallest chunk that fail: a chunk of one step, a chunk that is "
              "not full, or the edge between two chunks.",
    ),
    Statement(
        "P151", "drawn cells in parallel",
        says="In parallel over time, any cell with steps that are affine in its states gives the oracle's values and "
             "gradients.",
        failure="The backend is right for published cells only: the form that it derives for others is wrong.",
        first="Print the cell of the case, and look at its stages in `parallel(cell)`: which state has a wrong factor, "
              "key, value or query.",
    ),
    Statement(
        "P152", "length of chunks",
        says="Chunks of any length give the oracle's values and gradients.",
        failure="The numbers of a model depend on the length of a chunk, which should change its speed alone.",
        first="Look at what crosses the edge between two chunks: the state, the decay of the first step, and "
              "cotangents.",
    ),
    Statement(
        "P153", "extremes of decay",
        says="In parallel over time, states with decays of 0, of 1, and near to both, in one chunk, give the oracle's "
             "values and gradients.",
        failure="States that forget at once, or never, get wrong or infinite numbers.",
        first="Look for a division by a product of decays, or for an exponential of a sum of their logarithms.",
    ),
    Statement(
        "P154", "reach of infinite numbers",
        says="In parallel over time, an input that is infinite or NaN changes no earlier step, no other row and "
             "nothing after a reset.",
        failure="One broken input makes all outputs of a batch NaN.",
        first="Look at products of matrices over all steps: 0 times infinity is NaN, so steps must be computed one by "
              "one there.",
    ),
    Statement(
        "P155", "segments in parallel",
        says="Sequences that are longer than a segment, and segments that are run again, give the oracle's values and "
             "gradients in parallel over time.",
        failure="Long sequences lose their state or their gradients between two segments.",
        first="Look at the state that a segment begins with, and at the lengths and resets that it is given.",
    ),
))  # fmt: skip
