"""Consequences of the equations, for any cell."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["EQUATIONS"]

EQUATIONS = Theme("Equations", "Consequences of the equations, for any cell.", (
    Statement(
        "P42", "order of units",
        says="If the units stand in another order in every map, bias and state, the outputs are the same in that "
             "order.",
        failure="The backend treats some units differently from others, for instance by their place in a block.",
        first="Look for a rotated or transposed map, and for code that depends on the index of a unit.",
    ),
    Statement(
        "P43", "order of features",
        says="Input features in another order, with the columns of the input maps in the same order, change neither "
             "outputs nor gradients.",
        failure="The backend mixes up or drops input features.",
        first="Look at how the columns of input maps are packed, and at a last block of features that is not full.",
    ),
    Statement(
        "P44", "sign of a unit",
        says="If the equations are odd in a unit, negating that unit negates its outputs, states and gradients, and "
             "changes nothing else.",
        failure="The backend adds something that the equations do not have, such as a floor, an offset or a clip on "
                "positive numbers only.",
        first="Look for a small constant that is added to outputs, and at activations that are not exactly odd.",
    ),
    Statement(
        "P45", "powers of two",
        says="Inputs multiplied by 2^k and input maps multiplied by 2^-k change no value, and multiply the inputs' "
             "gradients by 2^-k and the maps' by 2^k.",
        failure="The backend limits, quantises or narrows inputs or weights before it multiplies them.",
        first="Look for a clip on inputs and for a matrix product in a narrower type.",
    ),
    Statement(
        "P46", "constant feature as bias",
        says="The weights of an input feature that is always 1 act as a bias, and a vector acts as a bias only where "
             "the equations add it to one.",
        failure="A bias is dropped, added twice or added in the wrong place.",
        first="Compare where the bias and the vector of the same name enter the equations, above all if there is a "
              "reset gate.",
    ),
    Statement(
        "P47", "rewritten equations",
        says="A cell whose equations are written in another, equivalent way gives the same values and gradients.",
        failure="The backend recognises a cell by its name or by the exact form of its equations, and computes "
                "something else for it.",
        first="Compare both forms of the cell: the one that the backend recognises is usually the wrong one.",
    ),
    Statement(
        "P48", "every argument counts",
        says="Every parameter, state and input that influences a result has a gradient that is not 0.",
        failure="The backend ignores an argument or drops its gradient, so a part of the model is never trained.",
        first="Look for the argument that the message names: usually its gradient is not returned, or replaced by "
              "zeros.",
    ),
    Statement(
        "P101", "independent units",
        says="A wide layer whose units do not read one another gives the same values and gradients as a narrow layer "
             "with more rows.",
        failure="The backend computes wide layers differently from narrow ones, so an error appears only at real "
                "sizes.",
        first="Look at what happens beyond 1,024 units: a limited counter, a fixed buffer, or a block of units that is "
              "not full.",
    ),
    Statement(
        "P140", "heads by themselves",
        says="A layer with heads gives the values and gradients of its heads alone, beside one another, with the "
             "gradients of what they share added up.",
        failure="The heads of a layer are mixed up, or a parameter that they share is not trained by all of them.",
        first="Look at where the axis of heads stands in maps and states, and at the sum over heads in the gradient of "
              "what they share.",
    ),
    Statement(
        "P141", "matrix as its columns",
        says="A cell with a matrix state gives the same values and gradients as the cell with each column of the "
             "matrix written out as a vector.",
        failure="Linear attention and other cells with matrix states compute other equations than those declared.",
        first="Look for rows and columns that are exchanged, and for a state that is read before or after its update.",
    ),
))  # fmt: skip
