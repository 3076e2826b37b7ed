"""Faults of exported ONNX graphs, as changes of right ones, for the judge to detect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

LONGEST = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Fault:
    """What is wrong in a graph, the change that makes it so, and the law and the network that show it."""

    says: str
    change: Callable[[GraphProto], None]
    law: str
    network: str

    def of(self, model: bytes) -> bytes:
        """The faulty model; raises ValueError where the graph has no place for the fault."""
        made = ModelProto.FromString(model)
        self.change(made.graph)
        if made.graph.SerializeToString() == ModelProto.FromString(model).graph.SerializeToString():
            raise ValueError(f"{self.says}: nothing was changed")
        return made.SerializeToString()


def scans(graph: GraphProto) -> Iterator[NodeProto]:
    return (node for node in graph.node if node.op_type == "Scan")


def body(scan: NodeProto) -> GraphProto:
    return next(a.g for a in scan.attribute if a.name == "body")


def made_of(graph: GraphProto, kind: str, part: str) -> Iterator[NodeProto]:
    """The operators of a kind whose operands are all parameters with a part of a name, or values made of them."""
    names = {i.name for i in graph.initializer if part in i.name}
    for node in graph.node:
        if node.op_type in ("Concat", "Transpose") and set(node.input) <= names:
            names.update(node.output)
        if node.op_type == kind and names & set(node.input):
            yield node


def turn_into(node: NodeProto, source: str) -> None:
    node.op_type = "Identity"
    del node.input[:], node.attribute[:]
    node.input.append(source)


def hold(graph: GraphProto, name: str, array: Any) -> str:
    graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return name


def turned(node: NodeProto) -> None:
    operands = list(node.input)[::-1]
    del node.input[:]
    node.input.extend(operands)


def swap_states(graph: GraphProto) -> None:
    for scan in scans(graph):
        scan.input[0], scan.input[1] = scan.input[1], scan.input[0]


def ignore_lengths(graph: GraphProto) -> None:
    cast = next(node for node in graph.node if "lengths" in node.input)
    cast.input[0] = hold(graph, "no lengths", np.array([LONGEST], np.int32))


def reverse_whole_arrays(graph: GraphProto) -> None:
    ends = [hold(graph, name, np.array([number])) for name, number in
            (("first", -1), ("last", -LONGEST), ("axis", 0), ("stride", -1))]  # fmt: skip
    for node in graph.node:
        if node.op_type == "GatherElements":
            node.op_type = "Slice"
            del node.attribute[:]
            node.input[1] = ends[0]
            node.input.extend(ends[1:])


def drop_bias(graph: GraphProto) -> None:
    for node in list(made_of(graph, "Add", ".b.")):
        turn_into(node, node.input[0])


def pad_states(graph: GraphProto) -> None:
    for scan in scans(graph):
        for node in body(scan).node:
            if node.op_type == "Where" and node.output[0] in {o.name for o in body(scan).output}:
                turn_into(node, node.input[1])


def over_rows(graph: GraphProto) -> None:
    for scan in scans(graph):
        moving = next(a.i for a in scan.attribute if a.name == "num_scan_inputs")
        recorded = len(scan.output) - len(scan.input) + moving
        scan.attribute.extend([helper.make_attribute("scan_input_axes", [1] * moving),
                               helper.make_attribute("scan_output_axes", [1] * recorded)])  # fmt: skip


def backwards(graph: GraphProto) -> None:
    for scan in scans(graph):
        moving = next(a.i for a in scan.attribute if a.name == "num_scan_inputs")
        recorded = len(scan.output) - len(scan.input) + moving
        scan.attribute.extend([helper.make_attribute("scan_input_directions", [1] * moving),
                               helper.make_attribute("scan_output_directions", [1] * recorded)])  # fmt: skip


def turn_maps(graph: GraphProto) -> None:
    for node in list(made_of(graph, "Transpose", ".U.")):
        turn_into(node, node.input[0])


def reorder_gates(graph: GraphProto) -> None:
    for node in list(made_of(graph, "Concat", ".W.")):
        turned(node)


def forget_state(graph: GraphProto) -> None:
    for node in graph.node:
        if node.op_type == "Expand" and node.input[0].startswith("state."):
            held = next(i for i in graph.initializer if i.name == node.input[0])
            node.input[0] = hold(graph, f"no {held.name}", numpy_helper.to_array(held))


def exchange_halves(graph: GraphProto) -> None:
    loops = {name for scan in scans(graph) for name in scan.output}
    made = set(loops)
    for node in graph.node:
        if node.op_type in ("Where", "GatherElements") and made & set(node.input):
            made.update(node.output)
        elif node.op_type == "Concat" and set(node.input) <= made:
            turned(node)


def keep_padding(graph: GraphProto) -> None:
    loops = {name for scan in scans(graph) for name in scan.output}
    for node in graph.node:
        if node.op_type == "Where" and loops & set(node.input):
            turn_into(node, next(name for name in node.input if name in loops))


def round_inputs(graph: GraphProto) -> None:
    rounded = [helper.make_node("Cast", ["inputs"], ["narrow"], to=TensorProto.FLOAT),
               helper.make_node("Cast", ["narrow"], ["wide"], to=TensorProto.DOUBLE)]  # fmt: skip
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = "wide" if name == "inputs" else name
    nodes = [*rounded, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


FAULTS = (
    Fault("the states of a Scan stand in another order", swap_states, "P01", "lstm"),
    Fault("lengths are not read", ignore_lengths, "P01", "gru"),
    Fault("the reverse half reverses the array, and not each row", reverse_whole_arrays, "P21", "bidirectional"),
    Fault("the biases are missing", drop_bias, "P01", "gru"),
    Fault("a final state is that of the last padded step", pad_states, "P01", "elman"),
    Fault("a Scan runs over rows", over_rows, "P01", "mingru"),
    Fault("a Scan runs backwards", backwards, "P16", "mingru"),
    Fault("recurrent maps are turned around", turn_maps, "P01", "elman"),
    Fault("the gates of the input maps stand in another order", reorder_gates, "P01", "lstm"),
    Fault("the initial state is not read", forget_state, "P11", "gru"),
    Fault("the halves stand in another order", exchange_halves, "P01", "bidirectional"),
    Fault("outputs after a row's end are not 0", keep_padding, "P32", "elman"),
    Fault("inputs are rounded to float32", round_inputs, "P01", "elman"),
)
