"""Graphs: built once per value, and rebuilt from JSON without running anything."""

from __future__ import annotations

import json
import math

import pytest

from rnnspec import cells
from rnnspec.errors import EquationError
from rnnspec.primitives import tanh, total, where
from rnnspec.tracing.graph import GraphBuilder, Node, ancestors, descendants, from_json, to_json
from rnnspec.tracing.ranks import is_scalar

BUILT_IN = [getattr(cells, name) for name in vars(cells) if hasattr(getattr(cells, name), "graph")]


def test_equal_nodes_are_one():
    builder = GraphBuilder()
    h = builder.vector("state", "h")
    assert (h + h).index == (h + h).index
    assert len(builder.nodes) == 2


def test_zeros_of_either_sign_are_one_number_whatever_comes_first():
    values = []
    for first, second in ((0.0, -0.0), (-0.0, 0.0)):
        builder = GraphBuilder()
        builder.constant(first)
        values.append(builder.nodes[builder.constant(second)].value)
    assert [math.copysign(1, value) for value in values] == [1, 1]


def test_what_no_result_needs_is_dropped():
    builder = GraphBuilder()
    h, x = builder.vector("state", "h"), builder.vector("input", "h")
    tanh(x)
    graph = builder.graph({"h": (h + h).index})
    assert [node.op for node in graph.nodes] == ["state", "add"]


def test_ancestors_and_descendants():
    nodes = [Node("state"), Node("input"), Node("tanh", (1,)), Node("add", (0, 2)), Node("tanh", (0,))]
    assert ancestors(nodes, [3]) == {0, 1, 2, 3}
    assert descendants(nodes, [1]) == {1, 2, 3}


def test_what_is_one_number():
    builder = GraphBuilder()
    h = builder.vector("state", "h")
    n = total(h)
    for _ in range(200):  # each twice the one before: a walk that forgets where it was would not come back
        n = n * n + 1.0
    assert is_scalar(builder.nodes, n.index)
    assert not is_scalar(builder.nodes, (n + h).index)
    assert not is_scalar(builder.nodes, where(h > n, n, 1.0).index)


@pytest.mark.parametrize("cell", BUILT_IN, ids=lambda cell: cell.name)
def test_json_gives_the_same_graph(cell):
    assert from_json(json.loads(json.dumps(to_json(cell.graph)))) == cell.graph


H, X = ["state", [], "h", None], ["input", [], "h", None]
HOSTILE = {
    "an unknown operation": [H, ["eval", [0], "", None]],
    "an operation of adjoints": [H, ["cotangent", [], "h", None]],
    "an incoming cotangent": [["cotangent", [], "h", None]],
    "an argument of a loss": [["argument", [], "z", None]],
    "a caller's function": [H, ["reduce", [0], "", None]],
    "a node that needs itself": [["tanh", [0], "", None]],
    "a node before what it needs": [["tanh", [1], "", None], H],
    "a negative place": [H, X, ["add", [0, -1], "", None]],
    "a place that is no whole number": [H, ["tanh", [0.0], "", None]],
    "a place that is a truth value": [H, X, ["add", [0, True], "", None]],
    "too few operands": [H, ["add", [0], "", None]],
    "too many operands": [H, ["tanh", [0, 0], "", None]],
    "a number without a value": [["constant", [], "", None]],
    "a number that is a string": [["constant", [], "", "1"]],
    "a number that is a truth value": [["constant", [], "", True]],
    "a value where none belongs": [["state", [], "h", 1.0]],
    "a name with a space": [["input", [], "a b", None]],
    "a name with a dot": [["input", [], "a.b", None]],
    "no name": [["state", [], "", None]],
    "a name that is no string": [["state", [], 1, None]],
    "the name R": [H, ["map", [0], "R", None]],
    "a condition as a vector": [H, ["greater", [0, 0], "", None], ["tanh", [1], "", None]],
    "a condition as a result": [H, ["greater", [0, 0], "", None]],
    "a condition mapped": [H, ["greater", [0, 0], "", None], ["map", [1], "h", None]],
    "no condition": [H, ["where", [0, 0, 0], "", None]],
}


@pytest.mark.parametrize("nodes", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_graph_is_refused(nodes):
    with pytest.raises(EquationError):
        from_json({"nodes": nodes, "results": [["h", len(nodes) - 1]]})


@pytest.mark.parametrize("results", [[["h", 1]], [["h", -1]], [["h", True]], [["h", 0.0]], [[1, 0]]], ids=repr)
def test_a_result_that_is_no_node_is_refused(results):
    with pytest.raises(EquationError):
        from_json({"nodes": [H], "results": results})
