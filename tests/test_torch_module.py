"""The network as an nn.Module: names, training, gradients by the derived adjoint, and PyTorch's own beyond them."""

import copy
import gc
import pickle

import numpy as np
import pytest
import torch
from torch.nn.utils import prune

import rnnspec
from backends.torch_backend.native import find
from backends.torch_backend.packing import joined
from backends.torch_backend.program import Program
from rnnspec import Dense, Last, Layer, Network, Path, cells, losses
from rnnspec.errors import UnsupportedError
from rnnspec.tree import leaves

NET = Network(3, [Layer(cells.gru, 4, direction="bidirectional"), Layer(cells.lstm_peephole, 5)], output=Dense(2))
LSTM = Network(3, [Layer(cells.lstm, 4)])
PATHS = (None, Path.GENERIC, Path.FRAMEWORK)
UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
ROUNDINGS = 60
"""What a few steps of a few units may round, of the largest number."""


def opened(precision="f64", path=None):
    backend = rnnspec.get_backend("torch", precision=precision)
    return backend if path is None else backend.through(path)


def drawn(*shape, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(len(shape)).standard_normal(shape)).to(dtype)


def near(found, expected):
    """A module in training keeps what its pullback needs, a run keeps nothing: equal bits are promised to equal calls.

    A library may take another of its kernels for each; on processors with AVX2 alone oneDNN does.
    """
    expected = dict(leaves(expected))
    for name, a in leaves(found):
        right = expected.pop(name)
        allowed = ROUNDINGS * UNIT[right.dtype] * right.abs().max().item()
        torch.testing.assert_close(a, right, rtol=0, atol=allowed, msg=name)
    assert not expected


@pytest.mark.parametrize("path", PATHS)
def test_it_gives_what_the_backend_gives(path):
    backend = opened(path=path)
    module, x = backend.as_layer(NET, seed=3), drawn(6, 2, 3)
    lengths = np.array([6, 4])
    expected = backend.run(NET, NET.init(3), x, lengths=lengths)
    outputs, state = module(x, lengths=lengths)
    near([outputs, state], [expected.outputs, expected.state])
    again, _ = module(x, state)
    near([again], [backend.run(NET, NET.init(3), x, expected.state).outputs])


@pytest.mark.parametrize("path", PATHS)
def test_its_gradients_are_those_of_the_backend(path):
    backend = opened(path=path)
    module, x, d = backend.as_layer(NET), drawn(6, 2, 3).requires_grad_(), drawn(6, 2, 2)
    outputs, state = module(x)
    (outputs * d).sum().backward()
    expected = backend.pullback(NET, NET.init(0), x.detach(), d)
    torch.testing.assert_close(x.grad, expected.inputs, rtol=1e-12, atol=1e-12)
    for name, gradient in leaves(expected.params):
        torch.testing.assert_close(module.get_parameter(name).grad, gradient, rtol=1e-12, atol=1e-12)
    assert state[1]["forward"]["c"].shape == (2, 5)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cell", [cells.lstm, cells.gru, cells.elman], ids=lambda cell: cell.name)
def test_its_gradients_are_differences(path, cell):
    net = Network(2, [Layer(cell, 3)], output=Dense(2), read=Last())
    module = opened(path=path).as_layer(net)
    names, values = zip(*module.named_parameters(), strict=True)
    state = [{"forward": {name: drawn(2, 3) for name in cell.states}}]

    def function(x, h, *params):
        state[0]["forward"]["h"] = h
        outputs, final = torch.func.functional_call(module, dict(zip(names, params, strict=True)), (x, state))
        return outputs, *final[0]["forward"].values()

    given = [drawn(4, 2, 2), drawn(2, 3), *values]
    assert torch.autograd.gradcheck(function, [a.detach().requires_grad_() for a in given])


