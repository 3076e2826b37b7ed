"""A sequence can be split, stepped through and cut."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["SEQUENCE"]

SEQUENCE = Theme("Time", "A sequence can be split, stepped through and cut.", (
    Statement(
        "P11", "split in time",
        says="A sequence that is split in two gives the values of the complete sequence when the first part's final "
             "state starts the second part.",
        failure="A user who feeds a long sequence in pieces gets other numbers than one who feeds it at once.",
        first="Look at how the initial state enters the first step, and at what is returned as the final state: states "
              "in another order, or the state of one step too early.",
    ),
    Statement(
        "P12", "gradients through a split",
        says="Gradients of two parts, with the state's cotangent passed from the second to the first, equal the "
             "gradients of the complete sequence.",
        failure="Gradients over pieces of a sequence are wrong, so training in chunks differs from training on the "
                "full sequence.",
        first="Look at the first and the last step of the backward loop: the initial state's gradient and the final "
              "state's cotangent are often forgotten there.",
    ),
    Statement(
        "P13", "cut means detach",
        says="Gradients under truncation equal the gradients of the chunks, each run from a detached state.",
        failure="Truncated training learns from more steps or from fewer than the user asked for.",
        first="Look at the index of the step at which the gradient is cut: off by one, counted from the end of time, "
              "or counted from 1.",
    ),
    Statement(
        "P14", "no steps at all",
        says="With no step or no row, the final state is the initial state, the outputs are empty, and the final "
             "state's cotangent is the initial state's gradient.",
        failure="An empty batch or an empty sequence crashes the backend, or returns an array that the caller still "
                "owns.",
        first="Look for code that reads the first or the last step without asking whether there is one, and for a "
              "state that is returned without a copy.",
    ),
    Statement(
        "P15", "layer as a loop",
        says="A layer gives the same values as a loop of calls of one step each, with every final state passed to the "
             "next call.",
        failure="A model that was trained on sequences and is used step by step gives other outputs.",
        first="Compare the second step of both: a state that is not carried, a step that is skipped, or an input that "
              "is read one step late.",
    ),
    Statement(
        "P16", "no look ahead",
        says="No output depends on a later input, and no input's gradient depends on an earlier output's cotangent.",
        failure="The model sees the future during training, and fails when it runs on live data.",
        first="Look at the index of the input that each step reads, and for a sum or a normalisation over all of time.",
    ),
    Statement(
        "P18", "cut is sharp",
        says="A cut stops every gradient that would cross it, and leaves all gradients that do not cross it.",
        failure="Truncated gradients pass the cut, or are lost at the steps next to it.",
        first="Look at the two steps next to the cut, and at rows that end there.",
    ),
    Statement(
        "P170", "long memory",
        says="Outputs and final states are those of the specification where the end of a sequence depends on its "
             "beginning, after 7, 64 and 512 steps.",
        failure="The backend skips steps, forgets the initial state, or loses digits of the state on the way, and "
                "networks that forget hide this.",
        first="Compare the first outputs that are wrong with the step at which a block, a chunk or a window begins.",
    ),
    Statement(
        "P171", "long memory of gradients",
        says="Gradients are those of the specification where the end of a sequence depends on its beginning, after 7, "
             "64 and 512 steps.",
        failure="Training learns from the last steps only, though the user asked for no truncation.",
        first="Look at the step at which the backward loop starts, ends or passes from one block to another.",
    ),
    Statement(
        "P172", "the beginning counts",
        says="Where a sequence's end depends on its beginning, a split changes nothing, and the beginning's "
             "gradients are those of the values.",
        failure="The answer depends on how long a sequence is that the backend gets at once.",
        first="Split the sequence after its first step, and look at what the second part starts from.",
    ),
))  # fmt: skip
