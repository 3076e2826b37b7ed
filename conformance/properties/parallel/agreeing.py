"""In parallel over time a layer gives the oracle's values and gradients, which go step by step."""

from __future__ import annotations

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties.asking import Question
from conformance.properties.parallel import forms
from conformance.registry import law
from conformance.statements import PARALLEL
from rnnspec import Backend


@law(PARALLEL["P150"], cases=forms.published, needs=("lengths", "gradients"), also=("bidirectional", "heads"),
     oracle=True)  # fmt: skip
def published(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a run and a pullback, with initial states, lengths, resets and cotangents of everything."""
    _judge_both(forms.ask_parallel(backend, case, judge), judge)


@law(PARALLEL["P151"], cases=forms.drawn, needs=("lengths", "gradients"), also=("bidirectional", "heads"),
     oracle=True)  # fmt: skip
def drawn(backend: Backend, case: Case, judge: Judge) -> None:
    """The same for cells that nobody thought of: vectors, pairs, numbers, maxima, and matrices that read others."""
    _judge_both(forms.ask_parallel(backend, case, judge), judge)


@law(PARALLEL["P152"], cases=forms.mixed_stages, needs=("lengths", "gradients", "heads"), oracle=True)
def chunks(backend: Backend, case: Case, judge: Judge) -> None:
    """Uses chunks of 1 to 16 steps, for sequences that fill them and such as do not."""
    for chunk in forms.CHUNKS:
        _judge_both(forms.ask_parallel(backend, case, judge, chunk), judge, f" in chunks of {chunk}")


def _judge_both(question: Question, judge: Judge, how: str = "") -> None:
    judge.close(f"run{how}", question.run(), question.run_reference())
    judge.close(f"pullback{how}", question.pull(), question.pull_reference())
