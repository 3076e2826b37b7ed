"""The figures of the pages as plots: what each measurement's JSON says, written beside it as SVG.

    python docs/figure_plots.py
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from drawing.plots import Axis, Row, bars, lines, marks
from tables.cost import LINKS, QUICK, WORKERS, gains

__all__ = ["MODES", "PLOTS", "RATIO", "pictures", "write"]

FOLDER = Path(__file__).parent / "figures"
RATIO = Axis("time over the peer's time: below 1 is faster", log=True, lines={1.0: "as fast"}, unit="×")
MODES = {"forward": "forward", "train": "loss and gradients"}


def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def size_of(shape: Any) -> str:
    rows = shape["batch"]
    return f"{rows} row{'s' * (rows > 1)} × {shape['time']} steps, width {shape['hidden']}"


def beside(rows: Any, ratio: str) -> Iterator[Row]:
    """A heading for each peer, and under it a row for each size."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        if row["peer"]:
            sizes = found.setdefault(row["peer"], {})
            sizes.setdefault(size_of(row["shape"]), {}).setdefault(MODES[row["mode"]], []).append(row[ratio])
    for peer, sizes in found.items():
        yield Row(f"beside {peer}", {})
        yield from (Row(size, values) for size, values in sizes.items())


def speed(name: str) -> str:
    backend = read(f"speed-{name}")["backends"][0]
    return marks(f"{name} {backend['version']} beside its peers", list(beside(backend["speed"], "ratio_peer")), RATIO)


def floor(name: str) -> str:
    """Every call beside its matrix products alone, since NumPy has no recurrent layer of its own to stand beside."""
    backend = read(f"speed-{name}")["backends"][0]
    rows: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in backend["speed"]:
        sizes = rows.setdefault(row["cell"].rpartition(":")[2], {})
        sizes.setdefault(size_of(row["shape"]), {}).setdefault(MODES[row["mode"]], []).append(row["ratio_floor"])
    drawn = [Row(*each) for cell, sizes in rows.items() for each in ((cell, {}), *sizes.items())]
    axis = Axis("time over that of the matrix products alone", log=True, lines={1.0: "products alone"}, unit="×")
    return marks(f"{name} {backend['version']} beside the unavoidable products", drawn, axis)


def overview(_: str) -> str:
    """Every call beside its peer, one row for each backend and mode."""
    drawn = []
    for name in ("numpy", "torch", "jax", "tensorflow"):
        rows = [row for row in read(f"speed-{name}")["backends"][0]["speed"] if row["peer"]]
        for mode, says in MODES.items():
            if found := [row["ratio_peer"] for row in rows if row["mode"] == mode]:
                drawn.append(Row(f"{name}, {says}", {"a cell, size and peer": found}))
    return marks("Every timed call beside its peer", drawn, RATIO)


def layers(name: str) -> str:
    data = read(f"layers-{name}")
    return marks(f"{name}: a layer of rnnspec beside the framework's", list(beside(data["rows"], "ratio")), RATIO)


def missed(_: str) -> str:
    """Every call beyond its target: the ratio that was measured, and the target."""
    drawn = []
    for row in read("missed")["rows"]:
        where = f"{row['backend']}, {row['cell'].rpartition(':')[2]}, {row['mode']}, {size_of(row['shape'])}"
        drawn.append(Row(where, {"measured": [row["ratio"]], "target": [row["aim"]]}))
    return marks("Calls that take longer than their target", drawn, RATIO)


def arrangements(_: str) -> str:
    """How much the layout that a backend takes gains over packed maps, and what the other would."""
    drawn: dict[str, dict[str, list[float]]] = {}
    for row in read("arrangements")["rows"]:
        for way, says in (("apart", "maps by themselves"), ("columns", "on columns")):
            taken = f"{says}, taken" if row["taken"] == way else f"{says}, not taken"
            where = f"{row['backend']}, {row['shape']['batch']} rows, width {row['shape']['hidden']}"
            drawn.setdefault(where, {}).setdefault(taken, []).append(row[way] / row["packed"])
    order = ("maps by themselves, taken", "on columns, taken", "maps by themselves, not taken", "on columns, not taken")
    rows = [Row(says, {name: values[name] for name in order if name in values}) for says, values in drawn.items()]
    axis = Axis("time over that of packed maps, all cells and modes", log=True, lines={1.0: "packed"}, unit="×")
    return marks("Three layouts of the maps under XLA", rows, axis)


def products(_: str) -> str:
    found: dict[str, dict[str, list[float]]] = {}
    for row in read("products")["rows"]:
        says = f"{row['kind']}, {row['rows']:,} row{'s' * (row['rows'] > 1)}"
        key = "oneDNN taken" if row["taken"] == "onednn" else "PyTorch's own taken"
        found.setdefault(says, {}).setdefault(key, []).append(row["onednn"] / row["own"])
    axis = Axis("oneDNN's time over PyTorch's own, widths 64 to 1,024", log=True, lines={1.0: "equal"}, unit="×")
    return marks("Whose products", [Row(*each) for each in found.items()], axis)


