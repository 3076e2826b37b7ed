"""Trains the example that writes by one, two and four workers of each backend, as users launch them.

    python docs/figures/launched.py --json docs/figures/launched.json
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

EXAMPLE = Path(__file__).parents[1] / "examples" / "language_model.py"
BIN = Path(sys.executable).parent
SIZES = (1, 2, 4)
OPTIONS = ("--quick", "--json", "figures.json")


def ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("", 0))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def numpy(size: int) -> list[tuple[list[str], dict[str, str]]]:
    return [([str(BIN / "mpiexec"), "-n", str(size), sys.executable, "-m", "mpi4py", str(EXAMPLE)], {})]


def torch(size: int) -> list[tuple[list[str], dict[str, str]]]:
    return [([str(BIN / "torchrun"), "--standalone", "--nproc-per-node", str(size), str(EXAMPLE)], {})]


def jax(size: int) -> list[tuple[list[str], dict[str, str]]]:
    own = {"JAX_COORDINATOR_ADDRESS": f"localhost:{ports(1)[0]}", "JAX_NUM_PROCESSES": str(size)}
    return [([sys.executable, str(EXAMPLE)], own | {"JAX_PROCESS_ID": str(rank)}) for rank in range(size)]


def tensorflow(size: int) -> list[tuple[list[str], dict[str, str]]]:
    cluster = {"worker": [f"localhost:{port}" for port in ports(size)]}
    return [([sys.executable, str(EXAMPLE)],
             {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": rank}})})
            for rank in range(size)]  # fmt: skip


LAUNCHERS = {"numpy": numpy, "torch": torch, "jax": jax, "tensorflow": tensorflow}


def course(backend: str, size: int) -> dict[str, Any]:
    """The rounds of one course; a process alone needs no launcher."""
    launches = LAUNCHERS[backend](size) if size > 1 else [([sys.executable, str(EXAMPLE)], {})]
    with TemporaryDirectory() as folder:
        running = [subprocess.Popen([*command, "--backend", backend, *OPTIONS], env=os.environ | own, cwd=folder,
                                    stdout=subprocess.DEVNULL) for command, own in launches]  # fmt: skip
        try:
            if any([process.wait(600) for process in running]):
                raise RuntimeError(f"a worker of {size} on {backend} failed")
        finally:
            for process in running:
                process.kill()
        found = json.loads((Path(folder) / "figures.json").read_text())
    return {"backend": backend, "workers": found.get("workers", 1), "losses": found["losses"],
            "validation": found["validation"], "bits": found["bits"]}  # fmt: skip


def main(json_file: Annotated[Path, typer.Option("--json")]) -> None:
    runs = []
    for backend in LAUNCHERS:
        for size in SIZES:
            runs.append(course(backend, size))
            print(runs[-1], flush=True)
            json_file.write_text(json.dumps({"runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
