"""What a release must hold, by rules, and how what it holds differs."""

from __future__ import annotations

import configparser
import subprocess
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("backends", "conformance", "rnnspec")
DATA = (
    "conformance/cases/found_gains.json",
    "conformance/findings/known.json",
    "conformance/reports/report.schema.json",
    "conformance/reports/templates/report.html.jinja",
    "conformance/reports/templates/report.md.jinja",
    "rnnspec/py.typed",
)
"""Every file of the packages that is no module."""

INFO = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")


def of_wheel(wheel: Path, version: str) -> list[str]:
    """What is wrong with the files of a wheel."""
    modules = {str(path.relative_to(ROOT)) for top in PACKAGES for path in (ROOT / top).rglob("*.py")}
    info = {f"rnnspec-{version}.dist-info/{name}" for name in INFO}
    return differences(wheel.name, set(zipfile.ZipFile(wheel).namelist()), modules | {*DATA} | info)


def of_sdist(sdist: Path, version: str) -> list[str]:
    """What is wrong with the files of a source distribution: it holds what git tracks, and nothing else."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]  # whoever owns the clone
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    expected = {f"rnnspec-{version}/{name}" for name in (*filter(None, listed.split("\0")), "PKG-INFO")}
    with tarfile.open(sdist) as archive:
        return differences(sdist.name, {member.name for member in archive if not member.isdir()}, expected)


def of_metadata(wheel: Path, version: str) -> list[str]:
    """What is wrong with what a wheel says of itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(wheel) as archive:
        info = f"rnnspec-{version}.dist-info"
        said = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        points = configparser.ConfigParser()
        points.read_string(archive.read(f"{info}/entry_points.txt").decode())
    found = {"Name": said["Name"], "Version": said["Version"], "Requires-Python": said["Requires-Python"],
             "License-Expression": said["License-Expression"], "License-File": said["License-File"],
             "Provides-Extra": set(said.get_all("Provides-Extra")),
             "entry points": {name: dict(points[name]) for name in points.sections()}}  # fmt: skip
    expected = {"Name": project["name"], "Version": version, "Requires-Python": project["requires-python"],
                "License-Expression": project["license"], "License-File": project["license-files"][0],
                "Provides-Extra": set(project["optional-dependencies"]),
                "entry points": project["entry-points"]}  # fmt: skip
    return [f"{wheel.name}: {key} must be {expected[key]!r}, got {found[key]!r}"
            for key in expected if found[key] != expected[key]]  # fmt: skip


def differences(name: str, found: set[str], expected: set[str]) -> list[str]:
    """A line for each file that is missing, and for each that nobody expects."""
    return [
        *(f"{name} lacks {file}" for file in sorted(expected - found)),
        *(f"{name} holds {file}, which no rule names" for file in sorted(found - expected)),
    ]