def memory(_: str) -> str:
    data = read("memory")
    names = {"plain": "everything kept", "recomputing": "recomputing", "windows": "windows of 64 steps"}
    series = {says: [(row["steps"], row[name] / 1e6) for row in data["by_steps"]] for name, says in names.items()}
    return lines("Memory at the peak of one loss and its gradients", series,
                 Axis("steps", log=True), Axis("MB", log=True))  # fmt: skip


def recomputation(_: str) -> str:
    rows = [Row(row["backend"], {"median": [row["ratio"]], "lowest and highest": row["ratios"]})
            for row in read("recomputation")["timed"]]  # fmt: skip
    axis = Axis("time with recomputation over time without", log=True, lines={1.0: "as fast"}, unit="×")
    return marks("What recomputation costs at 4,096 steps", rows, axis)


def imports(_: str) -> str:
    found = {row["statement"]: row["milliseconds"] for row in read("import")["imports"]}
    return bars("Time added to `import numpy`", found, Axis("milliseconds"), "{:.0f} ms")


def first_calls(_: str) -> str:
    """Seconds of the first call against the steps; a layer that took too long has no mark there."""
    series = {row["layer"]: [(float(steps), cost["seconds"]) for steps, cost in row["first"].items() if cost]
              for row in read("first_calls")["rows"]}  # fmt: skip
    drawn = {layer: found for layer, found in series.items() if found}
    return lines("The first call of a new shape, with its gradients", drawn,
                 Axis("steps", log=True), Axis("seconds", log=True))  # fmt: skip


def kappa(_: str) -> str:
    """Every cell, direction and depth, one row for each backend and precision."""
    found: dict[str, list[float]] = {}
    for row in read("kappa")["rows"]:
        found.setdefault(f"{row['backend']}, {row['precision']}", []).append(row["kappa"])
    rows = [Row(says, {"a cell, direction and depth": values}) for says, values in found.items()]
    axis = Axis("worst error, in units of what rounding can do", lines={1.0: "rounding", 5.0: "allowed: from 5"})
    return marks("How far each backend is from the reference", rows, axis)


def detectable(_: str) -> str:
    """The smallest defect that is seen; what sees none has no mark."""
    rows = []
    for row in read("detectable")["rows"]:
        for found in row["found"]:
            what, who = found["what"].split(" ")
            if found["median"] and math.isfinite(found["median"]):
                by = "the conformance suite" if who == "suite" else "assert_close"
                rows.append((f"{row['precision']}, {'state' if what == 'forward' else what}", by, found["median"]))
    drawn = [Row(where, {by: [value] for says, by, value in rows if says == where})
             for where in dict.fromkeys(says for says, *_ in rows)]  # fmt: skip
    axis = Axis("relative size of the defect", log=True)
    return marks("The smallest defect of one step that is detected", drawn, axis)


def other_suites(_: str) -> str:
    rows = read("other_suites")["rows"]
    found = {suite: sum(row["told"][suite] for row in rows) for suite in rows[0]["told"]}
    return bars(f"How many of {len(rows)} faults each suite detects", found, Axis("faults detected"))


def killers(_: str) -> str:
    """How many laws detect each fault of the kill matrix; its networks do not show every fault."""
    faults = read("self-test")["self_test"]["matrix"]["faults"]
    counts = [count for fault in faults if (count := int(fault["told_by"], 16).bit_count())]
    edges = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 999))
    found = {span(low, high): sum(low <= count <= high for count in counts) for low, high in edges}
    return bars(f"How many laws detect each of {len(counts)} faults", found, Axis("faults"))


def span(low: int, high: int) -> str:
    if low == high:
        return f"{low} law{'s' * (low > 1)}"
    return f"{low} to {high} laws" if high < 999 else f"{low} laws and more"


def stress(_: str) -> str:
    found = read("stress")["policies"]
    rows = [Row(policy, {name: [row["worst_kappa"]] for name, row in each["backends"].items()})
            for policy, each in found["policies"].items()]  # fmt: skip
    lines = {1.0: "rounding", 5.0: "", 7.0: "allowed: 5 to 7"}
    axis = Axis("worst error, in units of what rounding can do", lines=lines)
    return marks(f"{found['cases']:,} drawn cases of each policy", rows, axis)


def handwriting(_: str) -> str:
    rows = [Row(row["cell"], {"one training": [100 * (1 - accuracy) for accuracy in row["test_accuracies"]]})
            for row in read("handwriting")["cells"]]  # fmt: skip
    return marks("Handwritten digits: test errors of each training", rows, Axis("test digits read wrongly", unit="%"))


def speech(_: str) -> str:
    gru, lstm = read("speech-gru"), read("speech-lstm")
    found = {"LSTM, median of 3 seeds": lstm["test_accuracy"], "GRU, median of 3 seeds": gru["test_accuracy"],
             "mean frame, logistic regression": gru["without_time"], **gru["published"]}  # fmt: skip
    errors = {name: 100 * (1 - accuracy) for name, accuracy in found.items()}
    axis = Axis("test utterances named wrongly", unit="%")
    return bars("Speakers by their vowels: test errors", errors, axis, "{:.1f} %")


