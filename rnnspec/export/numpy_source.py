"""A network as one Python file that imports NumPy alone: a function for each cell, a loop over time, the weights."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from rnnspec.embedding import Embedding
from rnnspec.export.equations import equations
from rnnspec.export.exported import Exported
from rnnspec.export.numpy_cell import HELPERS, NumpyCell, identifier
from rnnspec.export.numpy_template import (
    CHECK_CLASSES,
    CHECK_FEATURES,
    DECODED,
    HEAD,
    LAST,
    OUTPUT,
    READ_BESIDE,
    RUN,
    SEE_CLASSES,
    SEE_FEATURES,
    STEP,
    TOP,
    TURNED,
)
from rnnspec.export.origin import indented
from rnnspec.export.rounding import error_of_rounding, in_8_bits, is_matrix
from rnnspec.export.settings import Asked, asked
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.output import Last, Tied
from rnnspec.tree import Tree, leaves

__all__ = ["to_numpy"]

Array = Any

SCALE = " scale"
TAKEN = {*HELPERS, "np", "math", "base64", "decoded", "read", "turned", "run", "step"}
"""The names of the file's own functions, which no cell may have."""
READABLE = 512
"""The most numbers that stand in the file as digits; more are written in base64."""
LINE = 100
"""The characters of a line of base64."""


def to_numpy(
    net: Network, params: Tree, *, name: str = "net", precision: str = "f32", beside: bool = False, int8: bool = False
) -> Exported:
    """The network as a Python file with `run(x, state=None, lengths=None)` and, if it is forward, `step(x_t, state)`.

    `beside` puts the weights into a file `.npz` that stands beside it. With `int8`, matrices are stored in 8 bits, each
    row with a scale, and the largest error is measured. Raises an RnnSpecError where an argument is not valid.
    """
    given = asked("numpy", net, params, precision, name)
    stored = _stored(given, int8)
    text = _source(given, _beside(stored, name) if beside else _inside(stored))
    files = {".py": text.encode()}
    if beside:
        files[".npz"] = _archive(stored)
    return Exported(files, _notes(given), error_of_rounding(given.net, given.params) if int8 else None)


def _notes(given: Asked) -> tuple[str, ...]:
    return () if given.is_forward else ("it has no step: a layer reads backwards, and needs whole sequences",)


def _source(given: Asked, weights: str) -> str:
    """The whole file."""
    net, functions, helpers = given.net, dict[str, str](), set[str]()
    layers = [_layer(f"layers.{i}", layer, _function(layer, functions, helpers)) for i, layer in enumerate(net.layers)]
    head = [_layer(f"head.{i}", layer, _function(layer, functions, helpers)) for i, layer in enumerate(net.head)]
    own = [HELPERS[helper].strip() + "\n\n\n" for helper in HELPERS if helper in helpers]
    is_last, turns = isinstance(net.read, Last), any("reverse" in layer.halves for layer in net.layers)
    outputs = "(batch, features)" if is_last else "(time, batch, features)"
    imports = "".join(f"import {m}\n" for m in ("base64", "math") if any(f"{m}." in text for text in (weights, *own)))
    has_step = "\nstep(x_t, state=None) runs one step of a stream." if given.is_forward else ""
    named = {"name": given.name, "features": net.features, "outputs": outputs, **_inputs(net),
             "begins": "what is learned" if net.learns_states else "zeros"}  # fmt: skip
    parts = [
        TOP.substitute(named, dtype=given.dtype, imports=imports, has_step=has_step),
        weights, *own, *(text + "\n\n" for text in functions.values()), TURNED if turns else "",
        RUN.substitute(named, layers="\n".join(f"    {{{', '.join(halves)}}}," for halves in layers),
                       head=_residual(net) + _head(net, head), end=_end(net), **_loop(net, turns)),
        STEP.substitute(named, first="values" if is_last else "values[0]") if given.is_forward else "",
    ]  # fmt: skip
    return "".join(parts).rstrip() + "\n"


def _inputs(net: Network) -> dict[str, str]:
    """What the file says of its inputs, and how it reads them."""
    if isinstance(net.inputs, Embedding):
        many = {"inputs": str(net.inputs.classes)}
        return {**many, "reads": f"class numbers (time, batch) below {net.inputs.classes}", "read_step": "(batch,)",
                "check": CHECK_CLASSES.substitute(many), "seen": SEE_CLASSES.substitute(many)}  # fmt: skip
    many = {"inputs": str(net.inputs)}
    return {**many, "reads": f"numbers (time, batch, {net.inputs})", "read_step": f"(batch, {net.inputs})",
            "check": CHECK_FEATURES.substitute(many), "seen": SEE_FEATURES.substitute(many)}  # fmt: skip


def _loop(net: Network, turns: bool) -> dict[str, str]:
    """How layers run and what they hand on: in both directions, or forward only."""
    adds = any(layer.residual for layer in net.layers)
    said = {
        "layer": "i, (layer, states)" if adds else "layer, states",
        "pairs": "enumerate(zip(LAYERS, state))" if adds else "zip(LAYERS, state)",
        "halves": "name: half.run(values, states[name], lengths) for name, half in layer.items()",
        "joined": 'found["forward"][0]',
    }
    if turns:
        said |= {"halves": BOTH, "joined": JOINED}
    return said | ({"joined": f"{said['joined']} + (values if i in RESIDUAL else 0)"} if adds else {})


