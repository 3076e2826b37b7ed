"""The example of state tracking: its words, the cell that it declares, its courses, and the command."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

import rnnspec
from rnnspec import Layer, Network, cells

pytestmark = pytest.mark.usefixtures("examples")


@pytest.fixture(scope="module")
def problems(examples):
    return examples("word_problems")


@pytest.fixture(scope="module")
def tracking(examples):
    return examples("state_tracking")


def test_parity_is_the_word_problem_of_two_points(problems):
    parity, *_ = problems.TASKS
    inputs, targets = parity.batch(np.random.default_rng(0), 9, 50)
    assert inputs.shape == (9, 50, 2)
    assert (inputs.sum(-1) == 1).all()
    np.testing.assert_array_equal(targets, inputs.argmax(-1).cumsum(0) % 2)
    assert set(targets[-1]) == {0, 1}


@pytest.mark.parametrize(("task", "factors"), [(1, 11), (2, 31)])
def test_the_target_is_the_product_of_the_matrices_so_far(task, factors, problems):
    words = problems.TASKS[task]
    assert (len(words.factors), len(words.elements), words.chance) == (factors, 120, 1 / 120)
    matrices = np.eye(5, dtype=int)[np.array(words.factors)]  # row i of a matrix has its 1 where i goes
    inputs, targets = words.batch(np.random.default_rng(0), 7, 20)
    for row in range(20):
        product = np.eye(5, dtype=int)
        for drawn, target in zip(inputs[:, row].argmax(-1), targets[:, row], strict=True):
            product = product @ matrices[drawn]
            assert words.elements[target] == tuple(product.argmax(-1))


def test_swaps_are_reflections_and_cycles_of_three_are_two(problems):
    for words, most in zip(problems.TASKS[1:], (1, 2), strict=True):
        steps = [np.eye(5)[np.array(factor)] - np.eye(5) for factor in words.factors]
        assert max(np.linalg.matrix_rank(step) for step in steps) == most


def test_the_gate_that_reaches_two_turns_a_sign_and_the_published_one_does_not(tracking):
    """From a state of 1 under a key and new values of 0: what is left is 1 - b, at most open and at most closed."""
    be, inputs = rnnspec.get_backend("numpy", precision="f64"), np.ones((1, 1, 1))
    left = {}
    for cell in (cells.deltanet, tracking.deltanet_negative):
        net = Network(1, [Layer(cell, 1)])
        params = net.init(0)
        own = params["layers"][0]["forward"]
        own["W"] = {name: np.ones_like(w) if name in ("k", "q") else np.zeros_like(w) for name, w in own["W"].items()}
        for gate in (-40.0, 40.0):
            own["b"] = {name: np.full_like(b, gate if name == "b" else 0.0) for name, b in own["b"].items()}
            state = be.run(net, params, inputs, ({"forward": {"S": np.ones((1, 1, 1))}},)).state
            left[cell.name, gate] = state[0]["forward"]["S"].item()
    expected = {("deltanet", -40.0): 1, ("deltanet", 40.0): 0,
                ("deltanet_negative", -40.0): 1, ("deltanet_negative", 40.0): -1}  # fmt: skip
    assert left == pytest.approx(expected, abs=2e-6)  # twice epsilon, which keeps a key's norm below 1


def test_words_grow_to_the_length_of_training_which_is_tested_and_exceeded(tracking):
    for course in (tracking.SHORT, tracking.LONG):
        lengths = [stage.steps for stage in course.stages]
        assert all(before <= after for before, after in pairwise(lengths))
        assert lengths[-1] == 40
        assert {40, 256} <= set(course.lengths)


def test_a_short_training_on_parity_holds_beyond_its_length(tracking, problems):
    course = tracking.Course((tracking.Stage(6, 70, 3e-2),), batch=32, testing=200, lengths=(6, 12))
    found = {cell: tracking.measured("numpy", tracking.Run(problems.TASKS[0], cell, course, seed=0))["accuracies"]
             for cell in ("DeltaNet", "DeltaNet, b to 2")}  # fmt: skip
    assert min(found["DeltaNet, b to 2"]) > 0.95
    assert max(found["DeltaNet"]) < 0.75


def test_the_command_writes_a_row_for_each_cell_and_task(tracking, run_example, tmp_path):
    done = run_example("state_tracking", "--quick", "--backend", "numpy", "--jobs", "1", "--json", "found.json")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["backend"] == "numpy"
    assert len({(row["task"], row["cell"]) for row in found["runs"]}) == 3 * len(tracking.LAYERS)
    for row in found["runs"]:
        assert len(row["accuracies"]) == len(row["lengths"])
        assert all(0 <= accuracy <= 1 for accuracy in row["accuracies"])
        assert np.isfinite(row["loss"])


def test_a_run_follows_from_its_seed(tracking):
    be = rnnspec.get_backend("numpy")
    first, other, *_ = tracking.runs(seeds=2, quick=True)
    assert (first.seed, other.seed, first.cell) == (0, 1, other.cell)
    losses = [tracking.trained(be, run)[1] for run in (first, first, other)]
    assert losses[0] == losses[1] != losses[2]
