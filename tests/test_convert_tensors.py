"""Published layers by their tensors: the recurrence rebuilt from the raw tensors, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy
from conversions import noted, refuses, same_params
from numpy.testing import assert_allclose

import rnnspec
from rnnspec import Dense, Layer, Network, cells, losses, policies
from rnnspec.convert import Note, from_tensors, to_tensors
from rnnspec.convert.axes import joined, ordered, sizes_of
from rnnspec.convert.published_layouts import PUBLISHED
from rnnspec.errors import ArgumentError, FileFormatError, ShapeError, TreeError, UnsupportedError

STEPS, ROWS, HEADS, WIDTH = 6, 3, 2, 4
KINDS = list(PUBLISHED)
SLSTM = "xlstm.sLSTMLayer"


def slstm(kernel, bias, given, x):
    """The layer of the authors, one head, gate and step at a time; `kernel` and `bias` read one number's row."""
    outputs = np.zeros((STEPS, ROWS, HEADS * WIDTH))
    y, c, n, m = np.zeros((4, ROWS, HEADS, WIDTH))
    for t in range(STEPS):
        part = x[t].reshape(ROWS, HEADS, WIDTH)
        raw = np.zeros((4, ROWS, HEADS, WIDTH))
        for g, name in enumerate(("fgate", "igate", "zgate", "ogate")):
            for h in range(HEADS):
                raw[g, :, h] = part[:, h] @ given[f"{name}.weight"][h].T + y[:, h] @ kernel(h, g) + bias(h, g)
        i, f, z, o = raw
        kept = m - np.log1p(np.exp(-f))
        m = i if t == 0 else np.maximum(i, kept)
        c = np.exp(kept - m) * c + np.exp(i - m) * np.tanh(z)
        n = np.exp(kept - m) * n + np.exp(i - m)
        y = c / n / (1 + np.exp(-o))
        outputs[t] = y.reshape(ROWS, HEADS * WIDTH)
    return outputs


def external(given, x):
    kernel, bias = given["slstm_cell._recurrent_kernel_"], given["slstm_cell._bias_"]
    return slstm(lambda h, g: kernel[h, :, g], lambda h, g: bias[h, g], given, x)


def vanilla(given, x):
    """A kernel whose rows are gates and outputs, and a bias with the gates outside."""
    kernel, bias = given["slstm_cell._recurrent_kernel_"], given["slstm_cell._bias_"]
    return slstm(lambda h, g: kernel[h, g * WIDTH : (g + 1) * WIDTH].T,
                 lambda h, g: bias[(g * HEADS + h) * WIDTH :][:WIDTH], given, x)  # fmt: skip


def cuda(given, x):
    """A kernel whose columns are gates and outputs, and a bias with the heads outside."""
    kernel, bias = given["slstm_cell._recurrent_kernel_"], given["slstm_cell._bias_"]
    return slstm(lambda h, g: kernel[h, :, g * WIDTH : (g + 1) * WIDTH],
                 lambda h, g: bias[(h * 4 + g) * WIDTH :][:WIDTH], given, x)  # fmt: skip


def rglru(given, x):
    """The layer of the authors, one head at a time; at the first step the input is not scaled."""
    outputs, y = np.zeros((STEPS, ROWS, HEADS * WIDTH)), np.zeros((ROWS, HEADS, WIDTH))
    rate = 8 * np.log1p(np.exp(given["a_param"])).reshape(HEADS, WIDTH)
    for t in range(STEPS):
        for h, part in enumerate(x[t].reshape(ROWS, HEADS, WIDTH).swapaxes(0, 1)):
            i, r = (1 / (1 + np.exp(-part @ given[f"{gate}.w"][h] - given[f"{gate}.b"][h]))
                    for gate in ("input_gate", "a_gate"))  # fmt: skip
            scale = np.sqrt(-np.expm1(-2 * rate[h] * r)) if t else 1
            y[:, h] = np.exp(-rate[h] * r) * y[:, h] + scale * i * part
        outputs[t] = y.reshape(ROWS, HEADS * WIDTH)
    return outputs


GATES = {f"{gate}.{name}": shape for gate in ("input_gate", "a_gate")
         for name, shape in (("w", (HEADS, WIDTH, WIDTH)), ("b", (HEADS, WIDTH)))}  # fmt: skip
