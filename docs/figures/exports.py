"""Tries the frameworks' own exporters with a layer of rnnspec: each way, each path, each kind of network and call.

    python docs/figures/exports.py --json docs/figures/exports.json

What is exported is run with other numbers, and compared with the layer. Each framework has a process of its own.
`torch.onnx.export(dynamo=True)` needs the package onnxscript, which rnnspec does not install.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path as File
from typing import Any

from exporters.cases import CASES

from rnnspec import Path

MARK = "\n--- found ---\n"
"""What parts the rows from what the exporters print."""
FRAMEWORKS = ("torch", "tensorflow", "jax")
QUIET = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
PATHS = {"default": None, "framework": Path.FRAMEWORK}


def rows(framework: str) -> list[dict[str, Any]]:
    """All ways of a framework, which has this process for itself."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    ways = importlib.import_module(f"exporters.{framework}_ways")
    return [{"framework": framework, "way": way,
             "paths": {name: {case: ways.tried(way, path, given) for case, given in CASES.items()}
                       for name, path in PATHS.items()}} for way in ways.WAYS]  # fmt: skip


def main() -> None:
    """Try each framework in a process of its own, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=File)
    parser.add_argument("--framework", choices=FRAMEWORKS)
    given = parser.parse_args()
    if given.framework:
        print(f"{MARK}{json.dumps(rows(given.framework))}{MARK}")
        return
    found = []
    for name in FRAMEWORKS:
        done = subprocess.run([sys.executable, __file__, "--framework", name], check=True, stdout=subprocess.PIPE,
                              env=os.environ | QUIET)  # fmt: skip
        found += json.loads(done.stdout.split(MARK)[1])
    given.json.write_text(json.dumps({"rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
