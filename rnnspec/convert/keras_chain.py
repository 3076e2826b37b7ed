"""A model of Keras as a chain: its layers in the order in which they run, each with the layers that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnspec.convert.keras_told import Told
from rnnspec.errors import UnsupportedError

__all__ = ["Link", "links", "sources"]


@dataclass(frozen=True)
class Link:
    """One layer of a chain, and the names of those that it reads; None where they are not said, as in a Sequential."""

    told: Told
    reads: tuple[str, ...] | None = None


def links(call: str, config: Mapping[str, Any] | Sequence[Any], layers: Mapping[str, Told]) -> list[Link]:
    """The chain of a model's configuration; raises UnsupportedError where a layer runs twice, or reads a state."""
    if not isinstance(config, Mapping) or "input_layers" not in config:
        return [Link(told) for told in layers.values()]
    found = []
    for own in config["layers"]:
        told = layers[own.get("name", own["config"]["name"])]
        nodes = own["inbound_nodes"]
        if len(nodes) > 1:
            raise UnsupportedError(call, "each layer of a model must run once", f"{told}, run {len(nodes)} times",
                                   "give its layers in the order in which they run")  # fmt: skip
        read = list(sources(nodes[0])) if nodes else []
        states = [name for name, index in read if index]
        if states:
            raise UnsupportedError(call, "a layer must read the outputs of another, not a state",
                                   f"{told}, which reads a state of {states[0]!r}",
                                   "give the layers up to it")  # fmt: skip
        found.append(Link(told, tuple(name for name, _ in read)))
    return found


def sources(node: Any) -> Iterator[tuple[str, int]]:
    """The layers that one call of a layer reads, each with which of its results: as Keras 3 writes them, or Keras 2."""
    if isinstance(node, Mapping) and node.get("class_name") == "__keras_tensor__":
        name, _, index = node["config"]["keras_history"]
        yield name, index
    elif isinstance(node, Mapping):
        for own in node.values():
            yield from sources(own)
    elif isinstance(node, list | tuple) and len(node) >= 3 and isinstance(node[0], str) and isinstance(node[2], int):
        yield node[0], node[2]
    elif isinstance(node, list | tuple):
        for own in node:
            yield from sources(own)
