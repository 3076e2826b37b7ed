"""Many units beside one another, none of which reads another's block: they are rows of a narrow layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis.strategies import SearchStrategy

from conformance.cases import Case, cases, network_for
from conformance.judge import Judge
from conformance.properties.asking import Question, ask
from conformance.properties.extents import groups
from conformance.registry import Scope, law
from conformance.statements import EQUATIONS
from conformance.tolerance import Reference
from rnnspec import Backend, Layer, Network
from rnnspec.tree import Tree, leaves, named_map, tree_map

UNITS = 1030
"""More than 10 bits count, of every width that a cell has."""
ROWS, STEPS = 2, 4
MIXING = ("total", "total_in", "total_out", "logsumexp", "width")
"""What makes one number of all units."""


def drawn(scope: Scope) -> Mapping[str, SearchStrategy[Case]]:
    """One cell of each group at a time, where a size more is no program more."""
    if not scope.eager or scope.shapes:
        return {}
    return {f"units of {cells[0].name}": cases([network_for(cell) for cell in cells]) for cells in groups(scope)}


@law(EQUATIONS["P101"], cases=drawn, needs=("lengths",), also=("gradients",))
def beside(backend: Backend, case: Case, judge: Judge) -> None:
    """A narrow layer of many rows against a wide layer of two, whose recurrent maps are its maps along the diagonal."""
    judge.applies(not any(node.op in MIXING for node in case.net.layers[0].cell.graph.nodes), "units read one another")
    judge.applies(bool(case.net.layers[0].cell.states), "the cell has no state")
    judge.applies(not case.net.layers[0].cell.reads_input, "units read the input itself")
    judge.applies(not case.net.layers[0].cell.has_matrices, "its units are in matrices")
    copies = -(-UNITS // min(case.net.layers[0].state_sizes.values()))
    judge.applies(_grows(case.net.layers[0], copies), "a width of the cell is always 1")
    narrow = _narrow(ask(backend, case), case, copies)
    wide, answer = _wide(narrow, copies), narrow.run()
    reference = narrow.run_reference()
    judge.agree("run", _as_rows(wide.run(), copies), {"outputs": answer.outputs, "state": answer.state}, reference)
    if not judge.gradients:
        return
    pulled, whole, reference = narrow.pull(), wide.pull(), narrow.pull_reference()
    judge.agree("gradients of states", _apart(whole.state, copies), pulled.state, reference.at("state"))
    if any(leaves(narrow.given.params)):  # a cell may have none
        own = named_map(lambda name, g: _sum_of_blocks(name, g, copies), whole.params)
        judge.agree("gradients of parameters", own, pulled.params, reference.at("params"))
    judge.agree("gradients of inputs", whole.inputs, _sum_of_rows(pulled.inputs, copies),
                _summed(reference.at("inputs"), copies))  # fmt: skip


def _narrow(question: Question, case: Case, copies: int) -> Question:
    """As many rows for each of the two as there are copies: they read the same inputs, from states of their own."""
    g = ask(question.backend, replace(case, steps=STEPS, batch=ROWS * copies, lengths=None, padding=0.0)).given
    return question.but(
        params=g.params, inputs=np.repeat(g.inputs[:, :ROWS], copies, 1), state=g.state,
        lengths=np.repeat([STEPS, STEPS - 1], copies), output_cotangent=_ended(g.output_cotangent, copies),
        state_cotangent=g.state_cotangent,
    )  # fmt: skip


def _ended(w: Any, copies: int) -> Any:
    """A cotangent without any behind the end of the second row's copies."""
    w[-1, copies:] = 0
    return w


def _many(layer: Layer, copies: int) -> Layer:
    hidden: Any = layer.widths_given
    more = {name: copies * width for name, width in hidden.items()} if isinstance(hidden, dict) else copies * hidden
    return Layer(layer.cell, more)


def _grows(layer: Layer, copies: int) -> bool:
    """Whether every width of the cell is so many times as large in the wide layer."""
    narrow, wide = (layer.cell.widths(each.widths_given) for each in (layer, _many(layer, copies)))
    return all(wide[name] == copies * width for name, width in narrow.items())


def _wide(narrow: Question, copies: int) -> Question:
    g = narrow.given
    net = Network(narrow.net.inputs, [_many(narrow.net.layers[0], copies)])
    return Question(narrow.backend, net, replace(
        g, params=named_map(lambda name, w: _tiled(name, w, copies), g.params), inputs=g.inputs[:, ::copies],
        state=_together(g.state, copies), lengths=g.lengths[::copies],
        output_cotangent=_joined(g.output_cotangent, copies), state_cotangent=_together(g.state_cotangent, copies),
        targets=None,
    ))  # fmt: skip


def _tiled(name: str, w: Any, copies: int) -> Any:
    if ".U." in name:
        return np.kron(np.eye(copies, dtype=w.dtype), w)
    return np.tile(w, (copies, *[1] * (w.ndim - 1)))


def _sum_of_blocks(name: str, g: Any, copies: int) -> Any:
    """What the copies of a map have together: those of a recurrent map along the diagonal."""
    if ".U." in name:
        rows, columns = (size // copies for size in g.shape)
        return np.einsum("iris->rs", g.reshape(copies, rows, copies, columns))
    return g.reshape(copies, -1, *g.shape[1:]).sum(0)


def _together(state: Tree, copies: int) -> Tree:
    return tree_map(lambda s: s.reshape(ROWS, -1), state)


def _apart(state: Tree, copies: int) -> Tree:
    return tree_map(lambda s: s.reshape(ROWS * copies, -1), state)


def _joined(values: Any, copies: int) -> Any:
    return values.reshape(len(values), ROWS, -1)


def _as_rows(answer: Any, copies: int) -> dict[str, Any]:
    outputs = answer.outputs.reshape(len(answer.outputs), ROWS * copies, -1)
    return {"outputs": outputs, "state": _apart(answer.state, copies)}


def _sum_of_rows(inputs: Any, copies: int) -> Any:
    return inputs.reshape(*inputs.shape[:-2], ROWS, copies, -1).sum(-2)


def _summed(inputs: Reference, copies: int) -> Reference:
    return replace(inputs, leaves={"": _sum_of_rows(inputs.leaves[""], copies)},
                   again=lambda runs: _summed(inputs.again(runs), copies))  # fmt: skip
