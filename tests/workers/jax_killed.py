"""The example of JAX where one worker is killed: `jax_killed.py FILE VICTIM STEP`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.workers.launching import ROOT

sys.path.insert(0, str(ROOT / "docs/examples"))
import jax_training  # an example imports the others by name

batch, (file, *doomed) = jax_training.batch, sys.argv[1:]


def mortal(step):
    """The batch of a step, before which the victim is killed."""
    if [os.environ["JAX_PROCESS_ID"], str(step)] == doomed:
        os.kill(os.getpid(), signal.SIGKILL)
    return batch(step)


jax_training.batch = mortal
jax_training.main(Path(file), patience=3)
