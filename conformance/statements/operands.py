"""A cell that is given its x.name, as kernels are, computes what its layer computes."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["OPERANDS"]

OPERANDS = Theme("Operands", "A cell that is given its x.name, as kernels are, computes what its layer computes.", (
    Statement(
        "P160", "values of operands",
        says="Where the x.name are given, outputs and final states equal the oracle's, with lengths, resets and "
             "initial states.",
        failure="A recurrence computes other numbers than the equations say.",
        first="Look at the number of steps of the case beside the size of a chunk, and at whether outputs or final "
              "states are wrong.",
    ),
    Statement(
        "P161", "gradients of operands",
        says="Where the x.name are given, the gradients of each of them, of parameters and of initial states equal "
             "the oracle's.",
        failure="What stands before the recurrence, such as the maps of queries and keys, learns from wrong gradients.",
        first="Look at which array has a wrong gradient: a gate's shows errors of decays, that of an initial state "
              "what crosses the edges of chunks.",
    ),
    Statement(
        "P162", "maps beside operands",
        says="A layer equals the recurrence on the products of its maps, in values and in gradients.",
        failure="A layer and its recurrence are two functions, so a model changes where one replaces the other.",
        first="Look at the order in which the arrays are taken: it must follow from their names alone.",
    ),
    Statement(
        "P163", "one broken operand",
        says="A NaN or an infinite number in one array is where the equations have it, and in no other number.",
        failure="One broken number makes other features, rows or earlier steps NaN.",
        first="Look for products with zeros and ones that choose features: 0 times infinity is NaN.",
    ),
    Statement(
        "P164", "refused operands",
        says="Arrays of other names or shapes than the equations have are refused before anything runs.",
        failure="A misspelt or misshapen array is ignored or repeated, and the numbers are wrong.",
        first="Look at whether names are compared with those of the equations, and widths and heads with one another.",
    ),
))  # fmt: skip
