"""What is released: a wheel that holds everything and works where it is installed; one version in three files."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import collotype

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "collotype"
TINY = ["--set", "train.steps=1", "--set", "evaluate=[]", "--set", "expect=[]"]


def tried(*command: str | Path, **settings) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what is tracked or new, so that nothing left over in the checkout gets into it."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    named = ["pyproject.toml", "README.md", "LICENSE", "NOTICE", "src/collotype"]
    listed = tried("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *named, cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    tried(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, copy)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment that has the wheel, and this one's packages below it."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    tried(folder / "bin" / "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    # a folder named in a .pth file comes last, and the .pth files in it (our editable install) are not read
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "below.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin"


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    listed = tried("git", "ls-files", "-z", "--", "src/collotype", cwd=ROOT).split("\0")
    expected = {name.removeprefix("src/") for name in listed if name and (ROOT / name).exists()}
    assert not expected - set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_works_in_a_fresh_environment(installed: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    here = {"cwd": tmp_path, "env": {**environment, "COLLOTYPE_CACHE": str(tmp_path / "cache")}}
    place = tried(installed / "python", "-c", "import collotype; print(collotype.__file__)", **here)
    assert Path(place.strip()).is_relative_to(installed.parent), "the wheel is tested, not the checkout"
    assert tried(installed / "collotype", "--version", **here) == f"collotype {collotype.__version__}\n"
    assert json.loads(tried(installed / "collotype", "check", "colpali-paper", "--json", **here))
    tried(installed / "collotype", "run", "desk-colpali", "--out", "run", *TINY, **here)
    assert (tmp_path / "run" / "report.html").is_file()


def test_one_version_is_released() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\d\S*) - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest.groups() == (cited["version"], cited["date-released"])
    assert cited["version"] == collotype.__version__


@pytest.mark.parametrize("file", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda file: file.name)
def test_workflows_and_forms_name_what_there_is(file: Path) -> None:
    """Every make target, script and job that a workflow names exists; every form asks for what `check` says."""
    text = file.read_text()
    found = yaml.safe_load(text)
    targets = re.findall(r"make (\w+)", text)
    assert set(targets) <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert all((ROOT / named).is_file() for named in re.findall(r"(?:^|\s)(?:\./)?(\.\w+/[\w./]+)", text))
    if "body" in found:
        asked = [entry["attributes"]["label"] for entry in found["body"] if "validations" in entry]
        assert any("collotype check" in label and "--json" in label for label in asked)
