"""What `from_keras` is given: layers, models, files of them, and arrays with what they are of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from rnnspec.convert import keras_alive, keras_files
from rnnspec.convert.keras_chain import Link, links
from rnnspec.convert.keras_reading import READERS, Reading
from rnnspec.convert.keras_told import KINDS
from rnnspec.errors import ArgumentError, FileFormatError, RnnSpecError, UnsupportedError

__all__ = ["add_parts"]

RECURRENT = (*KINDS, "RNN", "Bidirectional")


def add_parts(reading: Reading, parts: Sequence[Any], layers: slice) -> None:
    """Add parts one after the other; of layers in models and files those of a slice."""
    chain = list[Link]()
    for part in parts:
        if isinstance(part, tuple) and len(part) in (2, 3):
            _add_chain(reading, chain, layers)
            chain = []
            reading.add_arrays(part[0], _arrays(reading.call, part[1], *part[2:]))
        else:
            chain += _links(reading.call, part)
    _add_chain(reading, chain, layers)


def _arrays(call: str, given: Any, prefix: str = "") -> Any:
    """The arrays of a pair, of which a prefix picks some by name."""
    if isinstance(given, str | os.PathLike):
        return keras_files.arrays_of(call, given, prefix)
    if not prefix:
        return given
    found = {name.removeprefix(prefix): a for name, a in dict(given).items() if name.startswith(prefix)}
    if not found:
        raise ArgumentError(call, f"names of arrays must begin with {prefix!r}", ", ".join(dict(given)) or "none",
                            "give the prefix of the layer")  # fmt: skip
    return found


def _links(call: str, part: Any) -> list[Link]:
    """The layers of a part: of a layer itself, of a model, or of the model in a file."""
    if isinstance(part, str | os.PathLike):
        return _links(call, _loaded(call, part)) if Path(part).suffix == ".keras" else keras_files.chain_of(call, part)
    if not keras_alive.is_model(part):
        return [Link(keras_alive.told(call, part))]
    if type(part).__name__ == "Sequential":
        return [link for own in part.layers for link in _links(call, own)]
    told = {layer.name: keras_alive.told(call, layer) for layer in part.layers}
    return links(call, part.get_config(), told)


def _loaded(call: str, path: str | os.PathLike[str]) -> Any:
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever its classes raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise FileFormatError(call, "Keras must be able to load the file without code of its own",
                              f"{os.fspath(path)!r}: {reason}", "load it yourself, and give its layers") from error


def _add_chain(reading: Reading, chain: Sequence[Link], layers: slice) -> None:
    """Add the layers of a chain, if all of them can be read."""
    first, chosen = layers.indices(len(chain))[0], list(chain[layers])
    _check_readable(reading.call, chosen, first)
    for i, link in enumerate(chosen):
        reading.add(replace(link, reads=None) if i == 0 else link)


def _check_readable(call: str, chain: Sequence[Link], first: int) -> None:
    """Raise an error that names every layer that is not read, and says which stretches of layers can be given."""
    odd = [i for i, link in enumerate(chain) if not _is_readable(link)]
    if not odd:
        return
    got = ", ".join(f"{chain[i].told} at layers[{first + i}]" for i in odd)
    must = f"layers must be {', '.join(KINDS)}, an RNN of their cells, Bidirectional, or one of {', '.join(OTHERS)}"
    stretches = list(_stretches(chain, odd, first))
    do = "give the layers that can be read"
    if stretches:
        do = f"give {' or '.join(stretches)}: from_keras(*model.{stretches[0]}), or from_keras(path, layers=slice(...))"
    kind: type[RnnSpecError] = UnsupportedError if chain[odd[0]].told.is_layer else ArgumentError
    raise kind(call, must, got, do)


def _is_readable(link: Link) -> bool:
    return link.told.generation > 0 and (link.told.kind in READERS or link.told.kind == "Add")


OTHERS = sorted({*READERS, "Add"} - {*RECURRENT})


def _stretches(chain: Sequence[Link], odd: Sequence[int], first: int) -> Iterator[str]:
    """The stretches of layers between those that are not read, in which one is recurrent."""
    for begin, end in zip([-1, *odd], [*odd, len(chain)], strict=True):
        own = chain[begin + 1 : end]
        if any(link.told.kind in RECURRENT for link in own):
            yield f"layers[{first + begin + 1}:{'' if end == len(chain) else first + end}]"
