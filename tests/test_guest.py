"""A backend is a guest in the process: what the host set stays as the host set it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOST = Path(__file__).parent / "guest_host.py"
FRAMEWORKS = ("torch", "jax", "jaxlib", "tensorflow", "keras")


def output(*arguments):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "tensorflow"])
def test_nothing_of_the_host_changes(name):
    if name != "numpy":
        pytest.importorskip(name)
    told = json.loads(output(HOST, name).stdout.splitlines()[-1])
    changed = {
        key: (before[key], after[key])
        for before, after in zip(told["before"], told["after"], strict=True)
        for key in before.keys() | after.keys()
        if before[key] != after[key]
    }
    assert not changed
    assert [kind for kind, _ in told["found"]] == ["float32", "float64", "float32"]
    first, second, third = (loss for _, loss in told["found"])
    assert first == third != second
    assert first == pytest.approx(second, rel=1e-6)


def test_names_and_numpy_need_no_framework():
    code = "import sys, rnnspec; rnnspec.backend_names(); rnnspec.get_backend('numpy'); print(*sys.modules)"
    told = output("-c", code)
    assert not set(told.stdout.split()) & set(FRAMEWORKS)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_a_start_says_nothing(name):
    pytest.importorskip(name)
    code = f"""
import numpy, rnnspec
net = rnnspec.Network(2, [rnnspec.Layer(rnnspec.cells.lstm, hidden=3)])
for precision in ("f32", "f64"):
    rnnspec.get_backend({name!r}, precision=precision).run(net, net.init(0), numpy.ones((2, 2, 2)))
"""
    told = output("-c", code)
    assert (told.stdout, told.stderr) == ("", "")


def test_what_others_say_while_tensorflow_starts_is_kept():
    code = ("import sys; from backends.tensorflow_backend.quiet import quiet\n"
            "with quiet(): print('I0000 00:00:1.5 a report\\na word of another', file=sys.stderr)")  # fmt: skip
    assert output("-c", code).stderr == "a word of another\n"


def test_a_start_that_fails_says_everything():
    code = ("import sys; from backends.tensorflow_backend.quiet import quiet\n"
            "try:\n  with quiet(): print('E0000 00:00:1.5 the cause', file=sys.stderr); raise ImportError\n"
            "except ImportError: pass")  # fmt: skip
    assert output("-c", code).stderr == "E0000 00:00:1.5 the cause\n"
