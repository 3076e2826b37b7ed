"""How the tests of TensorFlow's workers launch them, and how they judge what was trained."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

from conformance.tolerance import PROFILES, train, value_and_grad, verdict
from tests.workers.launching import ROOT, ended, free_port, ran
from tests.workers.tensorflow_problems import PROBLEMS, STEPS, part

PAGE = ROOT / "docs/workers-tensorflow.md"
EXAMPLES = ("tensorflow_workers.py", "tensorflow_layer.py", "checkpoints.py")
TIMEOUT = 240.0


def cluster(size):
    """TF_CONFIG for so many processes of this machine."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(size)]
    return lambda rank: {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses},
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
    return ran(["bash", "-c", own + commands[number]], {"PATH": path}, TIMEOUT, folder)


def losses(said):
    """The steps that an example printed, each with its loss."""
    return [(int(step), float(loss)) for step, loss in re.findall(r"^step (\d+): ([\d.]+)", said, re.MULTILINE)]


def verdicts(found, name):
    """The judgement of the suite on gradients, losses, parameters and what rules keep of one problem, by name."""
    case, rule, profile = PROBLEMS[name].case, PROBLEMS[name].rule, PROFILES["f32"]
    first, reference = value_and_grad(case, profile), train(case, rule, STEPS, profile)
    told = {"grads": verdict(part(found, f"{name}.grads"), first.at("grads.params"))}
    places = [f"{step}.{what}" for step in (0, STEPS - 1) for what in ("loss_sum", "count", "params", "rule_state")]
    return told | {place: verdict(part(found, f"{name}.{place}"), reference.at(place)) for place in places}
