"""The picture of a report that the README shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
SHOWN = ROOT / "docs" / "figures" / "report.svg"
REPORT = ROOT / "docs" / "figures" / "speed-numpy.json"


def texts(svg):
    return " ".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " ")


@pytest.fixture
def drawn(figures):
    return figures("report").picture(json.loads(REPORT.read_text()))


def test_the_same_report_gives_the_same_picture(drawn, figures):
    assert figures("report").picture(json.loads(REPORT.read_text())) == drawn


def test_it_shows_what_the_report_says(drawn):
    (entry,) = json.loads(REPORT.read_text())["backends"]
    said = texts(drawn)
    assert f"numpy {entry['version']}" in said
    assert entry["status"] in said


@pytest.mark.parametrize("which", ["drawn", "shown"])
def test_it_asks_no_server_for_anything(which, drawn):
    svg = drawn if which == "drawn" else SHOWN.read_text()
    assert set(re.findall(r"https?://[^\s\"']+", svg)) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
    assert "@font-face" not in svg


def test_the_readme_s_picture_is_of_a_run_of_all_four_backends_that_conform():
    said = texts(SHOWN.read_text())
    rows = re.findall(r"(jax|numpy|tensorflow|torch) \d[\w.+]*.*?(f32|f64).*?(conforms|fails|crashed)", said)
    assert rows == [(name, f, "conforms") for name in ("jax", "numpy", "tensorflow", "torch") for f in ("f32", "f64")]
