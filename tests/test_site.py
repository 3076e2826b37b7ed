"""The site of the documentation: it builds without a warning, nothing leads nowhere, and it reads well in a browser."""

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import threading
import zlib
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

import rnnspec

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = {"width": 390, "height": 844}
MODULES = ("cells", "convert", "decoding", "errors", "initialisers", "losses", "policies", "primitives", "updates")
"""The public modules, of which every public name has an entry."""
ALIKE = ("laws/P", "_modules/")
"""The pages of laws and of sources, of which a browser looks at some: each kind comes from one template."""
LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href", "object": "data"}
"""What a page loads by itself, by the attribute that says from where."""


class Page(HTMLParser):
    """The places in a page, and where it leads."""

    def __init__(self, file):
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if given.get(LOADED.get(tag)):
            self.loads.append(given[LOADED[tag]])


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-d", str(folder / "trees"),
               str(ROOT / "docs"), str(folder / "html")]  # fmt: skip
    own = os.environ | {"PYTHONPATH": str(ROOT)}
    built = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "html"


@pytest.fixture(scope="session")
def pages(site):
    return {file.relative_to(site).as_posix(): Page(file) for file in sorted(site.rglob("*.html"))}


@pytest.fixture(scope="session")
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *given):
            pass

    with ThreadingHTTPServer(("localhost", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    playwright = importlib.import_module("playwright.sync_api").sync_playwright
    with playwright() as play, play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as found:
        yield found


@pytest.fixture
def tab(browser, address, request):
    """A tab that remembers what is asked of other hosts."""
    with browser.new_context(base_url=address, **getattr(request, "param", {})) as context:
        page = context.new_page()
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page


def nowhere(site, pages):
    """The links and loads of pages that lead to no file or no place of the site."""
    for name, page in pages.items():
        for link in (*page.links, *page.loads):
            target, anchor = urldefrag(link)
            if urlsplit(target).scheme or target.startswith("//"):
                continue
            file = (site / name).parent / unquote(target).partition("?")[0] if target else site / name
            if file.is_dir():
                file = file / "index.html"
            there = os.path.normpath(file.relative_to(site)) if file.exists() else None
            if there is None or (anchor and there in pages and unquote(anchor) not in pages[there].ids):
                yield f"{name}: {link}"


def from_elsewhere(site, pages):
    """What pages and their styles load from another host."""
    yield from (f"{name}: {link}" for name, page in pages.items() for link in page.loads if "//" in link)
    for style in site.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)", style.read_text(encoding="utf-8"))
        yield from (f"{style.relative_to(site)}: {link}" for link in found)


def cells():
    return {name: value for name, value in vars(rnnspec.cells).items() if isinstance(value, rnnspec.Cell)}


def public_names():
    """Every name that a program may use, as it imports it."""
    yield from (f"rnnspec.{name}" for name in rnnspec.__all__)
    yield from (f"rnnspec.Backend.{name}" for name, value in vars(rnnspec.Backend).items()
                if inspect.isfunction(value) and not name.startswith("_"))  # fmt: skip
    yield from (f"rnnspec.cells.{name}" for name in cells())
    for module in MODULES:
        names = getattr(importlib.import_module(f"rnnspec.{module}"), "__all__", ())
        yield from (f"rnnspec.{module}.{name}" for name in names)
    yield from ("conformance.check_backend", "conformance.reproduce", "conformance.testing.BackendSuite")
    yield from sorted(imported())


def imported():
    """What the pages for authors import."""
    for page in ("adding.md", "publish.md"):
        for module, names in re.findall(r"^(?:>>> )?from ((?:rnnspec|conformance)[\w.]*) import (.+)$",
                                        (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE):  # fmt: skip
            if not module.startswith("rnnspec_"):
                yield from (f"{module}.{name.partition('#')[0].strip()}" for name in names.split(","))


def entries(site):
    """The places of the reference, by name, from the inventory that Sphinx writes for other projects."""
    data = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    for line in zlib.decompress(data).decode().splitlines():
        name, _, _, place, _ = line.split(" ", 4)
        yield name, place.replace("$", name)


def test_every_link_and_every_anchor_is_there(site, pages):
    assert len(pages) > 40
    assert not [*nowhere(site, pages)]


def test_no_page_loads_anything_from_another_host(site, pages):
    assert not [*from_elsewhere(site, pages)]


def test_a_dead_link_a_dead_anchor_and_a_foreign_script_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<a id="x" href="b.html">b</a><a href="#y">y</a><a href="a.html#x">x</a>'
                                     '<script src="https://example.org/s.js"></script><img src="c.png">')  # fmt: skip
    (tmp_path / "s.css").write_text("@import url(//example.org/font.css)")
    pages = {"a.html": Page(tmp_path / "a.html")}
    assert [*nowhere(tmp_path, pages)] == ["a.html: b.html", "a.html: #y", "a.html: c.png"]
    assert [*from_elsewhere(tmp_path, pages)] == ["a.html: https://example.org/s.js", "s.css: //example.org/font.css"]


def test_every_public_name_has_an_entry_in_the_reference(site, pages):
    places = dict(entries(site))
    names = sorted(set(public_names()))
    assert len(names) > 150
    assert not [name for name in names if name not in places]
    for name in names:
        page, anchor = urldefrag(places[name])
        assert anchor in pages[page].ids, name


def test_equations_are_mathml_with_a_row_for_each_line(tab):
    tab.goto("/api/cells.html")
    lines = "all => all.map(m => m.querySelector('mtable').querySelectorAll(':scope > mtr').length)"
    rows = tab.eval_on_selector_all("math", lines)  # a choice within a line has rows of its own
    assert rows == [cell.latex().count("&=") for cell in cells().values()]
    assert "&" not in "".join(tab.eval_on_selector_all("math", "all => all.map(m => m.textContent)"))


def test_the_search_finds_a_name(tab):
    tab.goto("/search.html?q=Truncated")
    tab.wait_for_selector("#search-results li a")
    found = tab.eval_on_selector_all("#search-results li a", "all => all.map(a => a.getAttribute('href'))")
    assert any("api/policies.html" in place for place in found)
    tab.goto("/search.html?q=Untruncatable")
    tab.wait_for_selector("#search-results .search-summary")
    assert tab.locator("#search-results li a").count() == 0


@pytest.mark.parametrize("tab", [{"viewport": PHONE}], indirect=True)
def test_every_page_fits_a_phone_shows_its_equations_and_asks_no_other_host(tab, pages, address):
    alike = [name for name in pages if name.startswith(ALIKE)]
    seen = {}
    for name in (*alike[::8], *(pages.keys() - alike)):
        tab.goto(f"/{name}", wait_until="load")
        seen[name] = tab.evaluate(SIZES)
    assert not {name: width for name, (width, _) in seen.items() if width > PHONE["width"]}
    assert not [name for name, (_, sizes) in seen.items() if any(width < 5 or height < 5 for width, height in sizes)]
    assert sum(len(sizes) for _, sizes in seen.values()) >= 2 * len(cells())
    assert not [url for url in tab.asked if not url.startswith((address, "data:"))]


@pytest.mark.parametrize(("tab", "dark"), [({"color_scheme": "light"}, False), ({"color_scheme": "dark"}, True)],
                         indirect=["tab"], ids=["light", "dark"])  # fmt: skip
def test_text_stands_out_in_light_and_in_dark(tab, dark):
    tab.goto("/first-network.html")
    for place in ("article p", "article h1", "article code", "article pre", ".sidebar-tree a"):
        ink, paper = tab.eval_on_selector(place, COLOURS)
        assert contrast(ink, paper) > 4.5, place
        assert (luminance(paper) < 0.2) == dark, place


SIZES = """() => [
  Math.max(...[...document.querySelectorAll("html, .content, article")].map(box => box.scrollWidth)),
  [...document.querySelectorAll("math")].map(m => m.getBoundingClientRect()).map(r => [r.width, r.height]),
]"""
"""The width of a page, or of its text where the theme lets that scroll by itself; and the sizes of its equations."""

COLOURS = """element => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const ink = numbers(getComputedStyle(element).color);
  const behind = at => numbers(getComputedStyle(at).backgroundColor);
  let paper = element;
  while (paper.parentElement && behind(paper)[3] === 0) paper = paper.parentElement;
  return [ink.slice(0, 3), behind(paper).slice(0, 3)];
}"""
"""The colour of a text, and of what is behind it."""


def luminance(colour):
    """The relative luminance of the Web Content Accessibility Guidelines, 2.1."""
    parts = [part / 255 for part in colour]
    r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one, other):
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)
