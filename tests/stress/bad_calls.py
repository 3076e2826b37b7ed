"""Wrong calls: each is a good call with one part of one argument spoilt, so that only that can be refused."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

import rnnspec
from rnnspec import Dense, Gradients, Last, Layer, Network, Step, Steps, cells, chain, losses, policies, updates
from rnnspec.errors import RnnSpecError
from rnnspec.tree import tree_map

STEPS, ROWS = 4, 3
CALLS = {
    "run": ("net", "params", "inputs", "state", "lengths"),
    "pullback": ("net", "params", "inputs", "output_cotangent", "state_cotangent", "state", "lengths"),
    "value_and_grad": ("net", "params", "inputs", "targets", "state", "lengths"),
    "train_step": ("net", "rule", "params", "rule_state", "inputs", "targets", "state", "lengths"),
    "update": ("net", "rule", "params", "rule_state", "step"),
}
RULES = (updates.SGD(0.1), updates.SGD(0.1, 0.9), updates.Adam(), chain(policies.ClipByGlobalNorm(1.0), updates.Adam()))


class Anything:
    """An object that is nothing to anybody."""


GARBAGE: tuple[Callable[[], Any], ...] = (
    lambda: 3, lambda: 1.5, lambda: "text", lambda: b"bytes", lambda: True, Anything, lambda: Anything,
    lambda: len, lambda: {1, 2}, lambda: range(3), lambda: np.float64, lambda: (i for i in range(3)), lambda: [[1.0]],
    lambda: {"x": 1.0}, lambda: 1j, lambda: slice(3), lambda: np.dtype("f4"), lambda: NotImplemented, lambda: ...,
)  # fmt: skip
DTYPES = ("c16", "c8", "O", "U3", "S3", "M8[s]", "m8[s]", "V8")


@cache
def networks() -> tuple[Network, ...]:
    """Networks of every cell, direction, reading and loss, few enough to be drawn once."""
    found = []
    every = [value for value in vars(cells).values() if isinstance(value, rnnspec.Cell)]
    for i, cell in enumerate(every):
        loss = (losses.SoftmaxCrossEntropy(), losses.SquaredError(), losses.SigmoidCrossEntropy())[i % 3]
        layers = [Layer(cell, 3, ("forward", "reverse", "bidirectional")[i % 3])]
        layers += [Layer(cells.gru, 2, "bidirectional", policies.Truncated(2))] if i % 2 else []
        found.append(Network(2, layers, Last() if i % 4 == 3 else Steps(), Dense(5) if i % 3 == 0 else None, loss))
    return tuple(found)


@dataclass(frozen=True)
class BadCall:
    """A call, its arguments, and what was done to them."""

    method: str
    arguments: dict[str, Any]
    spoilt: str

    def outcome(self, backend: rnnspec.Backend) -> str:
        """The class that it raised, or what else happened, in words that start with `!`."""
        try:
            getattr(backend, self.method)(**self.arguments)
        except RnnSpecError as error:
            parts = all(isinstance(part, str) and part for part in (error.call, error.must, error.got, error.do))
            return type(error).__name__ if parts else f"! without words: {error}"
        except Exception as error:
            return f"! {type(error).__name__}: {error}"[:200]
        return "! returned"


def draw(rng: random.Random) -> BadCall:
    """One wrong call."""
    net, method = rng.choice(networks()), rng.choice(list(CALLS))
    good = arguments(rng, net)
    name = rng.choice(CALLS[method])
    value, spoilt = SPOILERS[name](rng, good[name], good)
    return BadCall(method, {**{n: good[n] for n in CALLS[method]}, name: value}, f"{name}: {spoilt}")


def arguments(rng: random.Random, net: Network) -> dict[str, Any]:
    """Good arguments for every call."""
    outputs = (ROWS, net.features) if net.read == Last() else (STEPS, ROWS, net.features)
    params, state, rule = net.init(0), tree_map(np.zeros, net.state_shapes(ROWS)), rng.choice(RULES)
    loss = net.loss
    assert loss is not None
    targets = np.zeros(outputs[:-1], int) if loss.integer_targets else np.zeros(outputs)
    return {
        "net": net, "params": params, "inputs": np.zeros((STEPS, ROWS, 2)), "state": state,
        "lengths": np.array([STEPS, 2, 1]), "output_cotangent": np.zeros(outputs), "state_cotangent": state,
        "targets": targets, "rule": rule, "rule_state": rule.init(params),
        "step": Step(np.zeros(()), 3, Gradients(params, np.zeros((STEPS, ROWS, 2)), state), state),
    }  # fmt: skip


def garbage(rng: random.Random, *_: Any) -> tuple[Any, str]:
    """Something that is no argument at all."""
    value = rng.choice(GARBAGE)()
    return value, f"garbage {type(value).__name__}"


def spoil_array(rng: random.Random, array: Any, *_: Any) -> tuple[Any, str]:
    """An array of another shape or of what is no number."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice([*GARBAGE, lambda: None])(), "garbage for an array"
    if kind == 1:
        dtype = rng.choice(DTYPES)
        return np.zeros(array.shape, dtype), f"dtype {dtype}"
    if kind == 2:
        return np.ma.masked_array(array), "masked"
    if kind == 3 or not array.ndim:
        return array[..., None], "an axis more"
    if kind == 4:
        return array[0], "an axis less"
    axis, size = rng.randrange(array.ndim), rng.choice([-1, 1, 7])
    shape = tuple(n + size if i == axis else n for i, n in enumerate(array.shape))
    return np.zeros(shape, array.dtype), f"axis {axis} by {size:+}"


