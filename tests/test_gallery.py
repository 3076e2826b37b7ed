"""The gallery of cells: a page and its pictures for each, as the generator writes them."""

import random
import re
import sys
from importlib import import_module
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

import rnnspec
from rnnspec import cells
from rnnspec.primitives import maximum, sigmoid, tanh, where
from tests import odd_cells

DOCS = Path(__file__).parents[1] / "docs"
BUILT_IN = [value for value in vars(cells).values() if isinstance(value, rnnspec.Cell)]
ODD = [value for value in vars(odd_cells).values() if isinstance(value, rnnspec.Cell)]


@pytest.fixture(scope="module")
def gallery():
    sys.path.insert(0, str(DOCS))
    yield import_module("gallery")
    sys.path.remove(str(DOCS))


@pytest.fixture
def drawn(gallery):
    """The picture of a cell."""
    return gallery.picture


@rnnspec.cell
def invented(x, R, p, h, s):
    """Nobody (2030), equation 1.

    A second paragraph.
    """
    a = sigmoid(x.a + R.a(h))
    s = 3 * s - a * h / (2 + a)
    return rnnspec.out(where(s > h, p.b * s, maximum(h, 0.5))), tanh(x.h - R.h(h) + p.a), s


def test_the_gallery_is_what_the_generator_writes(gallery):
    files = gallery.written()
    stale = [path.name for path, text in files.items() if not path.exists() or path.read_text() != text]
    assert not stale, "run `make docs`"
    there = {path for path in (DOCS / "cells").iterdir() if path.suffix in (".md", ".svg")}
    assert there == set(files)


def test_every_public_cell_has_a_page_that_the_table_names(gallery):
    table = gallery.index()
    for cell in BUILT_IN:
        assert f"[{cell.name}]({cell.name}.md)" in table
        page = (DOCS / f"cells/{cell.name}.md").read_text()
        assert cell.latex() in page
        assert f"def {cell.name}(" in page


def test_notes_are_of_cells(gallery):
    assert set(gallery.NOTES) <= {cell.name for cell in BUILT_IN}
    assert all(set(notes) <= {"says", "notes"} for notes in gallery.NOTES.values())


def test_a_cell_that_somebody_adds_has_a_page_without_any_change(gallery, monkeypatch):
    monkeypatch.setattr(cells, "invented", invented, raising=False)
    monkeypatch.setattr(gallery.inspect, "getsource", lambda module: Path(__file__).read_text())
    gallery.declarations.cache_clear()
    page = gallery.page("invented", invented)
    gallery.declarations.cache_clear()
    assert "\n\nNobody (2030), equation 1.\n\n" in page
    assert "    s = 3 * s - a * h / (2 + a)\n" in page
    assert "States `h` and `s`; 2 nm + 2 n² + 4 n parameters" in page
    assert "knows no layer of torch.nn, Keras, Flax nnx, ONNX or torchrecurrent that computes this cell" in page
    assert "Not measured yet." in page
    assert re.search(r"\narray\(\[.*\]\)\n", page)


@pytest.mark.parametrize("cell", [*BUILT_IN, *ODD, invented], ids=lambda cell: cell.name)
def test_the_count_of_parameters_is_that_of_the_shapes(cell, gallery):
    n, m = 5, 3
    shapes = cell.parameter_shapes(m, gallery.widths(cell, n))
    counted = sum(shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in leaves_of(shapes))
    terms = re.sub(r"([nm])²", r"\1*\1", gallery.parameters(cell).replace("nm", "n*m"))
    value = eval(re.sub(r"(\d+) (?=\w)", r"\1*", terms) or "0", {"n": n, "m": m})
    assert value == counted


def leaves_of(shapes):
    return [shape for named in shapes.values() for shape in named.values()]


