"""The documents are true of the command line, and each page of the site is in its navigation."""

import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from collotype.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^(?:    |\$ )(?:[A-Z_]+=\S+ )*(?:.*-m )?(?:\.venv/bin/)?collotype (.+)$", re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """Their words, without comments and without what follows a pipe."""
    joined = re.sub(r"\\\n\s*", "", page.read_text())
    return [words(found) for found in COMMAND.findall(joined)]


def words(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|>&;")
    lexer.whitespace_split = True
    return list(takewhile(lambda word: word[0] not in "|>&;", lexer))


def options_of(words: list[str]) -> set[str]:
    """The options that the command these words call knows; `index SOURCES` is `index add SOURCES`."""
    command: Any = typer.main.get_command(app)
    while words and (commands := getattr(command, "commands", {})):
        unnamed = words[0] not in commands and "add" in commands
        command, words = (commands["add"], words) if unnamed else (commands.get(words[0]), words[1:])
        assert command, f"no command {words[0]}"
    return {"--help", "--version"}.union(*(parameter.opts + parameter.secondary_opts for parameter in command.params))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_documents_is_one(page: Path) -> None:
    """Its name and its options exist."""
    for command in commands(page):
        given = {word.partition("=")[0] for word in command if re.match(r"--?[a-z]", word)}
        assert given <= options_of(command), f"{page.name}: collotype {command}"


def test_commands_are_found_in_the_readme() -> None:
    assert len(commands(ROOT / "README.md")) == 8


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    assert set(re.findall(r"(\S+\.md)$", text, re.MULTILINE)) == {page.name for page in (ROOT / "docs").glob("*.md")}
    assert yaml.safe_load(text)["strict"]


def test_the_glossary_points_at_files_that_are_there() -> None:
    rows = re.findall(r"^\| .+ \| (`.+`) \|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    named = [path for row in rows for path in re.findall(r"`([^`]+)`", row)]
    assert len(named) > 60
    assert all(any((ROOT / "src" / "collotype").glob(path.rstrip("/"))) for path in named)


@pytest.mark.parametrize("group", [[], ["index"]], ids=["collotype", "collotype index"])
def test_help_summarises_each_command_in_a_whole_phrase(group: list[str]) -> None:
    """At 80 columns, where click cuts what is longer and ends it in dots."""
    shown = CliRunner().invoke(app, [*group, "--help"], terminal_width=80).output
    assert "Commands:" in shown
    assert [line for line in shown.partition("Commands:")[2].splitlines() if line.endswith("...")] == []
