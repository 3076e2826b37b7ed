"""The loss of sequences whose alignment is unknown."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["ALIGNMENT"]

ALIGNMENT = Theme("CTC", "The loss of sequences whose alignment is unknown.", (
    Statement(
        "P90", "CTC matches oracle",
        says="CTC, its gradients and the final state equal the oracle's, for rows of several lengths and with repeated "
             "labels.",
        failure="Speech and handwriting models train on a wrong loss.",
        first="Look at repeated labels, which need a blank between them, at the number of the blank class, and at the "
              "last label of each row.",
    ),
    Statement(
        "P91", "CTC probabilities add up",
        says="The probabilities of all label sequences that a row can spell add up to 1.",
        failure="The loss is not the logarithm of a probability: some alignments are left out or counted twice.",
        first="Look at the three ways into each place: the same label, the one before, and the one before the blank.",
    ),
    Statement(
        "P92", "impossible CTC labels",
        says="A row with too few steps for its labels has an infinite loss and no gradient, and leaves the other rows' "
             "gradients as they are.",
        failure="One row that is too short turns the gradients of the complete batch into NaN.",
        first="Look at the logarithm of zero: its gradient must be set to 0 for this row before rows are added up.",
    ),
    Statement(
        "P93", "CTC gradients balance",
        says="CTC gives the outputs of every step gradients that add up to 0 over the classes.",
        failure="The gradient of the loss does not go through the softmax, or is normalised wrongly.",
        first="Look at whether the outputs are taken for logarithms of probabilities: they must go through a softmax.",
    ),
    Statement(
        "P94", "renamed CTC classes",
        says="Two classes that are exchanged in the output layer and in the labels leave the loss and the input "
             "gradients as they are.",
        failure="The loss treats a class by its number, so some labels are read as others.",
        first="Look at the numbers of the classes after the blank, above all where the blank is not the first class.",
    ),
))  # fmt: skip
