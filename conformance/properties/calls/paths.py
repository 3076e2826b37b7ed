"""Paths: each way in which a backend can be held to run is right by itself, and is the one that runs."""

from __future__ import annotations

from dataclasses import replace

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, is_eager
from conformance.properties.parallel import forms
from conformance.registry import law
from conformance.statements import PATHS
from conformance.tolerance import PROFILES
from rnnspec import Backend, Call, Cell, Layer, Path, Result
from rnnspec.derivation.parallel import Chunks, Scan, parallel
from rnnspec.errors import UnsupportedError
from rnnspec.policies import Truncated

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


@law(PATHS["P61-parallel"], cases=forms.paths, needs=("lengths", "gradients"), also=("heads", "policies"), oracle=True)
def in_parallel(backend: Backend, case: Case, judge: Judge) -> None:
    """Asks for layers in parallel over time, and where that costs no program step by step; others are refused, and so
    is a policy inside the recurrence.
    """
    eager, layer, given = is_eager(backend), case.net.layers[0], case.net.layers[0].cell
    judge.applies(bool(given.states), "the cell has no state, so its steps need no form")
    chunk = forms.chunk_of(case) if eager else forms.CHUNKS[2]
    question = forms.ask_parallel(backend, case, judge, chunk)
    if eager and backend.capabilities.policies:
        governed = replace(case.net, layers=[replace(layer, gradient=Truncated(2))])
        _judge_refusal(replace(question, net=governed), "policy", judge)
    if not forms.formed(given):
        _judge_refusal(question, str(parallel(given)), judge)
        return
    result = question.run()
    labels = _labels(given, chunk, case.steps)
    judge.holds("path", _ran(result) <= set(labels), sorted(_ran(result)), " or ".join(labels))
    judge.close("run", result, question.run_reference())
    if not eager:
        judge.close("value_and_grad", question.step(), question.step_reference())
        return
    judge.close("pullback", question.pull(), question.pull_reference())
    stepwise = _ran(forms.set_apart(question).run())
    judge.holds("path, step by step", not any(label.startswith(Path.PARALLEL.value) for label in stepwise),
                sorted(stepwise), Path.GENERIC.value)  # fmt: skip


def _judge_refusal(question: Question, reason: str, judge: Judge) -> None:
    for name, call in (("run", question.run), ("pullback", question.pull)):
        try:
            call()
        except UnsupportedError as error:
            judge.holds(f"the reason why {name} is refused", reason in str(error), str(error), reason)
        else:
            judge.fail(f"{name} of a layer without a parallel form", "an answer", "UnsupportedError")


def _labels(given: Cell, chunk: int, steps: int) -> list[str]:
    """What a layer's path can be: its kinds of stages, and the steps of a chunk, of which there is at least one.

    Chunks of a state that is read back into its writes may be shorter, in which case the matrix has few keys.
    """
    form = parallel(given)
    assert not isinstance(form, str)
    scans = ["scans"] if any(isinstance(stage, Scan) for stage in form.stages) else []
    stages = [stage for stage in form.stages if isinstance(stage, Chunks)]
    most = min(chunk, 1 << (steps - 1).bit_length())
    powers = [1 << power for power in range(most.bit_length())]
    lengths = [(most,)] if not any(stage.fed for stage in stages) else [
        *((low,) for low in powers), *((low, most) for low in powers if low < most and len(stages) > 1)
    ]
    chunks = [[f"chunks of {' and '.join(map(str, some))}"] if stages else [] for some in lengths]
    return [f"{Path.PARALLEL.value}: {' and '.join([*scans, *some])}" for some in chunks]


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
    call = Call("layers.0.forward", layer.gradient, True, case.steps, case.batch, case.net.input_features,
                case.lengths is not None)  # fmt: skip
    found = backend.through(Path.NATIVE).native(layer.cell, call)
    return found if isinstance(found, str) else None


def _took(path: Path, result: Result) -> bool:
    return all(label.startswith("native") == (path is Path.NATIVE) and not label.startswith(Path.PARALLEL.value)
               for label in _ran(result))  # fmt: skip


def _ran(result: Result) -> set[str]:
    return {label for _, label in result.path} - {NOTHING}
