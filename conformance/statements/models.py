"""A network is a whole model: layers of single steps, residual layers and heads stand with the recurrent ones."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["MODELS"]

MODELS = Theme("Models", "Layers of single steps, residual layers and heads stand with the recurrent ones.", (
    Statement(
        "P180", "values of models",
        says="With layers without a state, residual layers and a head, outputs and final states equal the oracle's.",
        failure="A model with dense layers, norms or residual layers computes other numbers than its parts do.",
        first="Run the layers of the case one by one, each as a network of its own, and look which one differs first.",
    ),
    Statement(
        "P181", "gradients of models",
        says="With layers without a state, residual layers and a head, the gradients of parameters, inputs and initial "
             "states equal the oracle's.",
        failure="A part of the model learns from wrong gradients.",
        first="Look at the last layer whose parameters have a wrong gradient: the fault is there, or in what is above.",
    ),
    Statement(
        "P182", "single steps",
        says="A network without a state gives each step the same numbers in any order and beside any rows, and sums "
             "gradients over steps.",
        failure="A step reads other steps or rows, as a norm does that takes its mean over them.",
        first="Look at the axes of sums: those of a norm are over the features of one step of one row.",
    ),
    Statement(
        "P183", "residual layers",
        says="The outputs of a residual layer are those of the layer plus its inputs, and zeros at padded steps; the "
             "gradient of its inputs is the sum of both.",
        failure="A deep model learns nothing in its lower layers, or padding leaks into the layers above.",
        first="Look whether values or only gradients differ, and whether they differ at padded steps alone.",
    ),
    Statement(
        "P184", "heads of last steps",
        says="With `Last()` a head runs on what is read of each row; a row of length 0 has outputs of zeros, and no "
             "parameter learns from it.",
        failure="The biases of a head look like an answer about a row that has no step.",
        first="Look at the rows of length 0 first, and then at whether the head runs before the last step is read.",
    ),
))  # fmt: skip
