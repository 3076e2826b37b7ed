"""`python -m tests.release [ENVIRONMENT ...]`: make a release in `dist/`, and try it where it has never been.

The source distribution and the wheel are built, checked and compared with the rules of `contents`; the wheel that is
built from the source distribution must be the one that is built from the tree, byte for byte. The wheel is installed in
fresh environments, two at a time: without an extra, with the suite alone, and with each framework's extra. Exit status
0 if everything holds, 1 if not. The smoke tier tests NumPy where the suite is alone, and not again beside a framework;
of the suite, each framework has a third.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import rnnspec
from tests.release import contents
from tests.release.contents import ROOT
from tests.release.environments import TRIALS, Environment, Failed

BEGUN = time.monotonic()
DIST = ROOT / "dist"
AT_A_TIME = 2


def main() -> int:
    """Exit status 0 if everything holds, 1 if not."""
    parser = argparse.ArgumentParser("python -m tests.release", description=__doc__.splitlines()[0])
    parser.add_argument("environments", nargs="*", metavar="ENVIRONMENT", help=f"of {', '.join(TRIALS)}; all if none")
    given = parser.parse_args()
    odd = set(given.environments) - TRIALS.keys()
    if odd:
        parser.error(f"no environment {', '.join(odd)}")
    with tempfile.TemporaryDirectory(prefix="rnnspec-release-") as scratch:
        wheel, wrong = built(Path(scratch))
        if not wrong:
            names = [name for name in TRIALS if name in (given.environments or TRIALS)]
            trials = [Environment(name, Path(scratch) / name, wheel, say) for name in names]
            with ThreadPoolExecutor(1) as removing, ThreadPoolExecutor(AT_A_TIME) as trying:
                wrong = list(filter(None, trying.map(partial(tried, removing), trials)))
    for line in wrong:
        say(f"wrong: {line}")
    say("not to be released" if wrong else f"ready: {', '.join(sorted(path.name for path in DIST.iterdir()))}")
    return 1 if wrong else 0


def built(scratch: Path) -> tuple[Path, list[str]]:
    """The wheel, and what is wrong with it or with the source distribution."""
    for old in DIST.glob("rnnspec-*"):
        old.unlink()
    build = [sys.executable, "-m", "build", "--no-isolation"]
    shown([*build, "--outdir", str(DIST), str(ROOT)])
    shown([*build, "--wheel", "--outdir", str(scratch), str(ROOT)])
    (wheel,), (sdist,), (direct,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz"), scratch.glob("*.whl")
    shown([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)])
    version = rnnspec.__version__
    wrong = [
        *contents.of_wheel(wheel, version), *contents.of_metadata(wheel, version),
        *(contents.of_sdist(sdist, version) if (ROOT / ".git").exists() else ()),
    ]  # fmt: skip
    if not (ROOT / ".git").exists():
        say("git does not know this folder: the files of the source distribution are not compared")
    if wheel.read_bytes() != direct.read_bytes():
        wrong.append(f"{wheel.name}: the one from the source distribution must be the one from the tree, got another")
    say(f"built {wheel.name}, {wheel.stat().st_size:,} bytes, and {sdist.name}, {sdist.stat().st_size:,} bytes")
    return wheel, wrong


def tried(removing: Executor, here: Environment) -> str:
    """What is wrong in an environment, which is removed while others are tried; nothing if "" """
    try:
        TRIALS[here.name](here)
    except Failed as failure:
        return str(failure)
    finally:
        removing.submit(shutil.rmtree, here.folder)
    say(f"{here.name}: holds")
    return ""


def shown(command: list[str]) -> None:
    """Run a command; what it writes is shown where it fails."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(command)}: exit status {done.returncode}")


def say(line: str) -> None:
    """A line, with the seconds since the beginning."""
    print(f"{time.monotonic() - BEGUN:5.0f} s  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
