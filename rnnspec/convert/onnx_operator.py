"""A node of an ONNX graph as it is read: its operator, its options, and how errors name it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnx import GraphProto, NodeProto, helper

__all__ = ["Operator", "operators_in"]

OWN = ("", "ai.onnx")
MOST = 4
"""The most operators of a node's own graph that an error names."""
RECURRENT = ("RNN", "LSTM", "GRU", "DynamicQuantizeLSTM")


@dataclass(frozen=True, eq=False)
class Operator:
    """A node: `kind` is its operator, after its domain where that is not ONNX's own."""

    node: NodeProto
    kind: str
    options: Mapping[str, Any]
    opset: int

    @classmethod
    def of(cls, node: NodeProto, opset: int) -> Operator:
        """The operator of a node."""
        kind = node.op_type if node.domain in OWN else f"{node.domain}.{node.op_type}"
        return cls(node, kind, {a.name: _plain(helper.get_attribute_value(a)) for a in node.attribute}, opset)

    def option(self, name: str, default: Any = None) -> Any:
        """The value of an attribute."""
        return self.options.get(name, default)

    @property
    def graphs(self) -> list[GraphProto]:
        """The graphs that the node holds, of branches or of a loop."""
        return [value for value in self.options.values() if isinstance(value, GraphProto)]

    def __str__(self) -> str:
        inner = [node for graph in self.graphs for node in operators_in(graph)]
        held = [f"{node.op_type} {node.name or node.output[0]!r}" for node in inner if node.op_type in RECURRENT]
        held = held or list(dict.fromkeys(node.op_type for node in inner if node.op_type != "Constant"))
        own = f"{self.kind} {self.node.name or next(filter(None, self.node.output), '')!r}"
        if not self.graphs:
            return own
        return f"{own}, whose graph holds {', '.join(held[:MOST])}{', ...' * (len(held) > MOST)}"


def operators_in(graph: GraphProto) -> list[NodeProto]:
    """The nodes of a graph, and of the graphs in them."""
    found = []
    for node in graph.node:
        found.append(node)
        for attribute in node.attribute:
            found += operators_in(attribute.g) if attribute.HasField("g") else []
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value.decode() if isinstance(value, bytes) else value
