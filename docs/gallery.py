"""Writes the gallery: a page and two pictures for each cell of rnnspec.cells, and their table.

    python docs/gallery.py

A cell that is declared there gets its page with the next run. What a page says beside the declaration stands in the
cell's docstring and, where it has an entry, in docs/cells/notes.toml. The tests fail on a page that this would change.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import pkgutil
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from drawing.computation import picture
from drawing.plots import Row, marks
from figure_plots import MODES, RATIO
from tables.markdown import number, table

import rnnspec
from rnnspec.convert.layouts import TABLES
from rnnspec.errors import NetworkError

__all__ = ["cells", "index", "page", "written"]

DOCS = Path(__file__).parent
FOLDER, FIGURES = DOCS / "cells", DOCS / "figures"
NOTES = tomllib.loads((FOLDER / "notes.toml").read_text())
DIFFERENCES = tomllib.loads((FOLDER / "differences.toml").read_text())
INPUTS, WIDTH = 1_000_003, 1_000_033
"""Two numbers that no cell has of its own: where they occur in a shape, m and n are meant."""
SMALL = 4
"""The width in the example of a page."""


def cells() -> dict[str, Any]:
    """The public cells by name, in the order of their declarations."""
    return {name: value for name, value in vars(rnnspec.cells).items()
            if isinstance(value, rnnspec.Cell) and not name.startswith("_")}  # fmt: skip


def written() -> dict[Path, str]:
    """Every file of the gallery with what it holds."""
    files = {FOLDER / "index.md": index()}
    for name, cell in cells().items():
        drawn = picture(cell)
        files[FOLDER / f"{name}.md"] = page(name, cell)
        files[FOLDER / f"{name}.svg"] = drawn.svg(f"{name}: {sentence(name)}")
        files[FOLDER / f"{name}-small.svg"] = drawn.miniature(name)
        if timed := plot(name):
            files[FOLDER / f"{name}-speed.svg"] = timed
    return files


def index() -> str:
    """A table of the cells of each family."""
    parts = [HEAD, *(part for title, names in families().items() for part in (f"## {title}", listing(names))),
             DIFFER, differences(), TAIL]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def differences() -> str:
    """The table of what libraries compute under the names of papers."""
    rows = ((f"[{name}]({name}.md)", row["library"], row["computes"], row.get("apart", "read, not run"))
            for name, found in DIFFERENCES.items() for row in found)  # fmt: skip
    return "\n".join(table(("cell", "library", "what it computes instead", "difference"), rows))


def families() -> dict[str, list[str]]:
    """The names of the cells of each file, by the first words of its docstring; last those of no file."""
    found: dict[str, list[str]] = {}
    modules = [value for value in vars(rnnspec.cells).values() if isinstance(value, ModuleType)]
    for name, cell in cells().items():
        home = next((inspect.getdoc(module) for module in modules if vars(module).get(name) is cell), None)
        found.setdefault((home or "Other cells").partition(":")[0], []).append(name)
    return found


def listing(names: list[str]) -> str:
    """The table of some cells."""
    rows = ((f"[![{name}]({name}-small.svg)]({name}.md)", f"[{name}]({name}.md)", sentence(name),
             len(cell.states), parameters(cell)) for name, cell in cells().items() if name in names)  # fmt: skip
    head = ("computation", "cell", "what it is", "states", "parameters")
    return "\n".join(table(head, rows))


HEAD = (
    "# Cells\n\nEvery cell of `rnnspec.cells` has a page here, with its equations, a picture of its computation, its "
    "source, the same layer in other libraries, and its measured speed. In the tables, m is the number of input "
    "features, and n the width of the states. [Choose a cell](../choose-a-cell.md) says which one to take."
)
DIFFER = (
    "## Where libraries differ from the papers\n\nThe tests compare each cell with an implementation that nobody here "
    "wrote. Some libraries compute another function than the paper. Where the difference has a number, the tests also "
    "declare the library's function, show that it is what the library computes, and measure how far its outputs are "
    "from those of the paper's: the largest difference over 7 steps, with random parameters."
)
TAIL = (
    "You declare a cell of your own as one function: [A first network](../first-network.md) and "
    "[Add](../adding.md#a-cell) show how."
)


def page(name: str, cell: Any) -> str:
    """The page of one cell."""
    parts = (f"# {name}", sentence(name), f"![{described(name, cell)}]({name}.svg)",
             "## Equations", f"```math\n{cell.latex()}\n```", MATHS,
             "## Over time", " ".join(rnnspec.linearity(cell).sentences), TIME,
             "## Declaration", f"<!-- as declared -->\n```python\n{declaration(name)}\n```",
             "## Source", origin(name), "## States and parameters", "\n".join(sizes(cell)),
             "## In other libraries", "\n".join(elsewhere(name, cell)), "## Example", example(name, cell),
             "## Speed", "\n".join(speed(name)), NEXT)  # fmt: skip
    return "\n\n".join(parts) + "\n"


NEXT = "[All cells](index.md). [Choose a cell](../choose-a-cell.md)."
TIME = "[Time in parallel](../parallel.md) says what this means, and how it was derived."
MATHS = "σ is the logistic function; ⊙ multiplies element by element. In the picture a prime marks the new state."


def described(name: str, cell: Any) -> str:
    """What the picture shows, for those who do not see it."""
    if not cell.states:
        return f"The computation of {name}: from the input to the output"
    return f"The computation of {name}: from the input and {listed(cell.states)} to the new {listed(cell.states)}"


def listed(names: Any, joint: str = "and") -> str:
    *first, last = names
    return f"{', '.join(first)} {joint} {last}" if first else str(last)


def sentence(name: str) -> str:
    """What the cell is: of the notes, or the first sentence of its docstring."""
    return NOTES.get(name, {}).get("says") or origin(name).split("\n\n")[0]


def origin(name: str) -> str:
    """The docstring of the declaration: the paper and its equations."""
    found = function(name)
    return (ast.get_docstring(found[1]) if found else None) or "No source is given."


def declaration(name: str) -> str:
    """The declaration as it is written."""
    text, node = function(name) or ("", None)
    if node is None:
        return f"# {name} is made by a function: see the source of rnnspec.cells"
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return inspect.cleandoc("\n".join(text.splitlines()[first - 1 : node.end_lineno]))


def function(name: str) -> tuple[str, ast.FunctionDef] | None:
    """The text of the file and the function that declares a cell; none where the cell is made otherwise."""
    return declarations().get(name) or declarations().get(cells()[name].name)


@cache
def declarations() -> dict[str, tuple[str, ast.FunctionDef]]:
    """Every function under a decorator in rnnspec.cells, a module or a package of modules."""
    package = rnnspec.cells
    inner = [m.name for m in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{package.__name__}.")]
    texts = [inspect.getsource(module) for module in (package, *map(import_module, inner))]
    return {node.name: (text, node) for text in texts for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef) and node.decorator_list}  # fmt: skip


def widths(cell: Any, width: int) -> dict[str, int]:
    """One width for everything in the cell that has one of its own."""
    free = (members for members in cell.width_classes if not members & {*cell.numbers, "x"})
    return {min(filter(None, members), key=lambda name: (name not in cell.states, name)): width for members in free}


def shapes(cell: Any) -> dict[str, tuple[str, ...]]:
    """The shape of every parameter, in n and m."""
    found = cell.parameter_shapes(INPUTS, widths(cell, WIDTH))
    letters = {INPUTS: "m", WIDTH: "n"}
    return {f"{kind}.{name}": tuple(letters.get(size, str(size)) for size in shape)
            for kind, named in found.items() for name, shape in named.items()}  # fmt: skip


def parameters(cell: Any) -> str:
    """The number of parameters, as a sum of products of n and m."""
    counts: Counter[tuple[int, int]] = Counter()
    for shape in shapes(cell).values():
        counts[shape.count("n"), shape.count("m")] += math.prod(int(size) for size in shape if size not in "nm")
    return " + ".join(term(times, *counted) for counted, times in sorted(counts.items(), key=degree))


def degree(counted: tuple[tuple[int, int], int]) -> tuple[int, int]:
    """The highest powers first, and those of m before those of n alone."""
    (n, m), _ = counted
    return -n - m, -m


def term(times: int, n: int, m: int) -> str:
    letters = "".join(f"{letter}{POWERS[power]}" for letter, power in (("n", n), ("m", m)) if power)
    return letters if times == 1 and letters else f"{times} {letters}".strip()


POWERS = ("", "", "²", "³", "⁴")


def sizes(cell: Any) -> Iterator[str]:
    """The states, and the parameters of each shape."""
    by_shape: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for label, shape in shapes(cell).items():
        by_shape.setdefault((label.partition(".")[0], shape), []).append(f"`{label}`")
    many = "s" if len(cell.states) > 1 else ""
    states = f"State{many} {listed([f'`{state}`' for state in cell.states])}" if cell.states else "No state"
    yield f"{states}; {parameters(cell)} parameters for m input features and a width of n."
    yield ""
    yield from table(("parameters", "what they are", "shape"),
                     ((", ".join(labels), WHAT.get(kind, "learned"), f"({', '.join(shape)})")
                      for (kind, shape), labels in by_shape.items()))  # fmt: skip


WHAT = {"W": "map of the input", "b": "bias", "U": "recurrent map", "p": "learned vector"}


def elsewhere(name: str, cell: Any) -> Iterator[str]:
    """Which layer of each library computes the cell, in which order it stacks the gates, and what to know."""
    rows = [(library, f"`{row.kind}`" + "".join(f", `{key}={value}`" for key, value in row.options.items()),
             "<br>".join([*(f"`{tensor}`: {maps}" for tensor, maps in row.tensors.items()), *absent(cell, row)]))
            for library, layouts in TABLES.items() for row in layouts if row.cell == cell]  # fmt: skip
    if rows:
        yield from table(("library", "layer", "its tensors, gate by gate"), rows)
        yield ""
        yield STACKED
        yield ""
    missing = [library for library in TABLES if library not in {row[0] for row in rows}]
    if missing:
        yield f"[Conversion](../convert.md) knows no layer of {listed(missing, 'or')} that computes this cell."
        yield ""
    yield from (f"- {note}" for note in NOTES.get(name, {}).get("notes", ()))


STACKED = (
    "A tensor stacks the parameters after its name, in this order. A parameter that stands twice is the sum of both, "
    "and 0 stands for one that the cell does not have."
)


def absent(cell: Any, row: Any) -> list[str]:
    """The parameters that a library's layer does not have: there they are 0."""
    there = {label for maps in row.tensors.values() for label in maps.split()}
    missing = [label for label in shapes(cell) if label not in there]
    return [f"without {', '.join(missing)}"] if missing else []


