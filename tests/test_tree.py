"""Trees: walked by name."""

from __future__ import annotations

import pytest

from rnnspec.tree import leaves, named_map, tree_map

TREE = {"layers": [{"W": 1, "b": 2}, {"W": 3}], "output": (4, {"x": 5})}


def test_leaves_have_dotted_names():
    assert dict(leaves(TREE)) == {
        "layers.0.W": 1, "layers.0.b": 2, "layers.1.W": 3, "output.0": 4, "output.1.x": 5,
    }  # fmt: skip


def test_a_map_keeps_the_containers():
    assert tree_map(lambda a: -a, TREE) == {"layers": [{"W": -1, "b": -2}, {"W": -3}], "output": (-4, {"x": -5})}


def test_other_trees_are_walked_by_name_and_not_by_order():
    turned = {"output": TREE["output"], "layers": [{"b": 20, "W": 10}, {"W": 30}]}
    assert tree_map(lambda a, b: (a, b), TREE, turned)["layers"][0] == {"W": (1, 10), "b": (2, 20)}


def test_a_leaf_alone_and_trees_without_leaves():
    assert tree_map(lambda a: a + 1, 1) == 2
    assert dict(leaves(1, "x")) == {"x": 1}
    assert tree_map(lambda a: a, {"a": [], "b": (), "c": {}}) == {"a": [], "b": (), "c": {}}
    assert list(leaves({"a": [], "b": ()})) == []


def test_names_are_given_with_a_start():
    assert named_map(lambda name, a: name, {"a": [1]}, name="params") == {"a": ["params.a.0"]}


def test_a_tree_of_fewer_names_fails():
    with pytest.raises(KeyError):
        tree_map(lambda a, b: a, {"a": 1, "b": 2}, {"a": 1})
