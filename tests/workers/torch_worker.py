"""One worker of the tests of PyTorch: runs the pieces that its arguments name, and gives what it found.

What a piece finds is a tree of arrays; the names of its leaves begin with that of the piece.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import torch
from torch import distributed
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

import rnnspec
from rnnspec import Dense, Dropout, Layer, Network, cells, losses, policies, updates
from rnnspec.tree import leaves
from tests.workers.asked import said
from tests.workers.launching import give
from tests.workers.problems import ANEW, PROBLEMS, trained
from tests.workers.trees import named

LENGTHS = (7, 2, 3, 1, 0, 2)
STACK = (Network(3, [Layer(cells.lstm, 5)]), Network(5, [Layer(cells.gla, 4, heads=2)], output=Dense(4)))
"""Two layers as two modules, so that each can be a shard of its own."""
WHOLE = Network(3, [STACK[0].layers[0], STACK[1].layers[0]], output=Dense(4), loss=losses.SoftmaxCrossEntropy())


def backend(precision="f64"):
    return rnnspec.get_backend("torch", precision=precision).across(distributed.group.WORLD)


def batch():
    rng = np.random.default_rng(0)
    return torch.tensor(rng.normal(size=(7, 6, 3))), torch.tensor(rng.integers(0, 4, (7, 6))), torch.tensor(LENGTHS)


def mine(size=6):
    """Two rows of rank 0, and all others of rank 1."""
    group = distributed.group.WORLD
    return (slice(0, 2), slice(2, size), *[slice(size, size)] * group.size())[group.rank()]


def steps():
    """The ten steps of each problem in each precision."""
    return {f"{name}-{precision}": trained(backend(precision), problem, ANEW) for name, problem in PROBLEMS.items()
            for precision in ("f32", "f64", "bf16")}  # fmt: skip


def noise():
    """The loss with dropout of this worker's rows, summed over all; and that of one process."""
    be, (x, targets, lengths), own = backend(), batch(), mine()
    net = Network(3, [Layer(cells.gru, 4), Dropout(0.5)], output=Dense(4), loss=losses.SoftmaxCrossEntropy())
    params, key = be.asarray(net.init(0)), rnnspec.Key(3)
    one = be.alone.value_and_grad(net, params, x, targets, lengths=lengths, key=key)
    found = be.value_and_grad(net, params, x[:, own], targets[:, own], lengths=lengths[own], key=key)
    return {"one": one.grads.params, "found": found.grads.params}


def not_a_number():
    """What a NaN in the last worker's rows does to a rule that skips such a step, and to one that raises."""
    be, (x, targets, _), own = backend(), batch(), mine()
    if be.group.rank == be.group.size - 1:
        x[0, -1] = np.nan
        own = slice(2, 6)
    params = be.asarray(WHOLE.init(0))
    rule = policies.SkipNonFinite(updates.Adam(0.1))
    done = be.train_step(WHOLE, rule, params, rule.init(params), x[:, own], targets[:, own])
    raising = rnnspec.chain(policies.RaiseNonFinite(), updates.SGD(0.1))
    told = said(lambda: be.train_step(WHOLE, raising, params, raising.init(params), x[:, own], targets[:, own]))
    before, after = dict(leaves(params)), dict(leaves(done.params))
    moved = any(bool((before[name] != after[name]).any()) for name in before)
    return {"moved": moved, "skipped": done.rule_state["skipped"], "raised": told}


def bad_batch():
    """What each worker raises where one has labels that are not valid, and the loss of the next good batch."""
    be, (x, targets, lengths), own = backend(), batch(), mine()
    params, rule = be.asarray(WHOLE.init(0)), updates.SGD(0.1)
    given = x[:, own], targets[:, own] + (9 if be.group.rank == 0 else 0)
    found = {"step": said(lambda: be.train_step(WHOLE, rule, params, (), *given)),
             "gradient": said(lambda: be.value_and_grad(WHOLE, params, *given))}  # fmt: skip
    after = be.value_and_grad(WHOLE, params, x[:, own], targets[:, own], lengths=lengths[own])
    return {**found, "after": after.loss_sum, "count": after.count}


class Stack(torch.nn.Module):
    """The two modules, one after the other."""

    def __init__(self, be):
        super().__init__()
        self.parts = torch.nn.ModuleList(be.as_layer(part, seed=seed) for seed, part in enumerate(STACK))

    def forward(self, x, lengths):
        for part in self.parts:
            x, _ = part(x, lengths=lengths)
        return x


def in_layers(be):
    stack = Stack(be)
    for part in stack.parts:
        fully_shard(part, mesh=mesh())
    return fully_shard(stack, mesh=mesh())


def mesh():
    return init_device_mesh("cpu", (distributed.get_world_size(),))


KINDS = {"ddp": lambda be: DistributedDataParallel(Stack(be)), "fsdp": lambda be: fully_shard(Stack(be), mesh=mesh()),
         "fsdp in layers": in_layers}  # fmt: skip


def modules():
    """The gradients, their norm, and the parameters after three steps of Adam, as the frameworks share them out."""
    be = backend()
    found = {"one": learned(Stack(be.alone), slice(None), lambda total, count: total / count)}
    none = slice(0, 6) if be.group.rank == 0 else slice(6, 6)
    for name, kind in KINDS.items():
        found[name] = learned(kind(be), mine(), be.mean_loss)
        found[f"{name}, no rows"] = learned(kind(be), none, be.mean_loss)
        found[f"{name}, mean of means"] = learned(kind(be), mine(), lambda total, count: total / max(count, 1))
    return found


def loss_of(model, rows):
    """The sum of the losses of some rows, and the number of their real steps."""
    x, targets, lengths = batch()
    outputs = model(x[:, rows], lengths[rows])
    real = torch.arange(7)[:, None] < lengths[rows]
    return torch.nn.functional.cross_entropy(outputs[real], targets[:, rows][real], reduction="sum"), int(real.sum())


def learned(model, rows, mean, count=3):
    optimiser, norms, first = torch.optim.Adam(model.parameters(), 0.05), [], None
    for _ in range(count):
        optimiser.zero_grad()
        mean(*loss_of(model, rows)).backward()
        first = first or {str(i): whole(a.grad) for i, a in enumerate(model.parameters())}
        norms.append(whole(clip_grad_norm_(model.parameters(), 0.3)))
        optimiser.step()
    return {"gradients": first, "norms": norms, "parameters": [whole(a) for a in model.parameters()]}


def whole(tensor):
    """A tensor, or all shards of one."""
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).detach().clone()


def shards():
    """Save shards of a model and its optimiser after two steps, and go on for two: what who loads them must find."""
    be = backend()
    model = in_layers(be)
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    descend(model, optimiser, mine(), be.mean_loss)
    kept = {"model": get_model_state_dict(model), "optimiser": get_optimizer_state_dict(model, optimiser)}
    checkpoint.save(kept, checkpoint_id=os.environ["FOLDER"])
    descend(model, optimiser, mine(), be.mean_loss)
    return {"parameters": [whole(a) for a in model.parameters()]}


def descend(model, optimiser, rows, mean):
    for _ in range(2):
        optimiser.zero_grad()
        mean(*loss_of(model, rows)).backward()
        optimiser.step()


PIECES = {piece.__name__: piece for piece in (steps, noise, not_a_number, bad_batch, modules, shards)}


def main():
    distributed.init_process_group("gloo")
    torch.set_num_threads(1)
    found = {}
    for piece in sys.argv[1:]:
        found |= named(piece, PIECES[piece]())
    give(**found)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
