"""Windows of one sequence on several workers: together they compute what one process computes."""

import numpy as np
import pytest

import rnnspec
from conformance import tolerance
from conformance.cases import Case
from conformance.tolerance import PROFILES
from rnnspec import Dense, Dropout, Embedding, Key, Last, Layer, LayerNorm, Network, Tied, cells, losses, noise
from rnnspec.errors import ArgumentError, LengthsError, NetworkError, ShapeError, TargetError, TreeError, WorkerError
from rnnspec.policies import ClipStateByNorm, ClipStateByValue, Truncated
from rnnspec.policies import Cut as CutEdges
from rnnspec.primitives import number, outer, sigmoid, sqrt, stop, tanh, total
from rnnspec.workers.cut import Cut
from rnnspec.workers.pretended import pretended, together
from rnnspec.workers.summaries import Summaries
from rnnspec.workers.windows import Chain, Wavefront
from tests.workers import time_steps
from tests.workers.launching import free_port, launched

ALL = (Chain, Wavefront, Summaries)
STEPS, ROWS = 7, 4
WINDOWS = ((7,), (3, 4), (4, 0, 3), (0, 2, 4, 1))
LENGTHS = (7, 3, 0, 5)


@rnnspec.cell
def own(x, R, p, h, s):
    """A cell of one's own: two states, each of which bends the other."""
    g = sigmoid(x.g + R.g(h) + p.g * s)
    return tanh(x.h + R.h(h * g)), s * g + h


@rnnspec.cell
def delta(x, S):
    """A delta rule with its keys along the columns, and a decay."""
    k = x.k / sqrt(1 + total(x.k * x.k))
    S = number(sigmoid(x.a)) * S
    S = S + outer(x.v - S @ k, k)
    return rnnspec.out(S @ x.q), S


@rnnspec.cell
def delta_by_rows(x, S):
    """A delta rule with its keys along the rows, and no decay."""
    k = x.k / sqrt(1 + total(x.k * x.k))
    S = S + outer(k, x.v - k @ S)
    return rnnspec.out(x.q @ S), S


@rnnspec.cell
def mixing(x, R, h):
    """A linear network: every entry depends on every other."""
    return x.h + R.h(h)


@rnnspec.cell
def gated_by_another(x, R, p, c, w):
    """The state c is affine where w is known, and w where nothing is."""
    f = sigmoid(x.f + R.f(w))
    return f * c + (1 - f) * tanh(x.z), p.w * w + x.w


def stack(*layers, read=None, loss=None, inputs=3, **more):
    read = {} if read is None else {"read": read}
    return Network(inputs=inputs, layers=layers, loss=loss or losses.SoftmaxCrossEntropy(),
                   **{"output": Dense(3), **read, **more})  # fmt: skip


BENT = {
    "lstm": stack(Layer(cells.lstm, 3)),
    "gru, learned": stack(Layer(cells.gru, 3, learned_state=True)),
    "own": stack(Layer(own, 3), loss=losses.SquaredError()),
    "mlstm": stack(Layer(cells.mlstm, 2)),
    "two, residual": stack(Layer(cells.lstm, 3), LayerNorm(), Layer(cells.gru, 3, residual=True, learned_state=True)),
    "last": stack(Layer(cells.lstm, 3), Layer(cells.gru, 2), read=Last(), head=[Dense(3, tanh)]),
    "ctc": stack(Layer(cells.lstm, 3), loss=losses.CTC()),
    "embedding": stack(Layer(cells.gru, 3), Layer(cells.elman, 2), inputs=Embedding(5, 3)),
    "policies": stack(Layer(cells.lstm, 3, gradient=ClipStateByNorm(0.1)),
                      Layer(cells.gru, 2, gradient=ClipStateByValue(0.05))),
}  # fmt: skip
AFFINE = {
    "gla": stack(Layer(cells.gla, {"S.rows": 3, "S.columns": 2})),
    "delta": stack(Layer(delta, {"S.rows": 3, "S.columns": 2})),
    "delta by rows": stack(Layer(delta_by_rows, {"S.rows": 3, "S.columns": 2})),
    "gated delta": stack(Layer(cells.gated_deltanet, 2, heads=2)),
    "mamba": stack(Layer(cells.mamba, 2)),
    "lru": stack(Layer(cells.lru, 3)),
    "mixing, learned": stack(Layer(mixing, 3, learned_state=True)),
    "gated by another": stack(Layer(gated_by_another, 3)),
    "two, residual": stack(Layer(cells.lru, 3), LayerNorm(), Layer(cells.mingru, 3, residual=True, learned_state=True)),
    "last": stack(Layer(cells.mingru, 3), Layer(cells.rglru, 3), read=Last()),
}
STACKS = ("two, residual", "last", "embedding", "policies")
KINDS = [(kind, name) for kind, names in ((Chain, BENT), (Wavefront, STACKS), (Summaries, AFFINE)) for name in names]


