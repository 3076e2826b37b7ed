"""Large numbers, small numbers, zeros and NaN."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["EXTREMES"]

EXTREMES = Theme("Extreme numbers", "Large numbers, small numbers, zeros and NaN.", (
    Statement(
        "P68", "large arguments stay finite",
        says="If the equations give finite numbers for large inputs and states, the backend gives the same finite "
             "numbers.",
        failure="Saturated gates turn into NaN or infinity, or large numbers are clipped without notice.",
        first="Look at how sigmoid and tanh are written: `exp(a) / (1 + exp(a))` overflows. Then look for a clip on "
              "inputs or states.",
    ),
    Statement(
        "P68-loss", "losses of large outputs",
        says="For outputs at which exp overflows, the loss equals the oracle's and its gradients are finite.",
        failure="Training stops with NaN as soon as the model becomes confident.",
        first="Subtract the largest output before exp, and compute the logarithm of the sum together with the loss. Do "
              "not raise small probabilities to a fixed lower limit.",
    ),
    Statement(
        "P69", "NaN stays visible",
        says="Where the equations give NaN, the backend gives NaN.",
        failure="A user does not notice that the data or the parameters are broken, because NaN comes out as a number.",
        first="Look for `nan_to_num`, for a clip, and for a maximum or a comparison that drops NaN.",
    ),
    Statement(
        "P97", "zero steps and states",
        says="With input steps, states or recurrent maps of zeros, values and gradients equal the oracle's.",
        failure="The backend takes zeros for something that is missing, such as padding or a state that was left out.",
        first="Look for a test that compares an array with zero, or for a shortcut that skips products with zeros.",
    ),
    Statement(
        "P115", "zero parameters",
        says="With biases, maps, vectors or inputs of zeros, values and gradients equal the oracle's.",
        failure="A parameter that starts at zero, as most biases do, is never trained.",
        first="Look for a test such as `if bias.any()`, which leaves the bias and its gradient out.",
    ),
    Statement(
        "P115-loss", "zero output layer",
        says="With an output map or an output bias of zeros, the loss and its gradients equal the oracle's.",
        failure="An output layer that starts at zero is never trained.",
        first="Look for a shortcut that skips an output layer of zeros, or its gradient.",
    ),
    Statement(
        "P117", "small numbers survive",
        says="The backend does not turn a number above the smallest normal number of the precision into 0.",
        failure="Small gradients vanish, and parameters that depend on them stop learning.",
        first="Look for a threshold below which numbers become zero, and for sums or products whose intermediate "
              "results underflow.",
    ),
))  # fmt: skip
