"""What an export is asked for, checked: a network with its parameters, a name, and a precision."""

from __future__ import annotations

from dataclasses import dataclass

from rnnspec.contract.capabilities import DTYPES
from rnnspec.errors import ArgumentError
from rnnspec.interface.adoption import own_tree
from rnnspec.interface.backend import Backend
from rnnspec.network import Network
from rnnspec.showing import shown
from rnnspec.tree import Tree

__all__ = ["PRECISIONS", "Asked", "asked"]

PRECISIONS = ("f32", "f64")


@dataclass(frozen=True)
class Asked:
    """A network, its parameters by dotted name in float64, the precision of numbers, and a name in what is written."""

    call: str
    net: Network
    params: Tree
    precision: str
    name: str

    @property
    def dtype(self) -> str:
        """The name of the precision in NumPy."""
        return DTYPES[self.precision]

    @property
    def is_forward(self) -> bool:
        """Whether the network can run step by step."""
        return all(layer.direction == "forward" for layer in self.net.layers)


def asked(target: str, net: Network, params: Tree, precision: str, name: str = "net") -> Asked:
    """What an export is asked for; `name` begins the names in a source file.

    Raises ArgumentError, TreeError or another RnnSpecError where the network, the parameters, the name or the precision
    is not valid.
    """
    call = f"to_{target}(net, params)"
    if not isinstance(net, Network):
        raise ArgumentError(call, "net must be a Network", shown(net), "write rnnspec.Network(...)")
    if precision not in PRECISIONS:
        raise ArgumentError(call, f"precision must be one of {', '.join(PRECISIONS)}", shown(precision), "choose one")
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
        raise ArgumentError(call, "the name must be letters, digits and underscores, and begin with a letter",
                            shown(name), "give the file such a name")  # fmt: skip
    host = Backend(None, "f64")
    own = host.to_numpy(own_tree(host, call, "params", params, net.parameter_shapes()))
    return Asked(call, net, own, precision, name)
