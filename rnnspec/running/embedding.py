"""Class numbers as inputs: the lookup of their rows before the first layer, and its pullback."""

from __future__ import annotations

from dataclasses import replace

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.embedding import Embedding
from rnnspec.network import Network
from rnnspec.output import Dense, Tied
from rnnspec.tree import Tree

__all__ = ["after", "embedded", "unembedded"]


def embedded(arrays: Arrays, net: Network, params: Tree, inputs: Array) -> Array:
    """The inputs as the first layer sees them: (..., feature)."""
    return arrays.gather(params["embedding"]["E"], inputs) if isinstance(net.inputs, Embedding) else inputs


def unembedded(
    arrays: Arrays, net: Network, own: Tree, inputs: Array, cotangent: Array
) -> tuple[Tree, Array | None]:
    """The cotangents of the parameters with those of the embedding, and that of the inputs, None for class numbers.

    `own` are the cotangents of the parameters after the embedding; a tied output has its part of E among them.
    """
    if not isinstance(net.inputs, Embedding):
        return own, cotangent
    found = arrays.scatter(cotangent, inputs, net.inputs.classes)
    tied = own.get("embedding")
    return {**own, "embedding": {"E": found if tied is None else arrays.functions["add"](tied["E"], found)}}, None


def after(net: Network, params: Tree, inputs: Array) -> tuple[Network, Tree, Array]:
    """The network after the embedding, with its parameters and inputs, on NumPy arrays; a tied output is one apart."""
    if not isinstance(net.inputs, Embedding):
        return net, params, inputs
    table, own = params["embedding"]["E"], {name: part for name, part in params.items() if name != "embedding"}
    if isinstance(net.output, Tied):
        own["output"] = {"W": table, "b": own["output"]["b"]}
    output = Dense(net.features) if isinstance(net.output, Tied) else net.output
    return replace(net, inputs=net.input_features, output=output), own, table[inputs]
