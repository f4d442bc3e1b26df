"""A mistyped key in a rule is an error: it does not silence the rule."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from collotype.importers.upstream import Upstream
from collotype.preflight import rules
from collotype.preflight.plan import UnknownKeyError
from collotype.report import published
from collotype.report.plan import Plan
from tests.preflight.cases import case

FILES = sorted(Path(rules.__file__).parent.glob("*.py"))
CIRCUMSTANCES = {key for name in published.names() for key in published.load(name).circumstances}


def text_of(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def asked(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(whose, key) of each literal key that is read: `plan.get(K)`, `plan[K]`, `K in plan`, `upstream.get(K)`."""
    for node in ast.walk(tree):
        whose, key = "", None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            whose, key = ast.unparse(node.func), text_of(node.args[0])
        elif isinstance(node, ast.Subscript):
            whose, key = ast.unparse(node.value), text_of(node.slice)
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            whose, key = ast.unparse(node.comparators[0]), text_of(node.left)
        whose = whose.removesuffix(".get").rpartition(".")[2]
        if key is not None and whose in ("plan", "upstream", "of_reference"):
            yield whose, key


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_key_that_a_rule_reads_exists(file: Path) -> None:
    known = {"plan": Plan.__annotations__, "upstream": Upstream.__annotations__, "of_reference": CIRCUMSTANCES}
    for whose, key in asked(ast.parse(file.read_text())):
        assert key in known[whose], f"{file.name} reads {key!r} of {whose}"


def test_the_reading_of_rules_finds_all_four_ways() -> None:
    text = 'context.plan.get("a"), plan["b"], "c" in context.plan, context.upstream.get("d"), context.of_reference("e")'
    assert {key for _, key in asked(ast.parse(text))} == set("abcde")


def test_a_key_that_nothing_has_is_refused_when_it_is_read() -> None:
    context = case("bipali-paper", plan={"epochs": 2.0})
    assert context.plan.get("epochs") == 2 and context.plan.get("overlap") is None
    with pytest.raises(UnknownKeyError, match="epoch'"):
        context.plan.get("epoch")