def assert_whole(calls, case, precision):
    """A case through these calls, within the tolerance of the oracle."""
    a, profile = case.arrays(precision), PROFILES[precision]
    more = {name: array for name, array in (("lengths", a.lengths), ("resets", a.resets)) if array is not None}
    ran = calls.run(case.net, a.params, a.inputs, a.state, **more)
    pulled = calls.pullback(case.net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state, **more)
    step = calls.value_and_grad(case.net, a.params, a.inputs, a.targets, a.state, **more)
    for found, expected in ((ran, tolerance.run), (pulled, tolerance.pullback), (step, tolerance.value_and_grad)):
        verdict = tolerance.verdict(found, expected(case, profile))
        assert verdict.passed, verdict


@pytest.mark.parametrize(("kind", "name"), KINDS, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_windows_together_are_one_process(kind, name, open_backend):
    net, be = (AFFINE if kind is Summaries else BENT)[name], open_backend("numpy", "f64")
    for case, steps in ((Case(net, STEPS, ROWS, seed=1), WINDOWS[1]), (Case(net, STEPS, ROWS, LENGTHS, 2), WINDOWS[2]),
                        (Case(net, STEPS, ROWS, LENGTHS, 3, resets=0.2, unset=True), WINDOWS[3])):  # fmt: skip
        assert_whole(Cut(kind, be, steps), case, "f64")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_backend_does_so(kind, backend):
    """One affine cell for all kinds, and windows of one length, so that few programs are compiled."""
    net = stack(Layer(cells.mingru, 3))
    assert_whole(Cut(kind, backend, (3, 0, 3)), Case(net, 6, ROWS, (6, 3, 0, 5), 4), "f32")


@pytest.mark.parametrize(("kind", "net"), [(Wavefront, BENT["two, residual"]), (Summaries, AFFINE["gla"])],
                         ids=["Wavefront", "Summaries"])  # fmt: skip
def test_the_framework_s_own_arrays_serve(kind, net, backend64):
    case = Case(net, 6, ROWS, (6, 3, 0, 5), 5, resets=0.3)
    a = case.arrays()
    given = backend64.asarray([a.params, a.inputs, a.state])
    step = Cut(kind, backend64, (3, 3)).value_and_grad(net, *given[:2], a.targets, given[2], lengths=a.lengths,
                                                       resets=a.resets)  # fmt: skip
    verdict = tolerance.verdict(step, tolerance.value_and_grad(case, PROFILES["f64"]))
    assert verdict.passed, verdict


NOISY = {
    Chain: stack(Layer(cells.lstm, 3, noise=(Dropout(0.4), noise.Zoneout(0.3))), Dropout(0.5), Layer(cells.gru, 2)),
    Summaries: stack(Layer(cells.mingru, 3, noise=(Dropout(0.4), noise.Zoneout(0.3)))),
}


@pytest.mark.parametrize("kind", NOISY, ids=lambda kind: kind.__name__)
def test_a_window_has_the_noise_of_its_own_steps(kind, open_backend):
    net, key, reference = NOISY[kind], Key(3, row=1, step=5), open_backend("numpy", "f64")
    a = Case(net, STEPS, ROWS, LENGTHS, 6).arrays()
    given = (net, a.params, a.inputs, a.targets, a.state, a.lengths)
    found = Cut(kind, reference, (3, 0, 4)).value_and_grad(*given[:5], lengths=a.lengths, key=key)
    whole, other = (reference.value_and_grad(*given, key=k) for k in (key, key.at(step=1)))
    np.testing.assert_allclose(found.loss_sum, whole.loss_sum, rtol=1e-13)
    np.testing.assert_allclose(found.grads.inputs, whole.grads.inputs, rtol=1e-11, atol=1e-14)
    assert abs(other.loss_sum - whole.loss_sum) > 1e-3


def test_sums_train_as_those_of_one_process(reference):
    net, rule = BENT["two, residual"], rnnspec.chain(rnnspec.policies.ClipByGlobalNorm(0.1), rnnspec.updates.Adam(1e-2))
    a = Case(net, STEPS, ROWS, LENGTHS, 7).arrays()
    own = one = (a.params, rule.init(a.params))
    for _ in range(3):
        step = Cut(Wavefront, reference, (3, 4)).value_and_grad(net, own[0], a.inputs, a.targets, lengths=a.lengths)
        trained = reference.update(net, rule, *own, step)
        alone = reference.train_step(net, rule, *one, a.inputs, a.targets, lengths=a.lengths)
        own, one = (trained.params, trained.rule_state), (alone.params, alone.rule_state)
    for (name, found), (_, right) in zip(rnnspec.tree.leaves(own[0]), rnnspec.tree.leaves(one[0]), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-10, err_msg=name)


def refused(kind, net, reference, **more):
    a = Case(net, 4, 2, seed=8).arrays()
    with pytest.raises(NetworkError) as raised:
        Cut(kind, reference, (2, 2)).value_and_grad(net, a.params, a.inputs, np.zeros((4, 2), int), a.state, **more)
    return str(raised.value)


@rnnspec.cell
def stopped(x, h):
    return x.h + 0.5 * stop(h)


@pytest.mark.parametrize(("kind", "net", "said"), [
    (Chain, stack(Layer(cells.gru, 3, direction="reverse")), "must run forward in time, got layers.0 reverse"),
    (Wavefront, stack(Layer(cells.gru, 3, direction="bidirectional")), "forward in time, got layers.0 bidirectional"),
    (Chain, stack(Layer(cells.gru, 3, gradient=Truncated(2))), "hook carry, or read the step, got layers.0 Truncated"),
    (Wavefront, stack(Layer(cells.gru, 3, gradient=CutEdges())), "hook carry, or read the step, got layers.0 Cut"),
    (Wavefront, stack(Layer(cells.gru, 3), Layer(cells.gru, 3), inputs=Embedding(3, 3), output=Tied()),
     "must not be Tied where layers run apart"),
    (Summaries, stack(Layer(cells.lstm, 3)),
     "affine in itself, got layers.0, a lstm: h' and c' are not affine in h and c: sigmoid and tanh bend h; use Chain"),
    (Summaries, stack(Layer(cells.mlstm, 2)), "a mlstm: m' is the larger of m plus a term"),
    (Summaries, stack(Layer(cells.mingru, 3, gradient=ClipStateByNorm(1.0))), "no layer may have a gradient policy"),
    (Summaries, stack(Layer(stopped, 3)), "stop hides a state from its gradient"),
])  # fmt: skip
def test_what_windows_cannot_do_is_refused_by_name(kind, net, said, reference):
    assert said in refused(kind, net, reference)


def test_noise_is_refused_where_layers_run_apart(reference):
    assert "must be no noise where layers run apart" in refused(Wavefront, NOISY[Chain], reference, key=Key(1))


def test_a_network_without_a_loss_has_no_value(reference):
    net = Network(inputs=3, layers=[Layer(cells.gru, 3)])
    assert "must have a loss" in refused(Chain, net, reference)


def test_a_backend_without_workers_is_refused(reference):
    with pytest.raises(ArgumentError, match=r"Chain\(backend\): backend must be one of several workers"):
        Chain(reference)


WRONG = {
    "lengths": (LengthsError, {"lengths": np.array([4, 9])}),
    "inputs": (ShapeError, {"inputs": np.zeros((2, 2, 7))}),
    "rank": (ShapeError, {"inputs": np.zeros(2)}),
    "rows": (ShapeError, {"inputs": np.zeros((2, 3, 3))}),
    "targets": (TargetError, {"targets": np.full((2, 2), 9)}),
    "key": (ArgumentError, {"key": 7}),
    "params": (TreeError, {"params": {"layers": []}}),
    "state": (TreeError, {"state": [{"forward": {"c": np.zeros((2, 3))}}]}),
    "shape": (ShapeError, {"state": [{"forward": {"h": np.zeros((3, 3))}}]}),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_one_worker_s_error_ends_all(kind, wrong, reference):
    """The one whose argument is wrong raises its own error; nobody waits for it."""
    net, (error, change) = stack(Layer(cells.mingru, 3)), WRONG[wrong]
    a = Case(net, 4, 2, seed=9).arrays()

    def worker(group):
        window = slice(2 * group.rank, 2 * group.rank + 2)
        given = {"params": a.params, "inputs": a.inputs[window], "targets": a.targets[window]}
        given |= {"lengths": np.array([4, 3])} | (change if group.rank == 1 else {})
        try:
            kind(reference.across(group)).value_and_grad(net, **given)
        except rnnspec.errors.RnnSpecError as raised:
            return raised
        return None

    other, own = together(pretended(reference, 2), worker)
    assert type(own) is error
    assert isinstance(other, WorkerError if wrong != "rows" else ShapeError)
    assert wrong == "rows" or "an error of rank 1" in str(other)


def test_summaries_need_no_more_exchanges_for_more_windows(reference):
    """A chain needs one more for each worker forward, and one more backward."""
    net = stack(Layer(cells.mingru, 3))
    a = Case(net, 8, 2, seed=10).arrays()

    def turns(kind, size):
        def worker(group):
            window = slice(8 // size * group.rank, 8 // size * (group.rank + 1))
            kind(reference.across(group)).value_and_grad(net, a.params, a.inputs[window], a.targets[window])
            return group.turn

        return together(pretended(reference, size), worker)[0]

    assert turns(Summaries, 2) == turns(Summaries, 4)
    assert turns(Chain, 4) - turns(Chain, 2) == 4


def test_two_processes_are_one():
    """Of PyTorch, with gloo: the example of the page, each way to run windows, and an error on one of them."""
    pytest.importorskip("torch.distributed")
    variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2",
                 "NEXT": f"tcp://127.0.0.1:{free_port()}"}  # fmt: skip
    first, second = launched("tests/workers/time_steps.py", 2, lambda rank: {**variables, "RANK": str(rank)})
    assert first["example"].tolist() == second["example"].tolist()
    assert first["example"][-1] < first["example"][0]
    for name, (_, net) in time_steps.CALLS.items():
        step = tolerance.value_and_grad(time_steps.case(net), PROFILES["f64"])
        inputs = np.concatenate([first[f"{name} inputs"], second[f"{name} inputs"]])
        for part, at in (("params", "grads.params"), ("first", "grads.state"), ("state", "state")):
            place = f"{name} {part}."
            own = {key.removeprefix(place): a for key, a in first.items() if key.startswith(place)}
            verdict = tolerance.verdict(own, step.at(at))
            assert verdict.passed, (name, part, str(verdict))
            for key, found in own.items():
                np.testing.assert_array_equal(found, second[f"{place}{key}"])
        assert tolerance.verdict(first[f"{name} loss_sum"], step.at("loss_sum")).passed
        assert tolerance.verdict(inputs, step.at("grads.inputs")).passed
        assert first[f"{name} count"] == second[f"{name} count"] == step.expected()["count"]
    assert str(first["error"]).startswith("TargetError")
    assert "an error of rank 0" in str(second["error"])
