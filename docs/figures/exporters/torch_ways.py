"""PyTorch's exporters."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from exporters.cases import CASES, Case, found, held
from rnnspec import Path

__all__ = ["CASES", "WAYS", "tried"]

AXES = {"time": 0, "batch": 1}
KNOWN = {"ModuleNotFoundError": "PyTorch's exporter needs the package onnxscript; install it"}


class Model(torch.nn.Module):
    """A model that holds the layer."""

    def __init__(self, rnn: Any) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Any, *around: Any) -> Any:
        if not around:
            return self.rnn(x)[0]
        if len(around) == 1:
            return self.rnn(x, None, around[0])[0]
        return self.rnn(x, [{"forward": dict(zip("hc", around, strict=True))}])[0]


def arguments(case: Case, size: tuple[int, int]) -> tuple[Any, ...]:
    around = {"": [], "lengths": [case.lengths(size)], "state": case.state(size)}[case.around]
    return tuple(map(torch.from_numpy, [case.inputs(size), *around]))


def dims(case: Case) -> Any:
    if not case.free:
        return None
    return ({AXES[case.free]: torch.export.Dim(case.free, min=1)},)


def export(strict: bool) -> Callable[..., Any]:
    def make(model: Any, given: Any, case: Case) -> Any:
        return torch.export.export(model, given, strict=strict, dynamic_shapes=dims(case)).module()

    return make


def legacy(model: Any, given: Any, case: Case) -> Any:
    file, axes = io.BytesIO(), {"x": {AXES[case.free]: case.free}} if case.free else None
    torch.onnx.export(model, given, file, dynamo=False, input_names=["x"], dynamic_axes=axes)
    return in_onnxruntime(file)


def dynamo(model: Any, given: Any, case: Case) -> Any:
    file = io.BytesIO()
    torch.onnx.export(model, given, dynamo=True, verbose=False, dynamic_shapes=dims(case)).save(file)
    return in_onnxruntime(file)


def in_onnxruntime(file: io.BytesIO) -> Any:
    import onnxruntime  # noqa: PLC0415  # only where a file is run

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(file.getvalue(), options)
    names = [each.name for each in session.get_inputs()]
    return lambda *given: session.run(None, dict(zip(names, [a.numpy() for a in given], strict=True)))[0]


WAYS = {
    "torch.export.export": export(False),
    "torch.export.export(strict=True)": export(True),
    "torch.jit.trace": lambda model, given, _: torch.jit.trace(model, given),
    "torch.jit.script": lambda model, *_: torch.jit.script(model),
    "torch.onnx.export(dynamo=True)": dynamo,
    "torch.onnx.export(dynamo=False)": legacy,
    "torch.compile": lambda model, *_: torch.compile(model),
    "torch.compile(fullgraph=True)": lambda model, *_: torch.compile(model, fullgraph=True),
}


def tried(way: str, path: Path | None, case: Case) -> str:
    """What came of one export."""
    model = Model(held("torch", path).as_layer(case.net)).train(case.train)
    given = arguments(case, case.called)
    torch._dynamo.reset()  # what was compiled before would be taken again

    def make() -> Callable[[], Any]:
        made = WAYS[way](model, arguments(case, case.exported), case)
        if way.startswith("torch.compile"):
            made(*given)  # it compiles when it is called
        return lambda: np.asarray(torch.as_tensor(made(*given)).detach())

    with torch.set_grad_enabled(case.train):
        return found(case, make, lambda: model(*given).detach().numpy(), KNOWN)
