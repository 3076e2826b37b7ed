"""A question to a backend: a network and all arrays of a call, of which any can be replaced; answers are NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np

from conformance import oracle, tolerance
from conformance.cases import Arrays, Case, source
from conformance.oracle import Arithmetic
from conformance.tolerance import PROFILES, REFERENCES, Reference
from rnnspec import Backend, Cell, Gradients, Key, Last, Network, Result, Step
from rnnspec.errors import RnnSpecError
from rnnspec.tree import Tree, leaves, named_map, tree_map

__all__ = [
    "EMPTY",
    "Question",
    "ask",
    "changed",
    "few",
    "flat",
    "in_order",
    "is_eager",
    "of_rows",
    "only_rows",
    "picked",
    "refuses",
]

Array = Any

EMPTY = {"no step": (slice(0, 0), slice(None)), "no row": (slice(None), slice(0, 0))}
"""Which steps of which rows are none."""


@dataclass(frozen=True)
class Question:
    """What is asked; the methods are the calls."""

    backend: Backend
    net: Network
    given: Arrays
    key: Key | None = None

    def but(self, **arrays: Any) -> Question:
        """The same question with other arrays."""
        return replace(self, given=replace(self.given, **arrays))

    def run(self) -> Result:
        """Outputs and final state."""
        g = self.given
        found = self.backend.run(self.net, g.params, g.inputs, g.state, g.lengths, *self.resets, **self.keyed)
        return Result(self.backend.to_numpy(found.outputs), self.backend.to_numpy(found.state), found.path)

    def pull(self) -> Gradients:
        """The vector-Jacobian product."""
        g = self.given
        return self._numpy(self.backend.pullback(self.net, g.params, g.inputs, g.output_cotangent, g.state_cotangent,
                                                 g.state, g.lengths, *self.resets, **self.keyed))  # fmt: skip

    def step(self) -> Step:
        """The loss and its gradients."""
        g, to_numpy = self.given, self.backend.to_numpy
        found = self.backend.value_and_grad(self.net, g.params, g.inputs, g.targets, g.state, g.lengths,
                                            *self.resets, **self.keyed)  # fmt: skip
        return Step(to_numpy(found.loss_sum), found.count, self._numpy(found.grads), to_numpy(found.state))

    def run_reference(self) -> Reference:
        """What `run` must give, and the yardstick, of these very arrays."""
        g = self.given
        return self._reference(partial(oracle.run, self.net, g.params, g.inputs, g.state, g.lengths,
                                       resets=g.resets, **self.keyed))  # fmt: skip

    def pull_reference(self) -> Reference:
        """What `pull` must give, and the yardstick, of these very arrays."""
        g = self.given
        return self._reference(partial(oracle.pullback, self.net, g.params, g.inputs, g.output_cotangent,
                                       g.state_cotangent, g.state, g.lengths, resets=g.resets,
                                       **self.keyed))  # fmt: skip

    def step_reference(self) -> Reference:
        """What `step` must give, and the yardstick, of these very arrays."""
        g = self.given
        return self._reference(partial(oracle.value_and_grad, self.net, g.params, g.inputs, g.targets, g.state,
                                       g.lengths, resets=g.resets, **self.keyed))  # fmt: skip

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(self.given.inputs)

    @property
    def ends(self) -> Array:
        """Where each row ends."""
        g = self.given
        return np.full(g.inputs.shape[1], self.steps) if g.lengths is None else np.asarray(g.lengths)

    @property
    def is_forward(self) -> bool:
        """Whether every layer runs forward in time, and the outputs are those of every step."""
        return self.net.output is None and all(layer.direction == "forward" for layer in self.net.layers)

    @property
    def is_last(self) -> bool:
        """Whether the outputs are those of each row's last step, and have no time."""
        return isinstance(self.net.read, Last)

    @property
    def has_policy(self) -> bool:
        """Whether a policy acts inside a recurrence."""
        return any(layer.gradient is not None for layer in self.net.layers)

    @property
    def resets(self) -> tuple[Any, ...]:
        """The last argument of a call that has resets: one without them does not name them."""
        return () if self.given.resets is None else (self.given.resets,)

    @property
    def keyed(self) -> dict[str, Any]:
        """The argument of a call that has noise: one without noise does not name it."""
        return {} if self.key is None else {"key": self.key}

    def _reference(self, compute: Any) -> Reference:
        def counted(arithmetic: Arithmetic) -> Tree:
            return compute(arithmetic=arithmetic)

        cells = tuple(layer.cell for layer in self.net.layers)  # drawn ones have one name, and so one `repr`
        asked = _Asked(self.backend.precision, compute.func.__name__, self._digest(), cells, counted, self.net)
        held = sum(np.asarray(a).nbytes for tree in vars(self.given).values() for _, a in leaves(tree))
        return REFERENCES.get(asked, asked.reference, lambda found: found.nbytes + held)

    def _digest(self) -> bytes:
        """What all numbers of the question and its network come to."""
        asked = repr(self.net).replace(", noise=()", "")  # so that other questions keep their roundings
        found = sha256((asked + ("" if self.key is None else repr(self.key))).encode())
        without = {"resets"} if self.given.resets is None else set()
        for name in sorted(vars(self.given).keys() - without):
            for place, a in leaves(getattr(self.given, name)):
                given = np.ascontiguousarray([] if a is None else a)
                found.update(f"{name} {place} {given.dtype} {given.shape}".encode() + given.tobytes())
        return found.digest()

    def _numpy(self, found: Gradients) -> Gradients:
        to_numpy = self.backend.to_numpy
        inputs = None if found.inputs is None else to_numpy(found.inputs)
        return Gradients(to_numpy(found.params), inputs, to_numpy(found.state))


