"""What docs/launching.md says: its commands run as written, and its files are what Slurm and Kubernetes take."""

from __future__ import annotations

import numpy as np
import pytest

import rnnspec
from rnnspec.tree import leaves
from tests.workers import page
from tests.workers.launching import ROOT, ran

LAUNCH = ROOT / "docs/examples/launch"
LONG = ("jax.sbatch", "tensorflow.sbatch")
"""What runs in `python -m tests.stress launches` only; here it is looked at what each task is told."""
NEAR = 1e-3
"""How far apart printed bits may be: the last of their digits."""


@pytest.fixture(scope="module")
def one(examples, tmp_path_factory):
    """The rounds of one process, and the parameters that it saved."""
    folder = tmp_path_factory.mktemp("one")
    said = ran(["python", str(ROOT / "docs/examples/language_model.py"), "--quick", "--updates", "4"], folder=folder)
    return page.rounds(said), rnnspec.load(folder / "language.safetensors")[1]


def assert_as_one(said, folder, one):
    """The first worker alone printed the rounds of one process, and saved its parameters."""
    rounds, params = one
    np.testing.assert_allclose(page.rounds(said)[:3], rounds, rtol=0, atol=1.01 * NEAR)
    right = dict(leaves(params))
    for name, found in leaves(rnnspec.load(folder / "language.safetensors")[1]):
        np.testing.assert_allclose(found, right[name], rtol=0, atol=1e-4 * np.abs(right[name]).max(), err_msg=name)


@pytest.mark.parametrize("name", [name for name in page.COMMANDS if name not in LONG])
def test_a_command_of_the_page_gives_the_course_of_one_process(name, one, tmp_path):
    if page.needs_mpi(name) and not page.HAS_MPI:
        pytest.skip("mpi4py and its mpiexec are not installed")
    said = page.told(name, tmp_path)
    assert_as_one(said, tmp_path, one)
    goes_on = name == "--checkpoint"
    assert len(page.rounds(said)) == 3 + goes_on
    assert said.count("saved to language.safetensors") == 1 + goes_on
    assert said.count("goes on after update 10\n") == goes_on
    assert (tmp_path / "course/checkpoint.safetensors").exists() == goes_on