BOTH = """name: half.run(turned(values, lengths) if name == "reverse" else values, states[name], lengths)
                 for name, half in layer.items()"""
JOINED = """np.concatenate([turned(outputs, lengths) if name == "reverse" else outputs
                                 for name, (outputs, _) in found.items()], -1)"""


def _residual(net: Network) -> str:
    """The layers whose inputs are added to their outputs."""
    found = {i for i, layer in enumerate(net.layers) if layer.residual}
    return f"RESIDUAL = {found}\n" if found else ""


def _head(net: Network, head: list[list[str]]) -> str:
    """The layers after what is read."""
    if not head:
        return ""
    rows = "\n".join(f"    {half.partition(': ')[2]}," for [half] in head)
    added = {i for i, layer in enumerate(net.head) if layer.residual}
    return f"HEAD = [\n{rows}\n]\n" + (f"RESIDUAL_HEAD = {added}\n" if added else "")


def _function(layer: Layer, functions: dict[str, str], helpers: set[str]) -> str:
    """The name of the function of a layer's cell, which is written once for all layers that share it."""
    writer = NumpyCell(equations(layer))
    body = writer.function("{}", f"{indented(layer.evaluated)}\n    ")
    helpers |= writer.helpers
    for name, text in functions.items():
        if text == body.replace("{}", name, 1):
            return name
    called = identifier(layer.cell.name if layer.cell.name.isidentifier() else "cell", {*functions, *TAKEN})
    functions[called] = body.replace("{}", called, 1)
    return called


def _layer(place: str, layer: Layer, called: str) -> list[str]:
    """The halves of a layer, for the table of layers."""
    states = {name: tuple(shape) for name, shape in layer.state_shapes.items()}
    shape = (layer.half_width,) if layer.heads is None else (layer.heads, layer.half_width // layer.heads)
    return [f'"{half}": Half("{place}.{half}", {called}, {states}, {shape})' for half in layer.halves]


def _end(net: Network) -> str:
    """What follows the layers: the steps that are read, and the output layer."""
    found, layer, low = "", net.read_layer, 0
    if isinstance(net.read, Last):
        parts = []
        for half in layer.halves:
            when = "lengths - 1" if half == "forward" else "0 * lengths"
            parts.append(f"values[{when}, rows, {low}:{(low := low + layer.half_width)}]")
        found += LAST.substitute(parts=", ".join(parts), width=layer.width)
    if net.head:
        is_last = isinstance(net.read, Last)
        adds = any(layer.residual for layer in net.head)
        found += HEAD.substitute(first="[None]" if is_last else "", only="[0]" if is_last else "",
                                 lengths="(lengths > 0) * 1" if is_last else "lengths",
                                 joined="found + (values if i in RESIDUAL_HEAD else 0)" if adds else "found")
    matrix = "embedding.E" if isinstance(net.output, Tied) else "output.W"
    return found + (OUTPUT.substitute(matrix=matrix) if net.output else "")


def _stored(given: Asked, int8: bool) -> dict[str, Array]:
    """The arrays of the file, by name: with 8 bits, matrices as whole numbers, and their scales beside them."""
    found: dict[str, Array] = {}
    for name, a in leaves(given.params):
        if int8 and is_matrix(name, a):
            found[name], scale = in_8_bits(a)
            found[f"{name}{SCALE}"] = scale.astype(given.dtype)
        else:
            found[name] = a.astype(given.dtype)
    return found


def _inside(stored: dict[str, Array]) -> str:
    """The table of parameters with their numbers: digits where there are few, else base64."""
    arrays = stored.values()
    digits = sum(a.size for a in arrays) <= READABLE and all(np.isfinite(a).all() for a in arrays)
    rows = (f'    "{name}": {_entry(name, stored, digits)},' for name in stored if not name.endswith(SCALE))
    return ("" if digits else DECODED) + "PARAMETERS = {\n" + "\n".join(rows) + "\n}\n\n\n"


def _entry(name: str, stored: dict[str, Array], digits: bool) -> str:
    """One parameter as an expression."""
    written = _digits if digits else _base64
    if f"{name}{SCALE}" not in stored:
        return written(stored[name])
    return f"({written(stored[name])}\n        * {written(stored[f'{name}{SCALE}'])}).astype(DTYPE)"


def _digits(a: Array) -> str:
    def of(a: Array) -> str:
        return f"[{', '.join(map(of, a))}]" if a.ndim else str(a[()])

    rows = f",\n        {' ' * 9}".join(map(of, a)) if a.ndim > 1 else ", ".join(map(of, a))
    return f"np.array([{rows}], DTYPE)"


def _base64(a: Array) -> str:
    text = base64.b64encode(_little(a).tobytes()).decode()
    lines = "\n".join(text[low : low + LINE] for low in range(0, len(text), LINE))
    return f'decoded({a.shape}, "{_little(a).dtype.str}", """\n{lines}\n""").astype(DTYPE)'


def _little(a: Array) -> Array:
    return np.ascontiguousarray(a, a.dtype.newbyteorder("<"))


def _beside(stored: dict[str, Array], name: str) -> str:
    shapes = "\n".join(f'    "{name}": {stored[name].shape},' for name in sorted(stored))
    return READ_BESIDE.substitute(shapes=shapes, name=name) + "\n\n"


def _archive(stored: dict[str, Array]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{name: _little(a) for name, a in stored.items()})
    return file.getvalue()
