"""Weights in and out: torch.nn, Keras, Flax nnx and ONNX, each both ways, every loss declared.

    from_torch   from_keras   from_flax   from_onnx      parts of the other side -> Imported(net, params, losses)
    to_torch     to_keras     to_flax     to_onnx        (net, params) -> Exported(model, losses)

What converts stands in tables, `rnnspec.convert.layouts`; what has no counterpart raises an UnsupportedError that names
it. A framework is imported by its own two functions, and not before.
"""

from __future__ import annotations

from typing import Any

from rnnspec.convert.assembly import framework
from rnnspec.convert.conversion import Exported, Imported, Loss, Lost
from rnnspec.network import Network
from rnnspec.output import Read, Steps
from rnnspec.tree import Tree

__all__ = ["Exported", "Imported", "Loss", "Lost", "from_flax", "from_keras", "from_onnx", "from_torch", "to_flax",
           "to_keras", "to_onnx", "to_torch"]  # fmt: skip

STEPS = Steps()


def from_torch(*parts: Any, read: Read = STEPS) -> Imported:
    """The network of modules of torch.nn that run one after the other: RNN, LSTM or GRU, then perhaps a Linear.

    A part is a module, or a pair `(cell, state_dict)` or `(Dense, state_dict)`. How a model calls its parts cannot be
    seen in them: `read` says whether the last is given every step or `Last()`. A model of `to_torch` is one part, and
    says it itself.
    """
    call = "from_torch(...)"
    framework(call, "torch")
    from rnnspec.convert import torch_modules  # noqa: PLC0415

    return torch_modules.read_modules(call, parts, read)


def to_torch(net: Network, params: Tree) -> Exported:
    """The network as a `torch.nn.Module` made of RNN, LSTM, GRU and Linear, in the precision of the parameters.

    `model(inputs, state, lengths)` gives outputs and final state as `Backend.run` does; `model.layers` and
    `model.output` are torch's own modules, to take and to wire elsewhere.
    """
    call = "to_torch(...)"
    framework(call, "torch")
    from rnnspec.convert import torch_modules  # noqa: PLC0415

    return torch_modules.write_modules(call, net, params)


def from_keras(*parts: Any) -> Imported:
    """The network of Keras 3 layers, of a Sequential or given one after the other, whatever backend Keras runs on.

    SimpleRNN, LSTM, GRU, Bidirectional of these with concatenation, then perhaps a linear Dense. The last recurrent
    layer's `return_sequences` says whether the network reads every step or `Last()`. Arrays are (batch, time, feature)
    there.
    """
    call = "from_keras(...)"
    framework(call, "keras")
    from rnnspec.convert import keras_layers  # noqa: PLC0415

    return keras_layers.read_layers(call, parts)


def to_keras(net: Network, params: Tree) -> Exported:
    """The network as a `keras.Sequential` over inputs (batch, time, feature), in the precision of the parameters.

    Rows of different lengths are Keras' masks: `model.layers[0](inputs, mask=...)`.
    """
    call = "to_keras(...)"
    framework(call, "keras")
    from rnnspec.convert import keras_layers  # noqa: PLC0415

    return keras_layers.write_layers(call, net, params)


def from_flax(*parts: Any, read: Read = STEPS) -> Imported:
    """The network of Flax nnx's parts that run one after the other.

    A part is an LSTMCell, OptimizedLSTMCell, GRUCell or SimpleCell, an nnx.RNN of one, an nnx.Bidirectional of two
    such, or at the end an nnx.Linear. `read` says whether the last is given every step or `Last()`. A model of
    `to_flax` is one part, and says it itself.
    """
    call = "from_flax(...)"
    framework(call, "flax")
    from rnnspec.convert import flax_modules  # noqa: PLC0415

    return flax_modules.read_modules(call, parts, read)


def to_flax(net: Network, params: Tree) -> Exported:
    """The network as an `nnx.Module` made of nnx.RNN and nnx.Linear, in the precision of the parameters.

    `model(inputs, state, lengths)` gives outputs and final state as `Backend.run` does. JAX has no float64 unless
    `jax.enable_x64` is on where this is called and where the model runs.
    """
    call = "to_flax(...)"
    framework(call, "flax")
    from rnnspec.convert import flax_modules  # noqa: PLC0415

    return flax_modules.write_modules(call, net, params)


def from_onnx(model: Any) -> Imported:
    """The network of an `onnx.ModelProto`: a stack of RNN, LSTM or GRU nodes and perhaps one Gemm or MatMul at the end.

    What `to_onnx` writes and what `torch.onnx.export(..., dynamo=False)` writes is read. Initial states and lengths
    are inputs of the graph, or absent; initial states may be zeros.
    """
    call = "from_onnx(...)"
    framework(call, "onnx")
    from rnnspec.convert import onnx_reading  # noqa: PLC0415

    return onnx_reading.read_model(call, model)


def to_onnx(net: Network, params: Tree, *, lengths: bool = False, state: bool = False) -> Exported:
    """The network as an `onnx.ModelProto` from `inputs` (time, batch, feature) to `outputs`, in float32.

    With `lengths` it has that input, int32 (batch). With `state` it has inputs `state.0.h` (halves, batch, width) and
    so on, and gives `final.state.0.h`.
    """
    call = "to_onnx(...)"
    framework(call, "onnx")
    from rnnspec.convert import onnx_writing  # noqa: PLC0415

    return onnx_writing.write_model(call, net, params, lengths, state)
