"""From outputs to answers: probabilities, the labels of a network trained with CTC, and what a network writes.

`greedy` and `beam` read labels; `feedback` lets a model of language read its own outputs. Outputs are NumPy arrays
before the softmax, such as `be.to_numpy(be.run(...).outputs)`.

>>> import numpy as np
>>> outputs = np.log([[[0.6, 0.4]], [[0.6, 0.4]]])
>>> greedy(outputs)
[()]
>>> [(spelling.labels, round(spelling.probability, 2)) for spelling in beam(outputs)[0]]
[((1,), 0.64), ((), 0.36)]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnspec.errors import ArgumentError, LengthsError, NetworkError, ShapeError
from rnnspec.feedback import feedback, most_probable, sampled
from rnnspec.losses import CTC, SigmoidCrossEntropy, SoftmaxCrossEntropy
from rnnspec.network import Network
from rnnspec.showing import shown

__all__ = ["Spelling", "beam", "feedback", "greedy", "most_probable", "probabilities", "sampled"]

Labels = tuple[int, ...]
Logs = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Spelling:
    """Labels, and the log-probability, in nats, of the paths that the beam kept for them."""

    labels: Labels
    log_probability: float

    @property
    def probability(self) -> float:
        """The probability; the spellings of a row sum to 1 where the beam keeps all of them."""
        return float(np.exp(self.log_probability))


def probabilities(net: Network, outputs: Any) -> np.ndarray[Any, Any]:
    """The probabilities that the network's loss gives to outputs (..., feature), in float64.

    They are the softmax for SoftmaxCrossEntropy and CTC, and the sigmoid of each feature for SigmoidCrossEntropy.
    Raises NetworkError for another loss, and ShapeError where outputs are not real numbers of the network's features.
    """
    call, a = "probabilities(net, outputs)", np.asarray(outputs)
    if not a.ndim or a.shape[-1] != net.features or a.dtype.kind != "f":
        raise ShapeError(call, f"outputs must be real numbers (..., {net.features})", f"{a.dtype} of shape {a.shape}",
                         "give be.to_numpy(result.outputs)")  # fmt: skip
    if isinstance(net.loss, SoftmaxCrossEntropy | CTC):
        return _softmax(a.astype(np.float64))
    if isinstance(net.loss, SigmoidCrossEntropy):
        return _sigmoid(a.astype(np.float64))
    raise NetworkError(call, "the loss must be one of probabilities", shown(net.loss),
                       "give the network SoftmaxCrossEntropy, SigmoidCrossEntropy or CTC")  # fmt: skip


def greedy(outputs: Any, lengths: Any = None, *, blank: int = 0) -> list[Labels]:
    """Each row's labels: the most probable class of every step, with repeats merged and blanks removed.

    Graves et al. (2006), section 3.2. `lengths` (batch,) are the rows' numbers of steps, all steps if None. Raises
    ShapeError, LengthsError or ArgumentError where an argument is not valid.
    """
    rows = _rows("greedy", outputs, lengths, blank)
    return [tuple(int(c) for c in _without_repeats(row.argmax(-1)) if c != blank) for row in rows]


def beam(outputs: Any, lengths: Any = None, *, blank: int = 0, width: int = 16) -> list[list[Spelling]]:
    """Each row's `width` most probable sequences of labels, the best first, by a search over prefixes.

    Graves et al. (2006), section 3.2. The probabilities of paths with the same labels are added up. `lengths` and
    errors are as in `greedy`.
    """
    if type(width) is not int or width < 1:
        raise ArgumentError("beam(...)", "width must be a whole number of at least 1", shown(width),
                            "give the number of spellings to keep")
    return [_search(row, blank, width) for row in _rows("beam", outputs, lengths, blank)]


def _rows(name: str, outputs: Any, lengths: Any, blank: int) -> Iterator[np.ndarray[Any, Any]]:
    """Each row's real steps (time, feature), checked."""
    call, a = f"{name}(...)", np.asarray(outputs)
    if a.ndim != 3 or a.dtype.kind != "f" or not a.shape[2]:
        raise ShapeError(call, "outputs must be real numbers (time, batch, feature)", f"{a.dtype} of shape {a.shape}",
                         "give be.to_numpy(result.outputs)")  # fmt: skip
    steps, batch, features = a.shape
    if type(blank) is not int or not 0 <= blank < features:
        raise ArgumentError(call, f"blank must be a class number of 0..{features - 1}", shown(blank), "choose a class")
    ends = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    if ends.shape != (batch,) or ends.dtype.kind not in "iu" or (ends < 0).any() or (ends > steps).any():
        raise LengthsError(call, f"lengths must be {batch} whole numbers of 0..{steps}", shown(lengths),
                           "give one number for each row")  # fmt: skip
    return (a[:end, n] for n, end in enumerate(ends))


def _without_repeats(classes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = classes[np.diff(classes, prepend=-1) != 0]
    return found


def _search(row: np.ndarray[Any, Any], blank: int, width: int) -> list[Spelling]:
    """Each prefix has two log-probabilities: that its paths end in blank, and that they do not."""
    prefixes: list[Labels] = [()]
    blanked, spelt = np.zeros(1), np.full(1, -np.inf)
    for step in _log_softmax(row.astype(np.float64)):
        prefixes, blanked, spelt = _extended(prefixes, blanked, spelt, step, blank, width)
    either = np.logaddexp(blanked, spelt)
    return [Spelling(labels, float(p)) for labels, p in zip(prefixes, either, strict=True) if p > -np.inf]


def _extended(
    prefixes: list[Labels], blanked: Logs, spelt: Logs, step: Logs, blank: int, width: int
) -> tuple[list[Labels], Logs, Logs]:
    """The best prefixes after one more step: those that stay, and those that grow by a class."""
    either, place = np.logaddexp(blanked, spelt), {labels: i for i, labels in enumerate(prefixes)}
    grown = either[:, None] + step
    grown[:, blank] = -np.inf
    stay_blanked, stay_spelt = either + step[blank], np.full(len(prefixes), -np.inf)
    for i, labels in enumerate(prefixes):
        if labels:
            c = labels[-1]
            stay_spelt[i] = spelt[i] + step[c]
            grown[i, c] = blanked[i] + step[c]
    for i, labels in enumerate(prefixes):
        parent = place.get(labels[:-1]) if labels else None
        if parent is not None:
            stay_spelt[i] = np.logaddexp(stay_spelt[i], grown[parent, labels[-1]])
            grown[parent, labels[-1]] = -np.inf
    scores = np.concatenate([np.logaddexp(stay_blanked, stay_spelt), grown.ravel()])
    best = [int(k) for k in np.argsort(-scores, kind="stable")[:width] if scores[k] > -np.inf]
    stays = len(prefixes)
    grows = [divmod(k - stays, len(step)) for k in best if k >= stays]
    old = [k for k in best if k < stays]
    found = [prefixes[k] for k in old] + [(*prefixes[i], c) for i, c in grows]
    new_blanked = np.concatenate([stay_blanked[old], np.full(len(grows), -np.inf)])
    new_spelt = np.concatenate([stay_spelt[old], [grown[i, c] for i, c in grows]])
    order = np.argsort(-np.logaddexp(new_blanked, new_spelt), kind="stable")
    return [found[k] for k in order], new_blanked[order], new_spelt[order]


def _log_softmax(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    shifted = a - a.max(-1, keepdims=True)
    logs: Logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logs


def _softmax(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = np.exp(_log_softmax(a))
    return found


def _sigmoid(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = 0.5 + 0.5 * np.tanh(0.5 * a)  # exp would overflow
    return found