def test_its_names_are_those_of_the_specification():
    module = opened().as_layer(NET)
    declared = dict(leaves(NET.init(0)))
    assert list(module.state_dict()) == list(declared)
    inner = [name.replace("forward", "forward_") for name in declared]  # where nn.Module has a method of that name
    assert [name for name, _ in module.named_parameters()] == inner
    for name, parameter in zip(declared, module.parameters(), strict=True):
        assert module.get_parameter(name) is parameter
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), declared[name])
    assert "layers.0.forward.W.r" in module.state_dict()


def test_a_state_dict_goes_in_and_out():
    one, other = opened().as_layer(NET, seed=1), opened().as_layer(NET, seed=2)
    assert other.load_state_dict(one.state_dict()) == ([], [])
    x = drawn(3, 2, 3)
    torch.testing.assert_close(one(x)[0], other(x)[0], rtol=0, atol=0)


def test_first_numbers_can_be_given_and_are_copied():
    params = opened().asarray(NET.init(7))
    module = opened().as_layer(NET, params=params)
    with torch.no_grad():
        module.get_parameter("output.b").add_(1)
    np.testing.assert_array_equal(params["output"]["b"].numpy(), NET.init(7)["output"]["b"])


def test_a_copy_is_its_own():
    module = opened().as_layer(NET)
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.get_parameter("output.b").add_(1)
    x = drawn(3, 2, 3)
    torch.testing.assert_close(module(x)[0] + 1, other(x)[0])


def test_it_moves_to_another_dtype():
    module = opened("f32").as_layer(NET).to(torch.float64)
    assert module(drawn(3, 2, 3))[0].dtype == torch.float64


@pytest.mark.parametrize("came_by", [lambda m: m, copy.deepcopy, lambda m: m.double().float(),
                                     lambda m: pickle.loads(pickle.dumps(m))])  # fmt: skip
def test_maps_that_a_kernel_joins_lie_together(came_by):
    half = forward_half(came_by(opened("f32").as_layer(LSTM)))
    for kind in "WUb":
        maps = list(half[kind].values())
        assert joined(maps).data_ptr() == maps[0].data_ptr()
    joins_its_maps(half)


def forward_half(module):
    return module.tree(LSTM.parameter_shapes())["layers"][0]["forward"]


def joins_its_maps(half):
    for weight, name in zip(find(cells.lstm).packing.packed(half)[:3], "WUb", strict=True):
        assert torch.equal(weight, torch.cat([half[name][gate] for gate in "ifgo"]))


def test_maps_that_lie_elsewhere_are_joined_as_well():
    module, x = opened("f32").as_layer(LSTM, seed=1), drawn(4, 2, 3, dtype=torch.float32)
    apart = {name: tensor.clone() for name, tensor in opened("f32").as_layer(LSTM, seed=2).state_dict().items()}
    module.load_state_dict(apart, assign=True)
    joins_its_maps(forward_half(module))
    near([module(x)[0]], [opened("f32").run(LSTM, LSTM.init(2), x).outputs])


def test_parameters_changed_before_the_pullback_are_an_error():
    module = opened("f32").as_layer(LSTM)
    outputs, _ = module(drawn(4, 2, 3, dtype=torch.float32))
    with torch.no_grad():
        module.get_parameter("layers.0.forward.U.i").mul_(2)
    with pytest.raises(RuntimeError, match="inplace operation"):
        outputs.sum().backward()


def test_batch_first_turns_inputs_and_outputs():
    x = drawn(2, 6, 3)
    turned, _ = opened().as_layer(NET, batch_first=True)(x)
    straight, _ = opened().as_layer(NET)(x.transpose(0, 1))
    torch.testing.assert_close(turned, straight.transpose(0, 1), rtol=0, atol=0)


def test_a_network_learns_in_a_plain_training_loop():
    torch.manual_seed(0)
    net = Network(1, [Layer(cells.gru, 12)], read=Last(), output=Dense(2))
    model = torch.nn.Sequential(opened("f32").as_layer(net), _First(), torch.nn.LogSoftmax(-1))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    x = torch.randn(7, 64, 1)
    labels = (x.sum((0, 2)) > 0).long()
    for _ in range(60):
        optimiser.zero_grad()
        loss = torch.nn.functional.nll_loss(model(x), labels)
        loss.backward()
        optimiser.step()
    assert loss < 0.2