BLOCKS = {f"{gate}gate.weight": (HEADS, WIDTH, WIDTH) for gate in "fizo"}
CELL = {"slstm_cell._recurrent_kernel_", "slstm_cell._bias_"}


def with_cell(kernel, bias):
    return BLOCKS | {"slstm_cell._recurrent_kernel_": kernel, "slstm_cell._bias_": bias}


LAYERS = {
    "xlstm.sLSTMLayer": (with_cell((HEADS, WIDTH, 4, WIDTH), (HEADS, 4, WIDTH)), external),
    "xlstm.sLSTMLayer.vanilla": (with_cell((HEADS, 4 * WIDTH, WIDTH), (4 * HEADS * WIDTH,)), vanilla),
    "xlstm.sLSTMLayer.cuda": (with_cell((HEADS, WIDTH, 4 * WIDTH), (4 * HEADS * WIDTH,)), cuda),
    "recurrentgemma.RGLRU": (GATES | {"a_param": (HEADS * WIDTH,)}, rglru),
}
"""The shapes of each layer's tensors, and the layer itself."""


def drawn(kind, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in LAYERS[kind][0].items()}


def test_every_published_layer_is_rebuilt_here():
    assert list(LAYERS) == KINDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_what_is_read_computes_what_the_raw_tensors_do(kind, backend):
    given, be = drawn(kind), rnnspec.get_backend(backend, precision="f64")
    x = np.random.default_rng(1).normal(size=(STEPS, ROWS, HEADS * WIDTH))
    found = from_tensors(kind, given)
    outputs = be.to_numpy(be.run(found.net, found.params, x).outputs)
    assert_allclose(outputs, LAYERS[kind][1](given, x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_read_is_given_out_to_the_bit(kind):
    given = drawn(kind)
    found = from_tensors(kind, given)
    again = to_tensors(kind, found.net, found.params)
    same_params(again.model, given)
    assert not again.notes


@pytest.mark.parametrize("kind", KINDS)
def test_two_tensors_exchanged_are_seen(kind):
    given, be = drawn(kind), rnnspec.get_backend("numpy", precision="f64")
    x = np.random.default_rng(1).normal(size=(STEPS, ROWS, HEADS * WIDTH))
    one, *others = given
    other = next(name for name in others if given[name].shape == given[one].shape)
    found = from_tensors(kind, given | {one: given[other], other: given[one]})
    assert np.abs(be.run(found.net, found.params, x).outputs - LAYERS[kind][1](given, x)).max() > 0.01


def test_notes_say_what_training_moves_and_what_stays_outside():
    given = drawn(SLSTM)
    assert noted(from_tensors(SLSTM, given).notes) == {Note.BLOCKS}
    normed = given | {"group_norm.weight": np.ones(HEADS * WIDTH)}
    assert noted(from_tensors(SLSTM, normed).notes) == {Note.BLOCKS, Note.OUTSIDE}
    alone = {name: a[:1] for name, a in given.items()}
    found = from_tensors(SLSTM, alone)
    assert not found.notes and found.net == Network(WIDTH, [Layer(cells.slstm, WIDTH, heads=1)])
    layer = Layer(cells.slstm, WIDTH, heads=HEADS, gradient=policies.Truncated(1))
    trained = Network(HEADS * WIDTH, [layer], loss=losses.SquaredError())
    params = from_tensors(SLSTM, given).params
    assert noted(to_tensors(SLSTM, trained, params).notes) == {Note.POLICY, Note.OBJECTIVE}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_layer_is_read_from_the_file_of_a_model(dtype, tmp_path):
    torch, to_file = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    given = {name: torch.tensor(a).to(getattr(torch, dtype)) for name, a in drawn(SLSTM).items()}
    path, prefix = tmp_path / "model.safetensors", "blocks.1.xlstm."
    to_file.save_file({prefix + name: a for name, a in given.items()} | {"head.weight": torch.ones(2)}, path)
    found = from_tensors(SLSTM, path, prefix=prefix)
    again = from_tensors(SLSTM, {name: a.float().numpy() for name, a in given.items()})
    assert found.net == again.net
    same_params(found.params, again.params)


def cut(name, index):
    return {name: drawn(SLSTM)[name][index]}


REFUSED = {
    "an unknown kind": (lambda: from_tensors("LSTM", {}), ArgumentError, "'LSTM'"),
    "no mapping": (lambda: from_tensors(SLSTM, [1.0]), ArgumentError, "list"),
    "a missing tensor": (lambda: from_tensors(SLSTM, dict(list(drawn(SLSTM).items())[1:])), TreeError,
                         "no fgate.weight"),
    "another tensor": (lambda: from_tensors(SLSTM, drawn(SLSTM) | {"skip.weight": np.ones(2)}), TreeError,
                       "skip.weight"),
    "another prefix": (lambda: from_tensors(SLSTM, drawn(SLSTM), prefix="layer."), TreeError, "no fgate.weight"),
    "a convolution": (lambda: from_tensors(SLSTM, drawn(SLSTM) | {"conv1d.conv.weight": np.ones(2)}),
                      UnsupportedError, "a convolution of the input"),
    "the form of another kind": (lambda: from_tensors("xlstm.sLSTMLayer.cuda", drawn("xlstm.sLSTMLayer.vanilla")),
                                 ShapeError, "(2, 4, 4 * 4)"),
    "another rank": (lambda: from_tensors(SLSTM, drawn(SLSTM) | {"slstm_cell._bias_": np.ones(8)}), ShapeError, "(8,)"),
    "no features": (lambda: from_tensors(SLSTM, drawn(SLSTM) | {"fgate.weight": np.ones((2, 4, 0))}), ShapeError,
                    "(2, 4, 0)"),
    "a map that is not square": (lambda: from_tensors(SLSTM, drawn(SLSTM) | {
        "slstm_cell._recurrent_kernel_": np.ones((2, 3, 4, 4))}), ShapeError, "(2, 4, 4, 4)"),
    "gates that are not square": (lambda: from_tensors("recurrentgemma.RGLRU", drawn("recurrentgemma.RGLRU") | {
        "input_gate.w": np.ones((2, 3, 4))}), ShapeError, "(2, 3, 4)"),
    "other heads": (lambda: from_tensors(SLSTM, drawn(SLSTM) | cut("igate.weight", slice(1))), ShapeError, "(1, 4, 4)"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_it_refuses_to_read(what):
    call, kind, evidence = REFUSED[what]
    refuses(call, kind, evidence)


def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"\x80\x04pickle")
    refuses(lambda: from_tensors(SLSTM, path), FileFormatError, "model.bin")
    refuses(lambda: from_tensors(SLSTM, tmp_path / "absent"), FileFormatError, "absent")
    safetensors.numpy.save_file({"a": np.ones(2, np.int64)}, path)
    refuses(lambda: from_tensors(SLSTM, path), TreeError, "no fgate.weight")


def nets():
    layer = Layer(cells.slstm, WIDTH, heads=HEADS)
    yield Network(8, [Layer(cells.slstm, WIDTH)]), "heads=None"
    yield Network(8, [Layer(cells.lstm, WIDTH, heads=HEADS)]), "lstm"
    yield Network(8, [layer, layer]), "slstm"
    yield Network(8, [layer], output=Dense(2)), "Dense"
    yield Network(8, [Layer(cells.slstm, WIDTH, "reverse", heads=HEADS)]), "reverse"
    yield Network(8, [Layer(cells.slstm, WIDTH, heads=HEADS, shared=("x.i",))]), "x.i"


@pytest.mark.parametrize(("net", "evidence"), list(nets()))
def test_other_networks_are_not_given_out(net, evidence):
    refuses(lambda: to_tensors(SLSTM, net, net.init(0)), UnsupportedError, evidence)


def test_a_map_that_is_not_block_diagonal_is_not_given_out():
    net = Network(8, [Layer(cells.slstm, WIDTH, heads=HEADS)])
    refuses(lambda: to_tensors(SLSTM, net, net.init(0)), UnsupportedError, "W.i must map the inputs of each head")


@pytest.mark.parametrize(("axes", "shape"), [("h (g o) i", (2, 12, 5)), ("(g h o)", (24,)), ("i o", (5, 3)),
                                             ("o (h i) g", (3, 10, 4))])  # fmt: skip
def test_axes_are_taken_apart_and_joined(axes, shape):
    order, array = "ghoi", np.arange(np.prod(shape)).reshape(shape)
    sizes = sizes_of(axes, shape, {"g": 4, "h": 2})
    apart = ordered(axes, array, sizes, order)
    assert all(n in (1, sizes.get(letter)) for n, letter in zip(apart.shape, order, strict=True))
    np.testing.assert_array_equal(joined(axes, apart, order), array)
