"""What is distributed, and what importing it brings along."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"rnnspec", "backends", "conformance"}
FRAMEWORKS = ("torch", "tensorflow", "keras", "jax", "flax")


def test_the_wheel_holds_the_three_packages_and_nothing_else(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES
    assert "rnnspec/py.typed" in names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    sources = (path for top in PACKAGES for path in (ROOT / top).rglob("*.py"))
    assert {name for name in names if name.endswith(".py")} == {str(path.relative_to(ROOT)) for path in sources}


def test_it_needs_numpy_pluggy_and_safetensors_only():
    needed = {canonical(line) for line in requires("rnnspec") if "extra ==" not in line}
    assert needed == {"numpy", "pluggy", "safetensors"}
    assert set(metadata("rnnspec").get_all("Provides-Extra")) == {"torch", "tensorflow", "jax", "all", "conformance"}


@pytest.mark.parametrize("statement", [
    "import rnnspec",
    "import rnnspec; rnnspec.backend_names()",
    "import rnnspec; rnnspec.get_backend('numpy')",
])  # fmt: skip
def test_no_framework_is_imported_before_it_is_asked_for(statement):
    code = f"import sys; {statement}; print([n for n in {FRAMEWORKS} if n in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_every_requirement_is_pinned():
    pins = {canonical(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    grouped = [line for group in groups.values() for line in group if isinstance(line, str)]
    assert {canonical(line) for line in (*requires("rnnspec"), *grouped)} - {"rnnspec"} <= pins


def canonical(requirement):
    return re.split(r"[^\w-]", requirement)[0].lower().replace("_", "-")
