"""Modules of torch as people write them, right and with one fault each, for the suite to judge."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


class OwnLSTM(nn.Module):
    """An honest LSTM of one's own, with torch.nn's names and lengths of its own."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden, inputs))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden))

    def forward(self, x, state, lengths=None):
        h, c = (s[0] for s in state)
        steps = []
        for t, given in enumerate(x):
            real = torch.ones(len(h), 1, dtype=torch.bool) if lengths is None else (t < lengths)[:, None]
            x_t = torch.where(real, given, 0.0)  # 0 times infinity, behind a row's end, would be a gradient of NaN
            i, f, g, o = (x_t @ self.weight_ih.T + self.bias_ih + h @ self.weight_hh.T).chunk(4, -1)
            new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            new_h = o.sigmoid() * new_c.tanh()
            steps.append(torch.where(real, new_h, 0.0))
            h, c = torch.where(real, new_h, h), torch.where(real, new_c, c)
        return torch.stack(steps), (h[None], c[None])


class OwnNames(nn.Module):
    """A cell that torch.nn does not have, in tensors of one's own names: `layout` says what stands where."""

    layout: ClassVar = {"kernel": "W.z W.h", "bias": "b.z b.h"}

    def __init__(self, inputs, hidden):
        super().__init__()
        self.kernel, self.bias = nn.Parameter(torch.empty(2 * hidden, inputs)), nn.Parameter(torch.empty(2 * hidden))

    def forward(self, x, h):
        h, steps = h[0], []
        for x_t in x:
            z, new = (x_t @ self.kernel.T + self.bias).chunk(2, -1)
            h = (1 - z.sigmoid()) * h + z.sigmoid() * new
            steps.append(h)
        return torch.stack(steps), h[None]


