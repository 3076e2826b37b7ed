"""The outside reference for words: Tesseract, where it is installed, on the same test lines.

    python docs/examples/text_tesseract.py --json docs/figures/text-tesseract.json

It was trained by others on other fonts, and to read pages: it is given black on white, twice as large, with a margin,
and told that there is one word. What it reads beside letters does not count against it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from text_lines import Line
from text_readings import Reading, character_errors, characters, errors_by_hand, line_errors
from text_tasks import EXERCISES
from text_training import TESTING

ENLARGED, MARGIN = 2, 20
ONE_WORD = "8"
"""Tesseract's page segmentation mode for an image that is one word."""


def drawn(line: Line) -> Image.Image:
    """Black on white."""
    image = Image.fromarray(np.uint8(255 * (1 - line.image)))
    size = (ENLARGED * image.width, ENLARGED * image.height)
    return ImageOps.expand(image.resize(size, Image.Resampling.BICUBIC), MARGIN, 255)


def answer(line: Line, alphabet: str, folder: Path, number: int) -> Reading:
    path = folder / f"{number}.png"
    drawn(line).save(path)
    said = subprocess.run(["tesseract", path, "stdout", "--psm", ONE_WORD], capture_output=True, text=True, check=True)
    return Reading(line, "".join(character for character in said.stdout if character in alphabet))


def main(
    json_file: Annotated[Path, typer.Option("--json", help="Write the figures.")],
    count: Annotated[int, typer.Option(min=1, help="Lines of the test.")] = EXERCISES["words"].course.testing,
) -> None:
    """Let Tesseract read the words that the example is tested on."""
    if shutil.which("tesseract") is None:
        raise typer.BadParameter("Tesseract must be installed, got none on the path; apt-get install tesseract-ocr")
    task, console = EXERCISES["words"].task, Console()
    lines = task.testing(count, TESTING)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        asked = [pool.submit(answer, line, task.alphabet, Path(folder), n) for n, line in enumerate(lines)]
        readings = [future.result() for future in track(asked, console=console, disable=not console.is_terminal)]
    version = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    found = {
        "version": version, "character_error_rate": character_errors(readings), "characters": characters(readings),
        "line_error_rate": line_errors(readings), "lines": len(readings), "errors_by_hand": errors_by_hand(readings),
    }  # fmt: skip
    console.print(f"Tesseract {version}: {character_errors(readings):.2%} of {characters(readings)} characters wrong")
    json_file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
