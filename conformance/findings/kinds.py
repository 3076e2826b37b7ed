"""The kinds of faults, in the words that a person uses: what a failing report names.

Each mutant has one (`conformance.mutants.kinds`).
"""

from __future__ import annotations

__all__ = ["KINDS"]

KINDS = {
    "equation": "an equation of a cell is wrong",
    "derivative": "the derivative of an equation is wrong, its values are right",
    "bias": "a bias is missing, or counts twice",
    "initial state": "the initial state is ignored or mistaken",
    "final state": "a wrong final state is returned",
    "step lost": "a step is lost, or the state between two steps",
    "step shifted": "inputs or outputs are shifted in time",
    "reverse": "the reverse half reads or writes in the wrong order",
    "mixed up": "halves or layers are mixed up",
    "output": "the output layer is wrong, or the step that is read",
    "rows mixed": "rows of the batch are mixed up",
    "padding counted": "steps after a row's end count",
    "length misread": "lengths are misread: they are off, or those of other rows",
    "empty row": "rows without a step are wrong",
    "NaN in padding": "NaN in the padding spreads",
    "final cotangent": "the cotangent of the final state is ignored or mistaken",
    "output cotangent": "the cotangent of the outputs is ignored or mistaken",
    "initial gradient": "the gradient of the initial state is missing or wrong",
    "input gradient": "the gradient of the inputs is missing or wrong",
    "parameter gradient": "the gradient of some parameters is missing or wrong",
    "sum is a mean": "a sum of gradients over rows or steps is missing, or is a mean",
    "carried cotangent": "cotangents are not carried from step to step as they must",
    "recurrence policy": "a gradient policy inside the recurrence is ignored or wrong",
    "clipping": "a policy on finished gradients is ignored or wrong",
    "update": "an update rule is wrong, or the training step around it",
    "loss": "a loss is wrong: its sum, its count or its gradient",
    "CTC": "the CTC loss is wrong",
    "memory": "a call changes an argument, or its answer shares memory",
    "call before": "a call depends on the call before",
    "form of answers": "an answer has the wrong type, shape or path",
    "arguments": "an argument is misread, or an invalid one is accepted",
    "calls differ": "the same call gives different answers",
    "threads": "calls at the same time disturb one another",
    "digits": "digits are lost",
    "range": "large or small numbers are cut",
    "NaN hidden": "NaN or infinity is hidden, or spreads too far",
    "size": "something is wrong from some size on",
    "zeros missing": "zeros are taken for something that is missing",
    "reset": "a reset is ignored or misplaced",
    "heads": "heads are mixed up",
    "matrices": "a state or parameter that is a matrix is wrong",
    "noise": "noise acts at the wrong place, at the wrong scale, or where there must be none",
    "workers": "several workers compute something else than one process",
    "another way": "a kernel, recomputation or a form that is parallel over time gives other numbers",
}
"""What each kind says, by its name."""
