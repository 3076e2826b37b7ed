"""The activations of torch: the modules of torch.nn, and the functions and methods of the same meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from rnnspec.convert.activations import ACTIVATIONS, Activation, clipped, elu, leaky_relu, sharp_softplus

__all__ = ["FUNCTIONS", "METHODS", "MODULES"]

Make = Callable[[Mapping[str, Any]], Activation | None]


def _plain(name: str) -> tuple[str, Make]:
    return name, lambda _: ACTIVATIONS[name]


def _all_features(name: str) -> tuple[str, Make]:
    """An activation of all features together, which can only end a model."""
    return name, lambda _: None


MODULES: dict[str, tuple[str, Make]] = {
    "Tanh": _plain("tanh"), "Sigmoid": _plain("sigmoid"), "ReLU": _plain("relu"), "ReLU6": _plain("relu6"),
    "Hardsigmoid": _plain("hard_sigmoid"), "Hardswish": _plain("hard_swish"), "SiLU": _plain("silu"),
    "Softsign": _plain("softsign"), "Mish": _plain("mish"), "SELU": _plain("selu"), "LogSigmoid": _plain("log_sigmoid"),
    "Tanhshrink": _plain("tanh_shrink"),
    "ELU": ("elu", lambda options: elu(options["alpha"])),
    "LeakyReLU": ("leaky_relu", lambda options: leaky_relu(options["negative_slope"])),
    "GELU": ("gelu", lambda options: ACTIVATIONS["gelu" if options["approximate"] == "none" else "gelu_tanh"]),
    "Softplus": ("softplus", lambda options: sharp_softplus(float(options["beta"]))),
    "Hardtanh": ("hard_tanh", lambda options: clipped(float(options["min_val"]), float(options["max_val"]))),
    "Softmax": _all_features("softmax"), "LogSoftmax": _all_features("log_softmax"),
}  # fmt: skip
"""For each kind of module, the name of its activation, and what makes the function of the module's options."""

FUNCTIONS: dict[Any, tuple[str, Activation | None]] = {
    torch.tanh: ("tanh", ACTIVATIONS["tanh"]), functional.tanh: ("tanh", ACTIVATIONS["tanh"]),
    torch.sigmoid: ("sigmoid", ACTIVATIONS["sigmoid"]), functional.sigmoid: ("sigmoid", ACTIVATIONS["sigmoid"]),
    torch.relu: ("relu", ACTIVATIONS["relu"]), functional.relu: ("relu", ACTIVATIONS["relu"]),
    functional.relu6: ("relu6", ACTIVATIONS["relu6"]), functional.silu: ("silu", ACTIVATIONS["silu"]),
    functional.mish: ("mish", ACTIVATIONS["mish"]), functional.selu: ("selu", ACTIVATIONS["selu"]),
    functional.softsign: ("softsign", ACTIVATIONS["softsign"]),
    functional.logsigmoid: ("log_sigmoid", ACTIVATIONS["log_sigmoid"]),
    torch.softmax: ("softmax", None), functional.softmax: ("softmax", None),
    torch.log_softmax: ("log_softmax", None), functional.log_softmax: ("log_softmax", None),
}  # fmt: skip
"""The functions, with the names and the functions of their activations; None for one of all features together."""

METHODS = {name: (name, ACTIVATIONS.get(name)) for name in ("tanh", "sigmoid", "relu", "softmax", "log_softmax")}
"""The methods of a tensor."""
