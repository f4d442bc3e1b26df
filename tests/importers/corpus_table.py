"""The corpus of launch commands and configs: what each becomes, as a table.

python -m tests.importers.corpus_table          writes the table into docs/import.md
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collotype.importers import Imported, import_foreign
from collotype.runtime.errors import UserError

CORPUS = Path(__file__).parent / "corpus"
DOCUMENT = Path(__file__).parents[2] / "docs" / "import.md"
BEGIN, END = "<!-- corpus -->", "<!-- end of corpus -->"
COLUMNS = ("input", "batch", "steps", "learning rate", "warm-up", "refused, or said first")
HEADING = f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}\n"


def expected() -> list[dict[str, Any]]:
    """Of each input: batch, steps, lr and warmup by the tool's own arithmetic, or the words of its refusal; `mind` is
    what is said first."""
    return [json.loads(line) for line in (CORPUS / "expected.jsonl").read_text().splitlines()]


def numbers(imported: Imported) -> dict[str, Any]:
    train = imported.values["train"]
    return {
        "batch": train["batch"],
        "steps": train["steps"],
        "lr": train["optimizer"]["lr"],
        "warmup": train["schedule"]["warmup_steps"],
    }


def rows() -> Iterator[str]:
    for case in expected():
        try:
            imported = import_foreign(CORPUS / case["input"])
            found = numbers(imported)
            cells = [f"{found['batch']:,}", f"{found['steps']:,}", f"{found['lr']:g}", f"{found['warmup']:,}"]
            said = "; ".join(one.split(":")[0] for one in imported.origin.assumed)
        except UserError as error:
            sentence = re.split(r"; |: |\. ", str(error).replace(f"{CORPUS}/", ""))[0]
            cells, said = [""] * 4, f"refused: {sentence}"
        yield f"| {' | '.join([case['input'], *cells, said.replace('|', '/')[:110]])} |\n"


def table() -> str:
    return HEADING + "".join(rows())


def updated(document: str) -> str:
    """The document with today's table between its marks."""
    before, rest = document.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    DOCUMENT.write_text(updated(DOCUMENT.read_text()))
