"""The equations against those of torch.nn, Keras and ONNX Runtime, through conversions written out here.

What is judged is the base class in float64: every other backend is judged by it. Biases and states are not zero, no two
maps are alike, and rows are ragged.
"""

from __future__ import annotations

import numpy as np
import pytest

from rnnspec import Layer, Network, cells
from rnnspec.tree import tree_map

STEPS, ROWS, INPUTS = 6, 4, 3
LENGTHS = np.array([4, STEPS, 1, 3])
REAL = (np.arange(STEPS)[:, None] < LENGTHS)[..., None]
ROUNDINGS = 50
"""Of the largest number of a tensor: two layers of 6 steps of both sides. The worst seen is 9."""


class Drawn:
    """One network with numbers for everything that a call takes, and what the base class makes of them."""

    def __init__(self, reference, cell, hidden, layers, direction="bidirectional"):
        self.rng = np.random.default_rng(4)
        self.net = Network(INPUTS, [Layer(cell, hidden, direction) for _ in range(layers)])
        self.params = tree_map(lambda w: w + self.normal(w.shape) / 3, self.net.init(4))
        self.inputs = self.normal((STEPS, ROWS, INPUTS))
        self.state, self.state_cotangent = self._state(), self._state()
        self.cotangent = np.where(REAL, self.normal((STEPS, ROWS, self.net.features)), 0.0)
        given = (self.net, self.params, self.inputs)
        result = reference.run(*given, self.state, LENGTHS)
        self.outputs, self.final = result.outputs, result.state
        self.grads = reference.pullback(*given, self.cotangent, self.state_cotangent, self.state, LENGTHS)

    def normal(self, shape):
        return self.rng.normal(size=shape)

    def _state(self):
        def one(shapes):
            return {name: self.normal(shape) for name, shape in shapes.items()}

        return [{half: one(shapes) for half, shapes in halves.items()} for halves in self.net.state_shapes(ROWS)]

    def halves(self):
        """(layer, half) in the order in which torch and ONNX number them."""
        return [(i, half) for i, layer in enumerate(self.net.layers) for half in layer.halves]

    def states(self, tree, name):
        """One state of every half, stacked."""
        return np.stack([tree[i][half][name] for i, half in self.halves()])


def packed(maps, order):
    return np.concatenate([maps[name] for name in order])


def assert_close(got, right, what, unit=2.0**-53):
    np.testing.assert_allclose(got, right, rtol=0, atol=ROUNDINGS * unit * np.abs(right).max(), err_msg=what)


def shared_bias(case, own, order, inner):
    """A bias given over to two tensors at random; an inner one is a tensor's own."""
    second = {g: own["p"][g] if g in inner else case.normal(own["b"][g].shape) for g in order}
    first = {g: own["b"][g] - (0 if g in inner else second[g]) for g in order}
    return packed(first, order), packed(second, order)


TORCH = {
    "RNN-tanh": (cells.elman, 4, "RNN", "h", {"nonlinearity": "tanh"}),
    "RNN-relu": (cells.elman_relu, 4, "RNN", "h", {"nonlinearity": "relu"}),
    "LSTM": (cells.lstm, 4, "LSTM", "ifgo", {}),
    "LSTM-projected": (cells.lstm_projected, {"h": 2, "c": 4}, "LSTM", "ifgo", {"proj_size": 2}),
    "GRU": (cells.gru, 4, "GRU", "rzn", {}),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch(reference, name):
    torch = pytest.importorskip("torch")
    cell, hidden, kind, order, options = TORCH[name]
    case = Drawn(reference, cell, hidden, layers=2)
    module = getattr(torch.nn, kind)(INPUTS, 4, num_layers=2, bidirectional=True, dtype=torch.float64, **options)
    inner = {"n"} & set(order)
    names = {half: "l{}" + ("_reverse" if half == "reverse" else "") for half in ("forward", "reverse")}
    places = {(i, half): names[half].format(i) for i, half in case.halves()}
    with torch.no_grad():
        for (i, half), place in places.items():
            own = case.params["layers"][i][half]
            ih, hh = shared_bias(case, own, order, inner)
            values = {"weight_ih": packed(own["W"], order), "weight_hh": packed(own["U"], order)}
            values |= {"bias_ih": ih, "bias_hh": hh} | ({"weight_hr": own["U"]["p"]} if "proj_size" in options else {})
            for tensor, value in values.items():
                getattr(module, f"{tensor}_{place}").copy_(torch.tensor(value))
    leaf = lambda a: torch.tensor(a, requires_grad=True)  # noqa: E731
    inputs, first = leaf(case.inputs), [leaf(case.states(case.state, s)) for s in cell.states]
    rows = torch.nn.utils.rnn.pack_padded_sequence(inputs, torch.tensor(LENGTHS), enforce_sorted=False)
    out, final = module(rows, first[0] if len(first) == 1 else tuple(first))
    out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, total_length=STEPS)
    final = [final] if len(first) == 1 else list(final)
    assert_close(out.detach().numpy(), case.outputs, "outputs")
    seeds = [torch.tensor(case.cotangent), *(torch.tensor(case.states(case.state_cotangent, s)) for s in cell.states)]
    torch.autograd.backward([out, *final], seeds)
    assert_close(inputs.grad.numpy(), case.grads.inputs, "dx")
    for s, begin, end in zip(cell.states, first, final, strict=True):
        assert_close(end.detach().numpy(), case.states(case.final, s), f"final {s}")
        assert_close(begin.grad.numpy(), case.states(case.grads.state, s), f"d{s}0")
    for (i, half), place in places.items():
        own = case.grads.params["layers"][i][half]
        right = {"weight_ih": packed(own["W"], order), "weight_hh": packed(own["U"], order)}
        right |= {"bias_ih": packed(own["b"], order), "bias_hh": packed(own["b"] | own["p"], order)}
        right |= {"weight_hr": own["U"]["p"]} if "proj_size" in options else {}
        for tensor, value in right.items():
            assert_close(getattr(module, f"{tensor}_{place}").grad.numpy(), value, f"d{tensor}_{place}")


