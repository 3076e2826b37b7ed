"""Time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tables.markdown import number, table, yes

__all__ = [
    "arrangement_tables",
    "bound_tables",
    "choice_tables",
    "first_call_tables",
    "import_tables",
    "layers_tables",
    "memory_tables",
    "missed_tables",
    "products_tables",
    "recomputation_tables",
    "speed_tables",
    "verification_tables",
]


def import_tables(data: Any) -> Iterator[str]:
    yield from table(("imported", "ms, median", "ms of processor time", "frameworks imported"),
                     ((f"`{row['statement']}`", f"{row['milliseconds']:.0f}", f"{row['processor_milliseconds']:.0f}",
                       ", ".join(row["frameworks"]) or "none") for row in data["imports"]))  # fmt: skip


SPEED = ("cell", "batch, time, inputs, hidden", "mode", "time / floor", "peer", "time / peer", "95 % interval",
         "verdict")  # fmt: skip


def speed_tables(data: Any) -> Iterator[str]:
    for backend in data["backends"]:
        yield f"**{backend['name']} {backend['version']}**, {backend['device']}, {backend['precision']}"
        yield ""
        yield from table(SPEED, (speed_row(row) for row in backend["speed"]))
        yield ""


def speed_row(row: Any) -> tuple[str, ...]:
    shape = ", ".join(str(row["shape"][name]) for name in ("batch", "time", "inputs", "hidden"))
    low, high = row["ci"] or (None, None)
    return (row["cell"], shape, row["mode"], number(row["ratio_floor"]), row["peer"] or "", number(row["ratio_peer"]),
            f"{number(low)} to {number(high)}", row["verdict"])  # fmt: skip


def layers_tables(data: Any) -> Iterator[str]:
    """A layer of rnnspec beside the framework's, in a program of the framework's."""
    yield from table(("cell", "batch, time, inputs, hidden", "mode", "peer", "time / peer", "95 % interval", "verdict"),
                     ((row["cell"], ", ".join(map(str, row["shape"].values())), row["mode"], row["peer"],
                       number(row["ratio"]), f"{number(row['low'])} to {number(row['high'])}", row["verdict"])
                      for row in data["rows"]))  # fmt: skip


def missed_tables(data: Any) -> Iterator[str]:
    """Every call beyond its target, in microseconds: of the call itself, of its parts, of the peer, of the products."""
    yield from table(("backend", "cell", "batch, time, inputs, hidden", "mode", "time / peer", "target", "peer",
                      "products alone", "the call", "argument validation", "the program"),
                     ((row["backend"], row["cell"], ", ".join(map(str, row["shape"].values())), row["mode"],
                       f"{number(row['ratio'])}, {row['peer']}", number(row["aim"]),
                       *(f"{row[part]:,.0f}" for part in PARTS)) for row in data["rows"]))  # fmt: skip


PARTS = ("peer_us", "products_us", "call", "checks", "program")


def heads_tables(data: Any) -> Iterator[str]:
    """A layer with heads beside as many layers: the ratio of their times, and both times."""
    yield from table(("backend", "cell", "rows, steps", "mode", "heads / layers", "heads: ms", "layers: ms"),
                     ((row["backend"], row["cell"], f"{row['rows']}, {row['steps']}", row["mode"],
                       number(row["ratio"]), *(f"{1e3 * row[key]:.1f}" for key in ("heads_seconds", "layers_seconds")))
                      for row in data["rows"]))  # fmt: skip


def bound_tables(data: Any) -> Iterator[str]:
    """Bound calls beside others: the ratio of their times, its interval, and both times in microseconds."""
    yield from table(("call", "backend", "cell", "batch, time, inputs, hidden", "peer", "time / peer", "95 % interval",
                      "bound, us", "peer, us"),
                     ((row["what"], row["backend"], row["cell"], ", ".join(map(str, row["shape"].values())),
                       row["peer"], number(row["ratio"]), f"{number(row['low'])} to {number(row['high'])}",
                       *(f"{1e6 * row[key]:,.0f}" for key in ("seconds", "peer_seconds")))
                      for row in data["rows"]))  # fmt: skip
def newton_tables(data: Any) -> Iterator[str]:
    """Newton's method beside single steps, forward and backward; a row that did not converge says how far it came."""
    yield from table(("parameters", "steps", "backend", "cell", "iterations", "residual", "Newton / steps",
                      "with a backward scan / pullback"),
                     ((row["parameters"], f"{row['steps']:,}", row["backend"], f"`{row['cell']}`", row["iterations"],
                       f"{row['residual']:.0e}" + ("" if row["converged"] else f", not found at {row['failed']} steps"),
                       *(f"{number(row[f'{key}_ratio'])} ({number(row[f'processor_{key}_ratio'])})"
                         for key in ("forward", "backward"))) for row in data["rows"]))  # fmt: skip


def memory_tables(data: Any) -> Iterator[str]:
    def row(first: int, kept: Any) -> tuple[str, ...]:
        names = (name for name in ("plain", "recomputing", "windows") if name in kept)
        return (str(first), *(f"{kept[name] / 1e6:.1f}" for name in names))

    by_steps = (row(each["steps"], each) for each in data["by_steps"])
    by_length = (row(each["length"], each) for each in data["by_length"])
    yield from table(("steps", "plain", "recomputing", "windows of 64 steps"), by_steps)
    yield ""
    yield from table(("steps in a segment or window, of 4,096", "recomputing", "windows"), by_length)
    yield ""
    yield from table(("windows of 64 steps that reach back over", "at 1,024 steps", "at 4,096 steps"),
                     ((back, *(f"{row['windows'] / 1e6:.1f}" for row in data["by_back"] if row["back"] == back))
                      for back in dict.fromkeys(row["back"] for row in data["by_back"])))  # fmt: skip


