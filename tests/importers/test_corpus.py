"""Launch commands and configs as people write them: the right plan, or one sentence that says which word is not
understood."""

from typing import Any

import pytest

from collotype.importers import import_foreign
from collotype.importers.detect import code_of, tool_of, without_evaluations
from collotype.importers.launch import launch_of
from collotype.importers.shell import commands_of
from collotype.runtime.errors import UserError
from tests.importers.corpus_table import CORPUS, DOCUMENT, expected, numbers, updated

CASES = expected()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["input"])
def test_each_is_what_its_tool_would_compute_or_is_refused(case: dict[str, Any]) -> None:
    file = CORPUS / case["input"]
    if words := case.get("refused"):
        with pytest.raises(UserError) as error:
            import_foreign(file)
        assert words in str(error.value)
        assert "\n" not in str(error.value)
        return
    imported = import_foreign(file)
    assert numbers(imported) == {key: case[key] for key in ("batch", "steps", "lr", "warmup")}
    assert case.get("mind", "") in " ".join(imported.origin.assumed)


@pytest.mark.parametrize("case", [case for case in CASES if "refused" not in case], ids=lambda case: case["input"])
def test_no_word_of_a_command_is_lost(case: dict[str, Any]) -> None:
    """Every flag of the command that trains is carried, told beside the recipe, or left out with a reason."""
    file = CORPUS / case["input"]
    if file.suffix not in (".sh", ".slurm", ".md", ".txt"):
        return
    launches = [launch for one in commands_of(code_of(file.read_text())) if (launch := launch_of(one))]
    (launch,) = without_evaluations([launch for launch in launches if tool_of(launch)])
    imported = import_foreign(file)
    accounted = {
        word for name in (*imported.carried, *(one.name for one in imported.left_out)) for word in name.split()
    }
    given = {word.partition("=")[0] for word in launch.arguments if word.startswith("--")}
    hf = tool_of(launch) == "transformers"
    given = {flag.removeprefix("--").replace("-", "_") for flag in given} if hf else given
    assert given <= accounted, given - accounted
    assert {name.partition(" ")[2] or name for name in launch.flags} <= accounted | {""}


def test_the_corpus_is_as_large_as_said() -> None:
    assert {case["input"] for case in CASES} == {file.name for file in CORPUS.iterdir()} - {"expected.jsonl"}
    assert len(CASES) >= 60


def test_the_table_of_the_documentation_is_today_s() -> None:
    """`python -m tests.importers.corpus_table` writes it."""
    assert updated(DOCUMENT.read_text()) == DOCUMENT.read_text()
