"""Whole models of torch, as people write their `forward`, against what they compute themselves."""

from __future__ import annotations

import numpy as np
import pytest
from conversions import noted, refuses

import rnnspec
from rnnspec import Embedding, Last, Steps
from rnnspec.convert import Note, from_torch
from rnnspec.errors import UnsupportedError

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional
rnn = nn.utils.rnn
X = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
LENGTHS = np.array([5, 3])


def model(forward, **parts):
    """A model of these parts with this forward."""
    made = type("Model", (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        setattr(made, name, part)
    return made.eval()


def first(self, x):
    embedded = self.drop(self.emb(x))
    state = torch.zeros(2, x.size(0), 4).to(x.device), torch.zeros(2, x.size(0), 4)
    out, (_h, _c) = self.rnn(embedded, state)
    return self.fc(self.drop(out[:, -1, :]))


def classifier():
    return model(first, emb=nn.Embedding(9, 3), rnn=nn.LSTM(3, 4, 2, batch_first=True, dropout=0.2), fc=nn.Linear(4, 2),
                 drop=nn.Dropout(0.2))  # fmt: skip


def both_ends(self, x):
    _, h = self.rnn(x)
    return self.fc(functional.relu(self.hidden(torch.cat([h[-2, :, :], h[-1, :, :]], dim=1))))


def flat(self, x, state=None):
    out, state = self.rnn(x, state)
    return self.fc(out.contiguous().view(-1, 4)), state


def residual(self, x):
    x = x.permute(1, 0, 2)
    y, _ = self.rnn(x)
    y = self.norm(self.drop(y) + x)
    return torch.tanh(self.other(y)[0] + y).transpose(0, 1)


def packed(self, x, lengths):
    steps = rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    _, (h, _) = self.rnn(steps)
    return self.fc(h.squeeze(0))


def padded_again(self, x, lengths):
    steps, _ = self.rnn(rnn.pack_padded_sequence(x, lengths, True, False))
    return self.fc(rnn.pad_packed_sequence(steps, batch_first=True)[0])


def test_a_classifier_of_class_numbers():
    made, numbers = classifier(), np.random.default_rng(0).integers(0, 9, (5, 2))
    found = from_torch(made)
    assert found.net.inputs == Embedding(9, 3) and found.net.read == Last()
    assert noted(found.notes) == {Note.DROPOUT, Note.SUMMED_BIASES, Note.BATCH_FIRST}
    ours = rnnspec.get_backend("numpy").run(found.net, found.params, numbers).outputs
    np.testing.assert_allclose(ours, made(torch.tensor(numbers.T)).detach().numpy(), atol=1e-6)


BOTH = {"rnn": lambda: nn.GRU(3, 4, 2, bidirectional=True), "hidden": lambda: nn.Linear(8, 5),
        "fc": lambda: nn.Linear(5, 2)}  # fmt: skip
SQUARE = {"rnn": lambda: nn.LSTM(3, 3), "other": lambda: nn.GRU(3, 3), "norm": lambda: nn.LayerNorm(3),
          "drop": lambda: nn.Dropout(0.1)}  # fmt: skip
FIRST = {"rnn": lambda: nn.LSTM(3, 4, batch_first=True), "fc": lambda: nn.Linear(4, 2)}
MODELS = {
    "both ends": (both_ends, BOTH, Last(), lambda x: x),
    "steps in one axis": (flat, FIRST, Steps(), lambda x: x.swapaxes(0, 1)),
    "residual connections": (residual, SQUARE, Steps(), lambda x: x.swapaxes(0, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_read_as_it_computes(name):
    forward, parts, read, turned = MODELS[name]
    made = model(forward, **{part: make() for part, make in parts.items()})
    found = from_torch(made)
    assert found.net.read == read and (Note.FLAT in noted(found.notes)) == (forward is flat)
    theirs = made(torch.tensor(turned(X)))
    theirs = (theirs[0] if isinstance(theirs, tuple) else theirs).detach().numpy()
    ours = rnnspec.get_backend("numpy").run(found.net, found.params, X).outputs
    ours = ours if read == Last() else turned(ours)
    np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, atol=1e-6)
    if forward is residual:
        assert [layer.residual for layer in found.net.layers] == [True, False, True]


@pytest.mark.parametrize("forward", [packed, padded_again])
def test_packed_steps_are_read(forward):
    made = model(forward, **{part: make() for part, make in FIRST.items()})
    found = from_torch(made)
    theirs = made(torch.tensor(X.swapaxes(0, 1)), torch.tensor(LENGTHS)).detach().numpy()
    ours = rnnspec.get_backend("numpy").run(found.net, found.params, X, lengths=LENGTHS).outputs
    if forward is packed:
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    else:
        for row, length in enumerate(LENGTHS):
            np.testing.assert_allclose(ours[:length, row], theirs[row, :length], atol=1e-6)


def test_a_module_that_takes_the_steps_of_a_recurrent_one_may_stand_between():
    pick = model(lambda self, returned: returned[0][-1])
    parts = nn.LSTM(3, 4), pick, nn.Linear(4, 2)
    for found in (from_torch(*parts), from_torch(nn.Sequential(*parts))):
        assert found.net.read == Last()
        ours = rnnspec.get_backend("numpy").run(found.net, found.params, X).outputs
        np.testing.assert_allclose(ours, nn.Sequential(*parts)(torch.tensor(X)).detach().numpy(), atol=1e-6)


def test_a_state_that_the_caller_gives_is_noted():
    found = from_torch(model(lambda self, x, state: self.rnn(x, state), rnn=nn.GRU(3, 4)))
    assert [note.detail for note in found.notes if note.what is Note.INITIAL_STATE] == ["state"]


def last_of_both(self, x):
    return self.rnn(x)[0][-1]


def attention(self, x):
    out, _ = self.rnn(x)
    return (out * torch.softmax(self.fc(out), 1)).sum(1)


def branches(self, x):
    out, _ = self.rnn(x)
    return self.fc(out) + self.other(out)


def learned(self, x):
    return self.rnn(x, self.h0)[0]


def decoder(self, x):
    return [self.rnn(x[i]) for i in range(len(x))]


def hooked():
    made = classifier()
    made.register_forward_hook(lambda *_: None)
    return made


REFUSED = {
    "the last step of both directions": (
        lambda: model(last_of_both, rnn=nn.GRU(3, 4, bidirectional=True)), "getitem"),
    "attention": (lambda: model(attention, rnn=nn.GRU(3, 4), fc=nn.Linear(4, 1)), "softmax"),
    "branches": (lambda: model(branches, rnn=nn.GRU(3, 4), fc=nn.Linear(4, 2), other=nn.Linear(4, 2)), "other"),
    "a learned state": (lambda: model(learned, rnn=nn.GRU(3, 4), h0=nn.Parameter(torch.ones(1, 1, 4))), "rnn"),
    "a convolution": (lambda: model(lambda self, x: self.rnn(self.conv(x))[0], conv=nn.Conv1d(3, 3, 1),
                                    rnn=nn.GRU(3, 4)), "conv"),
    "a hook": (hooked, "hooks of Model"),
    "other axes of time": (
        lambda: model(lambda self, x: self.two(self.one(x)[0])[0], one=nn.GRU(3, 3),
                      two=nn.GRU(3, 3, batch_first=True)), "two"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(name):
    make, evidence = REFUSED[name]
    refuses(lambda: from_torch(make()), UnsupportedError, evidence)


def test_a_model_that_cannot_be_traced_is_refused_with_its_recurrent_parts():
    made = model(decoder, rnn=nn.LSTMCell(3, 4))
    with pytest.raises(rnnspec.errors.ArgumentError, match=r"in which rnn is recurrent, and which torch\.fx cannot"):
        from_torch(made)
