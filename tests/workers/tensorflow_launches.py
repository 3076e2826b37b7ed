"""How the tests of TensorFlow's workers launch them, and how they judge what was trained."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

from conformance.tolerance import PROFILES
from tests.workers.launching import BARE, ROOT, ended, free_port, ran
from tests.workers.problems import PROBLEMS, verdicts
from tests.workers.trees import part

PAGE = ROOT / "docs/workers-tensorflow.md"
EXAMPLES = ("tensorflow_workers.py", "tensorflow_layer.py", "checkpoints.py")
TIMEOUT = 240.0
TRAINED = ("lstm", "gru", "own", "delta")
"""The problems of `tensorflow_steps.py`."""


def cluster(size):
    """TF_CONFIG for so many processes of this machine."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(size)]
    return lambda rank: BARE | {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses},
                                                         "task": {"type": "worker", "index": rank}})}  # fmt: skip


def launched(script, size, *arguments):
    """How each of so many workers of a script ended."""
    return ended(f"tests/workers/{script}.py", size, cluster(size), TIMEOUT, [*map(str, arguments)])


def commanded(number, folder):
    """What a command of the page prints, with ports that are free, where the examples are."""
    function, *commands = re.search(r"^```bash\n(.*?^}\n)(.*?)\n(.*?)\n```$", PAGE.read_text(), re.M | re.S).groups()
    for example in EXAMPLES:
        shutil.copy(ROOT / "docs/examples" / example, folder)
    own = re.sub(r"(?<=localhost:)\d+", lambda _: str(free_port()), function)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return ran(["bash", "-c", own + commands[number]], BARE | {"PATH": path}, TIMEOUT, folder)


def losses(said):
    """The steps that an example printed, each with its loss."""
    return [(int(step), float(loss)) for step, loss in re.findall(r"^step (\d+): ([\d.]+)", said, re.MULTILINE)]


def judgement(found, name):
    """That of the suite on what a worker trained, by place."""
    return verdicts(part(found, name), PROBLEMS[name], PROFILES["f32"])
