"""rnnspec imports this module through the entry point. The hook imports the framework, not the module."""

from __future__ import annotations

from rnnspec import Backend, errors, hookimpl


@hookimpl
def rnnspec_backend(name: str, device: str | None, precision: str) -> Backend:
    """The backend, or the command that installs what it needs."""
    try:
        from rnnspec_onnxruntime.backend import OnnxRuntimeBackend  # noqa: PLC0415
    except ImportError as error:
        raise errors.BackendUnavailable(f"get_backend({name!r})", "onnx and onnxruntime must be installed", str(error),
                                        "pip install onnx onnxruntime") from error  # fmt: skip
    return OnnxRuntimeBackend(device, precision)