class Unmappable(nn.Module):
    """Its parameters have names that nobody can know."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(4 * hidden, inputs))

    def forward(self, x, state):
        return x, state


class Changed(nn.LSTM):
    """An LSTM whose tensors are changed before it runs."""

    def change(self, name, tensor):
        return tensor

    def forward(self, x, hx=None):
        kept = self._flat_weights
        self._flat_weights = [self.change(name, w) for name, w in zip(self._flat_weights_names, kept, strict=True)]
        try:
            return super().forward(x, hx)
        finally:
            self._flat_weights = kept


class GatesSwapped(Changed):
    def change(self, name, tensor):
        return torch.cat([tensor.chunk(4)[gate] for gate in (3, 1, 2, 0)])


class BiasDropped(Changed):
    def change(self, name, tensor):
        return torch.zeros_like(tensor) if name.startswith("bias_hh") else tensor


class ForgetBiasAdded(Changed):
    def change(self, name, tensor):
        if not name.startswith("bias_ih"):
            return tensor
        one = torch.zeros_like(tensor)
        one[self.hidden_size : 2 * self.hidden_size] = 1
        return tensor + one


class StateIgnored(nn.LSTM):
    def forward(self, x, hx=None):
        return super().forward(x)


class LengthsIgnored(nn.LSTM):
    def forward(self, x, hx=None):
        if not isinstance(x, PackedSequence):
            return super().forward(x, hx)
        padded, lengths = pad_packed_sequence(x)
        outputs, final = super().forward(padded, hx)
        return pack_padded_sequence(outputs, lengths, enforce_sorted=False), final


class FinalGradientDropped(nn.LSTM):
    def forward(self, x, hx=None):
        outputs, (h, c) = super().forward(x, hx)
        return outputs, (h, c.detach())


class InnerBiasDropped(nn.GRU):
    def forward(self, x, hx=None):
        kept = self._flat_weights
        zero = torch.cat([torch.ones(2 * self.hidden_size), torch.zeros(self.hidden_size)])
        self._flat_weights = [w * zero.to(w.dtype) if name.startswith("bias_hh") else w
                              for name, w in zip(self._flat_weights_names, kept, strict=True)]  # fmt: skip
        try:
            return super().forward(x, hx)
        finally:
            self._flat_weights = kept


class GatesOfGruSwapped(nn.GRU):
    def forward(self, x, hx=None):
        kept = self._flat_weights
        self._flat_weights = [torch.cat([w.chunk(3)[gate] for gate in (1, 0, 2)]) for w in kept]
        try:
            return super().forward(x, hx)
        finally:
            self._flat_weights = kept


class WrongInEval(nn.LSTM):
    """Right while it is trained."""

    def forward(self, x, hx=None):
        outputs, final = super().forward(x, hx)
        return (outputs, final) if self.training else (outputs, tuple(2 * s for s in final))


class GoesOnWithoutState(nn.LSTM):
    """A call without a state goes on from the last one."""

    last = None

    def forward(self, x, hx=None):
        outputs, final = super().forward(x, self.last if hx is None else hx)
        self.last = tuple(s.detach() for s in final)
        return outputs, final


class WorksInTheState(nn.LSTM):
    def forward(self, x, hx=None):
        outputs, final = super().forward(x, hx)
        if hx is not None and not torch.is_grad_enabled():
            hx[1].copy_(final[1])
        return outputs, final


class OneStateForTwo(nn.LSTM):
    def forward(self, x, hx=None):
        return super().forward(x, (hx[0], hx[0] + 1) if hx is not None and hx[0] is hx[1] else hx)


class WeightsNeedInputs(nn.LSTM):
    """Where its inputs need no gradient, its parameters get none."""

    def forward(self, x, hx=None):
        outputs, final = super().forward(x, hx)
        given = x.data if isinstance(x, PackedSequence) else x
        return (outputs, final) if given.requires_grad else _without_gradients(outputs, final)


class FrozenAltogether(nn.LSTM):
    """Where one parameter is frozen, the others get no gradient either."""

    def forward(self, x, hx=None):
        outputs, final = super().forward(x, hx)
        trained = all(p.requires_grad for p in self.parameters())
        return (outputs, final) if trained else _without_gradients(outputs, final)


class PulledTwice(nn.LSTM):
    """A second pullback of one call gives half."""

    def forward(self, x, hx=None):
        outputs, final = super().forward(x, hx)
        data = outputs.data if isinstance(outputs, PackedSequence) else outputs
        if data.requires_grad:
            pulls = []
            data.register_hook(lambda d: pulls.append(d) or d / len(pulls))
        return outputs, final


def _without_gradients(outputs, final):
    if isinstance(outputs, PackedSequence):
        return outputs._replace(data=0.0 * outputs.data + outputs.data.detach()), final
    return 0.0 * outputs + outputs.detach(), final


FAULTY_AT_THE_DOOR = (WrongInEval, GoesOnWithoutState, WorksInTheState, OneStateForTwo, WeightsNeedInputs,
                      FrozenAltogether, PulledTwice)  # fmt: skip
"""Each right in the call with everything spelt out, in training."""
FAULTY = (GatesSwapped, BiasDropped, ForgetBiasAdded, StateIgnored, LengthsIgnored, FinalGradientDropped)
FAULTY_GRUS = (InnerBiasDropped, GatesOfGruSwapped)


class LastHundredSteps(nn.LSTM):
    """Of more than a hundred steps it computes the last hundred."""

    def forward(self, x, state=None):
        early = max(len(x) - 100, 0) if isinstance(x, torch.Tensor) else 0
        late = x[early:] if early else x
        y, final = super().forward(late, state)
        return (torch.cat([y.new_zeros(early, *y.shape[1:]), y]) if early else y), final


def bidirectional(inputs, hidden):
    """A factory of things that have both directions."""
    return nn.LSTM(inputs, hidden, bidirectional=True, batch_first=True)


INSTANCE = nn.LSTM(6, 5)
FORGETFUL = LastHundredSteps(10, 20)
