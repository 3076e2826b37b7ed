"""Trains a model whose parameters are in shards, keeps it in shards, and writes it into one file of rnnspec.

    torchrun --standalone --nproc-per-node 2 torch_fsdp.py
"""

import gc
from pathlib import Path

import torch
from torch import distributed
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import cross_entropy
from torch_ddp import PADDED
from torch_shards import to_file
from torch_workers import batch

import rnnspec
from rnnspec import Dense, Layer, Network, cells

NETS = (Network(1, [Layer(cells.lstm, 16)]), Network(16, [Layer(cells.gru, 16)], output=Dense(2)))
"""Each layer is a module, which gathers its parameters when it is called, and gives them back afterwards."""
KEPT = Path("shards")


class Model(torch.nn.Module):
    def __init__(self, be):
        super().__init__()
        self.parts = torch.nn.ModuleList(be.as_layer(net, seed=seed) for seed, net in enumerate(NETS))

    def forward(self, x, lengths):
        for part in self.parts:
            x, _ = part(x, lengths=lengths)
        return x


def sharded(be):
    """The model and its optimiser, of which each worker has a part."""
    model, mesh = Model(be), init_device_mesh("cpu", (be.group.size,))
    for part in model.parts:
        fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model, torch.optim.Adam(model.parameters(), 0.05)


def keep(step, model, optimiser):
    """Each worker writes its shards into a new folder; PyTorch writes `.metadata` last, so that it is whole or not."""
    params, state = get_state_dict(model, optimiser)
    checkpoint.save({"params": params, "state": state}, checkpoint_id=KEPT / str(step))


def restore(model, optimiser):
    """Read the last whole checkpoint, by whatever number of workers it was written; the step that it was kept after."""
    steps = [int(file.parent.name) for file in KEPT.glob("*/.metadata")]
    if steps:
        params, state = get_state_dict(model, optimiser)
        checkpoint.load({"params": params, "state": state}, checkpoint_id=KEPT / str(max(steps)))
        set_state_dict(model, optimiser, model_state_dict=params, optim_state_dict=state)
    return max(steps, default=0)


def train(be):
    rank, size = be.group.rank, be.group.size
    model, optimiser = sharded(be)
    for step in range(restore(model, optimiser), 10):
        x, labels, lengths = (torch.from_numpy(a) for a in batch(step))
        labels[torch.arange(12)[:, None] >= lengths] = PADDED
        mine = slice(rank, None, size)
        outputs = model(x[:, mine], lengths[mine])
        loss_sum = cross_entropy(outputs.flatten(0, 1), labels[:, mine].flatten(), reduction="sum", ignore_index=PADDED)
        optimiser.zero_grad()
        be.mean_loss(loss_sum, int((labels[:, mine] != PADDED).sum())).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).full_tensor()  # of all shards
        optimiser.step()
        if rank == 0:
            print(f"step {step + 1}: norm of the gradient {norm:.4f}", flush=True)
        if step % 5 == 4:
            keep(step + 1, model, optimiser)
    to_file("model.safetensors", be, model.parts)


def main():
    distributed.init_process_group("gloo")
    train(rnnspec.get_backend("torch", precision="f64").across(distributed.group.WORLD))
    gc.collect()  # PyTorch may abort a process that ends while it holds a model in shards
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
