"""The public face: every public symbol has an example in its docstring that works."""

import doctest
import inspect
import re
import sys
from pathlib import Path

import pytest

import collotype

INIT = Path(collotype.__file__)


@pytest.fixture
def workplace(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with a finished run, as the examples take it to be."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "desk-colpali").symlink_to(trained)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", collotype.__all__)
@pytest.mark.usefixtures("workplace")
def test_the_example_of_each_public_symbol_works(name: str) -> None:
    symbol = getattr(collotype, name)
    module = sys.modules[symbol.__module__]
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    tests = doctest.DocTestFinder(recurse=False).find(symbol, name, module, globs={})
    assert tests and tests[0].examples, f"collotype.{name} has no example"
    for test in tests:
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("name", [name for name in collotype.__all__ if inspect.isroutine(getattr(collotype, name))])
def test_each_public_function_says_what_it_takes_and_returns(name: str) -> None:
    function = getattr(collotype, name)
    text = inspect.getdoc(function)
    assert "Returns:" in text
    assert all(re.search(rf"\b{argument}\b", text) for argument in inspect.signature(function).parameters)


def test_type_checkers_see_what_can_be_imported() -> None:
    """The imports for type checkers stand beside the table that is used at run time."""
    seen = dict(re.findall(r"from (\S+) import \w+ as (\w+)", INIT.read_text()))
    assert sorted(re.findall(r"import \w+ as (\w+)", INIT.read_text())) == collotype.__all__
    assert set(seen) <= set(collotype._PUBLIC.values())


def test_types_travel_with_the_package() -> None:
    assert (INIT.parent / "py.typed").is_file()
