"""The plots of the figures: what the generator draws from the JSON, and that no measurement goes without a page."""

import re
import sys
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module", autouse=True)
def docs():
    sys.path.insert(0, str(DOCS))
    yield
    sys.path.remove(str(DOCS))


@pytest.fixture
def plots():
    return import_module("drawing.plots")


def test_the_plots_are_what_the_generator_draws():
    drawn = import_module("figure_plots").pictures()
    stale = [path.name for path, text in drawn.items() if not path.exists() or path.read_text() != text]
    assert not stale, "run `make docs`"
    others = {DOCS / "figures" / name for name in ("report.svg", "rooms.svg")}  # a report and imports, not figures
    assert set((DOCS / "figures").glob("*.svg")) == {*drawn, *others}


def test_every_plot_and_every_measurement_is_on_a_page():
    pages = "\n".join(page.read_text() for page in [*DOCS.glob("*.md"), *(DOCS / "figures").glob("*.md")])
    missing = [path.name for path in import_module("figure_plots").pictures() if f"({path.name})" not in pages]
    assert not missing
    included = set(re.findall(r"<!-- include: (?:figures|measured) (\S+) -->", pages))
    assert included == set(import_module("figure_tables").FIGURES)


@pytest.mark.parametrize("page", sorted((DOCS / "figures").glob("*.md")), ids=lambda page: page.name)
def test_a_page_asks_its_question_first_and_the_index_names_it(page):
    title, _, question, *_ = page.read_text().splitlines()
    assert title.startswith("# ")
    assert question.endswith("?")
    assert f"(figures/{page.name}" in (DOCS / "figures.md").read_text()


def test_first_calls_have_a_line_for_each_layer_and_no_mark_where_one_took_too_long(monkeypatch):
    figures = import_module("figure_plots")
    first = {"10": {"seconds": 0.1, "bytes": 1e6}, "1000": None}
    rows = [{"layer": f"layer {i}", "first": {**first, "100": {"seconds": i + 1.0, "bytes": 1e6}}} for i in range(8)]
    monkeypatch.setattr(figures, "read", lambda name: {"first_calls": {"rows": rows}}[name])
    svg = figures.first_calls("")
    assert len(places(svg, "circle", "cx")) == 2 * 2  # of the layers 0 and 4
    assert all(f">layer {i}</text>" in svg for i in range(8))


def places(svg, tag, name):
    return [float(found.get(name)) for found in ElementTree.fromstring(svg).iter() if found.tag.endswith(tag)
            and found.get(name)]  # fmt: skip


def test_a_mark_stands_where_its_value_is(plots):
    rows = [plots.Row("heading", {}), plots.Row("one", {"a": [0.25, 1.0, 4.0]})]
    svg = plots.marks("title", rows, plots.Axis("ratio", log=True, lines={1.0: "equal"}))
    quarter, one, four = places(svg, "circle", "cx")
    assert four - one == pytest.approx(one - quarter, abs=0.2)
    line = re.search(r'd="M([\d.]+) [\d.]+V', svg)
    assert float(line[1]) == pytest.approx(one, abs=0.2)


def test_a_bar_is_as_long_as_its_value(plots):
    svg = plots.bars("title", {"a": 2.0, "b": 6.0}, plots.Axis("faults"))
    short, long = places(svg, "rect", "width")
    assert long == pytest.approx(3 * short, rel=0.01)


def test_a_line_rises_with_its_values_and_says_its_name(plots):
    svg = plots.lines("title", {"kept": [(1.0, 1.0), (10.0, 100.0)]}, plots.Axis("steps", log=True),
                      plots.Axis("MB", log=True))  # fmt: skip
    (low, high) = places(svg, "circle", "cy")
    assert low > high
    assert ">kept</text>" in svg


RANGES = [(0.11, 6.5, True), (0.9, 1.3, True), (1e-14, 0.3, True), (0.0, 0.003, False), (0.0, 7.0, False),
          (0.0, 812.0, False)]  # fmt: skip


@pytest.mark.parametrize(("low", "high", "log"), RANGES)
def test_ticks_are_few_round_and_within(low, high, log, plots):
    scale = plots.Axis("", log=log).scale([low, high], 100.0)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 11
    assert all(-1e-6 <= scale(tick) <= 100.0 for tick in ticks)
    assert len({plots.short(tick) for tick in ticks}) == len(ticks)
    assert all(float(f"{tick:.1e}") == pytest.approx(tick) for tick in ticks)


def test_series_differ_in_colour_and_in_shape(plots):
    four = [plots.mark(number, 0.0, 0.0) for number in range(4)]
    assert len({re.search('fill="(#.{6})"', sign)[1] for sign in four}) == 4
    assert len({re.sub('fill="#.{6}"', "", sign) for sign in four}) == 4


@pytest.mark.parametrize("colour", ["#7a7a7a", "#1a7fc1", "#d55e00", "#009e73", "#b45f96", "#a67c00", "#5b7f95"])
def test_text_and_marks_can_be_seen_on_white_and_on_black(colour):
    def light(value):
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    parts = [light(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5)]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))
    assert 1.05 / (luminance + 0.05) >= 3
    assert (luminance + 0.05) / 0.05 >= 3
