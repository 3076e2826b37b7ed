"""The machinery that launches the workers of tests: it hands over results, shows what failed, and ends what hangs."""

import os

import pytest

from tests.workers.launching import ended, launched, ran

SCRIPT = """
import os, sys, time
from tests.workers.launching import give
rank = int(os.environ["RANK"])
if rank == 1 and sys.argv[1] == "fail":
    sys.exit("a worker that fails")
if sys.argv[1] != "give":
    print("process", os.getpid(), flush=True)
    time.sleep(1000)
give(rank=rank)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "worker.py"
    path.write_text(SCRIPT)
    return path


def rank(number):
    return {"RANK": str(number)}


def test_each_worker_gives_its_results(script):
    assert [int(result["rank"]) for result in launched(script, 2, rank, 30, ["give"])] == [0, 1]


def test_a_failed_worker_is_shown_and_ends_the_others(script):
    with pytest.raises(AssertionError, match=r"rank 1 ended with 1 .*\na worker that fails"):
        launched(script, 2, rank, 60, ["fail"])


def test_a_worker_that_hangs_is_aborted_and_shows_its_stack(script):
    one, = ended(script, 1, rank, 1.5, ["hang"])
    assert one.status < 0 and not one.gave
    assert "worker.py" in one.said
    process = int(one.said.split()[1])
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_command_is_run_as_it_is_written(tmp_path):
    assert ran(["echo", "hello"], folder=tmp_path) == "hello\n"
    with pytest.raises(AssertionError, match="sh -c exit 3 ended with 3"):
        ran(["sh", "-c", "exit 3"])
