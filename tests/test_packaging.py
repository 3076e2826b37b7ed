"""What is distributed, and what importing it brings along."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import util
from importlib.metadata import metadata, requires
from importlib.metadata import version as installed
from pathlib import Path

import pytest

import rnnspec
from rnnspec.contract import version as contract
from tests.release import contents
from tests.release.environments import TRIALS

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
    assert contents.of_wheel(wheel, rnnspec.__version__) == []
    assert contents.of_metadata(wheel, rnnspec.__version__) == []
    assert f"{wheel.name}: Version must be '9.9', got '{rnnspec.__version__}'" in wrong_version(wheel)


def wrong_version(wheel):
    """What is said where a wheel is of another version than it should be, under the name that it should have."""
    with zipfile.ZipFile(wheel, "a") as archive:
        for name in ("METADATA", "entry_points.txt"):
            archive.writestr(
                f"rnnspec-9.9.dist-info/{name}", archive.read(f"rnnspec-{rnnspec.__version__}.dist-info/{name}")
            )
    return contents.of_metadata(wheel, "9.9")


def test_a_release_that_lacks_a_file_or_has_one_too_many_is_refused():
    found = contents.differences("some.whl", {"a.py", "stray.txt"}, {"a.py", "b.py"})
    assert found == ["some.whl lacks b.py", "some.whl holds stray.txt, which no rule names"]
    assert contents.differences("some.whl", {"a.py"}, {"a.py"}) == []


def test_every_file_that_is_no_module_is_named():
    others = {path for top in PACKAGES for path in (ROOT / top).rglob("*") if path.is_file()}
    kept = {path for path in others if path.suffix not in (".py", ".pyc")}
    assert {str(path.relative_to(ROOT)) for path in kept} == set(contents.DATA)


def test_a_release_is_tried_with_each_extra_alone_and_without():
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    assert set(TRIALS) == extras - {"all"} | {"bare"}


def test_the_version_stands_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"] == {"path": "rnnspec/__init__.py"}
    files = [path for top in PACKAGES for path in (ROOT / top).rglob("*.py")]
    files += [ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / ".ci" / "run", *(ROOT / "docs").glob("*.py")]
    holders = [path for path in files if f'"{rnnspec.__version__}"' in path.read_text()]
    assert holders == [ROOT / "rnnspec" / "__init__.py"]


def test_versions_agree():
    assert installed("rnnspec") == rnnspec.__version__, "rnnspec was installed as another version: rm .venv/.ready"
    assert re.fullmatch(r"\d+\.\d+\.\d+", rnnspec.__version__)
    assert citation()["version"] == rnnspec.__version__


def test_what_pages_say_of_the_contract_is_of_a_version_that_runs():
    plugin = ROOT / "docs" / "examples" / "rnnspec-onnxruntime" / "rnnspec_onnxruntime" / "backend.py"
    said = [
        (file.name, found)
        for file in (*(ROOT / "docs").glob("*.md"), plugin)
        for found in re.findall(r'spec_version = "([^"]*)"', file.read_text())
    ]
    assert {"adding.md", "publish.md", "backend.py"} <= {name for name, _ in said}
    for name, found in said:
        contract.fitting("a page", name, found)


def citation():
    """The keys of CITATION.cff that have one line for their value, and the others with None."""
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    found = [re.fullmatch(r"([a-z-]+):(?: (?!>)(.+))?.*", line) for line in lines if line and line[0] not in " #"]
    assert all(found), "a line at the margin must be a key"
    return {key[1]: key[2] and key[2].strip('"') for key in found}


def test_the_citation_has_what_its_format_asks_for():
    """cff-version, message, title and authors are required by version 1.2.0 of the format."""
    found = citation()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found["cff-version"] == "1.2.0"
    assert found["message"]
    assert found["title"].startswith("rnnspec")
    assert found["type"] == "software"
    assert found["license"] == project["license"]
    text = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^authors:\n  - (name|family-names|given-names): \S", text, re.MULTILINE)
    known = {"abstract", "authors", "cff-version", "date-released", "doi", "keywords", "license", "message",
             "repository-code", "title", "type", "url", "version"}  # fmt: skip
    assert set(found) <= known


def test_entry_points_name_modules_that_are_there():
    for module in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
        "rnnspec.backends"
    ].values():
        assert util.find_spec(module)


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
