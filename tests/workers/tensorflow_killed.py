"""The example of TensorFlow's workers where one is killed before a step: `tensorflow_killed.py FOLDER RANK STEP`."""

from __future__ import annotations

import json
import os
import signal
import sys

from tests.workers.launching import ROOT

sys.path.insert(0, str(ROOT / "docs/examples"))
import tensorflow_workers as example  # an example imports the others by name


def main(folder, killed, last):
    os.chdir(folder)
    rank, whole = json.loads(os.environ["TF_CONFIG"])["task"]["index"], example.batch

    def batch(step):
        if (rank, step) == (int(killed), int(last)):
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(step)

    example.batch = batch
    example.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