def text(_: str) -> str:
    digits = [("rnnspec", "text-digits"), ("torch.nn.LSTM", "text-reference")]
    words = [("rnnspec", "text-words"), ("torch.nn.LSTM", "text-reference-words"), ("Tesseract", "text-tesseract")]
    found = {f"{task}, {who}": 100 * read(name)["character_error_rate"]
             for task, pairs in (("digits", digits), ("words", words)) for who, name in pairs}  # fmt: skip
    return bars("Lines of text: test errors", found, Axis("test characters read wrongly", unit="%"), "{:.1f} %")


def language(_: str) -> str:
    found = {name: nats / math.log(2) for name, nats in read("language")["nats"].items()}
    return bars("The King James Bible: how well the next character is predicted", found,
                Axis("bits for each character of the test text"), "{:.2f}")  # fmt: skip


def experiments(_: str) -> str:
    """The test error of each run over what a network without memory reaches."""
    rows: dict[str, dict[str, list[float]]] = {}
    for run in read("experiments")["runs"]:
        if run["test_error"] is not None:
            clipped = "gradient clipped" if run["norm"] else "not clipped"
            where = rows.setdefault(f"{run['task']}, {run['cell']}", {})
            where.setdefault(clipped, []).append(run["test_error"] / run["chance"])
    axis = Axis("test error over that without memory", log=True, lines={1.0: "no memory"}, unit="×")
    return marks("Which cells learn across long gaps", [Row(*each) for each in rows.items()], axis)


def tracking(_: str) -> str:
    """The accuracy of each run at the length of training and at the longest; each task has a heading."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for run in read("tracking")["runs"]:
        where = found.setdefault(f"{run['task']}, a guess: {100 * run['chance']:.3g} %", {}).setdefault(run["cell"], {})
        for length, accuracy in zip(run["lengths"], run["accuracies"], strict=True):
            if length in (run["trained_to"], max(run["lengths"])):
                where.setdefault(f"after {length} steps", []).append(100 * accuracy)
    rows = [Row(*each) for task, own in found.items() for each in ((task, {}), *own.items())]
    return marks("Which cells track a state", rows, Axis("test words whose state is right", unit="%"))


def cost_on_paper(_: str) -> str:
    """What each worker of a group does of what it does alone; a heading for each network and speed of a worker."""
    rows = []
    for net in read("cost_on_paper")["networks"]:
        for local, says in ((net["local"], "one core a worker"), (net["local"] / QUICK, f"{QUICK} times as quick")):
            rows.append(Row(f"{net['name']}, {says}", {}))
            for where, link in LINKS.items():
                found = zip(WORKERS, gains(net, local, link), strict=True)
                rows.append(Row(where, {f"{size} workers": [100 * times / size] for size, times in found}))
    axis = Axis("of what as many workers do that exchange nothing", unit="%", lines={100.0: "nothing is lost"})
    return marks("What workers do beside their sums, on paper", rows, axis)


PLOTS: dict[str, tuple[Callable[[str], str], str, tuple[str, ...]]] = {
    "speed": (overview, "", ("speed-numpy", "speed-torch", "speed-jax", "speed-tensorflow")),
    **{f"speed-{name}": (speed, name, (f"speed-{name}",)) for name in ("numpy", "torch", "jax", "tensorflow")},
    "floor-numpy": (floor, "numpy", ("speed-numpy",)),
    **{f"layers-{name}": (layers, name, (f"layers-{name}",)) for name in ("torch", "jax", "tensorflow")},
    "missed": (missed, "", ("missed",)),
    "arrangements": (arrangements, "", ("arrangements",)),
    "products": (products, "", ("products",)),
    "memory": (memory, "", ("memory",)),
    "recomputation": (recomputation, "", ("recomputation",)),
    "import": (imports, "", ("import",)),
    "first_calls": (first_calls, "", ("first_calls",)),
    "kappa": (kappa, "", ("kappa",)),
    "detectable": (detectable, "", ("detectable",)),
    "other_suites": (other_suites, "", ("other_suites",)),
    "self-test": (killers, "", ("self-test",)),
    "stress": (stress, "", ("stress",)),
    "handwriting": (handwriting, "", ("handwriting",)),
    "speech": (speech, "", ("speech-gru", "speech-lstm")),
    "text": (text, "", ("text-digits", "text-reference", "text-words", "text-reference-words", "text-tesseract")),
    "language-bits": (language, "", ("language",)),
    "experiments": (experiments, "", ("experiments",)),
    "tracking": (tracking, "", ("tracking",)),
    "cost_on_paper": (cost_on_paper, "", ("cost_on_paper",)),
}
"""For each picture the function that draws it, what that is given, and the measurements that it reads."""


def pictures() -> dict[Path, str]:
    """Every plot of what is measured, with its text."""
    return {FOLDER / f"{name}.svg": draw(argument) for name, (draw, argument, needs) in PLOTS.items()
            if all((FOLDER / f"{need}.json").exists() for need in needs)}  # fmt: skip


def write() -> None:
    """Bring the plots up to date."""
    for path, drawn in pictures().items():
        path.write_text(drawn)


if __name__ == "__main__":
    write()
