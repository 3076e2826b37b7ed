"""What comes out of a backend: types, dtypes, shapes, memory of its own; and what goes in stays as it was."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rnnspec import Cell, Layer, Network, cells, chain, get_backend, losses, policies, updates
from rnnspec.errors import ArgumentError, DtypeError, RnnSpecError
from rnnspec.tree import leaves, tree_map

STEPS, ROWS = 4, 3
NET = Network(2, [Layer(cells.lstm, hidden=3, direction="reverse")], loss=losses.SquaredError())
RULE = chain(policies.ClipByGlobalNorm(1.0), updates.SGD(0.1, momentum=0.9))
LENGTHS = np.array([2, 0, STEPS])
DTYPES = {"f32": "float32", "f64": "float64"}


def arguments():
    rng = np.random.default_rng(0)
    params = NET.init(0)
    state = [{"reverse": {state: rng.normal(size=(ROWS, 3)) for state in ("h", "c")}}]
    return {
        "params": params,
        "rule_state": RULE.init(params),
        "inputs": rng.normal(size=(STEPS, ROWS, 2)),
        "targets": rng.normal(size=(STEPS, ROWS, 3)),
        "state": state,
        "cotangent": rng.normal(size=(STEPS, ROWS, 3)),
    }


def every_result(backend, given, lengths=LENGTHS):
    """Everything that the four calls give, as one tree."""
    params, inputs, state = given["params"], given["inputs"], given["state"]
    run = backend.run(NET, params, inputs, state, lengths)
    pulled = backend.pullback(NET, params, inputs, given["cotangent"], state, state, lengths)
    step = backend.value_and_grad(NET, params, inputs, given["targets"], state, lengths)
    done = backend.train_step(NET, RULE, params, given["rule_state"], inputs, given["targets"], state, lengths)
    return {
        "run": [run.outputs, run.state],
        "pullback": [pulled.params, pulled.inputs, pulled.state],
        "step": [step.loss_sum, step.grads.params, step.grads.inputs, step.grads.state, step.state],
        "trained": [done.params, done.rule_state, done.loss_sum, done.state],
    }


def own(backend, given):
    return {name: backend.asarray(tree) for name, tree in given.items()}


def test_results_are_the_frameworks_own_in_the_precision(either):
    found = dict(leaves(every_result(either, arguments())))
    assert all(either.is_own(array) for array in found.values())
    assert {either.own_dtype(array) for array in found.values()} == {DTYPES[either.precision]}
    assert {either.own_device(array) for array in found.values()} == {"cpu"}
    shapes = {name: tuple(array.shape) for name, array in found.items()}
    assert shapes["run.0"] == (STEPS, ROWS, 3)
    assert shapes["run.1.0.reverse.c"] == shapes["pullback.2.0.reverse.h"] == (ROWS, 3)
    assert shapes["pullback.1"] == (STEPS, ROWS, 2)
    assert shapes["step.0"] == shapes["trained.2"] == ()
    assert shapes["trained.0.layers.0.reverse.W.i"] == shapes["trained.1.1.velocity.layers.0.reverse.W.i"] == (3, 2)


def test_arrays_of_the_framework_give_what_numpy_arrays_give(either):
    given = arguments()
    first, second = every_result(either, given), every_result(either, own(either, given))
    tree_map(np.testing.assert_array_equal, either.to_numpy(first), either.to_numpy(second))


def test_arguments_are_not_modified_and_may_be_read_only(either):
    given = arguments()
    before = {name: array.copy() for name, array in leaves(given)}
    for _, array in leaves(given):
        array.setflags(write=False)
    adopted = own(either, given)
    every_result(either, given)
    every_result(either, adopted)
    for tree in (given, either.to_numpy(adopted)):
        for name, array in leaves(tree):
            np.testing.assert_array_equal(array, before[name].astype(array.dtype), err_msg=name)


def test_results_do_not_follow_arguments_that_change_later(either):
    given = arguments()
    expected = either.to_numpy(every_result(either, arguments()))
    found = every_result(either, given)
    held = either.asarray(given["inputs"])
    copied = either.to_numpy(held)
    for _, array in leaves(given):
        array[...] = np.nan
    tree_map(np.testing.assert_array_equal, either.to_numpy(found), expected)
    np.testing.assert_array_equal(either.to_numpy(held), copied)


@pytest.mark.parametrize("lengths, steps", [(LENGTHS, STEPS), (np.zeros(ROWS, int), STEPS), (None, 0)])
def test_results_share_no_memory_with_arguments(either, lengths, steps):
    """Also where there is nothing to do, and a state comes out as it went in."""
    given = arguments()
    given |= {name: given[name][:steps] for name in ("inputs", "targets", "cotangent")}
    given = own(either, given)
    found = every_result(either, given, lengths)
    inside = [(name, memory(array)) for name, array in leaves(given)]
    for name, array in leaves(found):
        mine = memory(array)
        assert not [other for other, theirs in inside if np.shares_memory(mine, theirs)], name
    held = either.to_numpy(given["state"])[0]["reverse"]["h"]
    assert held.flags.writeable
    assert not np.shares_memory(held, memory(given["state"][0]["reverse"]["h"]))


def memory(array):
    """The array's own memory as a NumPy array, without a copy."""
    return array if isinstance(array, np.ndarray | np.generic) else np.from_dlpack(array)


