"""Draws which package of rnnspec imports which, floor by floor, from the imports themselves.

    python docs/figures/rooms.py

Writes rooms.svg beside this file. An arrow that follows from two others is left out.
"""

from __future__ import annotations

from pathlib import Path

import grimp
import networkx

import rnnspec

FILE = Path(__file__).with_suffix(".svg")
WIDTH, ROW, LINE, GAP = 880, 74, 13, 14
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2933 }
.name { font-weight: 600; font-size: 13px }
.modules { fill: #52606d; font-size: 10.5px }
.room { fill: #eef4fb; stroke: #7ba2cc }
.module { fill: #fff8ec; stroke: #d9a648 }
.arrow { stroke: #9aa5b1; stroke-width: 1; fill: none; marker-end: url(#head) }
"""


def imports() -> networkx.DiGraph:
    """Which package or single module of rnnspec imports which."""
    found = grimp.build_graph("rnnspec", exclude_type_checking_imports=True, cache_dir=None)
    rooms = sorted(found.find_children("rnnspec") - {"rnnspec.former"})
    graph = networkx.DiGraph()
    graph.add_nodes_from(rooms)
    for room in rooms:
        inside = {room, *found.find_descendants(room)}
        for module in sorted(inside):
            needed = {".".join(name.split(".")[:2]) for name in found.find_modules_directly_imported_by(module)}
            graph.add_edges_from((room, other) for other in sorted(needed & set(rooms)) if other != room)
    return graph


def floors(graph: networkx.DiGraph) -> list[list[str]]:
    """The rooms, the highest floor first: each on the lowest floor above all that it imports."""
    return [sorted(floor) for floor in networkx.topological_generations(graph.reverse())][::-1]


def modules(room: str) -> list[str]:
    """The names of the modules in a room; none where the room is a single module."""
    folder = Path(rnnspec.__path__[0]) / room.partition(".")[2]
    return sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__")


def drawn(graph: networkx.DiGraph) -> str:
    """The picture, as SVG."""
    boxes = placed(floors(graph))
    arrows = sorted(networkx.transitive_reduction(graph).edges)
    height = max(y + high for _, y, _, high in boxes.values()) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>The packages of rnnspec: {len(boxes)} on {len(floors(graph))} floors, "
        f"{graph.number_of_edges()} imports</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#9aa5b1"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
        *(arrow(boxes[upper], boxes[lower]) for upper, lower in arrows),
        *(box(room, place) for room, place in boxes.items()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


Place = tuple[float, float, float, float]
"""Left, top, width, height."""


def placed(rows: list[list[str]]) -> dict[str, Place]:
    """Where each room's box stands."""
    boxes: dict[str, Place] = {}
    top = GAP
    for row in rows:
        width = (WIDTH - GAP * (len(row) + 1)) / len(row)
        wide = min(width, 420)
        left = (WIDTH - len(row) * wide - (len(row) - 1) * GAP) / 2
        high = max(30 + LINE * len(lines(room, wide)) for room in row)
        for i, room in enumerate(row):
            boxes[room] = (round(left + i * (wide + GAP), 1), top, round(wide, 1), high)
        top += high + ROW // 2
    return boxes


def lines(room: str, width: float) -> list[str]:
    """The names of a room's modules, broken to its width."""
    found, room_for = [""], int((width - 20) / 5.6)
    for name in modules(room):
        longer = f"{found[-1]}, {name}" if found[-1] else name
        if len(longer) > room_for:
            found.append(name)
        else:
            found[-1] = longer
    return [line for line in found if line]


def box(room: str, place: Place) -> str:
    """A room with its name and its modules."""
    left, top, width, height = place
    said = lines(room, width)
    kind, name = ("room", f"{room[8:]}/") if said else ("module", f"{room[8:]}.py")
    middle = left + width / 2
    text = [f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}" rx="6"/>',
            f'<text class="name" x="{middle:.1f}" y="{top + 19}" text-anchor="middle">{name}</text>']  # fmt: skip
    text += [f'<text class="modules" x="{middle:.1f}" y="{top + 34 + LINE * i}" text-anchor="middle">{line}</text>'
             for i, line in enumerate(said)]  # fmt: skip
    return "\n".join(text)


def arrow(upper: Place, lower: Place) -> str:
    """From the room that imports down to the one that it imports."""
    x0, y0 = upper[0] + upper[2] / 2, upper[1] + upper[3]
    x1, y1 = lower[0] + lower[2] / 2, lower[1] - 2
    bend = (y1 - y0) / 2
    return f'<path class="arrow" d="M{x0:.1f} {y0} C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1}"/>'


if __name__ == "__main__":
    FILE.write_text(drawn(imports()))
    print(FILE)
