"""The walls of docs/design.md: imports point downwards, and importing the package is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "collotype"
FLOORS = [
    {"recipe", "losses", "evaluation", "runtime"},
    {"training", "report", "importers"},
    {"families", "preflight"},
    {"search"},
    {"integrations"},
    {"runner"},
    {"study"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
ALLOWED_SIDEWAYS = {("recipe", "runtime"), ("evaluation", "runtime")}
"""Everything may use files, errors and seeds; the other way round never."""


def imports(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in named if name.split(".")[0] == "collotype"}


def room_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = [file for file in SOURCE.rglob("*.py") if room_of(file) not in ("__init__", "__main__")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_point_downwards(file: Path) -> None:
    room = room_of(file)
    for name in imports(file):
        other = name.split(".")[1] if "." in name else ""
        if other in FLOOR and other != room:
            down = FLOOR[other] < FLOOR[room]
            assert down or (room, other) in ALLOWED_SIDEWAYS, f"{room} may not import {name}"


@pytest.mark.parametrize("room", ["losses", "runtime"])
def test_the_ground_floor_stands_alone(room: str) -> None:
    for file in (SOURCE / room).rglob("*.py"):
        assert {name.split(".")[1] for name in imports(file)} <= {room}


@pytest.mark.parametrize("metrics", ["ranking", "vqa"])
def test_metrics_import_nothing_of_the_project(metrics: str) -> None:
    assert not imports(SOURCE / "evaluation" / f"{metrics}.py")


def test_families_do_not_import_each_other() -> None:
    for file in (SOURCE / "families").rglob("*/*.py"):
        own = f"collotype.families.{file.relative_to(SOURCE / 'families').parts[0]}"
        foreign = [
            name for name in imports(file) if name.startswith("collotype.families.") and not name.startswith(own)
        ]
        assert not foreign, f"{file} imports {foreign}"


def test_all_imports_are_absolute() -> None:
    """So that the walls above see every one of them."""
    for file in SOURCE.rglob("*.py"):
        assert not [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ImportFrom) and n.level]


def test_import_is_cheap_and_without_torch() -> None:
    heavy = ("torch", "transformers", "numpy", "pydantic")
    code = f"import sys, collotype; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert result.stderr == ""


def test_everything_public_can_be_reached() -> None:
    import collotype

    assert all(getattr(collotype, name) is not None for name in collotype.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        collotype.nonsense  # noqa: B018
