"""Conversion from and to torch.nn, Keras, Flax nnx, ONNX, torchrecurrent and named tensors, with notes on differences.

    from_torch   from_keras   from_flax   from_onnx   from_torchrecurrent   from_tensors    modules -> Imported
    to_torch     to_keras     to_flax     to_onnx     to_torchrecurrent     to_tensors      (net, params) -> Exported
                                          to_onnx_step

`Imported` has `net`, `params` and `notes`, `Exported` has `model` and `notes`. Each note has a level: whether the
function, its training or only the form of arrays differs.

The tables of `rnnspec.convert.layouts` say what converts. Anything else raises an UnsupportedError that names it. Only
the two functions of a framework import it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from rnnspec.convert.assembly import framework
from rnnspec.convert.conversion import Exported, Imported, Level, Loss, Lost, Note, PlacedNote
from rnnspec.convert.layout import Layout
from rnnspec.convert.layout_tensors import Prefix
from rnnspec.network import Network
from rnnspec.output import Read, Steps
from rnnspec.tree import Tree

__all__ = ["Exported", "Imported", "Layout", "Level", "Loss", "Lost", "Note", "PlacedNote", "from_flax", "from_keras",
           "from_onnx", "from_tensors", "from_torch", "from_torchrecurrent", "to_flax", "to_keras", "to_onnx",
           "to_onnx_step", "to_tensors", "to_torch", "to_torchrecurrent"]  # fmt: skip

STEPS = Steps()
EVERY = slice(None)


def from_torch(*parts: Any, read: Read = STEPS) -> Imported:
    """The network of torch.nn modules that run one after the other, or of a whole model of them.

    A part is a module that docs/convert.md lists, or a pair `(cell, state_dict)` or `(Dense, state_dict)`, where a path
    may stand for the state_dict and a third entry is the prefix of its names. Modules do not show how a model calls
    them, so `read` says whether it reads every step, `Steps()`, or the last, `Last()`. Of a model with a `forward` of
    its own, torch.fx's trace says what it reads; of one that `to_torch` made, its own `read` counts. Raises
    UnsupportedError where something has no counterpart, ArgumentError where it is no such part, TreeError where a
    state_dict lacks tensors, FileFormatError where a file holds none, and ShapeError where shapes do not fit.
    """
    call = "from_torch(...)"
    framework(call, "torch")
    from rnnspec.convert import torch_modules  # noqa: PLC0415

    return torch_modules.read_modules(call, parts, read)


def to_torch(net: Network, params: Tree) -> Exported:
    """The network as a `torch.nn.Module` made of RNN, LSTM, GRU and Linear, in the precision of the parameters.

    `model(inputs, state, lengths)` returns outputs and final state as `Backend.run` does. `model.layers` and
    `model.output` are torch's own modules, for use in another model. Raises UnsupportedError where torch.nn has no
    counterpart of a layer.
    """
    call = "to_torch(...)"
    framework(call, "torch")
    from rnnspec.convert import torch_modules  # noqa: PLC0415

    return torch_modules.write_modules(call, net, params)


def from_keras(*parts: Any, layers: slice = EVERY) -> Imported:
    """The network of Keras layers that run one after the other: given so, of a model, or of the model in a file.

    A part is a layer that docs/convert.md lists, a Sequential, a Functional model that is a chain, the path of a .keras
    or .h5 file, or a pair `(cell, arrays)` or `(Dense, arrays)`, where a path may stand for the arrays and a third
    entry is the prefix of their names. `layers` picks some of the layers in order. The last recurrent layer's
    `return_sequences` says whether the network reads every step or `Last()`. Keras takes arrays (batch, time,
    feature). Raises UnsupportedError where a layer or an option has no counterpart, ArgumentError where something is no
    part, TreeError where arrays are missing, and FileFormatError where a file cannot be read.
    """
    call = "from_keras(...)"
    framework(call, "keras")
    from rnnspec.convert import keras_layers  # noqa: PLC0415

    return keras_layers.read_layers(call, parts, layers)


def to_keras(net: Network, params: Tree) -> Exported:
    """The network as a `keras.Sequential` over inputs (batch, time, feature), in the precision of the parameters.

    Give rows of different lengths as a Keras mask: `model.layers[0](inputs, mask=...)`. Raises UnsupportedError where
    Keras has no counterpart of a layer.
    """
    call = "to_keras(...)"
    framework(call, "keras")
    from rnnspec.convert import keras_layers  # noqa: PLC0415

    return keras_layers.write_layers(call, net, params)


def from_flax(*parts: Any, read: Read = STEPS) -> Imported:
    """The network of Flax nnx modules that run one after the other.

    A part is an LSTMCell, OptimizedLSTMCell, GRUCell or SimpleCell, an nnx.RNN of one, an nnx.Bidirectional of two, or
    a pair `(cell, params)` of a cell of flax.linen; the last may be an nnx.Linear. `read` says whether it reads every
    step, `Steps()`, or the last, `Last()`. A model that `to_flax` made is one part, and its own `read` counts. Raises
    UnsupportedError where an option has no counterpart, and ArgumentError where a part is none of these.
    """
    call = "from_flax(...)"
    framework(call, "flax")
    from rnnspec.convert import flax_modules  # noqa: PLC0415

    return flax_modules.read_modules(call, parts, read)


def to_flax(net: Network, params: Tree) -> Exported:
    """The network as an `nnx.Module` made of nnx.RNN and nnx.Linear, in the precision of the parameters.

    `model(inputs, state, lengths)` returns outputs and final state as `Backend.run` does. JAX has float64 only where
    `jax.enable_x64` is on: turn it on for this call and wherever the model runs. Raises UnsupportedError where nnx has
    no counterpart of a layer.
    """
    call = "to_flax(...)"
    framework(call, "flax")
    from rnnspec.convert import flax_modules  # noqa: PLC0415

    return flax_modules.write_modules(call, net, params)


def from_onnx(
    model: Any, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None, *, dequantise: bool = False
) -> Imported:
    """The network of an ONNX model: its recurrent nodes, and what moves axes or computes features between them.

    `model` is a path, bytes or an `onnx.ModelProto`. `inputs` and `outputs` are names of values at which the graph is
    cut. Outputs that are final states are those of a run; of several others, `outputs` chooses one. With `dequantise`,
    whole numbers with a scale are read as the numbers that they stand for. Raises UnsupportedError where a node has no
    counterpart, which it names with the call that cuts the graph there, and ArgumentError where the model is not valid.
    """
    call = "from_onnx(...)"
    framework(call, "onnx")
    from rnnspec.convert import onnx_reading  # noqa: PLC0415

    return onnx_reading.read_model(call, model, inputs, outputs, dequantise)


def to_onnx(
    net: Network, params: Tree, *, lengths: bool = False, state: bool = False, precision: str = "f32",
    operators: bool = True,
) -> Exported:
    """The network as an `onnx.ModelProto` from `inputs` (time, batch, feature) to `outputs`.

    Class numbers are `inputs` (time, batch) of int64. A layer is the operator LSTM, GRU or RNN where it is one in
    float32, and else a Scan of its equations; with `operators=False` every layer is a Scan. `lengths` adds the input
    `lengths`, int32 (batch). `state` adds inputs such as `state.0.h` (halves, batch, width) and outputs such as
    `final.state.0.h`. `precision` is "f32" or "f64". A model of operators alone must be given these inputs. Of any
    other model they are optional, outputs after a row's end are 0, states stay, and `from_onnx` gives back the network
    from the model's metadata.
    """
    call = "to_onnx(...)"
    framework(call, "onnx")
    from rnnspec.convert import onnx_scan  # noqa: PLC0415

    return onnx_scan.write_run(call, net, params, onnx_scan.Options(lengths, state, precision, operators))


def to_onnx_step(net: Network, params: Tree, *, precision: str = "f32") -> Exported:
    """One step of the network as an `onnx.ModelProto`, for streams: from `x_t` (batch, feature) to `y_t`.

    Inputs such as `state.0.h` (halves, batch, width) are the states before the step, zeros where they are left out;
    outputs such as `final.state.0.h` are those after it. `precision` is "f32" or "f64". Raises UnsupportedError where a
    layer reads its inputs in reverse.
    """
    call = "to_onnx_step(...)"
    framework(call, "onnx")
    from rnnspec.convert import onnx_scan  # noqa: PLC0415

    return onnx_scan.write_step(call, net, params, precision)


def from_torchrecurrent(*parts: Any, read: Read = STEPS) -> Imported:
    """The network of torchrecurrent's layers and cells that run one after the other, then at most one nn.Linear.

    A part is a module, or a pair `(cell, state_dict)` or `(Dense, state_dict)`. `read` says whether the network reads
    every step, `Steps()`, or the last, `Last()`. A model that `to_torchrecurrent` made is one part, and its own `read`
    counts. Raises UnsupportedError where a module computes another function than our cell, ArgumentError where a part
    is none of these, TreeError where a state_dict has other tensors, and ShapeError where shapes do not fit.
    """
    call = "from_torchrecurrent(...)"
    framework(call, "torchrecurrent")
    from rnnspec.convert import torchrecurrent_modules  # noqa: PLC0415

    return torchrecurrent_modules.read_modules(call, parts, read)


def to_torchrecurrent(net: Network, params: Tree) -> Exported:
    """The network as a `torch.nn.Module` made of torchrecurrent's layers and a Linear, in the parameters' precision.

    `model(inputs, state)` returns outputs and final state as `Backend.run` does; it has no lengths. Raises
    UnsupportedError where torchrecurrent has no counterpart of a layer.
    """
    call = "to_torchrecurrent(...)"
    framework(call, "torchrecurrent")
    from rnnspec.convert import torchrecurrent_modules  # noqa: PLC0415

    return torchrecurrent_modules.write_modules(call, net, params)


def from_tensors(
    kind: str | Layout, tensors: Mapping[str, Any] | str | os.PathLike[str], *, prefix: Prefix = ""
) -> Imported:
    """The network of one layer or of several, from their tensors by name, or from a safetensors file of them.

    `kind` is a name of `rnnspec.convert.published_layouts`, such as "xlstm.sLSTMLayer", whose layer has heads, or a
    `Layout` of any cell. `prefix` is what the names of the layer's tensors begin with. With a `Layout` it may be
    `{"forward": text, "reverse": text}` for a layer of both directions, or a list with one for each layer. Raises
    ArgumentError for an unknown kind, TreeError where a tensor is missing or unknown, UnsupportedError where one
    changes the recurrence, ShapeError where shapes do not fit, and FileFormatError where the file is no safetensors
    file.
    """
    from rnnspec.convert import published_tensors  # noqa: PLC0415

    return published_tensors.read_tensors("from_tensors(...)", kind, tensors, prefix)


def to_tensors(kind: str | Layout, net: Network, params: Tree, *, prefix: Prefix = "") -> Exported:
    """The tensors of one layer or of several as NumPy arrays by name: those that `from_tensors` reads.

    The network is one layer, with heads if `kind` is a name; with a `Layout`, `prefix` may name several. Raises
    ArgumentError for an unknown kind, and UnsupportedError where the network is another, or a map is not as it must be.
    """
    from rnnspec.convert import published_tensors  # noqa: PLC0415

    return published_tensors.write_tensors("to_tensors(...)", kind, net, params, prefix)
