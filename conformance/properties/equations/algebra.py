"""What follows from the equations of any cell: signs, scales, orders of units and features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask
from conformance.properties.equations.parity import Symmetry, symmetry
from conformance.registry import law
from conformance.statements import EQUATIONS
from conformance.tolerance import PROFILES, Reference
from rnnspec import Backend, Cell, Gradients
from rnnspec.tracing.cell import OUTPUT
from rnnspec.tree import Tree, leaves, named_map

SHIFTS = {"f64": (300, -300), "f32": (40, -40), "bf16": (40, -40), "f16": (6, -6)}
"""Powers of two beyond any threshold on the size of inputs or weights, and within the range of a precision."""
ITSELF = "the cell reads x itself, and not only its maps"


@law(EQUATIONS["P42"], cases=networks.cells, needs=("lengths",), also=("gradients",))
def units(backend: Backend, case: Case, judge: Judge) -> None:
    """Draws an order for each width of the cell."""
    question, profile = ask(backend, case), PROFILES[backend.precision]
    judge.applies(_cell(case).heads is None and not _cell(case).has_matrices, "its units are in heads or matrices")
    judge.applies(not _cell(case).reads_input, ITSELF)
    orders, cell = _orders(case), _cell(case)
    g = question.given
    out = orders.get(OUTPUT, np.arange(case.net.features))
    moved = question.but(
        params=_in_order(cell, g.params, orders), state=_states_in_order(g.state, orders),
        output_cotangent=g.output_cotangent[..., out], state_cotangent=_states_in_order(g.state_cotangent, orders),
    )  # fmt: skip
    whole = question.run()
    wanted = {"outputs": whole.outputs[..., out], "state": _states_in_order(whole.state, orders)}
    judge.agree("run", moved.run(), wanted,
                _mapped(tolerance.run(case, profile), lambda tree: {
                    "outputs": tree["outputs"][..., out],
                    "state": _states_in_order(tree["state"], orders)}))  # fmt: skip
    if not judge.gradients:
        return
    pulled = question.pull()
    judge.agree("pullback", moved.pull(), {
        "params": _in_order(cell, pulled.params, orders), "inputs": pulled.inputs,
        "state": _states_in_order(pulled.state, orders),
    }, moved.pull_reference())  # fmt: skip


@law(EQUATIONS["P43"], cases=networks.cells, needs=("lengths",), also=("gradients",))
def features(backend: Backend, case: Case, judge: Judge) -> None:
    """Draws an order."""
    judge.applies(not _cell(case).reads_input, ITSELF)
    question, profile = ask(backend, case), PROFILES[backend.precision]
    order, g = np.random.default_rng(case.seed).permutation(case.net.input_features), question.given

    def columns(tree: Tree) -> Tree:
        return named_map(lambda name, a: a[:, order] if ".W." in name else a, tree)

    moved = question.but(params=columns(g.params), inputs=g.inputs[..., order])
    judge.agree("run", moved.run(), question.run(), tolerance.run(case, profile))
    if not judge.gradients:
        return
    pulled = question.pull()
    judge.agree("pullback", moved.pull(), Gradients(columns(pulled.params), pulled.inputs[..., order], pulled.state),
                moved.pull_reference())  # fmt: skip


@law(EQUATIONS["P44"], cases=networks.cells, needs=("lengths",), also=("gradients",))
def signs(backend: Backend, case: Case, judge: Judge) -> None:
    """Decides from the graph whether the equations are odd in a unit, and which leaves change their sign."""
    judge.applies(not _cell(case).has_matrices, "its units are in matrices")
    judge.applies(not _cell(case).reads_input, ITSELF)
    found = symmetry(_cell(case))
    judge.applies(found is not None, "no state of this cell is odd in itself")
    assert found is not None
    question, profile, unit = ask(backend, case), PROFILES[backend.precision], case.seed % _narrowest(case)
    turn = _turning(found, unit)
    turned = _turned(question, turn, found, unit)
    whole = question.run()
    wanted = {"outputs": _output(whole.outputs, found, unit), "state": turn(whole.state, "state")}
    judge.agree("run", turned.run(), wanted, tolerance.run(case, profile))  # fmt: skip
    if not judge.gradients:
        return
    pulled = question.pull()
    judge.agree("pullback", turned.pull(), {"params": turn(pulled.params, "params"), "inputs": pulled.inputs,
                                            "state": turn(pulled.state, "state")},
                tolerance.pullback(case, profile))  # fmt: skip


@law(EQUATIONS["P45"], cases=networks.cells, needs=("lengths",), also=("gradients",))
def scaled(backend: Backend, case: Case, judge: Judge) -> None:
    """Scales by large and by small powers of two, and compares values and gradients."""
    judge.applies(not _cell(case).reads_input, ITSELF)
    question, profile = ask(backend, replace(case, padding=0.0)), PROFILES[backend.precision]
    whole, pulled, g = question.run(), question.pull() if judge.gradients else None, question.given
    for k in SHIFTS[backend.precision]:
        moved = question.but(params=_maps_times(g.params, -k), inputs=np.ldexp(g.inputs, k))
        judge.scaled(f"run, 2^{k}", moved.run(), whole, tolerance.run(case, profile))
        if pulled is None:
            continue
        back = moved.pull()
        judge.scaled(f"pullback, 2^{k}", Gradients(_maps_times(back.params, -k), np.ldexp(back.inputs, k), back.state),
                     pulled, tolerance.pullback(case, profile))  # fmt: skip


def _cell(case: Case) -> Cell:
    return case.net.layers[0].cell


def _orders(case: Case) -> dict[str, Any]:
    """One drawn order for each width; by every name that has the width."""
    layer, rng = case.net.layers[0], np.random.default_rng(case.seed)
    widths = layer.cell.widths(layer.widths_given)
    found: dict[str, Any] = {}
    for members in layer.cell.width_classes:
        found |= dict.fromkeys(members, rng.permutation(widths[min(members)]))
    return found


def _in_order(cell: Cell, params: Tree, orders: dict[str, Any]) -> Tree:
    def move(kind: str, name: str, a: Any) -> Any:
        if kind == "U":
            columns = orders.get(f"{name}.R", np.arange(a.shape[1]))
            return a[orders.get(f"R.{name}", np.arange(len(a)))][:, columns]
        return a[orders.get(f"{'p' if kind == 'p' else 'x'}.{name}", np.arange(len(a)))]

    half = params["layers"][0]["forward"]
    return {
        "layers": [{"forward": {kind: {n: move(kind, n, a) for n, a in maps.items()} for kind, maps in half.items()}}]
    }


def _states_in_order(state: Tree, orders: dict[str, Any]) -> Tree:
    return [
        {"forward": {name: s[..., orders.get(name, np.arange(s.shape[-1]))] for name, s in state[0]["forward"].items()}}
    ]


def _mapped(reference: Reference, move: Callable[[Tree], Tree]) -> Reference:
    names = {name.removeprefix("state.0.forward."): name for name in reference.leaves if name != "outputs"}
    tree = {"outputs": reference.leaves["outputs"],
            "state": [{"forward": {short: reference.leaves[name] for short, name in names.items()}}]}  # fmt: skip
    return replace(reference, leaves=dict(leaves(move(tree))), again=lambda runs: _mapped(reference.again(runs), move))


def _narrowest(case: Case) -> int:
    layer = case.net.layers[0]
    return min(layer.cell.widths(layer.widths_given).values())


def _turning(found: Symmetry, unit: int) -> Callable[[Tree, str], Tree]:
    kinds = {"W": "input", "b": "input", "p": "vector", "U": "map"}

    def turn(tree: Tree, what: str) -> Tree:
        def one(name: str, a: Any) -> Any:
            *_, kind, leaf = ("", *name.split("."))
            a = np.array(a)
            if what == "state":
                a[..., unit] *= -1 if ("state", leaf) in found.odd else 1
            else:
                a[unit] *= -1 if (kinds[kind], leaf) in found.odd else 1
                if kind == "U":
                    a[:, unit] *= -1 if leaf in found.columns else 1
            return a

        return named_map(one, tree)

    return turn


def _turned(question: Question, turn: Callable[[Tree, str], Tree], found: Symmetry, unit: int) -> Question:
    g = question.given
    return question.but(
        params=turn(g.params, "params"), state=turn(g.state, "state"),
        output_cotangent=_output(g.output_cotangent, found, unit), state_cotangent=turn(g.state_cotangent, "state"),
    )  # fmt: skip


def _output(outputs: Any, found: Symmetry, unit: int) -> Any:
    turned = np.array(outputs)
    turned[..., unit] *= -1 if found.output else 1
    return turned


def _maps_times(params: Tree, k: int) -> Tree:
    return named_map(lambda name, a: np.ldexp(a, k) if ".W." in name else a, params)
