"""The ways of Keras and TensorFlow to save a model; what needs no rnnspec is loaded in a process without it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path as File
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from exporters.cases import CASES, INPUTS, Case, found, held
from rnnspec import Path

__all__ = ["CASES", "WAYS", "tried"]

WITHOUT = "import tensorflow; load = tensorflow.saved_model.load"
LOADED = "import keras, backends.tensorflow_backend.layer; load = keras.models.load_model"
SERVE = """
import json, sys, numpy
for line in sys.stdin:
    path, found, *given = json.loads(line)
    given = [numpy.load(file) for file in given]
    model = load(path)
    numpy.save(found, getattr(model, "serve", model)(given if len(given) > 1 else given[0]))
    assert ("rnnspec" in sys.modules) == ("keras" in globals())
    print("done", flush=True)
"""
KNOWN = {"ConverterError": "TFLite's converter must know the number of rows, as it must for keras.layers.LSTM; build "
                           "the model with keras.Input(batch_shape=...)"}  # fmt: skip


@cache
def process(code: str) -> subprocess.Popen[str]:
    """A process that loads models, and calls them, for as long as this one runs."""
    return subprocess.Popen([sys.executable, "-c", code + SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)  # fmt: skip


def elsewhere(code: str, path: File) -> Callable[..., Any]:
    """The call of a saved model in another process."""

    def run(*given: np.ndarray) -> Any:
        names = [str(path.parent / f"{i}.npy") for i in range(len(given) + 1)]
        for name, a in zip(names[1:], given, strict=True):
            np.save(name, a)
        other = process(code)
        print(json.dumps([str(path), *names]), file=other.stdin, flush=True)
        assert next(other.stdout) == "done\n"
        return np.load(names[0])

    return run


def served(model: Any, folder: File) -> Callable[..., Any]:
    model.export(str(folder / "served"), verbose=False)
    return elsewhere(WITHOUT, folder / "served")


def kept(model: Any, folder: File) -> Callable[..., Any]:
    model.save(folder / "model.keras")
    return elsewhere(LOADED, folder / "model.keras")


def saved(model: Any, folder: File) -> Callable[..., Any]:
    tf.saved_model.save(model, str(folder / "saved"))
    loaded = tf.saved_model.load(str(folder / "saved"))
    serve = loaded.signatures["serving_default"]
    names = sorted(serve.structured_input_signature[1])

    def run(*given: np.ndarray) -> Any:
        assert loaded  # its variables live as long as it does
        return next(iter(serve(**{name: tf.constant(a) for name, a in zip(names, given, strict=True)}).values()))

    return run


def lite(model: Any, folder: File) -> Callable[..., Any]:
    interpreter = tf.lite.Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(model).convert())
    places = sorted(interpreter.get_input_details(), key=lambda place: place["name"])

    def run(*given: np.ndarray) -> Any:
        for place, a in zip(places, given, strict=True):
            interpreter.resize_tensor_input(place["index"], a.shape)
        interpreter.allocate_tensors()
        for place, a in zip(places, given, strict=True):
            interpreter.set_tensor(place["index"], a)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


WAYS = {"model.export": served, "model.save('model.keras')": kept, "tf.saved_model.save": saved,
        "tf.lite.TFLiteConverter": lite}  # fmt: skip


def tried(way: str, path: Path | None, case: Case) -> str:
    """What came of one export."""
    model = built(held("tensorflow", path).as_layer(case.net), case)
    if case.train:
        model.compile("sgd", "mse", jit_compile=False)
        model.train_on_batch(arguments(case, case.exported)[0], np.zeros(model(arguments(case, case.exported)).shape))
    given = arguments(case, case.called)
    with tempfile.TemporaryDirectory() as folder:

        def make() -> Callable[[], Any]:
            made = WAYS[way](model, File(folder))
            return lambda: made(*given)

        return found(case, make, lambda: model(given if len(given) > 1 else given[0]).numpy(), KNOWN)


def arguments(case: Case, size: tuple[int, int]) -> list[np.ndarray]:
    """Inputs (batch, time, feature), 0 at padded steps, and the state."""
    x = case.inputs(size).swapaxes(0, 1).copy()
    if case.around == "lengths":
        x[np.arange(size[0]) >= case.lengths(size)[:, None]] = 0
    return [x, *(case.state(size) if case.around == "state" else [])]


def built(layer: Any, case: Case) -> Any:
    """A functional model of the sizes that are known."""
    steps, batch = (None if case.free == name else size
                    for name, size in zip(("time", "batch"), case.exported, strict=True))  # fmt: skip
    x = keras.Input(batch_shape=(batch, steps, INPUTS), name="a")
    if case.around == "lengths":
        return keras.Model(x, layer(keras.layers.Masking()(x)))
    if case.around != "state":
        return keras.Model(x, layer(x))
    state = [keras.Input(batch_shape=(batch, 4), name=name) for name in "bc"]
    return keras.Model([x, *state], layer(x, initial_state=state))
