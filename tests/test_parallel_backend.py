"""Backends that run in parallel over time: what they refuse and say, their copies, threads, dtypes and layers."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import rnnspec
from conformance import tolerance
from conformance.cases import Case, Pull
from conformance.judge import Judge
from conformance.properties.asking import ask
from rnnspec import Layer, Network, Path, cells
from rnnspec.contract.kernel import Call
from rnnspec.derivation.parallel import parallel
from rnnspec.errors import ArgumentError, UnsupportedError
from rnnspec.policies import Truncated
from rnnspec.running.parallel import SEGMENT, parallel_kernel
from rnnspec.tree import leaves
from tests.parallel_runs import agree, answers, given_for, layer_of

NAMES = ("numpy", "torch", "jax", "tensorflow")
CELLS = (cells.gla, cells.gated_deltanet)
NET = Network(6, [layer_of(cells.mlstm), layer_of(cells.kda, 2, direction="reverse")])


@pytest.fixture(scope="module", params=["numpy", "torch"])
def backend(request):
    return rnnspec.get_backend(request.param, precision="f64")


def paths(backend, net, steps, batch=2):
    params, x, named = net.init(seed=0), np.zeros((steps, batch, net.inputs)), {}
    return [label for _, label in backend.run(net, backend.asarray(params), backend.asarray(x), **named).path]


@pytest.mark.parametrize("name", NAMES)
class TestRefusals:
    @pytest.mark.parametrize("chunk", [0, 3, -2, 2.0, True, None], ids=str)
    def test_a_chunk_is_a_power_of_2(self, name, chunk):
        with pytest.raises(ArgumentError, match="chunk must be a power of 2"):
            rnnspec.get_backend(name).chunking(chunk)

    def test_a_layer_without_a_form_is_refused_with_the_reason(self, name):
        backend = rnnspec.get_backend(name).through(Path.PARALLEL)
        net = Network(3, [layer_of(cells.mingru), Layer(cells.lstm, 4)])
        with pytest.raises(UnsupportedError, match=r"layers\.1\.forward.* got a step that is not affine.*\(map\)"):
            paths(backend, net, 5)

    def test_a_policy_is_refused(self, name):
        backend = rnnspec.get_backend(name).through(Path.PARALLEL)
        net = Network(3, [Layer(cells.mingru, 4, gradient=Truncated(2))])
        with pytest.raises(UnsupportedError, match="a policy inside the recurrence"):
            paths(backend, net, 5)

    def test_settings_are_kept_together(self, name):
        backend = rnnspec.get_backend(name)
        held = backend.through(Path.PARALLEL).chunking(16).recomputing(5)
        again = backend.recomputing(5).chunking(16).through(Path.PARALLEL)
        for each in (held, again, pickle.loads(pickle.dumps(held)), copy.deepcopy(held)):
            assert (each.path, each.chunk, each.recomputes, each.every) == (Path.PARALLEL, 16, True, 5)
        assert held.chunking(16) is held


@pytest.mark.parametrize(("steps", "batch"), [(None, 2), (3, None)])
def test_sizes_must_be_known(steps, batch):
    arrays = rnnspec.get_backend("numpy").arrays
    assert "known" in parallel_kernel(arrays, cells.mingru, Call("", None, False, steps, batch, 3, False), 64)


class TestChoice:
    def test_a_backend_that_does_not_declare_the_path_refuses_it(self):
        with pytest.raises(UnsupportedError, match="one that the backend declares"):
            rnnspec.Backend().through(Path.PARALLEL)

    def test_long_calls_of_matrices_run_in_parallel_by_default(self, backend):
        net = Network(3, [Layer(cells.gla, 2), layer_of(cells.mingru)])
        assert [label.startswith("parallel") for label in paths(backend, net, 63)] == [False, False]
        assert [label.startswith("parallel") for label in paths(backend, net, 64)] == [True, False]
        assert not any(label.startswith("parallel") for label in paths(backend.through(Path.GENERIC), net, 64))

    def test_jax_runs_long_rows_by_scans(self):
        backend, net = rnnspec.get_backend("jax"), Network(1, [Layer(cells.mingru, 1)])
        assert paths(backend, net, 32767, 1) == paths(backend, net, 32768, 2) == ["generic"]
        assert [label.startswith("parallel: scans") for label in paths(backend, net, 32768, 1)] == [True]

    @pytest.mark.parametrize(("cell", "spared"), [
        (cells.tlstm, [True, True]), (cells.rglru, [False, True]), (cells.hgrn, [False, False]),
    ])  # fmt: skip
    def test_shorter_rows_run_by_scans_where_these_spare_the_loop_more_than_the_recurrence(self, either, cell, spared):
        form, call = parallel(cell), Call("layers.0.forward", None, False, 256, 1, 1, False)
        spared = [True, True] if either.scans_from <= 256 else spared
        wanted = [either.prefers_parallel(form, replace(call, pullback=kept)) for kept in (False, True)]
        assert wanted == spared
        assert not either.prefers_parallel(form, replace(call, pullback=True, steps=255))
        assert not either.prefers_parallel(form, replace(call, pullback=True, batch=2))

    def test_a_path_says_its_stages_chunks_and_segments(self, backend):
        net = Network(3, [layer_of(cells.mlstm), layer_of(cells.mingru)])
        held = backend.through(Path.PARALLEL)
        assert paths(held, net, 5) == ["parallel: scans and chunks of 8", "parallel: scans"]
        assert paths(held.chunking(2), net, 5) == ["parallel: scans and chunks of 2", "parallel: scans"]
        assert paths(held, net, SEGMENT + 1, 1) == [f"parallel: scans and chunks of 64, in segments of {SEGMENT // 2}",
                                                    "parallel: scans"]
        assert paths(held, Network(3, [layer_of(cells.mingru)]), 4 * SEGMENT + 1, 1) == [
            f"parallel: scans, in segments of {2 * SEGMENT}"]  # fmt: skip


class TestSegments:
    @pytest.mark.parametrize("every", [None, 1, 3, 8, 40])
    def test_segments_that_are_run_again_give_the_same_gradients(self, backend, every):
        given, named = given_for(NET, 19, 3)
        expected, _ = answers(backend.through(Path.GENERIC), NET, given, named)
        found, kinds = answers(backend.through(Path.PARALLEL).chunking(4).recomputing(every), NET, given, named)
        assert kinds == {"parallel"}
        for name, a in expected.items():
            assert np.allclose(found[name], a, rtol=1e-9, atol=1e-10), name

    def test_a_long_sequence_carries_its_state_and_cotangents(self, backend):
        net = Network(2, [Layer(cells.gla, {"S.rows": 1, "S.columns": 2}, "bidirectional")])
        agree(backend, net, SEGMENT + 70, 3, within=1e-8)

    def test_jax_runs_shorter_segments(self, monkeypatch):
        monkeypatch.setattr("backends.jax_backend.backend.SEGMENT", 8)
        jax, net = rnnspec.get_backend("jax", precision="f64"), Network(2, [layer_of(cells.gla)])
        assert paths(jax.through(Path.PARALLEL), net, 11) == ["parallel: chunks of 4, in segments of 4"]
        agree(jax, net, 11, chunk=2, witness=rnnspec.get_backend("numpy", precision="f64"))
        vectors = Network(2, [layer_of(cells.mingru)])
        assert paths(jax.through(Path.PARALLEL), vectors, 33) == ["parallel: scans, in segments of 16"]
        agree(jax, vectors, 33, chunk=2, witness=rnnspec.get_backend("numpy", precision="f64"))


def test_an_infinite_number_stays_in_its_row(backend):
    (params, x, d, d_state), named = given_for(NET, 9, 3, ragged=False, resets=False)
    x[4, 1, 0] = np.inf
    found, _ = answers(backend.through(Path.PARALLEL).chunking(4), NET, (params, x, d, d_state), named)
    expected, _ = answers(backend.through(Path.GENERIC), NET, (params, x, d, d_state), named)
    assert np.isfinite(found["outputs"][:, [0, 2]]).all()
    assert np.isfinite(found["inputs"][:, [0, 2]]).all()
    for name, a in expected.items():
        assert np.allclose(found[name], a, rtol=1e-9, atol=1e-10, equal_nan=True), name


def test_threads_do_not_disturb_each_other(backend):
    held = backend.through(Path.PARALLEL).chunking(4)
    questions = [given_for(NET, 11, 3, seed) for seed in range(4)]
    expected = [answers(held, NET, *question)[0] for question in questions]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda question: answers(held, NET, *question)[0], questions * 3))
    for got, right in zip(found, expected * 3, strict=True):
        assert all((got[name] == a).all() for name, a in right.items())


@pytest.mark.parametrize("precision", ["bf16", "f16"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_short_numbers_keep_their_dtype_and_the_derived_tolerance(cell, precision):
    backend = rnnspec.get_backend("torch", precision=precision)
    case = Case(Network(3, [layer_of(cell)]), 19, 5, (19, 0, 4, 18, 19), seed=3, scale=0.5, pull=Pull.BOTH)
    judge, question = Judge(backend), ask(backend.through(Path.PARALLEL).chunking(8), case)
    judge.close("run", question.run(), tolerance.run(case, tolerance.PROFILES[precision]))
    judge.close("pullback", question.pull(), tolerance.pullback(case, tolerance.PROFILES[precision]))


class TestLayers:
    """A layer of a framework gives the gradients of the steps one by one."""

    NET = Network(3, [Layer(cells.gla, {"S.rows": 2, "S.columns": 3}, heads=2)])

    @pytest.fixture
    def given(self):
        (params, x, d, _), _ = given_for(self.NET, 5, 2)
        witness = rnnspec.get_backend("numpy", precision="f64").through(Path.GENERIC)
        return params, x, d, witness.pullback(self.NET, params, x, d)

    def test_torch(self, given):
        torch = pytest.importorskip("torch")
        params, x, d, expected = given
        backend = rnnspec.get_backend("torch", precision="f64").through(Path.PARALLEL).chunking(2)
        module = backend.as_layer(self.NET, params=params)
        assert [each.backend().chunk for each in (module, pickle.loads(pickle.dumps(module)))] == [2, 2]
        inputs = torch.tensor(x, requires_grad=True)
        outputs, _ = module(inputs)
        outputs.backward(torch.tensor(d))
        assert np.allclose(inputs.grad, expected.inputs, atol=1e-12)
        own = dict(module.named_parameters())["layers.0.forward_.W.k"].grad
        assert np.allclose(own, expected.params["layers"][0]["forward"]["W"]["k"], atol=1e-12)

    def test_jax(self, given):
        """Under jit, vmap and grad at once."""
        jax = pytest.importorskip("jax")
        params, x, d, expected = given
        backend = rnnspec.get_backend("jax", precision="f64").through(Path.PARALLEL).chunking(2)
        layer = backend.as_layer(self.NET)
        with jax.enable_x64(True):
            of_inputs = jax.grad(lambda inputs: (layer.apply(params, inputs)[0] * d).sum())
            found = jax.jit(jax.vmap(of_inputs))(np.stack([x, x]))
        assert found.dtype == np.float64
        assert np.allclose(found, expected.inputs, atol=1e-12)

    def test_tensorflow(self, given):
        tf = pytest.importorskip("tensorflow")
        params, x, d, expected = given
        backend = rnnspec.get_backend("tensorflow", precision="f64").through(Path.PARALLEL).chunking(2)
        layer = backend.as_layer(self.NET)
        layer.build((None, None, 3))
        layer.set_weights([a for _, a in leaves(params)])
        again = type(layer).from_config(layer.get_config())
        assert (again.backend.path, again.backend.chunk) == (Path.PARALLEL, 2)
        inputs = tf.constant(x.swapaxes(0, 1).copy())
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs) * d.swapaxes(0, 1))
        assert np.allclose(tape.gradient(loss, inputs), expected.inputs.swapaxes(0, 1), atol=1e-12)


@pytest.mark.parametrize("name", ["deltanet", "deltaproduct"])
def test_chunks_keep_the_digits_of_what_a_delta_rule_forgets(name):
    """Three keys are mostly replaced within 65 steps, so that a chunk of 64 would subtract what it forgets."""
    net = Network(6, [Layer(getattr(cells, name), {"S.rows": 4, "S.columns": 3})])
    case = Case(net, 65, 3, (65, 64, 1), seed=1, pull=Pull.BOTH)
    backend = rnnspec.get_backend("numpy").through(Path.PARALLEL)
    question, judge = ask(backend, case), Judge(backend)
    assert question.run().path[0][1] == f"parallel: chunks of {4 if name == 'deltanet' else 2}"
    judge.close("run", question.run(), question.run_reference())
    judge.close("pullback", question.pull(), question.pull_reference())
