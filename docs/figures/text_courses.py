"""Gathers what text_recognition.py said of whole trainings, one for each task and backend.

    python docs/figures/text_courses.py FOLDER --json docs/figures/text-courses.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

KEPT = ("task", "backend", "character_error_rate", "processor_seconds", "steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="Where the trainings' JSON files are.")
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    found = [json.loads(path.read_text()) for path in sorted(given.folder.glob("*.json"))]
    rows = [{name: course[name] for name in KEPT} for course in found]
    given.json.write_text(json.dumps({"courses": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
