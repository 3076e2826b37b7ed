"""Class numbers are rows of a learned matrix, and the states that a call begins with can be learned."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["EMBEDDING"]

EMBEDDING = Theme("Embedding and initial states", "Class numbers are rows of a learned matrix, which the output can "
                  "use too, and the states that a call begins with can be learned.", (
    Statement(
        "P185", "class numbers",
        says="With class numbers as inputs, outputs, final states, the loss and all gradients equal the oracle's.",
        failure="A model of words or letters computes other numbers, or its matrix learns from wrong gradients.",
        first="Look at whether the gradients of all places of one class are added up, and at the sums' precision.",
    ),
    Statement(
        "P186", "unseen classes",
        says="The gradient of a class that no real step reads is exactly zero.",
        failure="Rare words drift with every step, since they get a share of the gradient of others or of padding.",
        first="Look at which row the class numbers of padding are read as: its gradient must not grow by them.",
    ),
    Statement(
        "P187", "class numbers at padding",
        says="Class numbers at padded steps have no effect, whatever they are; others at real steps are refused.",
        failure="A batch padded with -1 raises or changes results, or a wrong class is read as another one.",
        first="Look at whether lengths are known where class numbers are validated, and at numbers that wrap around.",
    ),
    Statement(
        "P188", "tied output",
        says="An embedding with a tied output equals two matrices with the same numbers; its gradient is their sum.",
        failure="A tied matrix learns from one of its two uses only.",
        first="Look at where the gradients of the lookup and of the output layer are added.",
    ),
    Statement(
        "P189", "learned initial states",
        says="Without a given state every row, and every part after a reset, begins with the learned states, whose "
             "gradient is the sum over these beginnings.",
        failure="Episodes begin with other states than those that were trained, or they are not trained.",
        first="Look at the beginnings one by one: step 0 of every row, rows of length 0, and each reset.",
    ),
))  # fmt: skip