@dataclass(frozen=True)
class _Asked:
    """A calculation of the oracle's, known by what it is of."""

    precision: str
    what: str
    digest: bytes
    cells: tuple[Cell, ...]
    compute: Callable[[Arithmetic], Tree] = field(compare=False)
    net: Network = field(compare=False)

    def reference(self) -> Reference:
        """What the oracle says; each question has its own roundings."""
        return tolerance.reference(PROFILES[self.precision], self.compute, int.from_bytes(self.digest[:4]),
                                   name=self._name)  # fmt: skip

    def _name(self) -> str:
        return f"{self.what} in {self.precision} of {self.digest.hex()} by {source.network(self.net)}"


def ask(backend: Backend, case: Case) -> Question:
    """The question of a case, in the backend's precision."""
    return Question(backend, case.net, case.arrays(backend.precision))


def is_eager(backend: Backend) -> bool:
    """Whether another network or shape costs the backend no program."""
    return not hasattr(backend, "programs_compiled")


def only_rows(question: Question, rows: Array) -> Question:
    """The same question with all other rows of length 0."""
    kept = np.isin(np.arange(len(question.ends)), rows)
    return question.but(lengths=np.where(kept, question.ends, 0))


def in_order(question: Question, order: Any) -> Question:
    """The question of these rows, in this order, some twice or not at all."""
    g = question.given
    states, cotangents = (tree_map(lambda s: s[order], tree) for tree in (g.state, g.state_cotangent))
    return question.but(inputs=g.inputs[:, order], state=states, lengths=question.ends[order],
                        resets=None if g.resets is None else g.resets[:, order],
                        output_cotangent=g.output_cotangent[..., order, :], state_cotangent=cotangents)  # fmt: skip


def few(question: Question, cut: tuple[slice, slice]) -> Question:
    """The question of some steps of some rows, called without lengths."""
    g, rows = question.given, cut[1]
    over = (rows,) if question.is_last else cut
    trees = {"state": g.state, "state_cotangent": g.state_cotangent}
    states = {name: None if tree is None else tree_map(lambda s: s[rows], tree) for name, tree in trees.items()}
    targets, resets = None if g.targets is None else g.targets[over], None if g.resets is None else g.resets[cut]
    return question.but(inputs=g.inputs[cut], output_cotangent=g.output_cotangent[over], targets=targets, lengths=None,
                        resets=resets, **states)  # fmt: skip


def refuses(call: Callable[..., Any], *given: Any) -> bool:
    """Whether a call raises an error of rnnspec's."""
    try:
        call(*given)
    except RnnSpecError:
        return True
    except Exception:
        return False
    return False


def of_rows(rows: Array, chosen: Array, other: Array) -> Array:
    """A state, (batch, ...) of any rank, with some rows of one and the others of another."""
    return np.where(rows.reshape(-1, *(1,) * (chosen.ndim - 1)), chosen, other)


def picked(answer: Result, rows: Array) -> dict[str, Any]:
    """Some rows of a result, in their order."""
    return {"outputs": answer.outputs[..., rows, :], "state": tree_map(lambda s: s[rows], answer.state)}


def changed(tree: Tree, name: str, value: Any) -> Tree:
    """A tree with one leaf replaced, by its dotted name."""
    return named_map(lambda place, leaf: value if place == name else leaf, tree)


def flat(tree: Tree) -> Array:
    """All numbers of a tree in one float64 vector, in the order of their names: a tree's own order means nothing."""
    named = sorted(leaves(tree), key=lambda pair: pair[0])
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for _, leaf in named] or [np.zeros(0)])
