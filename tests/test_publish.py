"""The plugin that docs/publish.md builds, as a stranger would have it: a wheel in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "docs" / "examples" / "rnnspec-onnxruntime"
PACKAGE = "rnnspec_onnxruntime"
JUDGE = ("-m", "conformance", "--backend", "onnxruntime", "--tier", "smoke")

MADE = ("dist", ".*_cache", "__pycache__", ".hypothesis")
"""What tools leave among the sources."""


@dataclass(frozen=True)
class Place:
    """A copy of the plugin's sources, far from this repository, and an environment in which it is installed."""

    sources: Path
    bin: Path
    wheel: Path

    @property
    def xfails(self) -> Path:
        """What is known to fail."""
        return self.sources / "xfails.txt"

    def run(self, *command: str, path: Path | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, away from the sources; modules are looked for in `path` first."""
        found = os.pathsep.join(map(str, filter(None, (path, ROOT))))
        env = {**os.environ, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": found,
               "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # fmt: skip
        return subprocess.run(command, cwd=cwd or self.bin, env=env, capture_output=True, text=True, check=False)

    def judged(self, *options: str, path: Path | None = None) -> tuple[int, dict]:
        """The exit status of the conformance command, and the one entry of its report."""
        file = self.sources / "judged.json"
        done = self.run("python", *JUDGE, "--json", str(file), *options, path=path)
        assert file.exists(), done.stdout + done.stderr
        entry = reported(file)
        file.unlink()
        return done.returncode, entry


def reported(file: Path) -> dict:
    """The one entry of a report."""
    (entry,) = json.loads(file.read_text())["backends"]
    return entry


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What is needed is taken from the environment of these tests, so that nothing is fetched."""
    folder = tmp_path_factory.mktemp("stranger")
    sources, environment = folder / "sources", folder / "environment"
    shutil.copytree(PLUGIN, sources, ignore=shutil.ignore_patterns(*MADE))
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "theirs.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=sources, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    found = Place(sources, environment / "bin", wheel)
    installed = found.run("python", "-m", "pip", "install", "--no-deps", "--no-index", str(wheel))
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return found


@pytest.fixture(scope="module")
def ci(place):
    """What its continuous integration prints."""
    done = place.run(".ci/run", cwd=place.sources)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_its_entry_point_and_nothing_else(place):
    with zipfile.ZipFile(place.wheel) as wheel:
        names = wheel.namelist()
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        text = wheel.read(entry_points).decode()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {PACKAGE}
    assert text.split() == ["[rnnspec.backends]", "onnxruntime", "=", f"{PACKAGE}.plugin"]


def test_what_runs_is_what_was_installed(place):
    code = f"import {PACKAGE} as p; print(p.__file__)"
    assert place.run("python", "-c", code).stdout.startswith(str(place.bin.parent))


def test_it_is_listed_without_being_imported(place):
    code = "import sys, rnnspec; print('onnxruntime' in rnnspec.backend_names(), 'onnxruntime' in sys.modules)"
    assert place.run("python", "-c", code).stdout.split() == ["True", "False"]


@pytest.mark.usefixtures("ci")
def test_it_conforms_and_what_it_lacks_is_counted(place):
    entry = reported(place.sources / "report.json")
    counts = dict(entry["counts"])
    assert entry["status"] == "conforms", entry["why"]
    assert counts.pop("expected") == sum(counts.values()) == len(entry["properties"])
    assert counts["pass"] > 0
    assert counts["unsupported"] > 0
    assert counts["xfail"] == len(place.xfails.read_text().splitlines())
    lacking = [finding for finding in entry["properties"] if finding["status"] == "unsupported"]
    said = ("the backend declares no ", "among its capabilities")  # beforehand, or of another spelling of a cell
    assert all(any(words in finding["why"] for words in said) for finding in lacking), lacking


def test_without_its_list_of_known_faults_it_fails_by_those_alone(place):
    known = {line.split()[0] for line in place.xfails.read_text().splitlines()}
    asked = [option for law in sorted(known | {"P01"}) for option in ("--only", law)]
    status, entry = place.judged(*asked)
    failing = {finding["id"] for finding in entry["properties"] if finding["status"] in ("fail", "error")}
    assert (status, entry["status"]) == (1, "fails")
    assert failing == known


FAULTS = [
    ("np.where(ends[:, None] > 0, h[0], first[name])", "h[0]"),
    ("ends.astype(np.int32)", "np.full_like(ends, steps).astype(np.int32)"),
    ("Y[:, 0]", "Y[::-1, 0]"),
    ('"GRU", "zrn", inner', '"GRU", "rzn", inner'),
    ('"LSTM", "iofg", ("h", "c"))', '"LSTM", "ifog", ("h", "c"))'),
    ('peepholes="iof"', 'peepholes="ifo"'),
    ('inner="n"', 'inner=""'),
    ('{"linear_before_reset": 1}', '{"linear_before_reset": 0}'),
]


@pytest.mark.parametrize(("right", "wrong"), FAULTS)
def test_a_fault_in_it_would_be_found(place, right, wrong, tmp_path):
    shutil.copytree(place.sources / PACKAGE, tmp_path / PACKAGE)
    (file,) = (file for file in (tmp_path / PACKAGE).glob("*.py") if right in file.read_text())
    file.write_text(file.read_text().replace(right, wrong))
    status, entry = place.judged("--only", "P01", "--shape", "3,5,2,3", path=tmp_path)
    assert (status, [finding["status"] for finding in entry["properties"]]) == (1, ["fail"])


def test_its_own_ci_passes(ci):
    assert "2 xfailed" in ci
    assert "conforms" in ci


@pytest.fixture(scope="module")
def page():
    """The tutorial."""
    return (ROOT / "docs" / "publish.md").read_text()


def test_the_tutorial_shows_every_file_of_the_plugin(page):
    files = {file.relative_to(PLUGIN) for file in PLUGIN.rglob("*") if file.is_file()}
    listed = [str(file) for file in files if not any(fnmatch(part, made) for part in file.parts for made in MADE)]
    shown = re.findall(rf"<!-- include: source {PLUGIN.relative_to(ROOT)}/(\S+) -->", page)
    assert sorted([*shown, "README.md"]) == sorted(listed)


@pytest.mark.usefixtures("ci")
def test_the_tutorial_s_commands_and_sessions_run_one_after_the_other(page, place):
    ran, script = set(), (place.sources / ".ci" / "run").read_text().splitlines()
    for kind, code in re.findall(r"(?<!-->\n)^```(bash|python)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        if set(code.splitlines()) <= set(script):
            continue  # its continuous integration has run that, in the same environment
        ran.add(kind)
        if kind == "bash":
            done = place.run("bash", "-euo", "pipefail", "-c", code, cwd=place.sources)
        else:
            session = place.bin / "session.txt"
            with session.open("a") as file:
                file.write(f"{code}\n")
            done = place.run("python", "-m", "doctest", "-o", "ELLIPSIS", "-o", "FAIL_FAST", str(session))
        assert done.returncode == 0, code + done.stdout + done.stderr
    assert ran == {"bash", "python"}


def test_it_needs_what_it_imports():
    needed = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {line.split(">")[0] for line in needed} == {"rnnspec", "onnx", "onnxruntime"}
