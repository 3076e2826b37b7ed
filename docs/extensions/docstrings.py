"""What the reference makes of docstrings: they are plain text with `code`, and cells have equations."""

from __future__ import annotations

import ast
import inspect
import re
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

import rnnspec

NAME = re.compile(r"[A-Za-z_][\w.]*")


class Public(SphinxRole):
    """`code`, which leads to the public name that it is, if it is one."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        shown = nodes.literal(self.rawtext, self.text, classes=["code"])
        if not NAME.fullmatch(self.text):
            return [shown], []
        known = {place: self.env.ref_context.get(place) for place in ("py:module", "py:class")}
        found = addnodes.pending_xref(
            self.rawtext, shown, refdomain="py", reftype="obj", reftarget=self.text, refdoc=self.env.docname, **known
        )
        return [found], []


def public(app: Sphinx, env: Any, node: addnodes.pending_xref, shown: nodes.Element) -> nodes.Node | None:
    """The public place of a name that is defined elsewhere; types of Python and of the frameworks have none here."""
    if node.get("refdomain") != "py":
        return None
    known = env.domains["py"].objects
    for place in (f"rnnspec.{node['reftarget']}", f"rnnspec.{node['reftarget'].rpartition('.')[2]}"):
        if place in known:
            uri = app.builder.get_relative_uri(node["refdoc"], known[place].docname)
            return nodes.reference("", "", shown, internal=True, refuri=f"{uri}#{known[place].node_id}", reftitle=place)
    return shown


class Cells(SphinxDirective):
    """An entry for each cell of rnnspec.cells: its source in the literature, its equations, its declaration."""

    def run(self) -> list[nodes.Node]:
        families = [value for value in vars(rnnspec.cells).values() if isinstance(value, ModuleType)]
        return self.parse_text_to_nodes("\n".join(_family(inspect.getsource(module)) for module in families))


class AsLayer(SphinxDirective):
    """An entry for `as_layer` of a backend, wherever its class stands."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        kind = type(rnnspec.get_backend(self.arguments[0]))
        return self.parse_text_to_nodes(f".. automethod:: {kind.__module__}.{kind.__qualname__}.as_layer")


def _family(source: str) -> str:
    """The docstring of a family's file, and an entry for each cell in it."""
    tree = ast.parse(source)
    declared = [found for found in tree.body if isinstance(found, ast.FunctionDef)]
    return "\n".join([f"\n{ast.get_docstring(tree)}\n", *(_entry(found, source) for found in declared)])


def _entry(found: ast.FunctionDef, source: str) -> str:
    cell = getattr(rnnspec.cells, found.name)
    body = (
        ast.get_docstring(found) or "",
        f"States: {', '.join(f'``{state}``' for state in cell.states)}.",
        ".. math::\n\n" + _indented(cell.latex()),
        ".. code-block:: python\n\n" + _indented("@cell\n" + ast.get_source_segment(source, found)),
    )
    return f"\n.. autodata:: rnnspec.cells.{found.name}\n   :no-value:\n\n" + _indented("\n\n".join(body)) + "\n"


def _indented(text: str) -> str:
    return "\n".join(f"   {line}" for line in text.splitlines())


def as_literal(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """A block that is set in by four columns is to be shown as it stands."""
    for index in reversed(range(1, len(lines))):
        text, before = lines[index], lines[index - 1]
        above = next((line for line in reversed(lines[:index]) if line.strip()), "")
        if text.startswith("    ") and not before.strip() and above and not above.startswith(" "):
            lines[index:index] = ["::", ""]


def without_class(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Cells and tables have the docstring of their class, which says nothing of them."""
    if isinstance(value, rnnspec.Cell | dict):
        lines.clear()


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_role("public", Public())
    app.add_directive("cells", Cells)
    app.add_directive("as-layer", AsLayer)
    app.connect("missing-reference", public)
    app.connect("autodoc-process-docstring", without_class)
    app.connect("autodoc-process-docstring", as_literal)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
