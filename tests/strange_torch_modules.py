"""Modules of torch with parameters and calls of their own, right and with one fault each, for the suite to judge."""

import warnings
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


class UnitMajor(Joint):
    """One Linear over (x, h) of which four rows in turn are the gates of one unit."""

    layout: ClassVar = {"gates.weight": f"({rows('W')}) | ({rows('U')})", "gates.bias": f"({rows('b')})", "fc": ""}

    def step(self, x, h, c):
        return lstm_step(self.gates(torch.cat([x, h], -1)).unflatten(-1, (-1, 4)).unbind(-1), c)


class UnitMajorByName(UnitMajor):
    """A fault of its layout: the gates are below one another in it."""

    layout: ClassVar = Joint.layout


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

class Ragged(nn.Module):
    """torch.nn's names, with lengths; subclasses raise errors in some calls."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.weight_ih = nn.Parameter(torch.zeros(4 * hidden, inputs))
        self.weight_hh = nn.Parameter(torch.zeros(4 * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.zeros(4 * hidden))

    def forward(self, x, state, lengths=None):
        h, c = (s[0] for s in state)
        steps = []
        for t in range(x.shape[0]):
            real = torch.ones_like(h[:, :1], dtype=torch.bool) if lengths is None else (t < lengths)[:, None]
            given = torch.where(real, x[t], torch.zeros_like(x[t]))
            gates = given @ self.weight_ih.T + self.bias_ih + h @ self.weight_hh.T
            new, cell = lstm_step(gates.chunk(4, -1), c)
            steps.append(torch.where(real, new, torch.zeros_like(new)))
            h, c = torch.where(real, new, h), torch.where(real, cell, c)
        return torch.stack(steps), (h[None], c[None])


class RefusesLengths(Ragged):
    def forward(self, x, state, lengths=None):
        if lengths is not None:
            raise NotImplementedError("no packed sequences yet")
        return super().forward(x, state)


class RefusesEmptyRows(Ragged):
    def forward(self, x, state, lengths=None):
        if lengths is not None and not lengths.all():
            raise ValueError("length must be greater than 0")
        return super().forward(x, state, lengths)


class RefusesOneRow(Ragged):
    def forward(self, x, state, lengths=None):
        if x.shape[1] == 1:
            raise IndexError("too many indices for tensor of dimension 1")
        return super().forward(x, state, lengths)


class RefusesGradients(Ragged):
    def forward(self, x, state, lengths=None):
        if x.requires_grad:
            raise RuntimeError("derivative is not implemented")
        return super().forward(x, state, lengths)


class RefusesFrozen(Ragged):
    def forward(self, x, state, lengths=None):
        if not all(p.requires_grad for p in self.parameters()):
            raise RuntimeError("the program was made for other parameters")
        return super().forward(x, state, lengths)


class RefusesAll(Ragged):
    def forward(self, x, state, lengths=None):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


class Uncopied(Ragged):
    """An attribute that cannot be copied: a result of an earlier call."""

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.kept = 2 * self.bias_ih


class LastIsAView(Joint):
    """The final state is a view of the outputs."""

    def forward(self, x, state):
        outputs, (_, c) = super().forward(x, state)
        return outputs, (outputs[-1:], c)


class TypedLSTM(nn.Module):
    """An LSTM that TorchScript can read."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.hidden = hidden
        self.weight_ih = nn.Parameter(torch.zeros(4 * hidden, inputs))
        self.weight_hh = nn.Parameter(torch.zeros(4 * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.zeros(4 * hidden))

    def forward(self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]):
        h, c = state[0][0], state[1][0]
        steps: list[torch.Tensor] = []
        for t in range(x.shape[0]):
            gates = (x[t] @ self.weight_ih.t() + self.bias_ih + h @ self.weight_hh.t()).chunk(4, -1)
            c = torch.sigmoid(gates[1]) * c + torch.sigmoid(gates[0]) * torch.tanh(gates[2])
            h = torch.sigmoid(gates[3]) * torch.tanh(c)
            steps.append(h)
        return torch.stack(steps), (h[None], c[None])


