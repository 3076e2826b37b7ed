"""Modules of torch with parameters and calls of their own, right and with one fault each, for the suite to judge."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn


def rows(kind, gates="ifgo", flipped=""):
    return " ".join(f"{kind}.{gate}{flipped}" for gate in gates)


def lstm_step(gates, c):
    i, f, g, o = gates
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def scanned(step, x, h, c):
    """The outputs of all steps and the last states of a step (x, h, c) -> h, c."""
    steps = []
    for x_t in x:
        h, c = step(x_t, h, c)
        steps.append(h)
    return torch.stack(steps), h, c


class Joint(nn.Module):
    """One Linear over (x, h), and a classifier that this call does not use."""

    layout: ClassVar = {"gates.weight": f"{rows('W')} | {rows('U')}", "gates.bias": rows("b"), "fc": ""}

    def __init__(self, inputs, hidden):
        super().__init__()
        self.gates, self.fc = nn.Linear(inputs + hidden, 4 * hidden), nn.Linear(hidden, 10)

    def step(self, x, h, c):
        return lstm_step(self.gates(torch.cat([x, h], -1)).chunk(4, -1), c)

    def forward(self, x, state):
        h, c = (s[0] for s in state)
        outputs, h, c = scanned(self.step, x, h, c)
        return outputs, (h[None], c[None])


class StateFirst(Joint):
    """One Linear over (h, x)."""

    layout: ClassVar = Joint.layout | {"gates.weight": f"{rows('U')} | {rows('W')}"}

    def step(self, x, h, c):
        return lstm_step(self.gates(torch.cat([h, x], -1)).chunk(4, -1), c)


class Turned(Joint):
    """One map of (x, h) that stores (in, out), with the bias as its last row."""

    layout: ClassVar = {"kernel": " | ".join(f"W.{gate}.T U.{gate}.T b.{gate}.T" for gate in "ifgo")}

    def __init__(self, inputs, hidden):
        nn.Module.__init__(self)
        self.kernel = nn.Parameter(torch.zeros(inputs + hidden + 1, 4 * hidden))

    def step(self, x, h, c):
        given = torch.cat([x, h, torch.ones_like(h[:, :1])], -1)
        return lstm_step((given @ self.kernel).chunk(4, -1), c)


class EachGate(Joint):
    """A map of each gate, without biases, the recurrent ones in one tensor (gate, out, in)."""

    layout: ClassVar = {**{f"{gate}_in.weight": f"W.{gate}" for gate in "ifgo"}, "recurrent": rows("U")}

    def __init__(self, inputs, hidden):
        nn.Module.__init__(self)
        self.i_in, self.f_in, self.g_in, self.o_in = (nn.Linear(inputs, hidden, bias=False) for _ in "ifgo")
        self.recurrent = nn.Parameter(torch.zeros(4, hidden, hidden))

    def step(self, x, h, c):
        maps = (self.i_in, self.f_in, self.g_in, self.o_in)
        return lstm_step([own(x) + h @ u.T for own, u in zip(maps, self.recurrent, strict=True)], c)


class BiasInEachGate(EachGate):
    """A fault: a bias that is in no parameter."""

    def step(self, x, h, c):
        maps = (self.i_in, self.f_in, self.g_in, self.o_in)
        return lstm_step([own(x) + h @ u.T + 1.0 for own, u in zip(maps, self.recurrent, strict=True)], c)


class ClassifierUsed(Joint):
    """A fault: what the layout calls outside changes the outputs."""

    def forward(self, x, state):
        outputs, final = super().forward(x, state)
        return outputs + self.fc.bias.sum(), final


class Plain(nn.Module):
    """The parameters of `Joint`, and no layout."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.gates, self.fc = nn.Linear(inputs + hidden, 4 * hidden), nn.Linear(hidden, 10)

    step, forward = Joint.step, Joint.forward


PLAIN = dict(Joint.layout)


def factory(inputs, hidden):
    return Plain(inputs, hidden)


factory.layout = PLAIN


class WithClassifier(nn.LSTM):
    """torch.nn's names, and two more."""

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.fc = nn.Linear(hidden, 3)


CLASSIFIER = {"fc": ""}
"""Extends the table of torch.nn."""

STRANGE = (Joint, StateFirst, Turned, EachGate, factory)
FAULTY_LAYOUTS = (BiasInEachGate, ClassifierUsed)
