"""The precision of PyTorch's float32 products: a setting of the process, set for the time of a call and then restored.

"f32" is IEEE float32 everywhere. Without the setting, cuDNN's recurrent kernels would use TF32, their default, which
`torch.set_float32_matmul_precision` does not change, and on the CPU "medium" would mean bfloat16.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any

import torch

from backends.contexts import both

__all__ = ["math_mode"]

PRECISIONS = {"f32": ("ieee", "none"), "tf32": ("tf32",)}
"""The settings that fit a precision, the preferred one first. Other precisions are not float32."""

SETTINGS = {
    "cpu": (torch.backends.mkldnn.matmul, torch.backends.mkldnn.rnn),
    "cuda": (torch.backends.cuda.matmul, torch.backends.cudnn.rnn),
}


class _Pin:
    """A setting that concurrent calls share: the first sets it, the last restores the old one."""

    def __init__(self, settings: tuple[Any, ...], wanted: tuple[str, ...]) -> None:
        self.settings, self.wanted = settings, wanted
        self.lock, self.calls = Lock(), 0
        self.before: list[tuple[Any, str]] = []

    def __enter__(self) -> None:
        with self.lock:
            self.calls += 1
            for setting in self.settings:
                found = setting.fp32_precision
                if found not in self.wanted:
                    inherited = found == torch.backends.fp32_precision
                    self.before.append((setting, "none" if inherited else found))
                    setting.fp32_precision = self.wanted[0]

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.calls -= 1
            while self.before and not self.calls:
                setting, found = self.before.pop()
                setting.fp32_precision = found


_PINS = {
    (device, precision): _Pin(settings, wanted)
    for device, settings in SETTINGS.items()
    for precision, wanted in PRECISIONS.items()
}


def math_mode(device: str, precision: str) -> AbstractContextManager[None]:
    """Within it PyTorch multiplies in the precision on the device, whatever the process or an autocast says.

    Calls of "f32" and of "tf32" on CUDA must not run at the same time in two threads: the setting is the process's.
    """
    kind = device.partition(":")[0]
    pin = _PINS.get((kind, precision)) or nullcontext()
    return both(pin, torch.autocast(kind, enabled=False)) if torch.is_autocast_enabled(kind) else pin