def example(name: str, cell: Any) -> str:
    """Three lines that run the cell, with what they print."""
    sizes: Any = (3, SMALL), (SMALL, SMALL), (3, widths(cell, SMALL))
    inputs, hidden = next(each for each in sizes if fits(cell, *each))
    net = rnnspec.Network(inputs=inputs, layers=[rnnspec.Layer(cell, hidden=hidden)])
    be = rnnspec.get_backend("numpy", precision="f64")
    found = be.run(net, net.init(seed=0), np.ones((5, 2, inputs))).outputs[-1, 0].round(4)
    return f"""```python
>>> import numpy as np, rnnspec
>>> net = rnnspec.Network(inputs={inputs}, layers=[rnnspec.Layer(rnnspec.cells.{name}, hidden={hidden!r})])
>>> be, x = rnnspec.get_backend("numpy", precision="f64"), np.ones((5, 2, {inputs}))    # time, batch, feature
>>> be.run(net, net.init(seed=0), x).outputs[-1, 0].round(4)
{found!r}

```"""


def fits(cell: Any, inputs: int, hidden: Any) -> bool:
    """Whether a layer of the cell can have these sizes: some are as wide as their input, some need more widths."""
    try:
        rnnspec.Network(inputs=inputs, layers=[rnnspec.Layer(cell, hidden=hidden)])
    except NetworkError:
        return False
    return True


