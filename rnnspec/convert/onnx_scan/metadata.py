"""The network of a model that `to_onnx` wrote, as JSON in the model's metadata.

A model with a Scan holds every parameter under its own name, so that the network and its parameters are read as they
were. A digest of the nodes says whether the graph is still the one that the metadata describe.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from onnx import GraphProto, ModelProto, numpy_helper

from rnnspec import storage
from rnnspec.convert.assembly import numbers
from rnnspec.convert.conversion import Imported, Note, PlacedNote
from rnnspec.errors import ShapeError
from rnnspec.network import Network
from rnnspec.tree import leaves, named_map

__all__ = ["declare", "read"]

KEY = "rnnspec"


def declare(model: ModelProto, net: Network) -> list[PlacedNote]:
    """Add the network to a model whose initializers hold the parameters under their names; return what JSON cannot say.

    A user's own loss or policy is left out.
    """
    kept, notes = _storable(net)
    said = {"network": storage.to_json(kept), "graph": _digest(model.graph, net)}
    model.metadata_props.add(key=KEY, value=json.dumps(said))
    return notes


def read(call: str, model: ModelProto) -> Imported | None:
    """The network that a model declares; None where it declares none, or where its nodes are not those written.

    Raises ShapeError where a parameter has another shape.
    """
    said = next((json.loads(entry.value) for entry in model.metadata_props if entry.key == KEY), None)
    if said is None:
        return None
    net = storage.from_json(said["network"])
    if said["graph"] != _digest(model.graph, net):
        return None
    held = {i.name: i for i in model.graph.initializer}

    def parameter(name: str, shape: tuple[int, ...]) -> Any:
        array = numbers(call, name, numpy_helper.to_array(held[name]))
        if array.shape != shape:
            raise ShapeError(call, f"{name} must have the shape {shape}", f"shape {array.shape}",
                             "give the model as it was written")  # fmt: skip
        return array

    return Imported(net, named_map(parameter, net.parameter_shapes()), ())


def _storable(net: Network) -> tuple[Network, list[PlacedNote]]:
    """The network without what a file cannot hold, and the notes of it."""
    layers, notes = list(net.layers), list[PlacedNote]()
    for i, layer in enumerate(net.layers):
        if not _is_known(layer.gradient):
            layers[i] = replace(layer, gradient=None)
            notes.append(PlacedNote(f"layers.{i}", Note.POLICY))
    if not _is_known(net.loss):
        notes.append(PlacedNote("", Note.OBJECTIVE))
    return replace(net, layers=layers, loss=net.loss if _is_known(net.loss) else None), notes


def _is_known(value: Any) -> bool:
    return value is None or storage.KNOWN.get(type(value).__name__) is type(value)


def _digest(graph: GraphProto, net: Network) -> str:
    """A digest of a graph without its parameters, which may be trained further, and without what tools note in it."""
    own, learned = GraphProto(), dict(leaves(net.parameter_shapes()))
    own.CopyFrom(graph)
    del own.value_info[:], own.initializer[:]
    own.initializer.extend(i for i in graph.initializer if i.name not in learned)
    return hashlib.sha256(own.SerializeToString(deterministic=True)).hexdigest()