class _First(torch.nn.Module):
    def forward(self, pair):
        return pair[0]


@pytest.mark.parametrize(
    ("rule", "optimiser"),
    [(rnnspec.updates.SGD(0.1), torch.optim.SGD), (rnnspec.updates.Adam(0.1), torch.optim.Adam)],
    ids=["SGD", "Adam"],
)
def test_a_step_is_the_step_of_the_rule(rule, optimiser):
    net = Network(2, [Layer(cells.lstm, 3)], output=Dense(2), loss=losses.SquaredError())
    backend, x, y = opened(), drawn(4, 2, 2), drawn(4, 2, 2) + 1
    module = backend.as_layer(net)
    steps = optimiser(module.parameters(), lr=0.1)
    params, kept = net.init(0), rule.init(net.init(0))
    for _ in range(3):
        steps.zero_grad()
        loss = mean_loss(module(x)[0], y)
        loss.backward()
        steps.step()
        trained = backend.train_step(net, rule, params, kept, x, y)
        params, kept = trained.params, trained.rule_state
        torch.testing.assert_close(loss.detach(), trained.loss_sum / trained.count)
    for name, expected in leaves(params):
        torch.testing.assert_close(module.get_parameter(name).detach(), expected, rtol=1e-6, atol=1e-9)


def mean_loss(outputs, targets):
    """The mean over real steps of half the squared error, as train_step takes it."""
    return (outputs - targets).square().sum() / 2 / (targets.shape[0] * targets.shape[1])


def test_a_tape_can_be_pulled_back_twice():
    module, x = opened(path=Path.GENERIC).as_layer(NET), drawn(4, 2, 3).requires_grad_()
    total = module(x)[0].sum()
    one, = torch.autograd.grad(total, x, retain_graph=True)
    other, = torch.autograd.grad(total, x)
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_second_derivative_is_refused_where_there_is_none():
    module, x = opened().as_layer(NET), drawn(4, 2, 3).requires_grad_()
    gradient, = torch.autograd.grad(module(x)[0].sum(), x, create_graph=True)
    with pytest.raises(UnsupportedError, match=r"Path\.FRAMEWORK"):
        gradient.square().sum().backward()


def test_the_framework_has_second_derivatives():
    net = Network(2, [Layer(cells.gru, 3)])
    module = opened(path=Path.FRAMEWORK).as_layer(net)
    assert torch.autograd.gradgradcheck(lambda x: module(x)[0], [drawn(3, 2, 2).requires_grad_()])


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # PyTorch's own forward mode calls it
def test_the_framework_has_forward_mode_and_vmap():
    module, x, v = opened(path=Path.FRAMEWORK).as_layer(NET), drawn(4, 2, 3), drawn(4, 2, 3) + 1
    _, tangent = torch.func.jvp(lambda a: module(a)[0], (x,), (v,))
    _, pull = torch.func.vjp(lambda a: module(a)[0], x)
    d = drawn(4, 2, 2)
    torch.testing.assert_close((tangent * d).sum(), (pull(d)[0] * v).sum())
    many = torch.vmap(lambda a: module(a)[0])(torch.stack([x, v]))
    torch.testing.assert_close(many, torch.stack([module(x)[0], module(v)[0]]))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the compiler reads it
def test_a_compiled_model_calls_it_as_it_is():
    module, x = opened().as_layer(NET), drawn(4, 2, 3)
    compiled = torch.compile(torch.nn.Sequential(module, _First(), torch.nn.Tanh()), backend="eager")
    torch.testing.assert_close(compiled(x), module(x)[0].tanh())


def test_changed_inputs_are_noticed():
    module, x = opened().as_layer(NET), drawn(4, 2, 3)
    total = module(x)[0].sum()
    x.add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        total.backward()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("net", [NET, Network(3, [Layer(cells.lstm, 4)], output=Dense(2))], ids=["cells", "lstm"])
