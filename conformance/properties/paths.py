"""Paths: each way in which a backend can be held to run is right by itself, and is the one that runs."""

from __future__ import annotations

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import ask
from conformance.registry import law
from conformance.tolerance import PROFILES
from rnnspec import Backend, Path
from rnnspec.errors import UnsupportedError

NOTHING = "nothing to run"
"""What ran where there is no step or no row."""


@law("P61-generic", "held to the lowering, values and gradients are the oracle's, and no kernel runs",
     cases=networks.pulls, needs=("lengths", "gradients"), oracle=True)  # fmt: skip
def lowering(backend: Backend, case: Case, judge: Judge) -> None:
    """Where the backend has kernels that could run in its place."""
    judge.applies(Path.NATIVE in backend.capabilities.paths, "the backend has no kernels to be kept from")
    _held(backend, Path.GENERIC, case, judge)


@law("P61-native", "held to its framework's kernels, values and gradients are the oracle's, and nothing else runs",
     cases=networks.pulls, needs=("lengths", "gradients"), oracle=True)  # fmt: skip
def kernels(backend: Backend, case: Case, judge: Judge) -> None:
    """A layer that no kernel is for is refused, with the reason."""
    judge.applies(Path.NATIVE in backend.capabilities.paths, "the backend has no kernels")
    try:
        _held(backend, Path.NATIVE, case, judge)
    except UnsupportedError as why:
        judge.applies(False, str(why))


@law("P61-framework", "differentiated by the framework itself, the lowering has the oracle's gradients",
     cases=networks.all_cells, needs=("lengths", "gradients"), oracle=True)  # fmt: skip
def framework(backend: Backend, case: Case, judge: Judge) -> None:
    """A witness that shares nothing with the derived adjoint but the forward equations."""
    judge.applies(Path.FRAMEWORK in backend.capabilities.paths, "the backend's framework does not differentiate")
    _held(backend, Path.FRAMEWORK, case, judge)


def _held(backend: Backend, path: Path, case: Case, judge: Judge) -> None:
    question, profile = ask(backend.through(path), case), PROFILES[backend.precision]
    result = question.run()
    ran = sorted({label for _, label in result.path} - {NOTHING})
    right = all(label.startswith("native") == (path is Path.NATIVE) for label in ran)
    judge.holds("path", right, ran, path.value)
    judge.close(f"run, {path.value}", result, tolerance.run(case, profile))
    judge.close(f"pullback, {path.value}", question.pull(), tolerance.pullback(case, profile))
