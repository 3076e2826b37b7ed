"""Who looks into the module's calls: torch.export, torch.jit.trace, the exporter of ONNX, torch.func, forward mode."""

import io

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

import rnnspec
from rnnspec import Dense, Last, Layer, Network, Path, cells
from rnnspec.errors import ShapeError, UnsupportedError
from rnnspec.tree import flat, tree_map

NETS = {
    "lstm": Network(3, [Layer(cells.lstm, 4)]),
    "two layers": Network(3, [Layer(cells.gru, 4, "bidirectional"), Layer(cells.lstm_peephole, 5)], output=Dense(2)),
    "last": Network(3, [Layer(cells.elman, 4, "bidirectional"), Layer(cells.lstm, 3, "reverse")], Last(), Dense(2)),
}
CLOSED = (None, Path.GENERIC, Path.NATIVE)
LENGTHS, OTHERS = torch.tensor([5, 3]), torch.tensor([2, 4])
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*legacy TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # of shapes, which are compared
]


class Model(torch.nn.Module):
    """A model that holds the layer."""

    def __init__(self, rnn):
        super().__init__()
        self.rnn = rnn

    def forward(self, x, h, lengths=None):
        state = self.rnn.net.state_tree(x.shape[1], h[:, :1].expand)
        outputs, final = self.rnn(x, state, lengths)
        again, _ = self.rnn(x)
        return outputs, again, *flat(final)


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def layer(net, path=Path.FRAMEWORK, precision="f32"):
    backend = rnnspec.get_backend("torch", precision=precision)
    return (backend if path is None else backend.through(path)).as_layer(net)


def exported(model, given):
    return torch.export.export(model, given, strict=False)


def by_export(model, given):
    """The program that is exported, and the one that was saved and loaded."""
    program, file = exported(model, given), io.BytesIO()
    torch.export.save(program, file)
    return program.module(), torch.export.load(io.BytesIO(file.getvalue())).module()


def by_jit(model, given):
    return (torch.jit.trace(model, given),)


def in_onnx(model, given):
    runtime = pytest.importorskip("onnxruntime")
    file = io.BytesIO()
    torch.onnx.export(model, given, file, dynamo=False)
    session = runtime.InferenceSession(file.getvalue())
    names = [each.name for each in session.get_inputs()]

    def run(*given):
        arrays = dict(zip(names, [a.numpy() for a in given], strict=True))
        return tuple(map(torch.from_numpy, session.run(None, arrays)))

    return (run,)


TRACERS = {"export": by_export, "jit": by_jit, "onnx": in_onnx}
"""Each gives the programs in which it sees a model."""


