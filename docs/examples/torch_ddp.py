"""Trains a model with a layer of rnnspec under DistributedDataParallel, with PyTorch's loss and optimiser.

    torchrun --standalone --nproc-per-node 2 torch_ddp.py
"""

import gc

import torch
from torch import distributed
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch_workers import batch

import rnnspec
from rnnspec import Dense, Layer, Network, cells

PADDED = -100
"""The label of a step that is none, which PyTorch's loss leaves out."""


def train(be):
    rank, size = be.group.rank, be.group.size
    model = DistributedDataParallel(be.as_layer(Network(1, [Layer(cells.lstm, 16)], output=Dense(2)), seed=0))
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    for step in range(10):
        x, labels, lengths = (torch.from_numpy(a) for a in batch(step))
        labels[torch.arange(12)[:, None] >= lengths] = PADDED
        mine = slice(rank, None, size)
        outputs, _ = model(x[:, mine], lengths=lengths[mine])
        loss_sum = cross_entropy(outputs.flatten(0, 1), labels[:, mine].flatten(), reduction="sum", ignore_index=PADDED)
        loss = be.mean_loss(loss_sum, int((labels[:, mine] != PADDED).sum()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        whole = loss.detach() / size
        distributed.all_reduce(whole)
        if rank == 0:
            print(f"step {step + 1}: {float(whole):.4f}", flush=True)


def main():
    distributed.init_process_group("gloo")
    train(rnnspec.get_backend("torch", precision="f64").across(distributed.group.WORLD))
    gc.collect()  # PyTorch may abort a process that ends while it holds a model of DDP
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
