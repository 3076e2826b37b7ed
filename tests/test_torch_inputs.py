"""What the module is called with: packed sequences, halves under an autocast, tensors that are not dense."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

import rnnspec
from rnnspec import Dense, Last, Layer, Network, Path, cells
from rnnspec.convert import from_torch
from rnnspec.errors import ArgumentError, DtypeError, UnsupportedError
from rnnspec.tree import tree_map

NETS = {
    "lstm": Network(3, [Layer(cells.lstm, 4)]),
    "two layers": Network(3, [Layer(cells.gru, 4, "bidirectional"), Layer(cells.lstm_peephole, 5)], output=Dense(2)),
    "last": Network(3, [Layer(cells.elman, 4, "bidirectional"), Layer(cells.lstm, 3, "reverse")], Last(), Dense(2)),
}
PATHS = (None, Path.GENERIC, Path.FRAMEWORK)
ROWS = {"ragged": (2, 5, 1, 4), "sorted": (5, 4, 2, 1), "alike": (5, 5, 5, 5)}


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def layer(net, path=None, precision="f32", **options):
    backend = rnnspec.get_backend("torch", precision=precision)
    return (backend if path is None else backend.through(path)).as_layer(net, **options)


def packed(lengths):
    rows = [drawn(steps, 3, seed=n) for n, steps in enumerate(lengths)]
    return pack_sequence(rows, enforce_sorted=lengths == tuple(sorted(lengths, reverse=True)))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("lengths", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize("path", PATHS)
def test_a_packed_sequence_goes_in_and_out(path, net, lengths, given, batch_first):
    module, sequence = layer(net, path, batch_first=batch_first), packed(lengths)
    padded, ends = pad_packed_sequence(sequence)
    state = net.state_tree(4, lambda shape: drawn(*shape)) if given else None
    outputs, final = module(sequence, state)
    expected, last = layer(net, path)(padded, state, ends)
    torch.testing.assert_close(final, last)
    if isinstance(net.read, Last):
        torch.testing.assert_close(outputs, expected)
    else:
        assert isinstance(outputs, PackedSequence)
        assert outputs.batch_sizes is sequence.batch_sizes
        found, again = pad_packed_sequence(outputs)
        assert torch.equal(again, ends)
        torch.testing.assert_close(found, expected)


def test_a_packed_sequence_is_taken_as_torch_takes_it():
    """States in the caller's order, before and after; gradients through the packing."""
    theirs = torch.nn.LSTM(3, 4)
    imported = from_torch(theirs)
    module = layer(imported.net, params=imported.params)
    sequence, h, c = packed(ROWS["ragged"]), drawn(1, 4, 4), drawn(1, 4, 4, seed=1)
    expected, (last, kept) = theirs(sequence, (h, c))
    found, final = module(sequence, [{"forward": {"h": h[0], "c": c[0]}}])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(final[0]["forward"], {"h": last[0], "c": kept[0]})
    found.data.square().sum().backward()
    expected.data.square().sum().backward()
    gradient = module.get_parameter("layers.0.forward.U.i").grad
    torch.testing.assert_close(gradient, theirs.weight_hh_l0.grad[:4])


def test_a_packed_sequence_has_its_own_lengths():
    with pytest.raises(ArgumentError, match="lengths must be None where inputs are packed"):
        layer(NETS["lstm"])(packed((2, 1)), lengths=torch.tensor([2, 1]))


def test_rows_of_one_length_take_the_kernel():
    module = layer(NETS["lstm"], Path.NATIVE)
    assert isinstance(module(packed(ROWS["alike"]))[0], PackedSequence)
    with pytest.raises(UnsupportedError, match="rows of several lengths"):
        module(packed(ROWS["ragged"]))


@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 5])], ids=["full", "ragged"])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize("path", PATHS)
def test_an_autocast_gives_halves_to_the_layer(path, net, dtype, given, lengths):
    module, x = layer(net, path), drawn(5, 2, 3, dtype=dtype).requires_grad_()
    state = net.state_tree(2, lambda shape: drawn(*shape, dtype=dtype)) if given else None
    with torch.autocast("cpu", dtype=dtype):
        found = module(x, state, lengths)
    wide = x.detach().float().requires_grad_()
    expected = module(wide, tree_map(lambda a: a.float(), state) if given else None, lengths)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    for outputs in (found[0], expected[0]):
        outputs.sum().backward()
    torch.testing.assert_close(x.grad, wide.grad.to(dtype))


def test_an_autocast_region_with_layers_around_it_trains():
    rnn, before, after = layer(NETS["two layers"]), torch.nn.Linear(3, 3), torch.nn.Linear(2, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        after(rnn(before(drawn(5, 2, 3)))[0]).sum().backward()
    assert all(a.grad is not None for module in (rnn, before, after) for a in module.parameters())


def test_a_packed_sequence_of_halves_is_taken_under_an_autocast():
    sequence = packed((3, 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = layer(NETS["lstm"])(sequence.to(torch.bfloat16))
    torch.testing.assert_close(found.data, layer(NETS["lstm"])(sequence)[0].data, rtol=0.02, atol=0.02)


def test_other_dtypes_are_refused_as_ever():
    module = layer(NETS["lstm"])
    with pytest.raises(DtypeError, match="bfloat16"):
        module(drawn(5, 2, 3, dtype=torch.bfloat16))
    for dtype in (torch.float64, torch.int64):
        with pytest.raises(DtypeError), torch.autocast("cpu", dtype=torch.bfloat16):
            module(drawn(5, 2, 3).to(dtype))


ROWS_OF_TWO = [drawn(4, 3), drawn(2, 3)]
OTHERWISE = {
    "sparse_coo": lambda: drawn(5, 2, 3).to_sparse(),
    "sparse_csr": lambda: drawn(5, 3).to_sparse_csr(),
    "mkldnn": lambda: drawn(5, 2, 3).to_mkldnn(),
    "nested": lambda: torch.nested.nested_tensor(ROWS_OF_TWO, layout=torch.jagged),
    "quantized": lambda: torch.quantize_per_tensor(drawn(5, 2, 3), 0.1, 0, torch.qint8),
}
WHERE = {
    "inputs": layer(NETS["lstm"]),
    "inputs, batch first": layer(NETS["lstm"], batch_first=True),
    "inputs, differentiated by PyTorch": layer(NETS["lstm"], Path.FRAMEWORK),
    "a state": lambda a: layer(NETS["lstm"])(drawn(5, 2, 3), [{"forward": {"h": a, "c": a}}]),
    "lengths": lambda a: layer(NETS["lstm"])(drawn(5, 2, 3), lengths=a),
    "inputs of run": lambda a: rnnspec.get_backend("torch").run(NETS["lstm"], NETS["lstm"].init(0), a),
    "asarray": lambda a: rnnspec.get_backend("torch").asarray([a]),
    "to_numpy": lambda a: rnnspec.get_backend("torch").to_numpy([a]),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
@pytest.mark.filterwarnings("ignore:.*quantize:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*quantize:UserWarning")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", OTHERWISE)
def test_what_is_not_dense_is_refused(kind, where):
    with pytest.raises(ArgumentError, match=f"must be dense, got {kind} .*Tensor; convert it"):
        WHERE[where](OTHERWISE[kind]())
