"""Feedback: a network reads its own outputs, step by step, as a model of language that writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rnnspec.errors import ArgumentError, NetworkError, ShapeError
from rnnspec.interface.bound import Bound
from rnnspec.losses import SoftmaxCrossEntropy
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.showing import shown

__all__ = ["ENDED", "Choose", "feedback", "most_probable", "sampled"]

Choose = Callable[[np.ndarray], np.ndarray]
"""From outputs (batch, classes) in float64 to class numbers (batch,)."""

ENDED = -1
"""What stands for a row after its stop symbol."""

CALL = "feedback(...)"


def most_probable(outputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The class with the largest output; of several, the first."""
    found: np.ndarray[Any, Any] = outputs.argmax(-1)
    return found


def sampled(temperature: float, generator: np.random.Generator) -> Choose:
    """Draws from softmax(outputs / temperature), with one number of the generator for each row of each step.

    A temperature below 1 is careful, one above 1 is bold. Raises ArgumentError where it is not positive.
    """
    if not isinstance(temperature, int | float) or not 0 < temperature < float("inf"):
        raise ArgumentError("sampled(temperature, generator)", "temperature must be a positive number",
                            shown(temperature), "give 1.0, or use most_probable")  # fmt: skip
    if not isinstance(generator, np.random.Generator):
        raise ArgumentError("sampled(temperature, generator)", "generator must be a numpy.random.Generator",
                            type(generator).__name__, "give numpy.random.default_rng(seed)")  # fmt: skip

    def draw(outputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        scaled = (outputs - outputs.max(-1, keepdims=True)) / temperature
        below = np.exp(scaled).cumsum(-1)
        below /= below[:, -1:]
        found: np.ndarray[Any, Any] = (below <= generator.random(len(outputs))[:, None]).sum(-1)
        return found

    return draw


def feedback(
    bound: Bound, prompts: Sequence[Sequence[int]], choose: Choose = most_probable, stop: int | None = None
) -> Iterator[np.ndarray[Any, Any]]:
    """A generator of class numbers (batch,): what follows each row's prompt, one step of all rows at a time.

    The network reads the prompts, which may have several lengths, in one run. Then its stream, which begins anew, reads
    each class that `choose` picks from the outputs, as a one-hot vector or, behind an embedding, as its number. After
    its `stop` symbol a row is -1; the generator ends when all rows have ended, and without `stop` never. The loss must
    be SoftmaxCrossEntropy, and the network must read as many classes as it scores.

    Raises NetworkError, ArgumentError or ShapeError where an argument is not valid, and what `bound.step` raises.
    """
    if not isinstance(bound, Bound):
        raise ArgumentError(CALL, "bound must be a bound call", type(bound).__name__, "give be.bound(net, params)")
    classes = _classes(bound.net)
    rows = _rows(prompts, classes)
    if stop is not None and (type(stop) is not int or not 0 <= stop < classes):
        raise ArgumentError(CALL, f"stop must be a class number of 0..{classes - 1}", shown(stop),
                            "choose a class, or None")  # fmt: skip
    return _steps(bound, rows, choose, stop, classes)


def _steps(
    bound: Bound, rows: list[np.ndarray[Any, Any]], choose: Choose, stop: int | None, classes: int
) -> Iterator[np.ndarray[Any, Any]]:
    be, one_hot = bound.backend, _read(bound.net, classes)
    stream = bound.stream()
    outputs, stream.state = _after(bound, rows, one_hot)
    ended = np.zeros(len(rows), bool)
    while True:
        chosen = np.asarray(choose(outputs))
        _check_choice(chosen, len(rows), classes)
        yield np.where(ended, ENDED, chosen)
        ended |= chosen == (classes if stop is None else stop)
        if ended.all():
            return
        outputs = np.asarray(be.to_numpy(stream.step(one_hot(chosen))), np.float64)


def _after(bound: Bound, rows: list[np.ndarray[Any, Any]], one_hot: Callable[..., Any]) -> tuple[Any, Any]:
    """The outputs of each prompt's last step, and the state after it."""
    lengths = np.array([len(row) for row in rows])
    padded = np.zeros((lengths.max(), len(rows)), np.int64)
    for n, row in enumerate(rows):
        padded[: len(row), n] = row
    even = bool((lengths == len(padded)).all())
    result = bound.run(one_hot(padded), lengths=None if even else lengths)
    outputs = np.asarray(bound.backend.to_numpy(result.outputs), np.float64)
    last = outputs if isinstance(bound.net.read, Last) else outputs[lengths - 1, np.arange(len(rows))]
    return last, result.state


def _classes(net: Network) -> int:
    """The number of classes that the network scores, and reads."""
    if not isinstance(net.loss, SoftmaxCrossEntropy):
        raise NetworkError(CALL, "the loss must be SoftmaxCrossEntropy", shown(net.loss),
                           "write Network(..., loss=rnnspec.losses.SoftmaxCrossEntropy())")  # fmt: skip
    read = net.inputs if isinstance(net.inputs, int) else net.inputs.classes
    if read != net.features:
        raise NetworkError(CALL, f"the network must read the {net.features} classes that it scores", f"{read} inputs",
                           "give inputs and outputs the same number")  # fmt: skip
    return net.features


def _read(net: Network, classes: int) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """How the network reads classes: as one-hot vectors, or by an embedding as they are."""
    if not isinstance(net.inputs, int):
        return lambda numbers: numbers
    table = np.eye(classes, dtype=np.float32)
    return lambda numbers: table[numbers]


def _rows(prompts: Any, classes: int) -> list[np.ndarray[Any, Any]]:
    if isinstance(prompts, str) or not isinstance(prompts, Sequence | np.ndarray):
        raise ArgumentError(CALL, "prompts must be a list of rows of class numbers", type(prompts).__name__,
                            "give one row for each text to go on with")  # fmt: skip
    rows = [np.asarray(prompt) for prompt in prompts]
    for n, row in enumerate(rows):
        if row.ndim != 1 or not row.size or row.dtype.kind not in "iu" or row.min() < 0 or row.max() >= classes:
            raise ShapeError(CALL, f"each prompt must be class numbers of 0..{classes - 1}, one at least",
                             f"{shown(prompts[n])} in row {n}", "begin with a symbol, such as a space")  # fmt: skip
    if not rows:
        raise ShapeError(CALL, "there must be a prompt", "none", "give a list of prompts")
    return rows


def _check_choice(chosen: np.ndarray[Any, Any], rows: int, classes: int) -> None:
    if chosen.shape != (rows,) or chosen.dtype.kind not in "iu" or chosen.min() < 0 or chosen.max() >= classes:
        raise ShapeError(CALL, f"choose must return {rows} class numbers of 0..{classes - 1}", shown(chosen),
                         "return one number for each row")  # fmt: skip