@pytest.mark.parametrize("lengths", [(), (LENGTHS, OTHERS)], ids=["full", "ragged"])
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize("tracer", TRACERS)
def test_what_is_traced_gives_the_same_numbers_for_other_arrays(tracer, net, lengths):
    model = Model(layer(net)).eval()
    with torch.no_grad():
        programs = TRACERS[tracer](model, (drawn(5, 2, 3), drawn(2, 1), *lengths[:1]))
        given = (drawn(5, 2, 3, seed=1), drawn(2, 1, seed=1), *lengths[1:])
        for traced in programs:
            torch.testing.assert_close(traced(*given), model(*given), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_a_trace_serves_other_batches_and_refuses_other_lengths_of_time(net):
    model = Model(layer(net)).eval()
    with torch.no_grad():
        traced = torch.jit.trace(model, (drawn(5, 2, 3), drawn(2, 1)))
        batch = torch.export.Dim("batch")
        program = torch.export.export(model, (drawn(5, 2, 3), drawn(2, 1)), dynamic_shapes=({1: batch}, {0: batch}))
        for found in (traced, program.module()):
            given = drawn(5, 7, 3), drawn(7, 1)
            torch.testing.assert_close(found(*given), model(*given))
            for steps in (1, 4, 6, 10):
                with pytest.raises((RuntimeError, AssertionError)):
                    found(drawn(steps, 2, 3), drawn(2, 1))


def test_what_is_exported_trains():
    model = Model(layer(NETS["two layers"]))
    program = exported(model, (drawn(5, 2, 3), drawn(2, 1))).module()
    for found in (model, program):
        found(drawn(5, 2, 3), drawn(2, 1))[0].square().sum().backward()
    for a, b in zip(model.parameters(), program.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("path", CLOSED)
def test_a_program_of_rnnspecs_own_is_not_traced(path, tracer, net):
    model, given = Model(layer(net, path)), (drawn(5, 2, 3), drawn(2, 1))
    with pytest.raises(UnsupportedError, match=r"must see calls of PyTorch .*Path\.FRAMEWORK"), torch.no_grad():
        TRACERS[tracer](model, given)
    if path is not Path.NATIVE:
        expected = Model(layer(net))(*given)
        torch.testing.assert_close(model(*given), expected)  # what was kept meanwhile does no harm


@pytest.mark.parametrize("path", [*CLOSED, Path.FRAMEWORK])
def test_strict_export_is_refused(path):
    with pytest.raises(UnsupportedError, match=r"got strict=True; export it with strict=False"):
        torch.export.export(layer(NETS["lstm"], path), (drawn(5, 2, 3),), strict=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("path", [None, Path.FRAMEWORK])
def test_what_reads_code_is_refused_with_what_to_do(path):
    with pytest.raises(UnsupportedError, match=r"got torch\.jit\.script; trace it with torch\.jit\.trace"):
        torch.jit.script(Model(layer(NETS["lstm"], path)))
    torch._dynamo.reset()  # it keeps what it compiled before, whatever is asked for now
    whole = torch.compile(layer(NETS["lstm"], path), fullgraph=True, backend="eager")
    with pytest.raises(torch._dynamo.exc.TorchDynamoException, match="got fullgraph=True; compile it without"):
        whole(drawn(5, 2, 3))
    broken = torch.compile(layer(NETS["lstm"], path), backend="eager")
    torch.testing.assert_close(broken(drawn(5, 2, 3)), layer(NETS["lstm"], path)(drawn(5, 2, 3)))


def test_a_dynamic_time_is_refused():
    dims = {"inputs": {0: torch.export.Dim("time")}}
    with pytest.raises(UnsupportedError, match="must know the number of steps, got a time that is dynamic; leave"):
        torch.export.export(layer(NETS["lstm"]), (drawn(5, 2, 3),), dynamic_shapes=dims)


def test_lengths_that_cannot_be_read_must_have_the_right_shape():
    for wrong in (torch.tensor([5.0, 3.0]), torch.tensor([5])):
        with pytest.raises(ShapeError, match="whole numbers, of the shape"):
            exported(Model(layer(NETS["lstm"])), (drawn(5, 2, 3), drawn(2, 1), wrong))


@pytest.mark.parametrize("path", [None, Path.GENERIC, Path.FRAMEWORK])
def test_fake_tensors_leave_nothing_behind(path):
    backend = type(rnnspec.get_backend("torch"))(precision="f32")
    backend = backend if path is None else backend.through(path)
    for net in NETS.values():
        with FakeTensorMode() as mode:
            params = tree_map(mode.from_tensor, backend.asarray(net.init(0)))
            backend.run(net, params, mode.from_tensor(drawn(5, 2, 3)))
        found = backend.run(net, net.init(0), drawn(5, 2, 3)).outputs
        torch.testing.assert_close(found, layer(net)(drawn(5, 2, 3))[0].detach())


@pytest.mark.parametrize("lengths", [None, torch.tensor([[5, 3], [2, 4], [0, 5]])], ids=["full", "ragged"])
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_vmap_runs_over_everything(net, lengths):
    module = layer(net, precision="f64")
    x = drawn(3, 5, 2, 3, dtype=torch.float64)
    state = net.state_tree(2, lambda shape: drawn(3, *shape, dtype=torch.float64))
    axes = (0, 0, None if lengths is None else 0)
    found = torch.vmap(module, axes)(x, state, lengths)
    for i in range(3):
        expected = module(x[i], tree_map(lambda a, i=i: a[i], state), None if lengths is None else lengths[i])
        torch.testing.assert_close(tree_map(lambda a, i=i: a[i], found), expected)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # PyTorch's own forward mode calls it
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_forward_mode_gives_what_the_pullback_gives(net, lengths):
    module, x, v = layer(net, precision="f64"), *(drawn(5, 2, 3, seed=s, dtype=torch.float64) for s in (0, 1))
    _, tangent = torch.func.jvp(lambda a: module(a, lengths=lengths)[0], (x,), (v,))
    with forward_ad.dual_level():
        other = forward_ad.unpack_dual(module(forward_ad.make_dual(x, v), lengths=lengths)[0]).tangent
    torch.testing.assert_close(tangent, other)
    d = drawn(*tangent.shape, seed=2, dtype=torch.float64)
    a = x.clone().requires_grad_()
    layer(net, None, "f64")(a, lengths=lengths)[0].backward(d)
    torch.testing.assert_close((tangent * d).sum(), (a.grad * v).sum())


def by_vmap(module, x, lengths):
    return torch.vmap(lambda a: module(a, lengths=lengths)[0])(torch.stack([x, x]))


def by_vmap_of_parameters(module, x, lengths):
    params = {name: torch.stack([a, a]).detach() for name, a in module.named_parameters()}
    return torch.vmap(lambda p: torch.func.functional_call(module, p, (x, None, lengths))[0])(params)


def by_jvp(module, x, lengths):
    return torch.func.jvp(lambda a: module(a, lengths=lengths)[0], (x,), (x,))


def by_dual_numbers(module, x, lengths):
    with forward_ad.dual_level():
        return module(forward_ad.make_dual(x, x), lengths=lengths)[0]


def by_vjp(module, x, lengths):
    return torch.func.vjp(lambda a: module(a, lengths=lengths)[0], x)


def by_jacrev(module, x, lengths):
    return torch.func.jacrev(lambda a: module(a, lengths=lengths)[0].sum())(x)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("way", [by_vmap, by_vmap_of_parameters, by_jvp, by_dual_numbers, by_vjp, by_jacrev])
def test_what_is_closed_is_refused_in_one_sentence(way, frozen, net, lengths):
    for path in CLOSED:
        module, x = layer(net, path).requires_grad_(not frozen), drawn(5, 2, 3)
        with pytest.raises(UnsupportedError, match=r"as_layer\(net\): .* must be able .*Path\.FRAMEWORK"):
            way(module, x, lengths)
        if path is None:
            torch.testing.assert_close(module(x, lengths=lengths)[0], layer(net)(x, lengths=lengths)[0])


def test_what_has_no_tangent_runs_beside_forward_mode():
    module, x = layer(NETS["two layers"], None), drawn(5, 2, 3)
    with forward_ad.dual_level():
        assert torch.equal(module(x)[0], layer(NETS["two layers"], None)(x)[0])