def speed(name: str) -> Iterator[str]:
    """What was measured of the cell on each backend, beside the peer; nothing where it was not measured."""
    rows = measured(name)
    if not rows:
        yield "Not measured yet. [Speed](../figures/speed.md) says which cells were measured, and how."
        return
    if plot(name):
        yield f"![The time of {name} on each backend over the time of its peers]({name}-speed.svg)"
        yield ""
    shapes = sorted({row["shape"] for row in rows})
    found: dict[tuple[str, str, str], dict[Any, str]] = {}
    for row in rows:
        ratio = f", {number(row['ratio'])}" if row["peer"] else ""
        key = row["what"], row["peer"] or "none", row["mode"]
        found.setdefault(key, {})[row["shape"]] = f"{row['seconds'] * 1e3:.3g} ms{ratio}"
    yield "<details><summary>All numbers: the time of rnnspec, and its ratio to the peer's time</summary>"
    yield ""
    lines = ((*key, *(by_shape.get(shape, "") for shape in shapes)) for key, by_shape in found.items())
    yield from table(("backend", "peer", "mode", *map(written_shape, shapes)), lines)
    yield ""
    yield "</details>"
    yield ""
    yield "float32, on two cores. [Speed](../figures/speed.md) says how this was measured."


def written_shape(shape: tuple[int, ...]) -> str:
    rows, steps, inputs, hidden = shape
    return f"{rows} row{'s' * (rows > 1)}, {steps} steps, {inputs} features to {hidden}"


def plot(name: str) -> str | None:
    """Every timed call of the cell beside its peer; none where no peer was timed."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in (row for row in measured(name) if row["peer"]):
        peer = row["peer"].removeprefix(f"{name} ")
        found.setdefault(f"{row['what']}, beside {peer}", {}).setdefault(MODES[row["mode"]], []).append(row["ratio"])
    if not found:
        return None
    return marks(f"{name} beside other implementations, every size", [Row(*each) for each in found.items()], RATIO)


@cache
def measurements() -> tuple[dict[str, Any], ...]:
    """All timed calls: of the backends by themselves, and of their layers in a program of the framework's."""
    found = []
    for path in sorted(FIGURES.glob("speed-*.json")):
        for backend in json.loads(path.read_text())["backends"]:
            found += [{**row, "what": backend["name"], "ratio": row["ratio_peer"]} for row in backend["speed"]]
    for path in sorted(FIGURES.glob("layers-*.json")):
        data = json.loads(path.read_text())
        found += [{**row, "what": f"{data['backend']}, as a layer"} for row in data["rows"]]
    return tuple({**row, "shape": tuple(row["shape"].values())} for row in found)


def measured(name: str) -> list[dict[str, Any]]:
    return [row for row in measurements() if row["cell"] == name]


def write() -> None:
    """Bring the gallery up to date; pictures and pages of cells that are gone go too."""
    files = written()
    for path in (*FOLDER.glob("*.md"), *FOLDER.glob("*.svg")):
        if path not in files:
            path.unlink()
    for path, text in files.items():
        path.write_text(text)


if __name__ == "__main__":
    write()
