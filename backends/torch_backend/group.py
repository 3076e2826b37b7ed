"""Workers that are a process group of `torch.distributed`: gloo on the CPU, NCCL on CUDA."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import distributed

from backends.torch_backend.answers import missing
from rnnspec.contract.arrays import Array
from rnnspec.errors import ArgumentError
from rnnspec.showing import shown
from rnnspec.workers.digits import DIGITS, joined, split
from rnnspec.workers.group import Group, no_answer

__all__ = ["TorchGroup", "process_group"]

CALL = "torch.across(workers)"


@dataclass(frozen=True)
class TorchGroup(Group):
    """The processes of a process group; a sum is one `all_reduce` of one vector on the device of the backend.

    It does not keep the process group alive: one that is left when Python ends, after it was destroyed, aborts the
    process.
    """

    reference: weakref.ref[Any]
    device: str
    rank: int
    size: int

    @property
    def group(self) -> Any:
        """The process group; raises ArgumentError after it was destroyed."""
        found = self.reference()
        if found is None:
            raise ArgumentError(CALL, "the process group must exist", "one that was destroyed",
                                "call across again with a group that was initialised since")  # fmt: skip
        return found

    def sum(self, arrays: list[Array], counts: list[int]) -> tuple[list[Array], list[int]]:
        """As the base says. After WorkerError the process group is of no more use."""
        kind = reduce(torch.promote_types, (a.dtype for a in arrays), torch.float32)
        digits = torch.tensor([digit for count in counts for digit in split(count)], dtype=kind, device=self.device)
        vector = torch.cat([*(a.detach().reshape(-1).to(kind) for a in arrays), digits])
        begun = time.monotonic()
        try:
            distributed.all_reduce(vector, group=self.group)
            *sums, found = vector.split([*(a.numel() for a in arrays), len(digits)])
            numbers = found.tolist()  # on CUDA it is here that the call waits for the others
        except RuntimeError as error:
            raise no_answer(missing(self.group, self.device), time.monotonic() - begun) from error
        totals = [joined(numbers[i : i + DIGITS]) for i in range(0, len(numbers), DIGITS)]
        return [each.reshape(a.shape).to(a.dtype) for each, a in zip(sums, arrays, strict=True)], totals


def process_group(workers: Any, device: str) -> TorchGroup:
    """The group of a process group that this worker belongs to and that serves the device; else ArgumentError."""
    if not (distributed.is_available() and distributed.is_initialized()):
        raise ArgumentError(CALL, "torch.distributed must be initialised", shown(workers),
                            "call torch.distributed.init_process_group before")  # fmt: skip
    if not isinstance(workers, distributed.ProcessGroup):
        raise ArgumentError(CALL, "workers must be a process group that this worker belongs to", shown(workers),
                            "give torch.distributed.group.WORLD, or a group of new_group with this rank")  # fmt: skip
    kind, served = torch.device(device).type, distributed.get_backend_config(workers)
    if f"{kind}:" not in served:
        raise ArgumentError(CALL, f"the process group must serve {kind}, the device of the backend", shown(served),
                            "initialise it with 'gloo' for the CPU, with 'nccl' for CUDA")  # fmt: skip
    return TorchGroup(weakref.ref(workers), device, workers.rank(), workers.size())
