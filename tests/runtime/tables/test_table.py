"""One face for parquet, JSON lines and separated cells."""

import csv
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from collotype.runtime.errors import UserError
from collotype.runtime.tables import CsvTable, Table, find_column, need_column, open_table

ROWS = [("a.png", "a dog"), ("b.png", 'a "cat", sitting'), ("c d.png", "ein Bär\tmit Hut")]


def as_parquet(folder: Path) -> Path:
    for number, rows in enumerate((ROWS[:2], ROWS[2:])):
        table = pa.table({"filepath": [row[0] for row in rows], "title": [row[1] for row in rows]})
        write_table(table, folder / f"train-{number:05d}-of-00002.parquet")
    return folder


def as_lines(folder: Path) -> Path:
    lines = [{"filepath": name, "title": title} for name, title in ROWS]
    file = folder / "t.jsonl"
    file.write_text("\n\n".join(map(json.dumps, lines)))
    return file


def as_csv(folder: Path, separator: str = "\t", name: str = "t.csv") -> Path:
    """As open_clip's users write captions with pandas."""
    with (folder / name).open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows([("filepath", "title"), *ROWS])
    return folder / name


@pytest.mark.parametrize("write", [as_parquet, as_lines, as_csv])
def test_all_kinds_are_read_alike(write, tmp_path: Path) -> None:
    table: Table = open_table(str(write(tmp_path)))
    table = pickle.loads(pickle.dumps(table))  # noqa: S301 - our own bytes, as a loader process has them
    assert table.columns == ["filepath", "title"] and len(table) == 3
    assert list(table.values("title")) == list(table.stream("title")) == [title for _, title in ROWS]
    assert [table.cell(row, "filepath") for row in (2, 0)] == ["c d.png", "a.png"]
    assert table.cell(0, "other") is None and table.embeds("filepath") is None
    assert table.place(2)[0].parent == tmp_path and str(table.place(2)[0]) in table.where(2)
    assert find_column(table, "caption", "title") == "title"
    with pytest.raises(UserError, match="has no column 'caption' or 'text'; it has filepath, title; look again"):
        need_column(table, "caption", "text", hint="; look again")


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(("separator", "name"), [(",", "t.csv"), ("\t", "t.tsv"), (";", "t.csv"), ("|", "t.csv")])
def test_separators_are_found_or_given(separator: str, name: str, given: bool, tmp_path: Path) -> None:
    file = as_csv(tmp_path, separator, name)
    table = open_table(str(file), separator=separator if given else None)
    assert table.values("title") == [title for _, title in ROWS]


SIGNS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}


@pytest.mark.parametrize("given", SIGNS)
@pytest.mark.parametrize("used", SIGNS)
def test_another_separator_than_the_one_used_is_named_with_the_likely_one(
    given: str, used: str, tmp_path: Path
) -> None:
    """open_clip reads tables with a tab unless it is told another."""
    (tmp_path / "t.csv").write_text(f"filepath{used}title\na.png{used}one\n")
    if given == used:
        assert CsvTable(tmp_path / "t.csv", given).columns == ["filepath", "title"]
        return
    with pytest.raises(UserError) as told:
        CsvTable(tmp_path / "t.csv", given)
    assert f"is a {SIGNS[given]}, but there is none in" in str(told.value)
    assert f"seems to use a {SIGNS[used]}: set the separator to {used!r}" in str(told.value)


def test_a_separator_is_one_sign(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("filepath\ttitle\n")
    with pytest.raises(UserError, match=r"is '\\\\t'; it must be one character"):
        CsvTable(tmp_path / "t.csv", r"\t")
    assert CsvTable(as_csv(tmp_path, name="one.csv"), None).columns == ["filepath", "title"]


def test_cells_are_texts_as_they_stand(tmp_path: Path) -> None:
    """pandas makes numbers and missing values of some."""
    (tmp_path / "t.tsv").write_text("\ufefffilepath\ttitle\n007.png\tNA\n1.0\t\n2.png\t'quoted\n", "utf-8")
    table = CsvTable(tmp_path / "t.tsv")
    assert table.columns == ["filepath", "title"]
    assert table.values("filepath") == ["007.png", "1.0", "2.png"] and table.values("title") == ["NA", "", "'quoted"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "t.tsv cannot be read with a comma"),
        (
            b"a\tb\n1\t2\n3\n",
            r"with a tab between columns \(.*Expected 2 columns, got 1.*; quote cells that contain the sep",
        ),
        (b"a,b\n1,2,and more\n", r"with a comma between columns \(.*Expected 2 columns, got 3.*; quote cells"),
        (b"a\ta\n1\t2\n", "two columns have the same name"),
        (b"a\tb\n\xff\xfe\t2\n", r"t.tsv cannot be read .*UTF"),
    ],
)
def test_a_damaged_file_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes(content)
    with pytest.raises(UserError, match=words):
        CsvTable(tmp_path / "t.tsv")


def test_the_digest_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    for write in (as_parquet, as_lines, as_csv):
        here, there = tmp_path / write.__name__, tmp_path / "elsewhere" / write.__name__
        here.mkdir()
        there.mkdir(parents=True)
        before = open_table(str(write(here))).digest(["title"])
        assert open_table(str(write(there))).digest(["title"]) == before
    changed = as_csv(there, name="u.csv")
    changed.write_text(changed.read_text().replace("dog", "fox"))
    assert open_table(str(changed)).digest(["title"]) != before


def test_files_of_other_columns_do_not_make_one_table(tmp_path: Path) -> None:
    as_parquet(tmp_path)
    write_table(pa.table({"url": ["x"]}), tmp_path / "train-00001-of-00002.parquet")
    with pytest.raises(UserError, match=r"has the columns url, but .* has filepath, title; put them into different"):
        open_table(str(tmp_path))


def test_one_json_list_is_a_table(tmp_path: Path) -> None:
    file = tmp_path / "vqa.json"
    file.write_text(json.dumps([{"question": "what?", "answers": ["a", "b"]}, {"question": "who?"}], indent=2))
    table = open_table(str(file))
    assert table.values("question") == ["what?", "who?"] and table.cell(1, "answers") is None
    assert table.where(1) == f"{file}, item 1"
    for content, problem in (
        ('{"data": []}', "is not a list of objects"),
        ("[1]", "item 0 is not an object"),
        ("[", "is not valid JSON"),
    ):
        file.write_text(content)
        with pytest.raises(UserError, match=problem):
            open_table(str(file))
