"""A network as an ONNX file, which any runtime of ONNX runs."""

from __future__ import annotations

from rnnspec.convert.assembly import framework
from rnnspec.export.exported import Exported
from rnnspec.export.settings import asked
from rnnspec.network import Network
from rnnspec.tree import Tree

__all__ = ["to_onnx", "to_onnx_step"]


def to_onnx(net: Network, params: Tree, *, precision: str = "f32", operators: bool = False) -> Exported:
    """The network as an ONNX file from `inputs` (time, batch, feature) to `outputs` and final states.

    Class numbers are `inputs` (time, batch) of int64. The file also takes `lengths` (batch), of int32, and initial
    states such as `state.0.h` (halves, batch, width); each may be left out. Every layer is a Scan of its equations;
    with `operators` it is LSTM, GRU or RNN where it is one in float32. Raises BackendUnavailable where onnx is not
    installed, and an RnnSpecError where an argument is not valid.
    """
    given = asked("onnx", net, params, precision)
    framework(given.call, "onnx")
    from rnnspec.convert import onnx_scan  # noqa: PLC0415

    options = onnx_scan.Options(lengths=True, state=True, precision=precision, operators=operators)
    model = onnx_scan.write_whole(given.call, net, given.params, options).model
    return Exported({".onnx": model.SerializeToString()})


def to_onnx_step(net: Network, params: Tree, *, precision: str = "f32") -> Exported:
    """One step of the network as an ONNX file, for streams, as `rnnspec.convert.to_onnx_step` writes it.

    Raises UnsupportedError where a layer reads its inputs in reverse, BackendUnavailable where onnx is not installed,
    and another RnnSpecError where an argument is not valid.
    """
    given = asked("onnx_step", net, params, precision)
    framework(given.call, "onnx")
    from rnnspec.convert import onnx_scan  # noqa: PLC0415

    return Exported({".onnx": onnx_scan.write_step(given.call, net, given.params, precision).model.SerializeToString()})
