"""The walls of docs/design.md: imports point downwards, and importing the package is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from collotype.registry import FAMILIES

SOURCE = Path(__file__).parents[2] / "src" / "collotype"
FLOORS = [
    {"registry"},
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
    """Nor does what they share import one of them, nor the door in front of them: `registry.py` is the one list."""
    folder = SOURCE / "families"
    for file in folder.rglob("*.py"):
        own = file.relative_to(folder).parts[0].removesuffix(".py")
        seen = {name.split(".")[2] for name in imports(file) if name.startswith("collotype.families.")}
        assert not (seen & set(FAMILIES)) - {own}, f"{file} imports {seen}"


SAME_IN_ALL = set(
    "benchmarks checkpoints commands config data evaluate facts model recipe task tokenizer transforms".split()
)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_file_names_in_each_family(family: str) -> None:
    there = {path.name.removesuffix(".py") for path in (SOURCE / "families" / family).iterdir()}
    assert SAME_IN_ALL <= there


def test_no_module_is_in_a_circle() -> None:
    """Within a room, too; imports for type checkers and those inside functions count."""
    modules = {".".join(("collotype", *file.relative_to(SOURCE).with_suffix("").parts)): file for file in FILES}
    modules = {name.removesuffix(".__init__"): file for name, file in modules.items()}
    graph = {name: {other for other in imports(file) if other in modules} - {name} for name, file in modules.items()}
    for name, file in modules.items():
        if file.name == "__init__.py":  # a package may import its modules, whose import it always precedes
            graph[name] = {other for other in graph[name] if not other.startswith(f"{name}.")}
    assert not circle(graph)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One of them, or nothing."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        found = next(filter(None, (walk(other, [*path, name]) for other in sorted(graph[name]))), [])
        done.add(name)
        return found

    return next(filter(None, (walk(name, []) for name in sorted(graph))), [])


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