@pytest.mark.parametrize("cell", [*BUILT_IN, *ODD, invented], ids=lambda cell: cell.name)
def test_a_picture_shows_what_enters_and_leaves_and_every_edge_leads_to_the_right(cell, drawn):
    picture = drawn(cell)
    labels = [box.label for box in picture.boxes if not box.leaves]
    for node in cell.graph.nodes:
        if node.op in ("input", "vector", "map", "state"):
            assert {"input": "x.", "vector": "p.", "map": "R.", "state": ""}[node.op] + node.name in labels
    results = [name for box in picture.boxes if box.leaves for name in box.label.split(", ")]
    assert sorted(results) == sorted([*(f"{state}′" for state in cell.states), "output"])
    drawing = import_module("drawing.computation")._Drawing(picture)
    assert all(drawing.columns[source] < drawing.columns[target] for source, target, _ in picture.edges)
    for column in range(max(drawing.columns) + 1):
        heights = sorted(drawing.placed.heights[i] for i, c in enumerate(drawing.columns) if c == column)
        assert all(low + 26.0 <= high + 1e-9 for low, high in pairwise(heights))
    assert ElementTree.fromstring(picture.svg(cell.name)).tag.endswith("svg")
    assert ElementTree.fromstring(picture.miniature(cell.name)).tag.endswith("svg")


def test_sums_products_and_numbers_are_one_sign_each(drawn):
    picture = drawn(cells.gru)
    signs = sorted(box.label for box in picture.boxes if box.kind == "operation")
    assert signs == ["+", "+", "+", "+", "+", "1 −", "×", "×", "×"]
    assert {(box.label, box.note) for box in picture.boxes if box.kind == "function"} == {
        ("σ", "r"), ("σ", "z"), ("tanh", "n")}  # fmt: skip


def test_edges_say_which_operand_they_are_where_operands_cannot_be_exchanged(drawn):
    picture = drawn(invented)
    said = sorted(says for _, _, says in picture.edges if says)
    assert said == ["by", "else", "if", "than", "then", "−", "−"]
    twice = rnnspec.cell(lambda x, h: x.a * h * h)
    assert [says for _, _, says in drawn(twice).edges if says] == ["2 times"]


def test_a_sum_that_is_read_twice_keeps_a_box_of_its_own(drawn):
    @rnnspec.cell
    def shared(x, R, p, h):
        a = x.a + R.a(h)
        return tanh(a + p.b) * a

    picture = drawn(shared)
    assert [box.label for box in picture.boxes if box.kind == "operation"] == ["+", "+", "×"]
    first = next(i for i, box in enumerate(picture.boxes) if box.label == "+")
    assert sum(source == first for source, _, _ in picture.edges) == 2


@pytest.mark.parametrize("seed", range(1, 8))
def test_boxes_are_ordered_so_that_edges_cross_where_they_must_only(seed, gallery):
    """Drawn without a crossing, then shuffled: three columns of five, with nine edges from each to the next."""
    rng, columns, edges = random.Random(seed), [0] * 5 + [1] * 5 + [2] * 5, []
    names = [rng.sample(range(5 * column, 5 * column + 5), 5) for column in range(3)]
    for left, right in pairwise(names):
        steps, a, b = rng.sample([0] * 4 + [1] * 4, 8), 0, 0
        edges.append((left[0], right[0]))
        for step in steps:
            a, b = a + step, b + 1 - step
            edges.append((left[a], right[b]))
    heights = import_module("drawing.layers").place(columns, [10.0] * 15, edges, 5.0).heights
    for (one, to_one), (other, to_other) in combinations(edges, 2):
        if columns[one] == columns[other]:
            assert (heights[one] - heights[other]) * (heights[to_one] - heights[to_other]) >= 0


def test_an_edge_passes_between_the_boxes_of_the_columns_that_it_spans(gallery):
    edges = [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]
    placed = import_module("drawing.layers").place([0, 1, 1, 2], [10.0] * 4, edges, 5.0)
    ((column, height),) = placed.passes[0, 3]
    assert column == 1
    assert all(abs(height - placed.heights[box]) >= 5.0 + 5.0 - 1e-9 for box in (1, 2))


def test_parameters_with_a_fixed_width_are_counted(gallery, monkeypatch):
    monkeypatch.setattr(gallery, "shapes", lambda cell: {"W.a": ("4", "m"), "U.a": ("n", "n", "m"), "p.a": ("2",)})
    assert gallery.parameters(cells.gru) == "n²m + 4 m + 2"
