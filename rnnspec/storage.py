"""A network and its parameters in one safetensors file, without pickle; loading executes nothing.

The network is JSON in the file's metadata. Its cells are graphs, so that a file with a user's own cell loads without
the cell's code.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from rnnspec import losses, output, policies
from rnnspec.embedding import Embedding
from rnnspec.errors import ArgumentError, EquationError, FileFormatError, NetworkError, RnnSpecError
from rnnspec.interface.adoption import readable
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.noise import declaring
from rnnspec.tracing import graph
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tree import Tree, bounded, leaves, named_map

__all__ = ["from_json", "load", "save", "to_json", "write_whole"]

FORMAT = "rnnspec-network/1"
DTYPES = ("float16", "float32", "float64")
KNOWN = {
    kind.__name__: kind
    for kind in (policies.Truncated, policies.Cut, policies.ClipStateByValue, policies.ClipStateByNorm,
                 output.Steps, output.Last, losses.SoftmaxCrossEntropy, losses.SigmoidCrossEntropy,
                 losses.SquaredError, losses.CTC, output.Tied)
}  # fmt: skip
"""The policies, reads and losses that a file can hold, by name."""


def save(path: str | os.PathLike[str], net: Network, params: Tree) -> None:
    """Write the network and its parameters, NumPy arrays as from `be.to_numpy`, to one file, completely or not at all.

    Raises NetworkError where the network holds a user's own loss or policy, which a file cannot hold, and
    FileFormatError where parameters do not fit the network or are not finite.
    """
    call = f"save({os.fspath(path)!r})"
    if not isinstance(net, Network):
        raise ArgumentError(call, "net must be a Network", type(net).__name__, "write rnnspec.Network(...)")
    arrays = {name: readable(call, name, array) for name, array in leaves(bounded(call, params))}
    _check_arrays(call, net, arrays)
    stored = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    write_whole(path, to_bytes(stored, metadata={"rnnspec": json.dumps(_network_to_json(call, net))}))


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file beside the target and move it to the target; links and permissions stay."""
    target = Path(path).resolve()
    temporary = target.with_name(f".{target.name[:200]}.{os.urandom(8).hex()}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def load(path: str | os.PathLike[str]) -> tuple[Network, Tree]:
    """The network and its parameters, as NumPy arrays, from a file of `save`.

    Raises FileFormatError where `save` did not write the file, or its names, shapes, dtypes or numbers do not fit its
    network.
    """
    call = f"load({os.fspath(path)!r})"
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            declared = json.loads((file.metadata() or {})["rnnspec"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
        if declared["format"] != FORMAT:
            raise FileFormatError(call, f"the format must be {FORMAT}", repr(declared["format"]), "save it again")
        net = _network_from_json(declared)
    except (OSError, RnnSpecError) as error:
        if isinstance(error, FileFormatError | OSError):
            raise
        raise FileFormatError(call, "the file must declare a network", str(error), "save it again") from error
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise FileFormatError(call, "the file must hold a network of rnnspec", f"{type(error).__name__}: {error}",
                              "save it again with rnnspec.save") from error  # fmt: skip
    _check_arrays(call, net, arrays)
    return net, named_map(lambda name, _: arrays[name], net.parameter_shapes())


def to_json(net: Network) -> dict[str, Any]:
    """The network as JSON values, with cells as graphs and without initialisers.

    Raises NetworkError where the network holds a user's own loss or policy.
    """
    return _network_to_json("to_json(net)", net)


def from_json(data: Any) -> Network:
    """The network from the values of `to_json`; executes nothing. Raises FileFormatError where they hold no network."""
    try:
        return _network_from_json(data)
    except (RnnSpecError, KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise FileFormatError("from_json(data)", "the values must declare a network",
                              f"{type(error).__name__}: {error}",
                              "give the result of to_json(net)") from error  # fmt: skip


def _check_arrays(call: str, net: Network, arrays: dict[str, Any]) -> None:
    expected = dict(leaves(net.parameter_shapes()))
    odd = sorted(expected.keys() ^ arrays.keys())
    if odd:
        raise FileFormatError(call, "parameters must have the names that the network declares", odd[0],
                              "save the parameters of this network")  # fmt: skip
    for name, array in arrays.items():
        if tuple(array.shape) != expected[name] or array.dtype.name not in DTYPES:
            raise FileFormatError(call, f"{name} must be of shape {expected[name]} and a dtype of {', '.join(DTYPES)}",
                                  f"dtype {array.dtype}, shape {tuple(array.shape)}",
                                  "save the parameters of this network")  # fmt: skip
        if not np.isfinite(array).all():
            raise FileFormatError(call, f"{name} must be finite", "NaN or infinity", "save before training diverges")


def _network_to_json(call: str, net: Network) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "inputs": _inputs_to_json(net.inputs),
        "layers": [_layer_to_json(call, layer) for layer in net.layers],
        "read": _declared(call, net.read),
        **({"head": [_layer_to_json(call, layer) for layer in net.head]} if net.head else {}),
        "output": net.output.features if isinstance(net.output, output.Dense) else _declared(call, net.output),
        "loss": _declared(call, net.loss),
    }


def _inputs_to_json(inputs: int | Embedding) -> Any:
    return {"classes": inputs.classes, "features": inputs.features} if isinstance(inputs, Embedding) else inputs


def _layer_to_json(call: str, layer: Layer) -> dict[str, Any]:
    """The values of a layer; a `Dropout` among the layers has noise and no cell."""
    return _noise_to_json(layer) if layer.passes else {
        "cell": {
            "name": layer.cell.name,
            "states": layer.cell.states,
            "graph": graph.to_json(layer.cell.written),
        },
        "hidden": layer.widths_given,
        "direction": layer.direction,
        **({} if layer.heads is None else {"heads": layer.heads, "shared": layer.shared}),
        **({} if layer.mapped else {"mapped": False, "inputs": layer.inputs}),
        **({"residual": True} if layer.residual else {}),
        **({"learned_state": True} if layer.learned_state else {}),
        "gradient": _declared(call, layer.gradient),
        **(_noise_to_json(layer) if layer.noises else {}),
    }


def _noise_to_json(layer: Layer) -> dict[str, Any]:
    return {"noise": [declaring.to_json(one) for one in layer.noises]}


def _network_from_json(data: Any) -> Network:
    layers, head = ([_layer(layer) for layer in given] for given in (data["layers"], data.get("head", ())))
    own, inputs = data["output"], data["inputs"]
    logits = output.Dense(own) if isinstance(own, int) else _rebuilt(own)
    given = Embedding(inputs["classes"], inputs["features"]) if isinstance(inputs, dict) else inputs
    return Network(given, layers, _rebuilt(data["read"]), logits, _rebuilt(data["loss"]), head)


def _layer(data: Any) -> Any:
    noise = tuple(declaring.from_json(one) for one in data.get("noise", ()))
    if "cell" not in data:
        return noise[0]
    return Layer(_cell(data["cell"]), data["hidden"], data["direction"], _rebuilt(data["gradient"]),
                 heads=data.get("heads"), shared=tuple(data.get("shared", ())), mapped=data.get("mapped", True),
                 inputs=data.get("inputs"), residual=data.get("residual", False), noise=noise,
                 learned_state=data.get("learned_state", False))  # fmt: skip


def _cell(data: Any) -> Cell:
    declared, states = graph.from_json(data["graph"]), tuple(map(str, data["states"]))
    named = [name for name, _ in declared.results if name != OUTPUT]
    leaves_without = set(declared.names("state")) - set(states)
    if sorted(states) != sorted(named) or declared.results[0][0] != OUTPUT or leaves_without:
        raise EquationError("load", "a cell must have one output and one result for each state",
                            f"{named} for {states}",
                            "save it again")  # fmt: skip
    return Cell.of(str(data["name"]), states, declared)


def _declared(call: str, value: Any) -> Any:
    if value is None:
        return None
    if KNOWN.get(type(value).__name__) is not type(value):
        raise NetworkError(call, f"a file can hold {', '.join(KNOWN)} only", type(value).__name__,
                           "save the network without it, and add it after loading")  # fmt: skip
    kept = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.compare}
    return {"name": type(value).__name__, **kept}


def _rebuilt(data: Any) -> Any:
    if data is None:
        return None
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
    return KNOWN[fields.pop("name")](**fields)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
