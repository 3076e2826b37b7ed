"""A loss for labels that are not aligned with steps."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["ALIGNMENT"]

ALIGNMENT = Theme("CTC", "A loss for labels that are not aligned with steps.", (
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
        first="Look at the three transitions into each label: from itself, from the blank before it, and from the "
              "label before that blank.",
    ),
    Statement(
        "P92", "impossible CTC labels",
        says="A row with too few steps for its labels has an infinite loss and gradients of 0, and does not change the "
             "other rows' gradients.",
        failure="One row that is too short turns the gradients of the complete batch into NaN.",
        first="Look at the logarithm of zero: its gradient must be set to 0 for this row before rows are added up.",
    ),
    Statement(
        "P93", "CTC gradients balance",
        says="At every step, the gradients of CTC with respect to the outputs add up to 0 over the classes.",
        failure="The gradient of the loss does not go through the softmax, or is normalised wrongly.",
        first="Look at whether the code takes the outputs for logarithms of probabilities: they must go through a "
              "softmax.",
    ),
    Statement(
        "P94", "renamed CTC classes",
        says="Exchanging two classes, in the output layer and in the labels, changes neither the loss nor the input "
             "gradients.",
        failure="The loss treats a class by its number, so some labels are read as others.",
        first="Look at the numbers of the classes after the blank, above all where the blank is not the first class.",
    ),
))  # fmt: skip