def test_unaligned_and_strided_numpy_arrays(either):
    given = arguments()
    expected = either.to_numpy(every_result(either, given))
    raw = np.zeros(given["inputs"].nbytes + 1, np.uint8)[1:].view(np.float64).reshape(given["inputs"].shape)
    raw[...] = given["inputs"]
    reversed_in_memory = given["inputs"][::-1].copy()[::-1]
    for inputs in (raw, np.asfortranarray(given["inputs"]), np.repeat(given["inputs"], 2, 0)[::2], reversed_in_memory):
        found = either.to_numpy(every_result(either, given | {"inputs": inputs}))
        tree_map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "tensorflow"])
def test_both_precisions_run_in_threads_of_their_own(open_backend, name):
    backends, given = [open_backend(name, precision) for precision in DTYPES] * 2, arguments()
    alone = [backend.to_numpy(every_result(backend, given)) for backend in backends]
    with ThreadPoolExecutor(len(backends)) as pool:
        found = list(pool.map(lambda backend: backend.to_numpy(every_result(backend, given)), backends))
    tree_map(np.testing.assert_array_equal, found, alone)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_another_precision_and_another_kind_are_refused(open_backend, name):
    backend, theirs = open_backend(name, "f32"), open_backend(name, "f64").asarray(arguments()["inputs"])
    with pytest.raises(DtypeError, match="float64"):
        backend.run(NET, NET.init(0), theirs)
    with pytest.raises(ArgumentError, match="list"):
        backend.run(NET, NET.init(0), [[[1.0, 2.0]]])


def test_a_device_that_is_not_there_is_refused():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(RnnSpecError, match="no CUDA device"):
        get_backend("torch", device="cuda")


def test_tensors_that_want_a_gradient_are_taken_without_it(open_backend):
    torch, backend = pytest.importorskip("torch"), open_backend("torch", "f64")
    given = tree_map(lambda a: a.requires_grad_(), own(backend, arguments()))
    found = every_result(backend, given)
    assert not [name for name, array in leaves(found) if array.requires_grad]
    assert torch.is_grad_enabled()


def test_arrays_under_a_frameworks_own_trace_are_refused(open_backend):
    jax, backend = pytest.importorskip("jax"), open_backend("jax", "f32")
    with pytest.raises(ArgumentError, match="Tracer"):
        jax.jit(lambda x: backend.run(NET, NET.init(0), x).outputs)(backend.asarray(arguments()["inputs"]))


def test_no_backend_knows_a_cells_name():
    names = {name for name, value in vars(cells).items() if isinstance(value, Cell)}
    assert {"lstm", "gru", "elman"} <= names
    names -= {"dense"}  # a layout of arrays, and the output layer
    tables = ("native.py",)  # one table of a framework's kernels says which cell each of them computes
    sources = [path for path in (Path(__file__).parent.parent / "backends").glob("*/*.py") if path.name not in tables]
    assert len(sources) > 20
    words = {(str(path), word) for path in sources for word in re.findall(r"[a-z_]+", path.read_text().lower())}
    assert not [(path, word) for path, word in words if word in names]