def spoil_inputs(rng: random.Random, array: Any, *_: Any) -> tuple[Any, str]:
    """Other features or no inputs; another time alone could be a good call."""
    kind = rng.randrange(4)
    if kind == 0:
        return np.zeros((STEPS, ROWS, rng.choice([0, 1, 3, 100]))), "features"
    if kind == 1:
        return np.broadcast_to(np.float64(0), (2**30, 2**28, 2)), "a size that overflows"
    while True:
        value, spoilt = spoil_array(rng, array)
        if not spoilt.startswith("axis 0"):
            return value, spoilt


def spoil_tree(rng: random.Random, tree: Any, *_: Any) -> tuple[Any, str]:
    """A tree with one place spoilt: a leaf, a name, a branch."""
    branch = isinstance(tree, dict | list | tuple) and len(tree) > 0
    if branch and rng.random() < 0.8:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = rng.choice(keys)
        value, spoilt = spoil_tree(rng, tree[key])
        copied: Any = dict(tree) if isinstance(tree, dict) else list(tree)
        copied[key] = value
        return copied, f"{key}.{spoilt}"
    if isinstance(tree, np.ndarray):
        return spoil_array(rng, tree)
    return rng.choice(TREE_FAULTS)(rng, tree)


def _less(rng: random.Random, tree: Any) -> tuple[Any, str]:
    if not tree:
        return _more(rng, tree)
    if isinstance(tree, dict):
        gone = rng.choice(list(tree))
        return {key: value for key, value in tree.items() if key != gone}, f"without {gone}"
    return tree[:-1], "an entry less"


def _more(rng: random.Random, tree: Any) -> tuple[Any, str]:
    new = rng.choice([np.zeros(3), {}, [], None, 1.0])
    return ({**tree, rng.choice(["more", "W ", 0, ""]): new}, "a name more") if isinstance(tree, dict) else (
        [*tree, new], "an entry more")  # fmt: skip


def _renamed(rng: random.Random, tree: Any) -> tuple[Any, str]:
    if not isinstance(tree, dict) or not tree:
        return _more(rng, tree)
    old = rng.choice(list(tree))
    return {f"{key}_" if key == old else key: value for key, value in tree.items()}, f"{old} renamed"


def _turned(rng: random.Random, tree: Any) -> tuple[Any, str]:
    if isinstance(tree, dict):
        return list(tree.values()), "a list for a dict"
    return dict(enumerate(tree)), "a dict for a list"


def _itself(rng: random.Random, tree: Any) -> tuple[Any, str]:
    odd: dict[str, Any] = {}
    odd["self"] = odd
    return odd, "a tree that holds itself"


TREE_FAULTS = (_less, _more, _renamed, _turned, _itself, garbage)


