"""The figures of the pages as tables: what each measurement's JSON says, and the command that writes it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.sax.saxutils import unescape

from figure_plots import PLOTS
from tables import cost, exported, field, learning, noise, operators, parallel, speed, streams, suite, workers

__all__ = ["figures", "measured", "plot"]

FOLDER = Path(__file__).parent / "figures"


def figures(name: str) -> str:
    """The figures of one measurement as tables, for a page of docs/."""
    path, (tables, command) = FOLDER / f"{name}.json", FIGURES[name]
    if not path.exists():
        return f"Not yet measured: `{command}`."
    found = "\n".join(tables(json.loads(path.read_text())))
    return f"{found}\n\nFrom `{command}`; the figures are in [{path.name}](figures/{path.name})."


def measured(name: str) -> str:
    """One measurement as a page of docs/figures/ shows it: the plot if it has one, and the tables folded away."""
    path, (tables, command) = FOLDER / f"{name}.json", FIGURES[name]
    if not path.exists():
        return f"Not yet measured: `{command}`."
    found = "\n".join(tables(json.loads(path.read_text()))).replace("](figures/", "](").strip()
    folded = f"<details><summary>All numbers</summary>\n\n{found}\n\n</details>"
    closing = f"`{command}` measures this again; the numbers are in [{path.name}]({path.name})."
    return "\n\n".join([*([plot(name)] if name in PLOTS else []), folded, closing])


def plot(name: str) -> str:
    """A plot that lies in docs/figures/, with its title for those who do not see it."""
    path = FOLDER / f"{name}.svg"
    if not path.exists():
        return "Not yet measured."
    title = re.search("<title>(.*)</title>", path.read_text())[1]
    return f"![{unescape(title)}]({name}.svg)"


FIGURES = {
    "import": (speed.import_tables, "make bench"),
    "handwriting": (learning.handwriting_tables, "make handwriting"),
    "language": (learning.language_tables, "make language"),
    "launched": (learning.launched_tables, "make launched"),
    **{f"speech-{cell}": (learning.speech_tables, "make speech") for cell in ("gru", "lstm")},
    "self-test": (suite.self_test_tables, "make self-test"),
    **{f"speed-{name}": (speed.speed_tables, "make bench") for name in ("numpy", "torch", "jax", "tensorflow")},
    **{f"layers-{name}": (speed.layers_tables, "make bench") for name in ("torch", "jax", "tensorflow")},
    "arrangements": (speed.arrangement_tables, "make arrangements"),
    "arrangements-avx2": (speed.arrangement_tables, "make arrangements"),
    "choices": (speed.choice_tables, "make choices"),
    "products": (speed.products_tables, "make products"),
    "missed": (speed.missed_tables, "make bench"),
    "operators": (operators.tables, "make operators"),
    "stress": (suite.stress_tables, "make stress"),
    "kappa": (suite.kappa_tables, "make kappa"),
    "memory": (speed.memory_tables, "make bench"),
    "heads": (speed.heads_tables, "make heads"),
    "bound": (speed.bound_tables, "make bound"),
    "exported": (exported.tables, "make exported"),
    "frames": (streams.frames_tables, "make frames"),
    "exports": (streams.exports_tables, "make exporters"),
    "newton": (speed.newton_tables, "make newton"),
    "parallel": (parallel.tables, "make parallel"),
    "parallel_kappa": (parallel.kappa_tables, "make parallel"),
    "first_calls": (speed.first_call_tables, "make bench"),
    "verification": (speed.verification_tables, "make bench"),
    "recomputation": (speed.recomputation_tables, "make bench"),
    "experiments": (learning.experiments_tables, "make experiments"),
    "tracking": (learning.tracking_tables, "make tracking"),
    "detectable": (suite.detectable_tables, "make teeth"),
    "other_suites": (suite.other_suites_tables, "make teeth"),
    "remembering": (suite.remembering_tables, "make remembering"),
    "text-digits": (learning.text_tables, "make text"),
    "text-words": (learning.text_tables, "make text"),
    "text-reference": (learning.reference_tables, "make text"),
    "text-reference-words": (learning.reference_tables, "make text"),
    "text-tesseract": (learning.tesseract_tables, "make text"),
    "text-backends": (learning.text_backend_tables, "make text"),
    "text-courses": (learning.text_course_tables, "make text"),
    "dropout": (noise.dropout_tables, "make noise"),
    "noise-cost": (noise.cost_tables, "make noise"),
    "workers_time": (workers.time_tables, "make workers-time"),
    "scoreboard": (suite.scoreboard_tables, "make scoreboard"),
    "cost_on_paper": (cost.tables, "make cost-on-paper"),
    "looks_like": (suite.looks_like_tables, "make looks-like"),
    "published": (field.published_tables, "make scoreboard"),
    "kernelbench": (field.kernelbench_tables, "make kernelbench"),
}
