"""Paths: each way in which a backend can be held to run is right by itself, and is the one that runs."""

from __future__ import annotations

from dataclasses import replace

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import ask
from conformance.registry import law
from conformance.statements import PATHS
from conformance.tolerance import PROFILES
from rnnspec import Backend, Call, Layer, Path, Result

NOTHING = "nothing to run"
"""What ran where there is no step or no row."""


@law(PATHS["P61-generic"], cases=networks.lowered, needs=("lengths", "gradients"), oracle=True)
def lowering(backend: Backend, case: Case, judge: Judge) -> None:
    """Holds a backend that has kernels to the generic path."""
    judge.applies(Path.NATIVE in backend.capabilities.paths, "the backend has no kernels to be kept from")
    _judge_path(backend, Path.GENERIC, case, judge)


@law(PATHS["P61-native"], cases=networks.native, needs=("lengths", "gradients"), oracle=True)
def kernels(backend: Backend, case: Case, judge: Judge) -> None:
    """On the layers that there is a kernel for; others are refused, with the reason."""
    judge.applies(Path.NATIVE in backend.capabilities.paths, "the backend has no kernels")
    able = [layer for layer in case.net.layers if _refusal(backend, layer, case) is None]
    judge.applies(bool(able), f"there is no kernel: {_refusal(backend, case.net.layers[0], case)}")
    _judge_path(backend, Path.NATIVE, replace(case, net=replace(case.net, layers=able)), judge)


@law(PATHS["P61-framework"], cases=networks.all_cells, needs=("lengths", "gradients"), oracle=True)
def framework(backend: Backend, case: Case, judge: Judge) -> None:
    """A witness that shares nothing with the derived adjoint but the forward equations."""
    judge.applies(Path.FRAMEWORK in backend.capabilities.paths, "the backend's framework does not differentiate")
    question = ask(backend.through(Path.FRAMEWORK), case)
    judge.close("pullback", question.pull(), tolerance.pullback(case, PROFILES[backend.precision]))


def _judge_path(backend: Backend, path: Path, case: Case, judge: Judge) -> None:
    """Values and gradients of the backend as it is where it takes the path by itself, and else held to it."""
    question, profile = ask(backend, case), PROFILES[backend.precision]
    result = question.run()
    if not _took(path, result):
        question = ask(backend.through(path), case)
        result = question.run()
    judge.holds("path", _took(path, result), sorted(_ran(result)), path.value)
    judge.close(f"run, {path.value}", result, tolerance.run(case, profile))
    judge.close(f"pullback, {path.value}", question.pull(), tolerance.pullback(case, profile))


def _refusal(backend: Backend, layer: Layer, case: Case) -> str | None:
    """Why there is no kernel for a layer at the case's sizes; None where there is one."""
    call = Call("layers.0.forward", layer.gradient, True, case.steps, case.batch, case.net.inputs,
                case.lengths is not None)  # fmt: skip
    found = backend.through(Path.NATIVE).native(layer.cell, call)
    return found if isinstance(found, str) else None


def _took(path: Path, result: Result) -> bool:
    return all(label.startswith("native") == (path is Path.NATIVE) for label in _ran(result))


def _ran(result: Result) -> set[str]:
    return {label for _, label in result.path} - {NOTHING}
