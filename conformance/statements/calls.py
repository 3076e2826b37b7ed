"""Arguments, types, memory, and calls one after another."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["CALLS"]

CALLS = Theme("Calls", "Arguments, types, memory, and calls one after another.", (
    Statement(
        "P07", "repeated calls agree",
        says="The same arguments give the same values and gradients twice, with equal bits if the backend declares "
             "itself deterministic.",
        failure="Results cannot be reproduced, or the promise of determinism does not hold.",
        first="Look for random numbers, for sums whose order depends on threads, and for a buffer that still holds "
              "numbers of the first call.",
    ),
    Statement(
        "P08", "calls have no memory",
        says="A call changes none of its arguments, and no answer depends on an earlier call.",
        failure="A call overwrites a user's arrays, or returns numbers that belong to another call.",
        first="Look for caches whose key is the identity of an array: the array can be filled with new numbers. Look "
              "for buffers that are returned without a copy.",
    ),
    Statement(
        "P08-loss", "losses have no memory",
        says="A loss or a training step changes none of its arguments, and its answer does not depend on an earlier "
             "call.",
        failure="A training step overwrites the parameters in place, or learns from the gradients of an earlier batch.",
        first="Look for parameters that are packed once and reused, and for gradients that are added into one buffer.",
    ),
    Statement(
        "P09", "answers own memory",
        says="Answers have the declared shapes and the declared type, and share no memory with an argument or with one "
             "another.",
        failure="A user who writes into an array changes an answer that the backend gave earlier.",
        first="Look for views: a slice, a reshape or an `asarray` that does not copy.",
    ),
    Statement(
        "P39", "any memory layout",
        says="Read-only, strided, reversed, column-major and unaligned arrays give the same values and gradients as "
             "ordinary ones.",
        failure="Slices and transposed arrays, which users pass every day, give wrong numbers.",
        first="Look for code that passes an array's pointer to a kernel without its strides.",
    ),
    Statement(
        "P39-broadcast", "broadcast arrays",
        says="An array whose elements share one number in memory gives the same values and gradients as a full array.",
        failure="The cotangent of a sum, which frameworks broadcast, is read wrongly.",
        first="Look for code that ignores strides of 0, or writes into such an array.",
    ),
    Statement(
        "P39-shared", "shared arrays",
        says="If one array is passed in several places of the arguments, it counts in each of them.",
        failure="Tied parameters or states get the wrong gradient.",
        first="Look for gradients that are collected in a dictionary whose key is the array instead of its name.",
    ),
    Statement(
        "P72", "wrong arguments are refused",
        says="The backend refuses impossible lengths and shapes with one of rnnspec's own errors, and the next call is "
             "not affected.",
        failure="A wrong argument gives numbers without any error, or an error that the user cannot relate to the "
                "call.",
        first="Let rnnspec check the arguments before anything runs, and look for lengths that are silently limited to "
              "the number of steps.",
    ),
    Statement(
        "P95", "omitted means zero",
        says="An initial state or a state cotangent that is left out means zeros, whatever an earlier call received.",
        failure="A call without a state continues from an earlier sequence.",
        first="Look for a default state that the backend keeps and writes into, often for the largest batch so far.",
    ),
    Statement(
        "P96", "any number type",
        says="The backend rounds arrays of another type to its own, and accepts integers of any width as lengths and "
             "classes.",
        failure="Users who pass float64 or integer arrays get other numbers than users who pass arrays of the "
                "backend's type.",
        first="Look for a conversion that truncates instead of rounding, goes through a narrower type, or rescales "
              "integers.",
    ),
    Statement(
        "P113", "any integer lengths",
        says="Lengths of any integer type give the same answers, in every call.",
        failure="Lengths of a small or unsigned type overflow, so rows end at the wrong step.",
        first="Look for arithmetic in the lengths' own type: `lengths - 1` wraps around for an unsigned 0. Convert to "
              "int64 first.",
    ),
    Statement(
        "P113-refused", "wrong lengths are refused",
        says="Every call refuses lengths that are negative, too large, fractional or of another shape, with one of "
             "rnnspec's own errors.",
        failure="A wrong length gives numbers without any error.",
        first="Look at which calls check lengths: often `run` does, while losses and training steps do not.",
    ),
    Statement(
        "P114", "after empty calls",
        says="After an empty or a refused call, every call gives the same answer as before it.",
        failure="One bad call, in a server for instance, spoils the answers to all calls after it.",
        first="Look for what a call keeps before its arguments are checked: lengths, a state, a flag for a call in "
              "progress.",
    ),
    Statement(
        "P114-loss", "losses after empty calls",
        says="After an empty or a refused call, a loss or a training step gives the same answer as before it.",
        failure="Training that catches an error and continues learns from a wrong gradient.",
        first="Look for gradients that are set to zero at the end of a call instead of its beginning.",
    ),
    Statement(
        "P145", "steps of streams",
        says="The steps of a bound call, one after another, give the outputs and states of one run, from a given state "
             "and after a reset of all or some rows.",
        failure="A stream forgets what it has read, or a user who begins anew still hears of the last one.",
        first="Look for the state of a layer that is not kept between two steps, and for one that a reset leaves out.",
    ),
    Statement(
        "P146", "bound calls",
        says="A bound call gives the values and gradients of the backend's own call with the parameters as they were "
             "when they were bound.",
        failure="A server gives other numbers than the trained network, or half of a later change of its parameters.",
        first="Look for parameters that are not copied when they are bound, and for packed maps that are kept too "
              "long.",
    ),
))  # fmt: skip
