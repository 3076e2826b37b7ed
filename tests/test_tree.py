"""Trees: walked by name."""

from __future__ import annotations

import pytest

from rnnspec.errors import TreeError
from rnnspec.tree import MOST_LEVELS, bounded, leaves, named_map, tree_map

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


def nested(levels):
    """A leaf in as many lists."""
    return 1 if not levels else [nested(levels - 1)]


def endless(kind):
    """A dict, list or tuple that holds itself, among leaves."""
    if kind is dict:
        found = {"W": 1, "layers": None, "output": 2}
        found["layers"] = found
        return found
    inside = [1, None]
    found = inside if kind is list else (inside, 2)
    inside[1] = found
    return found


WALKS = {
    "tree_map": lambda tree: tree_map(lambda a: a, tree),
    "leaves": lambda tree: dict(leaves(tree)),
    "bounded": lambda tree: bounded("call(tree)", tree),
}


@pytest.mark.parametrize("kind", [dict, list, tuple])
@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
def test_a_tree_that_holds_itself_is_refused_with_a_place(walk, kind):
    with pytest.raises(TreeError, match=rf"\): a tree must have .*{'layers.layers' if kind is dict else '1'}"):
        walk(endless(kind))


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
def test_levels_are_bounded(walk):
    walk(nested(MOST_LEVELS))
    with pytest.raises(TreeError, match=f"at most {MOST_LEVELS} levels"):
        walk(nested(MOST_LEVELS + 1))


def test_a_bounded_tree_is_itself():
    assert bounded("call(tree)", TREE) is TREE
