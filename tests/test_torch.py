"""The PyTorch backend by itself: its programs, its kernels and who is given one, its precisions, a device not there."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import rnnspec
from backends.planning.emission import Kind
from backends.planning.planner import plan, widths
from backends.torch_backend import products
from backends.torch_backend.backend import TorchBackend
from backends.torch_backend.fusion import forward_only, fused
from backends.torch_backend.math_mode import math_mode
from backends.torch_backend.native import KERNELS, find
from backends.torch_backend.packing import joined, side_by_side
from backends.torch_backend.planned import planned
from backends.torch_backend.products import CHOICES, LARGE, ONEDNN, OWN, WIDE, for_gradients, quicker
from backends.torch_backend.scratch import in_scratch
from backends.torch_backend.summands import summed
from conformance.cases import network_for
from conformance.own_cell import leaky_gate
from rnnspec import Layer, Network, Path, cell, cells
from rnnspec.derivation.schedule import schedule
from rnnspec.errors import UnsupportedError
from rnnspec.policies import Truncated
from rnnspec.primitives import sigmoid, tanh
from rnnspec.tree import leaves, tree_map

EVERY = (cells.elman, cells.elman_relu, cells.lstm, cells.lstm_peephole, cells.lstm_projected, cells.gru,
         cells.gru_reset_before, cells.mingru, leaky_gate)  # fmt: skip


@cell
def own_names(x, R, memory, seen):
    """The LSTM, with other names, another order of lines and of states."""
    o = sigmoid(R.show(seen) + x.show)
    g = tanh(R.new(seen) + x.new)
    keep = sigmoid(x.keep + R.keep(seen))
    memory = sigmoid(x.take + R.take(seen)) * g + keep * memory
    seen = tanh(memory) * o
    return rnnspec.out(seen), memory, seen


def opened(precision="f64", path=None):
    backend = rnnspec.get_backend("torch", precision=precision)
    return backend if path is None else backend.through(path)


def everything(backend, net, steps=6, batch=3, lengths=None):
    """Outputs, final state and every gradient, by name, as float64."""
    rng = np.random.default_rng(0)

    def drawn():
        return [{half: {name: rng.standard_normal(shape) for name, shape in named.items()} for half, named in h.items()}
                for h in net.state_shapes(batch)]  # fmt: skip

    params, x = net.init(0), rng.standard_normal((steps, batch, net.inputs))
    state, last = drawn(), drawn()
    d = rng.standard_normal((steps, batch, net.features))
    ran = backend.run(net, params, x, state, lengths)
    pulled = backend.pullback(net, params, x, d, last, state, lengths)
    found = backend.to_numpy((ran.outputs, ran.state, pulled.params, pulled.inputs, pulled.state))
    return {name: np.asarray(a, np.float64) for name, a in leaves(found)}, [path for _, path in ran.path]


def close(found, expected, tolerance=1e-11):
    assert found.keys() == expected.keys()
    for name, a in expected.items():
        np.testing.assert_allclose(found[name], a, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(("precision", "asked"), [("bf16", "_is_mkldnn_bf16_supported"),
                                                  ("f16", "_is_mkldnn_fp16_supported")])  # fmt: skip
@pytest.mark.parametrize("multiplies", [True, False])
def test_an_lstm_of_16_bits_has_its_kernel_where_onednn_multiplies_them(multiplies, precision, asked, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, asked, lambda: multiplies)
    row, dtype = find(cells.lstm).row, {"bf16": torch.bfloat16, "f16": torch.float16}[precision]
    assert row.pays("cpu", dtype) is multiplies
    assert row.pays("cpu", torch.float32)
    assert row.pays("cuda", dtype)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not row.pays("cpu", dtype)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("declared", EVERY, ids=lambda c: c.name)
def test_every_path_gives_what_numpy_gives(declared, batch):
    net = network_for(declared)
    expected, _ = everything(rnnspec.get_backend("numpy", precision="f64"), net, batch=batch)
    for path in (None, Path.GENERIC, Path.FRAMEWORK):
        close(everything(opened(path=path), net, batch=batch)[0], expected)
    if find(declared):
        found, ran = everything(opened(path=Path.NATIVE), net, batch=batch)
        close(found, expected)
        assert all(path.startswith("native: torch.") for path in ran)


def test_a_program_serves_any_number_of_steps_again():
    net, reference = network_for(cells.gru), rnnspec.get_backend("numpy", precision="f64")
    for steps, batch in ((6, 3), (2, 3), (9, 3), (4, 1), (6, 3)):
        close(everything(opened(), net, steps, batch)[0], everything(reference, net, steps, batch)[0])


def test_programs_serve_threads():
    net = network_for(cells.gru)
    expected, _ = everything(opened(), net)
    with ThreadPoolExecutor(4) as pool:
        for found, _ in pool.map(lambda _: everything(opened(), net), range(16)):
            close(found, expected, 0)


def test_joined_calls_are_fewer():
    plain = schedule(cells.gru)
    assert "lerp" in {node.op for node in fused(plain).nodes}
    assert len(fused(plain).forward.step) < len(plain.forward.step)
    assert len(fused(plain).backward.step) < len(plain.backward.step)


@rnnspec.cell
def endless(x, R, h, c):
    """From the first step on c is infinite, and blended with itself."""
    n = sigmoid(x.n + R.n(h))
    return tanh(x.h + R.h(h)), n * c + (1 - n) * c + x.a * x.a / 0


def test_a_cell_that_makes_an_infinity_keeps_its_blends_as_they_are_written():
    assert "lerp" not in {node.op for node in fused(schedule(endless)).nodes}
    net, inputs = Network(2, [Layer(endless, 3)]), np.random.default_rng(0).normal(size=(4, 2, 2))
    found = opened().run(net, net.init(0), inputs)
    assert np.isposinf(found.state[0]["forward"]["c"].numpy()).all()


def test_what_is_added_to_parts_of_a_product_is_laid_out_before_the_loop():
    net = Network(2, [Layer(cells.gru, 3)])
    sizes = widths(net.init(0)["layers"][0]["forward"], {"h": np.zeros((2, 3))}, 2)
    forward, kept = (plan(fused(own(schedule(cells.gru))), sizes) for own in (forward_only, lambda whole: whole))
    assert [call.op for call in summed(forward).step] == ["map", "sigmoid", "addcmul", "tanh", "lerp"]
    assert summed(kept).before == kept.before  # one of the sums goes into the pullback
    assert summed(forward, small=False).before == forward.before


def test_what_only_one_step_reads_lies_in_memory_of_one_step():
    net = Network(2, [Layer(cells.gru, 3)])
    sizes = widths(net.init(0)["layers"][0]["forward"], {"h": np.zeros((2, 3))}, 2)
    found, kept = (planned(own(schedule(cells.gru)), sizes) for own in (forward_only, lambda whole: whole))
    written = {call.op: found.blocks[call.out.block] for call in found.step}
    assert {op: (block.kind, block.columns) for op, block in written.items() if op != "map"} == {
        "sigmoid": (Kind.STEP, 6), "addcmul": (Kind.STEP, 3), "tanh": (Kind.STEP, 3), "lerp": (Kind.NEW, 3),
    }  # fmt: skip
    assert in_scratch(kept) is kept  # the pullback reads the values of all steps
    assert {kept.blocks[call.out.block].kind for call in kept.step} >= {Kind.TIME}


def test_a_term_that_is_added_in_its_place_stays_there():
    net = Network(2, [Layer(cells.elman, 3)])
    sizes = widths(net.init(0)["layers"][0]["forward"], {"h": np.zeros((2, 3))}, 2)
    product = planned(forward_only(schedule(cells.elman)), sizes).step[0]
    assert product.op == "map"
    assert product.operands[0] == product.out


@pytest.mark.parametrize("hidden", [1, 5])
@pytest.mark.parametrize("lengths", [None, np.array([4, 0, 6])], ids=repr)
def test_a_gru_runs_forward_to_what_numpy_gives(lengths, hidden):
    net = Network(2, [Layer(cells.gru, hidden, "bidirectional")])
    found, expected = (everything(be, net, lengths=lengths)[0] for be in (opened(), rnnspec.get_backend(
        "numpy", precision="f64")))  # fmt: skip
    close(found, expected)


def test_a_cell_under_other_names_finds_its_kernel():
    kernel = find(own_names)
    assert kernel.row.function is torch.lstm
    assert kernel.packing.states[0] == "seen"
    assert kernel.packing.gates[1] == "keep"
    net = Network(3, [Layer(own_names, 4)])
    expected, _ = everything(rnnspec.get_backend("numpy", precision="f64"), net)
    close(everything(opened(path=Path.NATIVE), net)[0], expected)


@pytest.mark.parametrize("batch", [1, 3])
def test_onednn_called_directly_gives_the_numbers_of_the_function_around_it(batch):
    named, rng = find(cells.lstm), np.random.default_rng(batch)
    backend, net = opened("f32"), Network(3, [Layer(cells.lstm, 5)])
    params = backend.asarray(net.init(1))["layers"][0]["forward"]
    x, dy = (backend.asarray(rng.normal(size=(6, batch, width))) for width in (3, 5))
    state, last = ({s: backend.asarray(rng.normal(size=(batch, 5))) for s in ("h", "c")} for _ in range(2))
    call = rnnspec.kernel.Call("layers.0.forward", None, True, 6, batch, 3, False)
    found = []
    for kernel in (named, named.on("cpu", torch.float32)):
        result = kernel.layer(cells.lstm, params, x, state, None, call)
        pulled = kernel.layer_pullback(cells.lstm, params, result, dy, last, call)
        found.append(dict(leaves((result.outputs, result.state, pulled.params, pulled.inputs, pulled.state))))
    assert named.on("cpu", torch.float32) is not named
    close(found[1], found[0], 0)


def test_kernels_are_matched_by_equations():
    found = {one.name: find(one) for one in EVERY}
    assert all(kernel.row.cell.name == name for name, kernel in found.items() if kernel)
    assert {name for name, kernel in found.items() if kernel} == {row.cell.name for row in KERNELS}
    assert {row.cell.name for row in KERNELS} == {"elman", "elman_relu", "lstm", "lstm_projected", "gru"}


def test_the_choice_is_open():
    direct = "native: torch.mkldnn_rnn_layer"
    for declared, precision, expected in ((cells.lstm, "f32", direct), (cells.lstm, "f64", "generic"),
                                          (cells.gru, "f32", "generic")):  # fmt: skip
        assert everything(opened(precision), Network(3, [Layer(declared, 4)]))[1] == [expected]


@pytest.mark.parametrize(
    ("layer", "lengths", "reason"),
    [(Layer(cells.lstm_peephole, 4), None, "no kernel of PyTorch computes the equations"),
     (Layer(cells.lstm, 4, gradient=Truncated(2)), None, "a policy inside the recurrence"),
     (Layer(cells.lstm, 4), np.array([1, 2, 3]), "rows of several lengths"),
     (Layer(cells.lstm_projected, {"h": 4, "c": 4}), None, "fewer features")],
    ids=["equations", "policy", "lengths", "projection"],
)  # fmt: skip
def test_a_layer_without_a_kernel_is_refused_with_the_reason(layer, lengths, reason):
    with pytest.raises(UnsupportedError, match=reason):
        everything(opened(path=Path.NATIVE), Network(3, [layer]), lengths=lengths)


@pytest.mark.parametrize("precision", ["bf16", "f16"])
@pytest.mark.parametrize("declared", [cells.gru, cells.lstm, cells.elman], ids=lambda c: c.name)
def test_halves_are_near_what_they_round(declared, precision):
    """Six steps of three units, each rounded a few times: 64 roundings of numbers below 16 bound them all."""
    net = network_for(declared)
    expected, _ = everything(rnnspec.get_backend("numpy", precision="f64"), net)
    unit = {"bf16": 2.0**-8, "f16": 2.0**-11}[precision]
    found, _ = everything(opened(precision), net)
    for name, a in expected.items():
        assert np.abs(found[name] - a).max() < 64 * unit * max(1, np.abs(a).max()), name


def test_bfloat16_comes_back_whole():
    backend = opened("bf16")
    a = backend.asarray(np.array([1.0, 2.0**-130, -0.5]))
    assert a.dtype == torch.bfloat16
    np.testing.assert_array_equal(backend.to_numpy(a), np.array([1.0, 2.0**-130, -0.5], np.float32))


def test_tf32_is_no_precision_of_a_cpu():
    with pytest.raises(UnsupportedError, match="TF32"):
        rnnspec.get_backend("torch", precision="tf32")


def test_float32_is_pinned_and_given_back():
    setting = torch.backends.cudnn.rnn
    before = setting.fp32_precision
    assert before == "tf32", "the default that has to be pinned"
    with math_mode("cuda", "f32"):
        assert setting.fp32_precision == "ieee"
        with math_mode("cuda", "f32"):
            assert setting.fp32_precision == "ieee"
        assert setting.fp32_precision == "ieee"
    assert setting.fp32_precision == before


def check_that_a_host_with_medium_products_gets_float32():
    net = Network(64, [Layer(cells.gru, 64)])
    expected, _ = everything(opened("f32"), net)
    torch.set_float32_matmul_precision("medium")
    try:
        close(everything(opened("f32"), net)[0], expected, 0)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_host_with_medium_products_gets_float32():
    check_that_a_host_with_medium_products_gets_float32()


def indexed(a, index):
    """`a[index]` by functions: a build of PyTorch for the CPU has no guard for indexing on another device."""
    axis = 0
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        i, named = parts.index(Ellipsis), sum(part is not None for part in parts) - 1
        parts[i : i + 1] = [slice(None)] * (a.ndim - named)
    for part in parts:
        if part is None:
            a = a.unsqueeze(axis)
        elif isinstance(part, slice):
            a = torch.ops.aten.slice(a, axis, part.start, part.stop, part.step or 1)
        else:
            a = a.select(axis, part)
        axis += not isinstance(part, int)
    return a


@pytest.fixture
def cuda(monkeypatch):
    """A backend on a CUDA device whose tensors have shapes and places, and no numbers."""
    monkeypatch.setattr(FakeTensor, "__getitem__", indexed, raising=False)
    with FakeTensorMode():
        with monkeypatch.context() as patch:
            patch.setattr(torch.cuda, "is_available", lambda: True)
            backend = type(opened())("cuda:0", "f32")
            backend.through(Path.GENERIC)
        yield backend


class Elsewhere(TorchBackend):
    """The backend on the meta device: functions that write into `out` need a build for the device they run on."""

    capabilities = rnnspec.Capabilities(devices=("meta",), paths=TorchBackend.capabilities.paths)


@pytest.mark.parametrize("declared", [cells.gru, cells.lstm_peephole, leaky_gate], ids=lambda c: c.name)
@pytest.mark.parametrize("device", ["cuda:0", "meta"])
def test_every_result_is_on_the_device_of_the_backend(request, declared, device):
    """The lowering of ragged rows on a fake CUDA device, the programs on the meta device."""
    backend = Elsewhere() if device == "meta" else request.getfixturevalue("cuda")
    backend, net = backend.through(Path.GENERIC), network_for(declared)

    def placed(tree):
        return tree_map(lambda a: torch.zeros(a.shape, device=device), tree)

    state = placed([{h: {s: np.zeros(shape) for s, shape in named.items()} for h, named in halves.items()}
                    for halves in net.state_shapes(2)])  # fmt: skip
    x, lengths = torch.zeros(4, 2, net.inputs, device=device), torch.zeros(2, dtype=torch.int32, device=device)
    with torch.no_grad():
        outputs, final, pull = rnnspec.execution.vjp(backend, net, placed(net.init(0)), x, state,
                                                     None if device == "meta" else lengths)  # fmt: skip
        found = pull(torch.zeros(outputs.shape, device=device), state)
    for name, a in leaves((outputs, final, found)):
        assert a.device == torch.device(device), name


def test_a_kernel_is_chosen_on_cuda(cuda):
    call = rnnspec.kernel.Call("layers.0.forward", None, True, 4, 2, 3, False)
    assert cuda.native(cells.gru, call).path == "native: torch.gru"
    assert cuda.native(cells.lstm, call).path == "native: torch.lstm"
    assert isinstance(cuda.native(cells.lstm_projected, call), str)
    assert isinstance(cuda.native(leaky_gate, call), str)


@pytest.mark.parametrize("declared", [cells.gru, cells.lstm, cells.elman], ids=lambda c: c.name)
def test_a_kernel_has_gradients_for_all_it_is_given(declared):
    """On the meta device, since autograd over fake CUDA tensors ends the process in PyTorch 2.13."""
    kernel, call = find(declared), rnnspec.kernel.Call("layers.0.forward", None, True, 4, 2, 3, False)
    net = Network(3, [Layer(declared, 5)])
    params = tree_map(lambda a: torch.zeros(a.shape, device="meta"), net.init(0))["layers"][0]["forward"]
    state = {name: torch.zeros(2, 5, device="meta") for name in declared.states}
    result = kernel.layer(declared, params, torch.zeros(4, 2, 3, device="meta"), state, None, call)
    found = kernel.layer_pullback(declared, params, result, torch.zeros(4, 2, 5, device="meta"), state, call)
    assert {name: a.shape for name, a in leaves(found.params)} == {name: a.shape for name, a in leaves(params)}
    assert found.inputs.shape == (4, 2, 3)
    assert {name: a.shape for name, a in found.state.items()} == {name: (2, 5) for name in declared.states}


def test_arrays_of_another_framework_are_copied():
    jnp = pytest.importorskip("jax.numpy")
    given = {"a": jnp.arange(3.0), "b": jnp.ones(2, jnp.bfloat16)}
    found = opened("f32").asarray(given)
    assert {name: a.tolist() for name, a in found.items()} == {"a": [0, 1, 2], "b": [1, 1]}
    found["a"].add_(1)
    assert given["a"].tolist() == [0, 1, 2]
    back = rnnspec.get_backend("numpy").asarray(found)
    found["a"].add_(1)
    assert back["a"].tolist() == [1, 2, 3]


def test_an_array_that_cannot_be_read_is_refused():
    with pytest.raises(rnnspec.errors.ArgumentError, match="detach"):
        rnnspec.get_backend("numpy").asarray(torch.ones(2, requires_grad=True))


def test_a_number_of_a_rule_that_vanishes_in_the_precision_is_refused():
    half = rnnspec.get_backend("torch", precision="f16")
    net = rnnspec.Network(2, [rnnspec.Layer(rnnspec.cells.gru, 3)], loss=rnnspec.losses.SquaredError())
    params, x = net.init(0), np.ones((4, 2, 2))
    rule = rnnspec.chain(rnnspec.updates.Adam())
    with pytest.raises(UnsupportedError, match=r"train_step.*must not round to 0.*1e-08 in f16; give"):
        half.train_step(net, rule, params, rule.init(params), x, np.zeros((4, 2, 3)))


def test_maps_from_numpy_lie_side_by_side_and_tensors_stay_where_they_are():
    backend, params = rnnspec.get_backend("torch"), Network(3, [Layer(cells.lstm, 4)]).init(0)
    half = backend.asarray(params)["layers"][0]["forward"]
    for kind in "WUb":
        maps = list(half[kind].values())
        assert joined(maps).data_ptr() == maps[0].data_ptr()
        assert torch.equal(joined(maps), torch.cat(maps))
        np.testing.assert_array_equal(half[kind]["o"], params["layers"][0]["forward"][kind]["o"].astype(np.float32))
    assert backend.asarray(half)["W"]["i"] is half["W"]["i"]
    mixed = backend.asarray({"scalar": np.float32(1), "vector": np.ones(2), "wide": np.ones((2, 3))})
    assert {name: tuple(a.shape) for name, a in mixed.items()} == {"scalar": (), "vector": (2,), "wide": (2, 3)}


def test_maps_in_another_order_are_joined_in_the_order_that_is_asked_for():
    first, second, third = side_by_side([torch.full((2, 2), float(i)) for i in range(3)])
    for maps in ([first, third, second], [second, first], [first, third], [third, third]):
        assert torch.equal(joined(maps), torch.cat(maps))
    assert torch.equal(joined([first.T, second.T]), torch.cat([first.T, second.T]))


def test_maps_that_are_neighbours_by_chance_are_copied_together():
    memory = np.arange(8, dtype=np.float32).reshape(4, 2)
    maps = [torch.from_numpy(memory[:2]), torch.from_numpy(memory[2:])]
    assert maps[0].data_ptr() + maps[0].nbytes == maps[1].data_ptr()
    found = joined(maps)
    np.testing.assert_array_equal(found, memory)
    assert found.data_ptr() != maps[0].data_ptr()


def deciding(option, asked=None):
    """What stands in for the decisions of a process: every choice takes one option."""
    def decide(choice):
        if asked is not None:
            asked.append(choice.name)
        return option
    return {key: replace(choice, decide=decide) for key, choice in CHOICES.items()}


def test_only_large_products_of_float32_on_the_cpu_are_in_question(monkeypatch):
    monkeypatch.setattr(products, "CHOICES", deciding("onednn"))
    rows, maps = torch.zeros(LARGE // WIDE, WIDE // 64), torch.zeros(WIDE // 64, 64)
    for taken in (quicker, for_gradients):
        assert taken(rows, maps) is ONEDNN
        assert taken(rows[1:], maps) is taken(rows.double(), maps.double()) is OWN
        assert taken(rows.to("meta"), maps.to("meta")) is OWN
        assert taken(torch.zeros(LARGE, 2), torch.zeros(2, 3)) is OWN
        with FakeTensorMode() as mode:
            assert taken(mode.from_tensor(rows), mode.from_tensor(maps)) is OWN


def test_without_onednn_nothing_is_in_question(monkeypatch):
    monkeypatch.setattr(products, "CHOICES", deciding("onednn"))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert quicker(torch.zeros(LARGE // WIDE, WIDE // 64), torch.zeros(WIDE // 64, 64)) is OWN


def test_each_class_of_products_is_a_choice_of_its_own(monkeypatch):
    asked = []
    monkeypatch.setattr(products, "CHOICES", deciding("torch", asked))
    for rows, width in ((15, 512), (16, 512), (16, 1024)):
        quicker(torch.zeros(rows, width), torch.zeros(width, 3 * width))
    for_gradients(torch.zeros(512, 64), torch.zeros(64, 256))
    assert asked == [choice.name for choice in CHOICES.values()]


def test_a_choice_of_products_computes_what_is_asked_without_a_random_number():
    before = torch.get_rng_state()
    for choice in CHOICES.values():
        assert choice.default == "torch"
        for option in choice.options.values():
            found = choice.call(option)()
            assert torch.equal(found, torch.full_like(found, found[0, 0].item()))
            assert found.shape[1] > 1
    assert torch.equal(torch.get_rng_state(), before)


def test_only_a_backend_that_makes_the_choices_declares_them():
    assert TorchBackend().choices == tuple(CHOICES.values())
    assert TorchBackend(precision="f64").choices == ()


@pytest.fixture
def multiplied(monkeypatch):
    """What oneDNN was given to multiply: products of every size are its."""
    given, multiply = [], products._linear
    monkeypatch.setattr(products, "CHOICES", deciding("onednn"))
    for bound in ("LARGE", "WIDE"):
        monkeypatch.setattr(products, bound, 0)
    monkeypatch.setattr(products, "_linear", lambda a, maps: given.append((a.shape, maps.shape)) or multiply(a, maps))
    return given


@pytest.mark.parametrize("declared", EVERY, ids=repr)
def test_onednns_products_give_the_same_numbers(declared, multiplied, reference):
    net = Network(4, [Layer(declared, network_for(declared).layers[0].hidden, "bidirectional")])
    lengths = np.array([6, 0, 3])
    expected, _ = everything(reference, net, lengths=lengths)
    for name, found in everything(opened("f32", Path.GENERIC), net, lengths=lengths)[0].items():
        np.testing.assert_allclose(found, expected[name], 0, 3e-5 * np.abs(expected[name]).max(initial=1), err_msg=name)
    assert multiplied


def test_onednn_multiplies_inputs_steps_and_cotangents(multiplied):
    steps, batch, inputs, hidden = 6, 3, 4, 5
    everything(opened("f32", Path.GENERIC), Network(inputs, [Layer(cells.elman, hidden)]), steps, batch)
    run = {((steps * batch, inputs), (inputs, hidden)), ((batch, hidden), (hidden, hidden))}
    of_maps = {((hidden, steps * batch), (steps * batch, width)) for width in (inputs, hidden)}
    assert set(multiplied) == run | of_maps | {((steps * batch, hidden), (hidden, inputs))}
    assert multiplied.count(((batch, hidden), (hidden, hidden))) >= 3 * steps  # two runs, and a pullback


def test_onednn_multiplies_in_float32_whatever_the_host_has_set(multiplied):
    check_that_a_host_with_medium_products_gets_float32()
    assert multiplied


@pytest.mark.parametrize("declared", [cells.lstm, cells.gru], ids=repr)
def test_what_is_kept_in_inference_mode_serves_outside(declared):
    backend, net = TorchBackend(precision="f32"), Network(4, [Layer(declared, 5)])
    with torch.inference_mode():
        inside, _ = everything(backend, net)
    close(everything(backend, net)[0], inside)
    with torch.inference_mode():
        close(everything(backend, net)[0], inside)


def test_programs_of_fake_tensors_are_not_taken_for_real_ones():
    backend, net = TorchBackend(precision="f32"), Network(4, [Layer(cells.gru, 5)])
    params, x = backend.asarray(net.init(0)), torch.zeros(3, 2, 4)
    expected = backend.run(net, params, x).outputs
    for _ in range(2):
        with FakeTensorMode() as mode:
            fake = backend.run(net, tree_map(mode.from_tensor, params), mode.from_tensor(x)).outputs
        assert isinstance(fake, FakeTensor)
        assert torch.equal(backend.run(net, params, x).outputs, expected)
