"""Noise is an argument: the masks of a key are the same everywhere, and a call without a key has none."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["NOISE"]

NOISE = Theme("Noise", "A call with a key has noise, the same on every backend; a call without a key has none.", (
    Statement(
        "P190", "values with noise",
        says="With a key, outputs and final states equal the oracle's with the masks of this key, whatever the "
             "lengths.",
        failure="A network with dropout cannot be compared between backends, or trains with other noise than it "
                "declares.",
        first="Look at which kind of noise the label names, and whether what is kept is divided by 1 - rate once.",
    ),
    Statement(
        "P191", "gradients with noise",
        says="With a key, gradients equal the oracle's with the same masks, so that they pass through what is kept "
             "alone.",
        failure="Training descends another function than the one that was run.",
        first="Look at whether the pullback has the masks of the run, and multiplies as the run does.",
    ),
    Statement(
        "P192", "noise of parts",
        says="Some rows and some steps, called by themselves with the key of their first row and step, have the noise "
             "that they have in the complete call.",
        failure="A batch that is spread over processes, or a sequence that is read in windows, has other noise.",
        first="Look at whether rows or steps count from the beginning of the call instead of the key's.",
    ),
    Statement(
        "P193", "calls without key",
        says="Without a key, values and gradients are those of the network without noise; with zoneout those of the "
             "expectation, rate * old + (1 - rate) * new.",
        failure="A network answers at random where it should predict, or at another scale than it was trained at.",
        first="Look at the labels: those of dropout show noise without a key, that of zoneout a missing expectation.",
    ),
    Statement(
        "P194", "shares of noise",
        says="The share of what is dropped and the mean of what comes out are as declared, within what chance allows, "
             "and another seed drops others.",
        failure="More or less is dropped than declared, or all updates have the same noise.",
        first="Look at whether rate and 1 - rate are exchanged, and whether the seed of the key is read.",
    ),
))  # fmt: skip
"""Laws of calls with a key."""
