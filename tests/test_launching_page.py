"""What docs/launching.md says: its commands run as written, and its files are what Slurm and Kubernetes take."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from typer import Typer
from typer.main import get_command

import rnnspec
from rnnspec.tree import leaves
from tests.workers import page, slurm
from tests.workers.launching import ROOT, ran

LAUNCH = ROOT / "docs/examples/launch"
JOBS = sorted(path.name for path in LAUNCH.glob("*.sbatch"))
MANIFESTS = sorted(path.name for path in LAUNCH.glob("*.yaml"))
LONG = ("jax.sbatch", "tensorflow.sbatch")
"""What `python -m tests.stress launches` runs; here one looks at what its tasks are told."""
NEAR = 1e-3
"""How far apart printed bits may be: the last of their digits."""


@pytest.fixture(scope="module")
def one(examples, tmp_path_factory):
    """The rounds of one process, and the parameters that it saved."""
    folder = tmp_path_factory.mktemp("one")
    command = [sys.executable, str(ROOT / "docs/examples/language_model.py"), "--quick", "--updates", "4"]
    said = ran(command, folder=folder)
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


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_valid_bash_and_asks_for_two_workers(name):
    assert subprocess.run(["bash", "-n", LAUNCH / name], check=True).returncode == 0
    asked = slurm.ASKS.findall((LAUNCH / name).read_text())
    assert {"--nodes=2", "--ntasks-per-node=1", "--requeue"} <= set(asked)
    assert name in page.COMMANDS


RECORDER = """#!{python}
import json, os, sys
with open(os.environ["SLURM_PROCID"] + ".json", "w") as file:
    json.dump([sys.argv[1:], dict(os.environ)], file)
"""


@pytest.mark.parametrize("name", LONG)
def test_a_job_starts_tasks_that_the_framework_takes_for_workers(name, examples, tmp_path, monkeypatch):
    backend = name.removesuffix(".sbatch")
    (tmp_path / "python").write_text(RECORDER.format(python=sys.executable))
    (tmp_path / "python").chmod(0o755)
    path = os.pathsep.join([str(slurm.install(tmp_path)), os.environ["PATH"]])
    ran(["sbatch", str(LAUNCH / name), "--quick"], {"PATH": path, "SLURM_JOB_ID": "4711"}, folder=tmp_path)
    launch = examples("launched").LAUNCHES[backend]
    for rank in (0, 1):
        words, environment = json.loads((tmp_path / f"{rank}.json").read_text())
        assert words == ["docs/examples/language_model.py", "--backend", backend, "--quick"]
        assert any(environment.get(variable, "1") != "1" for variable in launch.says)
        monkeypatch.setattr(os, "environ", environment)
        assert NAMED[backend]() == (2, rank, "localhost")


def named_by_jax():
    """How many processes there are, which one this is, and where the first one runs, as JAX reads it."""
    cluster = pytest.importorskip("jax._src.clusters").SlurmCluster
    assert cluster.is_env_present()
    return cluster.get_process_count(), cluster.get_process_id(), cluster.get_coordinator_address(9, None).split(":")[0]


def named_by_tensorflow():
    made = pytest.importorskip("tensorflow").distribute.cluster_resolver.SlurmClusterResolver
    cluster = made(gpus_per_node=2, gpus_per_task=1, auto_set_gpu=False)
    workers = cluster.cluster_spec().job_tasks("worker")
    _, rank = cluster.get_task_info()
    return len(set(workers)), rank, workers[0].split(":")[0]


NAMED = {"jax": named_by_jax, "tensorflow": named_by_tensorflow}


def manifest(name):
    """The Service and the Job of a file."""
    return list(yaml.safe_load_all((LAUNCH / name).read_text()))


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("name", MANIFESTS)
def test_kubernetes_takes_a_manifest(name, version):
    schemas = pytest.importorskip("kubernetes_validate", reason="the schemas of Kubernetes are not installed")
    for one in manifest(name):
        schemas.validate(one, version, strict=True)
    one["spec"]["completionmode"] = "Indexed"
    with pytest.raises(schemas.ValidationError, match="completionmode"):
        schemas.validate(one, version, strict=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_pods_are_found_by_the_name_of_the_service(name):
    service, job = manifest(name)
    pod = job["spec"]["template"]["spec"]
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert service["spec"]["clusterIP"] == "None"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    assert "language-0.language:12321" in (LAUNCH / name).read_text()
    assert pod["containers"][0]["ports"] == [{"containerPort": 12321}]


def environment(container, index):
    """The variables of the pod with this index, as Kubernetes makes them."""
    found = {}
    for one in container.get("env", ()):
        value = one.get("value", str(index))
        for variable, given in found.items():
            value = value.replace(f"$({variable})", given)
        found[one["name"]] = value
    return found


@pytest.mark.parametrize("name", MANIFESTS)
def test_each_pod_is_told_who_it_is(name, examples):
    backend = name.removesuffix(".yaml")
    container = manifest(name)[1]["spec"]["template"]["spec"]["containers"][0]
    for index in (0, 1):
        found = environment(container, index)
        if backend == "tensorflow":
            told = json.loads(found["TF_CONFIG"])
            assert told["task"] == {"type": "worker", "index": index}
            assert told["cluster"] == {"worker": [f"language-{i}.language:12321" for i in (0, 1)]}
        if backend == "jax":
            assert (found["JAX_NUM_PROCESSES"], found["JAX_PROCESS_ID"]) == ("2", str(index))
        assert backend == "torch" or found.keys() & set(examples("launched").LAUNCHES[backend].says)


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_pod_runs_the_example_with_options_that_it_has(name, examples):
    command = manifest(name)[1]["spec"]["template"]["spec"]["containers"][0]["command"]
    script = command.index("docs/examples/language_model.py")
    app = Typer()
    app.command()(examples("language_model").main)
    given = get_command(app).make_context("example", command[script + 1 :]).params
    assert (given["backend"], str(given["checkpoint"])) == (name.removesuffix(".yaml"), "/kept")
    assert str(given["save"].parent) == "/kept"  # what a pod writes elsewhere is lost
    if command[0] == "torchrun":
        run = pytest.importorskip("torch.distributed.run").parse_args(command[1:])
        assert (run.nnodes, run.nproc_per_node, run.rdzv_backend) == ("2", "1", "c10d")