def scripted(inputs, hidden):
    """A TorchScript module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(TypedLSTM(inputs, hidden))


STRANGE = (Joint, StateFirst, Turned, UnitMajor, EachGate, factory)
FAULTY_LAYOUTS = (BiasInEachGate, ClassifierUsed, UnitMajorByName)


class SecondCall(Ragged):
    """A fault of call order: right in its first call, and wrong in all others."""

    calls = 0

    def forward(self, x, state, lengths=None):
        outputs, final = super().forward(x, state, lengths)
        self.calls += 1
        return (outputs if self.calls == 1 else outputs + 1.0), final


CALLS = []


class AtRandom(Ragged):
    """A fault of its whole process: only its fourth call is wrong."""

    def forward(self, x, state, lengths=None):
        outputs, final = super().forward(x, state, lengths)
        CALLS.append(x)
        return (outputs + 1.0 if len(CALLS) == 4 else outputs), final


class OutputsOnly(Plain):
    """Begins with zeros by itself, and returns the outputs of all steps; arrays are (batch, time, feature)."""

    layout, form = PLAIN, "batch first: x -> y"

    def whole(self, x):
        zeros = x.new_zeros(x.shape[0], self.fc.in_features)
        return scanned(self.step, x.swapaxes(0, 1), zeros, zeros)

    def forward(self, x):
        return self.whole(x)[0].swapaxes(0, 1)


class LastOnly(OutputsOnly):
    form = "batch first: x -> y[-1]"

    def forward(self, x):
        return self.whole(x)[0][-1]


class StatesOnly(Plain):
    """Gets and returns states (batch, width)."""

    layout, form = PLAIN, "x, (h, c) -> (h, c)"

    def forward(self, x, state):
        return scanned(self.step, x, *state)[1:]


class KeepsItsState(Plain):
    """Goes on from call to call."""

    layout, form = PLAIN, "x, self.kept=(h, c) -> y, self.kept=(h, c)"
    kept = None

    def forward(self, x):
        zeros = x.new_zeros(x.shape[1], self.fc.in_features)
        outputs, *self.kept = scanned(self.step, x, *(self.kept or (zeros, zeros)))
        return outputs


class KeepsItsStateDetached(KeepsItsState):
    form = "x, self.kept=(h, c) -> y, self.kept=(h, c).detach()"

    def forward(self, x):
        outputs = super().forward(x)
        self.kept = [s.detach() for s in self.kept]
        return outputs


class OneStep(Plain):
    """Computes one step, as nn.LSTMCell does."""

    layout, form = PLAIN, "x_t, (h, c) -> (h, c)"

    def forward(self, x, state):
        return self.step(x, *state)


class OneStepBeside(OneStep):
    """Returns its output beside its states, one of which it keeps, all (1, batch, width)."""

    form = "x_t, [h], self.kept=[c] -> y_t, [h], self.kept=[c]"
    kept = None

    def forward(self, x, h):
        new, c = self.step(x, h[0], torch.zeros_like(h[0]) if self.kept is None else self.kept[0])
        self.kept = c[None]
        return new, new[None]


class StepOfSwappedGates(OneStep):
    """A fault: the gates i and f are swapped."""

    def step(self, x, h, c):
        i, f, g, o = self.gates(torch.cat([x, h], -1)).chunk(4, -1)
        return lstm_step((f, i, g, o), c)


class StepOfTheFirstRow(OneStep):
    """A fault: every row goes on from the cell state of the first."""

    def forward(self, x, state):
        h, c = state
        return self.step(x, h, c[:1].expand_as(c))


class StepCutFromItsPast(OneStep):
    """A fault: the state before the step has no gradient."""

    def forward(self, x, state):
        return self.step(x, *(s.detach() for s in state))


class StepThatOverwrites(OneStep):
    """A fault: the new cell state is in the memory of the old one."""

    def forward(self, x, state):
        h, c = self.step(x, *state)
        return h, c if c.requires_grad else state[1].copy_(c)


class BareCell(Plain):
    """One step, with the gates of a unit below one another, and neither a layout nor a form."""

    step = UnitMajor.step

    def forward(self, x, state):
        return self.step(x, *state)


class BareCellOfSwappedGates(BareCell):
    """A fault: the gates i and f are swapped."""

    def step(self, x, h, c):
        i, f, g, o = self.gates(torch.cat([x, h], -1)).unflatten(-1, (-1, 4)).unbind(-1)
        return lstm_step((f, i, g, o), c)


BARE = dict(UnitMajor.layout)
UNCLOSED = {**BARE, "gates.bias": "(b.i b.f b.g b.o"}


class WrongLast(LastOnly):
    def forward(self, x):
        return self.whole(x)[0][-2]


class WrongStates(StatesOnly):
    def forward(self, x, state):
        h, c = super().forward(x, state)
        return c, h


class WrongGradients(OutputsOnly):
    def forward(self, x):
        return 0.5 * super().forward(x) + 0.5 * super().forward(x).detach()


class RemembersSecretly(OutputsOnly):
    """A fault: it goes on from call to call, which its form does not say."""

    last = None

    def whole(self, x):
        zeros = x.new_zeros(x.shape[0], self.fc.in_features)
        fits = self.last is not None and self.last[0].shape == zeros.shape
        outputs, *final = scanned(self.step, x.swapaxes(0, 1), *(self.last if fits else (zeros, zeros)))
        self.last = [s.detach() for s in final]
        return (outputs, *final)


class CallsItDetached(KeepsItsStateDetached):
    """A fault of its form: the state that it keeps has no gradient."""

    form = KeepsItsState.form


FORMS = (OutputsOnly, LastOnly, StatesOnly, KeepsItsState, KeepsItsStateDetached, OneStep, OneStepBeside)
