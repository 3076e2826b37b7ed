"""A step that is a reset starts from zeros: the parts of a row are sequences by themselves."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["RESETS"]

RESETS = Theme("Resets", "A step that is a reset starts from zeros: the parts of a row are sequences by themselves.", (
    Statement(
        "P130", "values with resets",
        says="With resets, the backend's outputs and final states equal the oracle's.",
        failure="An episode or a document reads what came before it in its row, or forgets itself at a wrong step.",
        first="Look at P132 and P134 to P138, which each test a part of this law: their pattern shows what is wrong.",
    ),
    Statement(
        "P131", "gradients with resets",
        says="With resets, the backend's gradients equal the oracle's.",
        failure="Training on episodes or packed documents goes in a wrong direction.",
        first="Look at whether the pullback starts afresh at the same steps as the run, and at the state that the "
              "gradient of a recurrent map is multiplied with: at a reset it is 0.",
    ),
    Statement(
        "P131-loss", "losses with resets",
        says="With resets, the loss, its gradients, a training step and the count equal the oracle's, and the count is "
             "that of a call without resets.",
        failure="A loss call ignores resets, or counts steps in another way because of them.",
        first="Look at whether every call hands its resets on, and not the run and the pullback alone.",
    ),
    Statement(
        "P132", "a fresh start",
        says="A row with a reset has the outputs and final states of its two parts, each run by itself, the later one "
             "from zeros.",
        failure="Packing two documents into one row changes what the model says about them.",
        first="Look at the step of the reset: it must read its own input, and zeros instead of every state.",
    ),
    Statement(
        "P133", "gradients of parts",
        says="A row with a reset has the gradients of its two parts, each run by itself, and a policy counts steps "
             "from the reset.",
        failure="Packing two documents into one row changes what the model learns from them.",
        first="Look at the cotangent that leaves the step of the reset, which must be replaced by 0, and at the step "
              "index that a policy reads.",
    ),
    Statement(
        "P134", "reset at the start",
        says="Where the first step is a reset, the given state has no effect, even if it is NaN, and its gradient is "
             "exactly 0.",
        failure="An episode that begins a batch starts from the state in which another one ended.",
        first="Look for a loop that begins to look at resets with its second step, and for a state that is multiplied "
              "by 0.",
    ),
    Statement(
        "P135", "no reset at all",
        says="Resets that are all false give the same values and gradients as a call without resets.",
        failure="Passing resets changes the result even though no step is one.",
        first="Compare the code for both calls: different kernels, or the first step taken for a reset.",
    ),
    Statement(
        "P136", "resets in the padding",
        says="A reset after a row's end changes no value and no gradient.",
        failure="Rows that have ended lose their final state.",
        first="Look at the order of two selections: the state of a row that has ended must stay, whether or not the "
              "step is a reset.",
    ),
    Statement(
        "P137", "resets in reverse",
        says="The reverse half starts afresh before it reads a step after which a part begins, as a forward half does "
             "on rows that are turned around.",
        failure="Backward in time, the last step of a document reads the first step of the next one.",
        first="Look at the step at which the reverse half starts afresh: not the reset itself, but the step before it "
              "in time.",
    ),
    Statement(
        "P138", "nothing crosses a reset",
        says="Neither NaN in a part's inputs and cotangents, nor a large number in them, changes a bit of what another "
             "part returns.",
        failure="One broken document spoils all that are packed with it.",
        first="Look for a reset that multiplies states or cotangents by 0: NaN times 0 is NaN. Select with `where` "
              "instead.",
    ),
    Statement(
        "P139", "wrong resets are refused",
        says="Resets that are not of truth values, or not one for each step of each row, raise an error of rnnspec in "
             "every call.",
        failure="A caller's mistake gives wrong numbers instead of an error.",
        first="Look for a conversion to truth values, and for a broadcast, before the check.",
    ),
))  # fmt: skip
