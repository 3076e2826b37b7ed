"""Cells with the equations of another under names that mislead: its own names, each given to something else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnnspec import Cell
from rnnspec.convert.layout import KINDS
from rnnspec.tracing.cell import OUTPUT
from rnnspec.tracing.graph import NAMED, Graph

ORDERLESS = ("add", "multiply", "maximum", "minimum")


def disguised(cell, seed):
    """The cell with names exchanged within each kind, states and operands in another order; and the names given."""
    rng = np.random.default_rng(seed)
    known = {op: cell.states if op == "state" else cell.graph.names(op) for op in NAMED}
    names = {(op, old): str(new) for op, every in known.items()
             for old, new in zip(every, rng.permutation(every), strict=True)}  # fmt: skip
    nodes = []
    for node in cell.graph.nodes:
        turned = node.op in ORDERLESS and rng.integers(2)
        nodes.append(replace(node, args=node.args[::-1] if turned else node.args,
                             name=names.get((node.op, node.name), node.name)))  # fmt: skip
    results = {OUTPUT: cell.graph.result(OUTPUT)}
    results |= {names["state", state]: cell.graph.result(state) for state in cell.states}
    states = tuple(map(str, rng.permutation(cell.states)))
    return Cell("disguised", states, Graph(tuple(nodes), tuple(results.items()))), names


def renamed(params, names):
    """One half's maps of a cell as those of its disguise."""
    return {kind: {names[KINDS[kind], name]: a for name, a in maps.items()} for kind, maps in params.items()}
