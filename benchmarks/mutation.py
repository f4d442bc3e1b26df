"""Do the tests notice an edit? Each mutant is one small change of the source; a survivor is one that no test notices.

python benchmarks/mutation.py src/collotype/losses -- tests/losses
python benchmarks/mutation.py src/collotype/training --sample 40 -- tests/training/test_sampler.py

Edits: a comparison to its neighbour, + and -, * and /, `and` and `or`, `not` left out, True and False, a number n to
n + 1.
The tests run in a fork for each mutant, whose import of the module is the edited source; nothing is written.
"""

import argparse
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import numpy  # noqa: F401 - imported once, before the forks
import pytest
import torch

ROOT = Path(__file__).parents[1]
OPERATORS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
SECONDS = 120
"""Of processor time for one mutant's tests; one that takes longer, as an endless loop does, is noticed."""


def edits(tree: ast.Module) -> Iterator[tuple[ast.AST, str, object]]:
    """(node, attribute, what it becomes) for every edit there is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            yield node, "ops", [OPERATORS[type(node.ops[0])](), *node.ops[1:]]
        elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in OPERATORS:
            yield node, "op", OPERATORS[type(node.op)]()
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node, "op", ast.UAdd()
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield node, "value", not node.value
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            yield node, "value", node.value + 1


def mutants(file: Path) -> Iterator[tuple[str, CodeType]]:
    """Each edit of a file: where and what, and the module's code with it."""
    tree = ast.parse(file.read_text())
    for node, attribute, becomes in list(edits(tree)):
        before, text = getattr(node, attribute), ast.unparse(node)
        setattr(node, attribute, becomes)
        shown = ast.unparse(node).replace("+True", "True")
        if isinstance(node, ast.UnaryOp) and isinstance(becomes, ast.UAdd):
            shown = f"bool({ast.unparse(node.operand)})"
        yield f"{file.relative_to(ROOT)}:{node.lineno}: {text} -> {shown}", compile(tree, str(file), "exec")
        setattr(node, attribute, before)


class Edited(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Gives one module the edited code."""

    def __init__(self, file: Path, code: CodeType):
        parts = file.relative_to(ROOT / "src").with_suffix("").parts
        super().__init__(".".join(parts).removesuffix(".__init__"), str(file))
        self.edited = code

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, name: str) -> CodeType:
        return self.edited


def noticed(file: Path, code: CodeType | None, tests: list[str]) -> bool:
    """Do the tests fail with this code, in a process of their own?"""
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1), os.dup2(sink, 2)
        if code is not None:
            sys.meta_path.insert(0, Edited(file, code))
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]) != 0))
    return os.waitpid(child, 0)[1] != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="a file or folder of the package")
    parser.add_argument("--sample", type=int, help="so many mutants, drawn with seed 0, instead of all")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after as many; in a drawn order")
    parser.add_argument("tests", nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source = arguments.source.resolve()
    files = [source] if source.is_file() else sorted(source.rglob("*.py"))
    assert not noticed(files[0], None, arguments.tests), "the tests fail without any edit"
    found = [(file, *mutant) for file in files for mutant in mutants(file)]
    drawn = random.Random(0).sample(found, min(len(found), arguments.sample or len(found)))
    until, tried, survivors = time.monotonic() + 60 * arguments.minutes, 0, []
    for file, what, code in drawn:
        if time.monotonic() > until:
            break
        tried += 1
        if not noticed(file, code, arguments.tests):
            survivors.append(what)
            print("survived", what, flush=True)
    killed, spent = tried - len(survivors), sum(os.times()[:4])
    print(f"{killed} of {tried} noticed ({killed / tried:.0%}), of {len(found)} there are; {spent:.0f} CPU s")


if __name__ == "__main__":
    main()
