"""Wrong kernels of recurrent layers, as data, and as modules for `python -m conformance --module`.

    PYTHONPATH=docs/figures python -m conformance --module wrong_kernels:LSTM.last_32 --as lstm

Each is what a kernel could do to be quick, or could do by mistake. It gets the right layer and its arguments in torch's
layout: inputs (time, batch, feature), states (layers * directions, batch, width), a pair for an LSTM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

State = Any
Layer = Callable[[Tensor, State], tuple[Tensor, State]]


@dataclass(frozen=True)
class WrongKernel:
    """What a kernel does instead; from sequences of `longer` steps on it is wrong."""

    name: str
    says: str
    run: Callable[[Layer, Tensor, State], tuple[Tensor, State]]
    longer: int = 1

    def is_wrong(self, steps: int) -> bool:
        """Whether it computes something else than the layer for so many steps."""
        return steps >= self.longer


def mapped(function: Callable[[Tensor], Tensor], state: State) -> State:
    """The same function of each state."""
    return tuple(map(function, state)) if isinstance(state, tuple) else function(state)


def last(steps: int, layer: Layer, x: Tensor, state: State) -> tuple[Tensor, State]:
    outputs, final = layer(x[-steps:], state)
    return torch.cat((outputs.new_zeros(len(x) - len(outputs), *outputs.shape[1:]), outputs)), final


def ends(steps: int, layer: Layer, x: Tensor, state: State) -> tuple[Tensor, State]:
    if len(x) <= 2 * steps:
        return layer(x, state)
    outputs, final = layer(torch.cat((x[:steps], x[-steps:])), state)
    skipped = outputs.new_zeros(len(x) - len(outputs), *outputs.shape[1:])
    return torch.cat((outputs[:steps], skipped, outputs[steps:])), final


def unread(layer: Layer, x: Tensor, state: State) -> tuple[Tensor, State]:
    return layer(torch.full_like(x, 0.5), state)


def backwards(layer: Layer, x: Tensor, state: State) -> tuple[Tensor, State]:
    return layer(x.flip(0), state)


def other_row(layer: Layer, x: Tensor, state: State) -> tuple[Tensor, State]:
    return layer(x.roll(1, 1), state)


def stateless(layer: Layer, x: Tensor, state: State) -> tuple[Tensor, State]:
    return layer(x, mapped(torch.zeros_like, state))


def nothing(layer: Layer, x: Tensor, state: State) -> tuple[Tensor, State]:
    outputs, final = layer(x, state)
    return torch.zeros_like(outputs), mapped(torch.zeros_like, final)


LAST, ENDS = (16, 32, 64), (16, 48)
WRONG = (
    *(WrongKernel(f"last_{k}", f"runs the last {k} steps only", partial(last, k), k + 1) for k in LAST),
    *(WrongKernel(f"ends_{k}", f"runs the first {k} and the last {k} steps only", partial(ends, k), 2 * k + 1)
      for k in ENDS),
    WrongKernel("unread", "never reads the input, and takes 0.5 everywhere", unread),
    WrongKernel("backwards", "reads the sequence backwards", backwards, 2),
    WrongKernel("other_row", "gives each row the input of the row before it", other_row),
    WrongKernel("stateless", "ignores the initial state", stateless),
    WrongKernel("nothing", "returns zeros", nothing),
)  # fmt: skip


class Module(nn.Module):
    """A layer of torch with a wrong kernel."""

    def __init__(self, wrong: WrongKernel, layer: nn.RNNBase) -> None:
        super().__init__()
        self.wrong, self.layer = wrong, layer

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        if state is None:
            zeros = x.new_zeros(1, x.shape[1], self.layer.hidden_size)
            state = (zeros, zeros) if isinstance(self.layer, nn.LSTM) else zeros
        return self.wrong.run(self.layer, x, state)


def factories(kind: type[nn.RNNBase]) -> SimpleNamespace:
    """A factory for each wrong kernel of a kind of layer."""
    def factory(wrong: WrongKernel) -> Callable[[int, int], Module]:
        return lambda inputs, hidden: Module(wrong, kind(inputs, hidden))

    return SimpleNamespace(**{wrong.name: factory(wrong) for wrong in WRONG})


RNN, LSTM, GRU = factories(nn.RNN), factories(nn.LSTM), factories(nn.GRU)
