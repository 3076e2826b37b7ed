"""What the equations read, and how they are written: constants, biases, other spellings of the same cell."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, changed, is_eager
from conformance.registry import law
from conformance.statements import EQUATIONS
from conformance.tolerance import PROFILES
from rnnspec import Backend, Cell, Layer, Network
from rnnspec.tracing.graph import Graph, GraphBuilder
from rnnspec.tree import leaves

PLACE = "layers.0.forward"
MOVED, FINE = 100.0, 0.05
"""How many yardsticks apart two answers are not the same; only where that is a small part of the outputs' range."""
REACHED = 20.0
"""How many yardsticks a gradient must be for no rounding to make it 0."""


@law(EQUATIONS["P46"], cases=networks.cells, needs=("lengths",))
def biases(backend: Backend, case: Case, judge: Judge) -> None:
    """A bias takes over the column of the feature, or the vector of its name; twice a number is exact."""
    constant = _doubled_biases(ask(backend, case))
    whole, reference = constant.run(), constant.run_reference().own()
    cell = case.net.layers[0].cell
    for name in cell.graph.names("input"):
        moved = _taken_over(constant, name, f"W.{name}")
        judge.agree(f"from W_{name} to b_{name}", moved.run(), whole, reference)
    for name in set(cell.graph.names("vector")) & set(cell.graph.names("input")):
        answer = _taken_over(constant, name, f"p.{name}").run()
        least = MOVED * reference.at("outputs").tau()[""].max(initial=0.0)
        if _is_added(cell, name):
            judge.agree(f"from p_{name} to b_{name}", answer, whole, reference)
        elif not reference.doubt and constant.ends.any() and least < FINE:
            apart = np.abs(answer.outputs - whole.outputs).max()
            judge.holds(f"p_{name} is no bias", bool(apart > least), f"outputs moved by {apart:.3g}", f"> {least:.3g}")


@law(EQUATIONS["P47"], cases=networks.cells, needs=("lengths",), also=("gradients",))
def respelled(backend: Backend, case: Case, judge: Judge) -> None:
    """Every new state and the output times 1, terms exchanged: what is known by its graph is not known then. Where
    every network costs a program, of one cell in the deep tier alone."""
    judge.applies(is_eager(backend), "each further network costs this backend a compiled program")
    judge.applies(backend.capabilities.cells is None, "the backend does not declare the rewritten cell")
    question, profile, layer = ask(backend, case), PROFILES[backend.precision], case.net.layers[0]
    other = replace(question, net=Network(case.net.inputs, [Layer(_respelled(layer.cell), layer.hidden)]))
    judge.agree("run", other.run(), question.run(), tolerance.run(case, profile))
    if judge.gradients:
        judge.agree("pullback", other.pull(), question.pull(), tolerance.pullback(case, profile))


@law(EQUATIONS["P48"], cases=networks.cells, needs=("lengths", "gradients"))
def read(backend: Backend, case: Case, judge: Judge) -> None:
    """Its gradient is not 0, but where the graph has no way from it to a result that has a cotangent."""
    question = ask(backend, replace(case, padding=0.0))
    reference = tolerance.pullback(replace(case, padding=0.0), PROFILES[backend.precision]).own()
    judge.applies(not reference.ill_posed, "gradients are ill-posed")
    pulled, expected, tau = question.pull(), reference.expected(), reference.tau()
    for name, a in leaves({"params": pulled.params, "inputs": pulled.inputs, "state": pulled.state}):
        reached = np.abs(expected[name]) > REACHED * tau[name]
        judge.holds(f"gradient of {name}", bool((a[reached] != 0).all()),
                    f"{int((a[reached] == 0).sum())} zeros", f"none among {int(reached.sum())} numbers")  # fmt: skip


def _doubled_biases(question: Question) -> Question:
    """The last input feature 1; its column of every map, and every vector, the bias of that name."""
    x = np.array(question.given.inputs)
    x[..., -1] = 1
    found = question.but(inputs=x)
    kinds = question.given.params["layers"][0]["forward"]
    for name, bias in kinds["b"].items():
        found = _put(found, f"W.{name}", bias)
        if name in kinds["p"] and kinds["p"][name].shape == bias.shape:
            found = _put(found, f"p.{name}", bias)
    return found


def _taken_over(question: Question, name: str, place: str) -> Question:
    """The bias of a name twice what it was, and 0 in the place that held as much."""
    bias = question.given.params["layers"][0]["forward"]["b"][name]
    return _put(_put(question, f"b.{name}", 2 * bias), place, np.zeros_like(bias))


def _put(question: Question, name: str, numbers: Any) -> Question:
    """Other numbers in a bias or vector, or in the last column of a map."""
    place = f"{PLACE}.{name}"
    a = np.array(dict(leaves(question.given.params))[place])
    a[..., -1 if a.ndim > 1 else slice(None)] = numbers
    return question.but(params=changed(question.given.params, place, a))


def _is_added(cell: Cell, name: str) -> bool:
    """Whether a vector is added to the input map of its name and to nothing else: then it is a bias."""
    nodes = cell.graph.nodes
    users = {i: [j for j, node in enumerate(nodes) if i in node.args] for i in range(len(nodes))}

    def end(index: int) -> int:
        while len(users[index]) == 1 and nodes[users[index][0]].op == "add":
            index = users[index][0]
        return index

    ends = [end(i) for i, node in enumerate(nodes) if node.name == name and node.op in ("vector", "input")]
    return len(set(ends)) == 1


@lru_cache(maxsize=64)
def _respelled(cell: Cell) -> Cell:
    """Sums in the other order, and every result times 1."""
    builder = GraphBuilder()
    place: list[int] = []
    for node in cell.graph.nodes:
        args = tuple(place[arg] for arg in node.args)
        place.append(builder.add(node.op, args[::-1] if node.op == "add" else args, node.name, node.value))
    one = builder.constant(1.0)
    results = {name: builder.add("multiply", (place[index], one)) for name, index in cell.graph.results}
    graph: Graph = builder.graph(results)
    return replace(cell, name=f"{cell.name}_respelled", graph=graph)