def spoil_lengths(rng: random.Random, lengths: Any, *_: Any) -> tuple[Any, str]:
    """Lengths outside 0..time, of another dtype or shape."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(GARBAGE)(), "garbage"
    if kind == 1:
        dtype = rng.choice(["f4", "f8", "?", *DTYPES])
        return np.zeros(ROWS, dtype), f"dtype {dtype}"
    if kind == 2:
        return np.zeros(rng.choice([(ROWS + 1,), (ROWS - 1,), (0,), (), (ROWS, 1), (1, ROWS)]), int), "shape"
    wrong = rng.choice([-1, STEPS + 1, -(2**62), 2**62, 2**31, 2**32 + 1])
    return np.array([STEPS, wrong, 0])[list(rng.sample(range(3), 3))], f"length {wrong}"


def spoil_targets(rng: random.Random, targets: Any, good: dict[str, Any]) -> tuple[Any, str]:
    """Labels at real steps that are no classes, or targets of another shape or dtype."""
    integer = good["net"].loss.integer_targets
    if integer and rng.random() < 0.5:
        wrong = targets.copy()
        label = rng.choice([-1, good["net"].features, 2**31, 2**32, -(2**40)])
        wrong[(0, *[rng.randrange(n) for n in targets.shape[1:]])] = label
        return wrong, f"label {label}"
    if integer and rng.random() < 0.3:
        return targets.astype(rng.choice(["f4", "f8", "?"])), "real labels"
    return spoil_array(rng, targets)


def spoil_rule(rng: random.Random, *_: Any) -> tuple[Any, str]:
    """What is no update rule."""
    wrong = rng.choice(
        [policies.ClipByNorm(1.0), policies.ClipByGlobalNorm(1.0), policies.Truncated(2), updates.SGD, None]
    )
    return (wrong, f"rule {wrong}") if rng.random() < 0.5 else garbage(rng)


def spoil_network(rng: random.Random, net: Network, *_: Any) -> tuple[Any, str]:
    """What is no network."""
    return rng.choice(
        [net.layers[0], net.layers[0].cell, None, Network, net.loss, *[make() for make in GARBAGE]]
    ), "network"


def spoil_rule_state(rng: random.Random, state: Any, *_: Any) -> tuple[Any, str]:
    return spoil_tree(rng, state)


def spoil_step(rng: random.Random, step: Step, *_: Any) -> tuple[Any, str]:
    """No step, or one without gradients, with those of something else, or with a count that counts nothing."""
    kind = rng.randrange(4)
    if kind == 0:
        return garbage(rng)
    if kind == 1:
        value, spoilt = garbage(rng)
        return replace(step, grads=value), f"grads: {spoilt}"
    if kind == 2:
        value = rng.choice([-1, 1.5, "3", None, True, np.nan, np.zeros(2, int)])
        return replace(step, count=value), f"count {value}"
    value, spoilt = spoil_tree(rng, step.grads.params)
    return replace(step, grads=replace(step.grads, params=value)), f"grads.params.{spoilt}"


SPOILERS: dict[str, Callable[..., tuple[Any, str]]] = {
    "net": spoil_network, "params": spoil_tree, "inputs": spoil_inputs, "state": spoil_tree, "lengths": spoil_lengths,
    "output_cotangent": spoil_array, "state_cotangent": spoil_tree, "targets": spoil_targets, "rule": spoil_rule,
    "rule_state": spoil_rule_state, "step": spoil_step,
}  # fmt: skip


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """How the drawn calls ended on each backend, and on how many their classes differ."""
    backends = [rnnspec.get_backend(name, precision="f32") for name in names]
    ends: dict[str, Counter[str]] = {name: Counter() for name in names}
    wrong: list[str] = []
    differing = 0
    for i in range(count):
        outcomes = {b.name: draw(random.Random(f"{seed} {i}")).outcome(b) for b in backends}
        for name, outcome in outcomes.items():
            ends[name][outcome if not outcome.startswith("!") else "not refused"] += 1
        differing += len(set(outcomes.values())) > 1
        if len(set(outcomes.values())) > 1 or any(o.startswith("!") for o in outcomes.values()):
            call = draw(random.Random(f"{seed} {i}"))
            wrong.append(f"{seed} {i}: {call.method} {call.spoilt}: {outcomes}")
    for line in wrong[:20]:
        print(line)
    return {
        "calls": count, "seed": seed, "backends": {name: dict(sorted(c.items())) for name, c in ends.items()},
        "classes_that_differ": differing, "not_refused": sum(c["not refused"] for c in ends.values()),
        "holds": not wrong,
    }  # fmt: skip
