"""Trees that are taken apart among stages: their names and shapes are looked at before."""

from __future__ import annotations

from rnnspec.errors import ShapeError, TreeError
from rnnspec.showing import shown
from rnnspec.tree import Tree, bounded, leaves

__all__ = ["check_tree"]


def check_tree(call: str, what: str, tree: Tree, shapes: Tree) -> None:
    """Raise TreeError or ShapeError where a tree has other names, or arrays of other shapes, than `shapes`."""
    found, wanted = dict(leaves(bounded(call, tree), what)), dict(leaves(shapes, what))
    for name in (*wanted, *found):
        if name not in found or name not in wanted:
            raise TreeError(call, f"{what} must have the names that are declared",
                            f"no {shown(name)}" if name in wanted else shown(name),
                            "add it" if name in wanted else "leave it out")  # fmt: skip
    for name, shape in wanted.items():
        own = tuple(getattr(found[name], "shape", ()))
        if own != tuple(shape):
            raise ShapeError(call, f"{name} must have the shape {tuple(shape)}", f"shape {own}", "reshape it")