def test_an_autocast_around_it_changes_nothing(net, path):
    backend = opened("f32", path)
    module, x = backend.as_layer(net), drawn(6, 2, 3, dtype=torch.float32)

    def everything(enabled):
        module.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            outputs, _ = module(x)
            run = backend.run(net, net.init(0), x).outputs
            pulled = backend.pullback(net, net.init(0), x, torch.ones_like(outputs)).inputs
        outputs.square().sum().backward()
        return [outputs, run, pulled, *(a.grad.clone() for a in module.parameters())]

    torch.testing.assert_close(everything(True), everything(False), rtol=0, atol=0)


def test_parameters_in_shared_memory_stay_there():
    module = opened("f32").as_layer(NET)
    x = drawn(6, 2, 3, dtype=torch.float32)
    before, _ = module(x)
    module.share_memory()
    assert all(a.is_shared() for a in module.parameters())
    torch.testing.assert_close(module(x)[0], before, rtol=0, atol=0)


def test_parameters_may_be_computed_from_others():
    module, x = opened("f64").as_layer(Network(3, [Layer(cells.gru, 4)])), drawn(6, 2, 3)
    branch = module.layers.get_submodule("0.forward.U")
    torch.nn.utils.parametrizations.orthogonal(branch, "n")
    prune.l1_unstructured(module.layers.get_submodule("0.forward.W"), "z", 0.5)
    module(x)[0].sum().backward()
    turned = branch.n
    torch.testing.assert_close(turned.T @ turned, torch.eye(4, dtype=torch.float64))
    expected = opened("f64").as_layer(Network(3, [Layer(cells.gru, 4)]))
    with torch.no_grad():
        expected.get_parameter("layers.0.forward.U.n").copy_(turned)
        expected.get_parameter("layers.0.forward.W.z").copy_(module.layers.get_submodule("0.forward.W").z)
    torch.testing.assert_close(module(x), expected(x))


def test_it_runs_segments_again_if_its_backend_does():
    module = opened().recomputing(2).as_layer(NET)
    assert (module.backend().recomputes, module.backend().every) == (True, 2)
    assert copy.deepcopy(module).backend().recomputes
    plain, x = opened().as_layer(NET), drawn(6, 2, 3)
    for each in (module, plain):
        each(x)[0].sum().backward()
    for (name, a), b in zip(module.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


def test_numpy_inputs_may_have_the_batch_first():
    module, x = opened().as_layer(NET, batch_first=True), drawn(2, 6, 3)
    torch.testing.assert_close(module(x.numpy()), module(x))


def test_a_kept_zero_of_inference_mode_does_not_stop_training():
    softly = rnnspec.cell(lambda x, R, h: rnnspec.primitives.softplus(x.h + R.h(h)))
    with torch.inference_mode():
        backend = type(opened())(precision="f64").through(Path.FRAMEWORK)
    module = backend.as_layer(Network(3, [Layer(softly, 4)]))
    with torch.inference_mode():
        module(drawn(6, 2, 3))
    module(drawn(6, 2, 3))[0].sum().backward()


def test_calls_of_many_lengths_keep_no_more_than_the_longest_needs():
    module = opened().as_layer(Network(2, [Layer(cells.gru, 3)]))
    for steps in [24, *range(1, 24)]:
        module(drawn(steps, 1, 2))[0].sum().backward()
    pulled = [p for p in gc.get_objects() if type(p) is Program and p.pulls and p.workspace.capacity == 24]
    assert pulled
    assert all(len(p.pulls) == 24 for p in pulled)


def test_transforms_of_torch_func_are_for_pytorch_s_own_differentiation():
    x = drawn(6, 2, 3)

    def loss(params, module):
        return torch.func.functional_call(module, params, (x,))[0].square().sum()

    own, plain = (opened(path=path).as_layer(NET) for path in (Path.FRAMEWORK, None))
    found = torch.func.grad(loss)(dict(own.named_parameters()), own)
    plain(x)[0].square().sum().backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, msg=name)
    with pytest.raises(UnsupportedError, match=r"Path\.FRAMEWORK"):
        torch.func.grad(loss)(dict(plain.named_parameters()), plain)
