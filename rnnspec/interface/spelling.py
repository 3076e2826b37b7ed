"""The labels of a CTC loss: validated, and with blanks before, between and after them."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnspec.contract.capabilities import SMALLEST
from rnnspec.errors import ShapeError, TargetError, UnsupportedError
from rnnspec.losses import CTC
from rnnspec.network import Network

__all__ = ["spelling"]

LEAST_RANGE = 1e-30
"""A precision whose smallest number is larger than this is too narrow for `rnnspec.running.alignment`."""


def spelling(
    call: str, net: Network, loss: CTC, precision: str, labels: np.ndarray[Any, Any], batch: int
) -> np.ndarray[Any, Any]:
    """The places of each row, (batch, 2 most labels + 1), with -1 after its last.

    `labels` are whole numbers. Raises UnsupportedError, ShapeError or TargetError.
    """
    if SMALLEST[precision] > LEAST_RANGE:
        raise UnsupportedError(call, "the precision must have the range for the logarithms of a row's probabilities",
                               f"CTC in {precision}", "choose bf16, or another with the range of float32")  # fmt: skip
    if labels.ndim != 2 or len(labels) != batch:
        raise ShapeError(call, f"targets must be ({batch}, most labels), with -1 after a row's last label",
                         f"shape {labels.shape}", "pad the rows' labels with -1")  # fmt: skip
    labels = labels.astype(np.int64)
    behind = np.cumsum(labels == -1, 1) > 0
    strange = (labels < 0) | (labels >= net.features) | (labels == loss.blank)
    wrong = np.argwhere(np.where(behind, labels != -1, strange))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        raise TargetError(
            call, f"targets must be class numbers of 0..{net.features - 1} without the blank {loss.blank}, and "
            "-1 after a row's last label", f"{labels[place]} at {place}", "correct the labels",
        )  # fmt: skip
    found = np.full((batch, 2 * labels.shape[1] + 1), -1, np.int32)
    found[:, 1::2] = labels
    found[:, 2::2] = np.where(labels == -1, -1, loss.blank)
    found[:, 0] = loss.blank
    return found