KERAS = {
    "SimpleRNN": (cells.elman, "SimpleRNN", "h", {}),
    "LSTM": (cells.lstm, "LSTM", "ifgo", {}),
    "GRU-after": (cells.gru, "GRU", "zrn", {"reset_after": True}),
    "GRU-before": (cells.gru_reset_before, "GRU", "zrn", {"reset_after": False}),
}


@pytest.mark.parametrize("name", KERAS)
def test_keras(reference, name):
    tf, keras = pytest.importorskip("tensorflow"), pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend here; gradients are taken with TensorFlow's tape")
    cell, kind, order, options = KERAS[name]
    case = Drawn(reference, cell, 4, layers=1, direction="forward")
    layer = getattr(keras.layers, kind)(4, return_sequences=True, return_state=True, dtype="float64", **options)
    layer.build((ROWS, STEPS, INPUTS))
    own = case.params["layers"][0]["forward"]
    after = options.get("reset_after", False)
    bias = np.stack(shared_bias(case, own, order, {"n"})) if after else packed(own["b"], order)
    layer.set_weights([packed(own["W"], order).T, packed(own["U"], order).T, bias])
    variables = [weight.value for weight in layer.trainable_weights]
    inputs = tf.constant(case.inputs.swapaxes(0, 1))
    first = [tf.constant(case.state[0]["forward"][s]) for s in cell.states]
    mask = tf.constant(REAL[..., 0].T)
    with tf.GradientTape() as tape:
        tape.watch([inputs, *first])
        out, *final = layer(inputs, mask=mask, initial_state=first if len(first) > 1 else first[0])
        seeds = [case.cotangent.swapaxes(0, 1), *(case.state_cotangent[0]["forward"][s] for s in cell.states)]
        value = sum(tf.reduce_sum(a * seed) for a, seed in zip([out, *final], seeds, strict=True))
    dx, kernel, recurrent, d_bias, *d_first = tape.gradient(value, [inputs, *variables, *first])
    assert_close(np.where(REAL, out.numpy().swapaxes(0, 1), 0.0), case.outputs, "outputs")
    assert_close(dx.numpy().swapaxes(0, 1), case.grads.inputs, "dx")
    for s, begin, end in zip(cell.states, d_first, final, strict=True):
        assert_close(end.numpy(), case.final[0]["forward"][s], f"final {s}")
        assert_close(begin.numpy(), case.grads.state[0]["forward"][s], f"d{s}0")
    grads = case.grads.params["layers"][0]["forward"]
    assert_close(kernel.numpy().T, packed(grads["W"], order), "dW")
    assert_close(recurrent.numpy().T, packed(grads["U"], order), "dU")
    b, both = packed(grads["b"], order), packed(grads["b"] | grads["p"], order)
    assert_close(d_bias.numpy(), np.stack([b, both]) if after else b, "db")


ONNX = {
    "RNN": (cells.elman, "RNN", "h", {}),
    "LSTM": (cells.lstm, "LSTM", "iofg", {}),
    "LSTM-peephole": (cells.lstm_peephole, "LSTM", "iofg", {}),
    "GRU-after": (cells.gru, "GRU", "zrn", {"linear_before_reset": 1}),
    "GRU-before": (cells.gru_reset_before, "GRU", "zrn", {"linear_before_reset": 0}),
}


@pytest.mark.parametrize("name", ONNX)
def test_onnx_runtime(reference, name):
    """In float32, the only precision in which ONNX Runtime has these operators; values, since it has no gradients."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    cell, kind, order, options = ONNX[name]
    case = Drawn(reference, cell, 4, layers=1)
    inner = {"n"} if options.get("linear_before_reset") else set()
    halves = [case.params["layers"][0][half] for _, half in case.halves()]
    given = {
        "X": case.inputs,
        "W": np.stack([packed(own["W"], order) for own in halves]),
        "R": np.stack([packed(own["U"], order) for own in halves]),
        "B": np.stack([np.concatenate(shared_bias(case, own, order, inner)) for own in halves]),
        "sequence_lens": LENGTHS,
        **{f"initial_{s}": case.states(case.state, s) for s in cell.states},
    }
    if cell is cells.lstm_peephole:
        given["P"] = np.stack([packed(own["p"], "iof") for own in halves])
    given = {k: a.astype(np.int32 if k == "sequence_lens" else np.float32) for k, a in given.items()}
    ends = [f"Y_{s}" for s in cell.states]
    node = onnx.helper.make_node(kind, list(given), ["Y", *ends], hidden_size=4, direction="bidirectional", **options)
    types = {np.dtype(np.float32): onnx.TensorProto.FLOAT, np.dtype(np.int32): onnx.TensorProto.INT32}
    described = [onnx.helper.make_tensor_value_info(k, types[a.dtype], a.shape) for k, a in given.items()]
    results = [onnx.helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, None) for k in ("Y", *ends)]
    graph = onnx.helper.make_graph([node], "one", described, results)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 22)], ir_version=10)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    out, *final = session.run(None, given)
    assert_close(np.concatenate(list(out.swapaxes(0, 1)), -1), case.outputs, "outputs", 2.0**-24)
    for s, end in zip(cell.states, final, strict=True):
        assert_close(end, case.states(case.final, s), f"final {s}", 2.0**-24)
