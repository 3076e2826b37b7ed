"""One sequence whose windows of time lie on several workers."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties.asking import ask
from conformance.properties.workers import networks
from conformance.properties.workers.shares import within, workers
from conformance.registry import law
from conformance.statements import WORKERS
from conformance.tolerance import PROFILES
from rnnspec import Backend, Group, Step, linearity
from rnnspec.workers.pretended import together
from rnnspec.workers.sequence import OverTime
from rnnspec.workers.summaries import Summaries
from rnnspec.workers.windows import Chain, Wavefront

WAYS = (Chain, Wavefront)


@law(WORKERS["P209"], cases=networks.over_time, needs=("lengths", "gradients"), oracle=True, once=True)
def over_time(backend: Backend, case: Case, judge: Judge) -> None:
    """Cuts time anywhere, also into windows of no step, and compares with the oracle's of one process."""
    question = ask(backend, within(backend.capabilities, case))
    g, rng = question.given, np.random.default_rng(case.seed)
    cuts = np.sort(rng.integers(0, case.steps + 1, 1 + case.seed // 2 % 3)).tolist()
    windows = list(zip([0, *cuts], [*cuts, case.steps], strict=True))
    way: type[OverTime] = Summaries if _is_affine(case) else WAYS[case.seed % len(WAYS)]

    def worker(group: Group) -> Step:
        own = slice(*windows[group.rank])
        resets = None if g.resets is None else g.resets[own]
        return way(backend.across(group)).value_and_grad(case.net, g.params, g.inputs[own], g.targets[own], g.state,
                                                         g.lengths, resets)  # fmt: skip

    steps = [judge.numpy(step) for step in together(workers(backend, len(windows)), worker)]
    reference, profile = question.step_reference(), PROFILES[backend.precision]
    inputs = np.concatenate([step.grads.inputs for step in steps])
    judge.close("gradients of the inputs", inputs, reference.at("grads.inputs"))
    for rank, step in enumerate(steps):
        judge.holds(f"the count of worker {rank}", step.count == steps[0].count, step.count, steps[0].count)
        judge.exactly(f"the gradients of worker {rank}", step.grads.params, steps[0].grads.params)
        judge.close(f"the final state of worker {rank}", step.state, reference.at("state"))
        judge.close(f"gradients of the state, worker {rank}", step.grads.state, reference.at("grads.state"))
    if profile.unit == profile.accumulator:  # sixteen bits round the sums of each window once more
        found: dict[str, Any] = {"loss_sum": steps[0].loss_sum, "params": steps[0].grads.params}
        judge.close("the loss", found["loss_sum"], reference.at("loss_sum"))
        judge.close("the gradients of parameters", found["params"], reference.at("grads.params"))


def _is_affine(case: Case) -> bool:
    return all(not linearity(layer.cell).reason for layer in case.net.layers)