def first_call_tables(data: Any) -> Iterator[str]:
    """First calls by steps, and what many batches leave; a figure that is None took too long."""
    steps = list(data["rows"][0]["first"])
    yield from table(("layer", *(f"{int(n):,} steps: s, MB" for n in steps), f"{data['batches']} batches: s, MB kept"),
                     ((f"`{row['layer']}`", *(cost(row["first"][n]) for n in steps), cost(row["kept"]))
                      for row in data["rows"]))  # fmt: skip


def cost(found: Any) -> str:
    return "none" if found is None else f"{number(found['seconds'])}, {found['bytes'] / 1e6:.0f}"


def verification_tables(data: Any) -> Iterator[str]:
    """A cell's plans on each backend, and the sum of all cells'."""
    backends = list(dict.fromkeys(row["backend"] for row in data["rows"]))
    cells = list(dict.fromkeys(row["cell"] for row in data["rows"]))
    found = {(row["cell"], row["backend"]): (row["seconds"], row["verifying_seconds"]) for row in data["rows"]}
    for backend in backends:
        found["all", backend] = tuple(map(sum, zip(*(found[cell, backend] for cell in cells), strict=True)))
    yield from table(("cell", *(f"{backend}: plans, ms; verifier, ms; its share" for backend in backends)),
                     ((f"`{cell}`" if cell in cells else cell, *(share(*found[cell, backend]) for backend in backends))
                      for cell in (*cells, "all")))  # fmt: skip


def share(seconds: float, verifying: float) -> str:
    return f"{1e3 * seconds:.1f}; {1e3 * verifying:.1f}; {verifying / seconds:.1%}"


def recomputation_tables(data: Any) -> Iterator[str]:
    yield from table(("backend, f32", "plain, s", "recomputing, s", "ratio", "lowest to highest"),
                     ((row["backend"], f"{row['plain_seconds']:.2f}", f"{row['recomputing_seconds']:.2f}",
                       f"**{row['ratio']:.2f}**", " to ".join(f"{ratio:.2f}" for ratio in row["ratios"]))
                      for row in data["timed"]))  # fmt: skip
    yield ""
    yield from table(("backend", "precision", "error, plain", "recomputing", "allowed", "same bits", "sums too"),
                     ((row["backend"], row["precision"], f"{row['plain_kappa']:.2f}",
                       f"{row['recomputing_kappa']:.2f}", f"{row['allowed']:.2f}", yes(row["bitwise"]),
                       yes(row["bitwise_sums"])) for row in data["judged"]))  # fmt: skip


def arrangement_tables(data: Any) -> Iterator[str]:
    """The time of maps apart and of columns, each over that of packed maps; bold is what the backends take."""
    widths = list(dict.fromkeys(row["shape"]["hidden"] for row in data["rows"]))
    found: dict[tuple[Any, ...], dict[int, str]] = {}
    for row in data["rows"]:
        key = row["backend"], row["cell"], row["mode"], row["shape"]["batch"]
        ratios = {way: number(row[way] / row["packed"]) for way in ("apart", "columns")}
        shown = (f"**{ratio}**" if row["taken"] == way else ratio for way, ratio in ratios.items())
        found.setdefault(key, {})[row["shape"]["hidden"]] = ", ".join(shown)
    lines = ((*map(str, key), *(by_width[width] for width in widths)) for key, by_width in found.items())
    yield from table(("backend", "cell", "mode", "rows", *(f"width {width}" for width in widths)), lines)


def choice_tables(data: Any) -> Iterator[str]:
    """Each rule with its two ways, and each run beside the layer of `torch.nn`; bold beyond what is allowed."""
    sides = ("all", "avx2")
    found: dict[tuple[str, str], dict[str, str]] = {}
    for side in sides:
        for row in data[side]["choices"]:
            ratio = number(row["ratio"])
            shown = f"**{ratio}**" if row["ratio"] > data["allowed"] else ratio
            found.setdefault((row["choice"], row["at"]), {})[side] = f"{row['taken']}: {shown}"
    yield f"Processor: {data['all']['processor']}."
    yield ""
    yield from table(("choice", "at", "all instructions", "AVX2"),
                     ((*key, *(by_side[side] for side in sides)) for key, by_side in found.items()))  # fmt: skip
    yield ""
    runs: dict[tuple[str, ...], dict[str, str]] = {}
    for side in sides:
        for row in data[side]["peers"]:
            key = row["cell"], ", ".join(map(str, row["shape"])), row["peer"]
            runs.setdefault(key, {})[side] = number(row["ratio"])
    yield from table(("cell", "batch, time, inputs, hidden", "peer", "all instructions", "AVX2"),
                     ((*key, *(by_side[side] for side in sides)) for key, by_side in runs.items()))  # fmt: skip


def products_tables(data: Any) -> Iterator[str]:
    """The time of oneDNN's products over that of PyTorch's own; bold where the backend takes oneDNN's."""
    widths = list(dict.fromkeys(row["width"] for row in data["rows"]))
    found: dict[tuple[str, int], list[str]] = {}
    for row in data["rows"]:
        ratio = number(row["onednn"] / row["own"])
        found.setdefault((row["kind"], row["rows"]), []).append(f"**{ratio}**" if row["taken"] == "onednn" else ratio)
    yield f"Processor: {data['processor']}."
    yield ""
    yield from table(("product", "rows", *(f"width {width}" for width in widths)),
                     ((kind, str(rows), *ratios) for (kind, rows), ratios in found.items()))  # fmt: skip
