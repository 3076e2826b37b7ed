"""A backend among the workers that a launcher started: what each framework itself reads from the environment.

    with launched("torch") as be:
        ...

Without a launcher this is the backend alone. PyTorch's variables are those of torchrun; JAX finds Slurm and Open MPI by
itself, and elsewhere takes the three variables below; TensorFlow reads TF_CONFIG or Slurm; for NumPy it is MPI.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import rnnspec


@dataclass(frozen=True)
class Launch:
    """How one framework's workers find each other."""

    says: tuple[str, ...]
    """Variables that a launcher sets, mostly to the number of workers; there are several where one is not "1"."""
    join: Callable[[], Any]
    """Waits for the others, and gives what `Backend.across` takes."""
    leave: Callable[[], None] = lambda: None


def join_torch() -> Any:
    from torch import distributed  # noqa: PLC0415  # one framework is loaded, not four

    distributed.init_process_group()  # RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT
    return distributed.group.WORLD


def leave_torch() -> None:
    from torch import distributed  # noqa: PLC0415

    distributed.destroy_process_group()


def join_jax() -> Any:
    import jax  # noqa: PLC0415

    plain = {"num_processes": "JAX_NUM_PROCESSES", "process_id": "JAX_PROCESS_ID"}  # JAX_COORDINATOR_ADDRESS it reads
    jax.distributed.initialize(**{name: int(os.environ[v]) for name, v in plain.items() if v in os.environ})
    return jax.make_mesh((jax.device_count(),), ("rows",))


def join_tensorflow() -> Any:
    import tensorflow as tf  # noqa: PLC0415

    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    tasks, job = (int(os.environ[name]) for name in (SLURM, "SLURM_JOB_ID"))
    slurm = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=20_000 + 16 * (job % 1000),  # of two jobs on one machine mostly others
        gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False)  # it divides by GPUs, also where there are none
    cluster, (kind, rank) = slurm.cluster_spec(), slurm.get_task_info()
    found = tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, task_type=kind, task_id=rank)
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=found)


def join_mpi() -> Any:
    from mpi4py import MPI  # noqa: PLC0415

    return MPI.COMM_WORLD


SLURM, OPEN_MPI = "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"
LAUNCHES = {
    "numpy": Launch(("PMI_SIZE", OPEN_MPI, SLURM), join_mpi),
    "torch": Launch(("WORLD_SIZE",), join_torch, leave_torch),
    "jax": Launch(("JAX_NUM_PROCESSES", SLURM, OPEN_MPI), join_jax),  # which leaves as it ends
    "tensorflow": Launch(("TF_CONFIG", SLURM), join_tensorflow),
}


@contextmanager
def launched(name: str) -> Iterator[rnnspec.Backend]:
    """The backend of this name, across the workers if a launcher started several."""
    launch = LAUNCHES.get(name)
    if launch is None or all(os.environ.get(variable, "1") == "1" for variable in launch.says):
        yield rnnspec.get_backend(name)
        return
    group = launch.join()  # before the backend is opened: frameworks want to know of the others first
    yield rnnspec.get_backend(name).across(group)
    launch.leave()  # not after an error, which the others need not have had: they would be waited for
