"""Functions stay short enough to be read at a glance."""

import ast
from pathlib import Path
from statistics import median

SOURCE = Path(__file__).parents[2] / "src"
LONGEST, MEDIAN = 60, 8


def lengths() -> dict[str, int]:
    """Lines of every function, with its decorators, signature and docstring."""
    return {
        f"{file.relative_to(SOURCE)}:{node.lineno} {node.name}": node.end_lineno - first_line(node) + 1
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min(one.lineno for one in [node, *node.decorator_list])


def test_no_function_is_long() -> None:
    assert {name: length for name, length in lengths().items() if length > LONGEST} == {}


def test_the_median_function_is_short() -> None:
    assert median(lengths().values()) <= MEDIAN
