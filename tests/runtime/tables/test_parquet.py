"""Parquet at random: little is held, damaged files are named."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow.parquet import write_table

from collotype.runtime.errors import UserError
from collotype.runtime.tables import ImageColumn, ParquetTable, open_table, parquet


def picture(number: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (20 + number, 30), (number, 2 * number, 90)).save(content, "PNG")
    return content.getvalue()


def write(path: Path, count: int, group: int | None = None) -> Path:
    rows = {"text": [f"t{n}" for n in range(count)], "image": [{"bytes": picture(n)} for n in range(count)]}
    write_table(pa.table(rows), path, row_group_size=group)
    return path


def test_a_file_of_one_large_row_group_is_read_through_a_copy(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COLLOTYPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1000)
    monkeypatch.setattr(parquet, "ROWS_OF_A_COPIED_GROUP", 4)
    images = ImageColumn(open_table(str(write(tmp_path / "one.parquet", 30))), "image")
    assert [images.image(row).width for row in (29, 0, 13)] == [49, 20, 33]
    (copy,) = (tmp_path / "cache").iterdir()
    assert parquet.open_parquet(copy).handle.num_row_groups == 8


def test_row_groups_are_let_go(tmp_path: Path, monkeypatch) -> None:
    images = ImageColumn(open_table(str(write(tmp_path / "t.parquet", 12, group=3))), "image")
    for bound, kept in ((1, 1), (800, 2)):
        monkeypatch.setattr(parquet, "KEPT_BYTES", bound)
        for row in (11, 0, 5, 6, 11):
            assert images.image(row).size == images.sizes[row] == (20 + row, 30)
        assert len(parquet._kept) == kept


def test_threads_may_read_at_the_same_time(tmp_path: Path, monkeypatch) -> None:
    """Pyarrow crashes where they share a handle."""
    monkeypatch.setattr(parquet, "KEPT_BYTES", 2000)
    path = write(tmp_path / "t.parquet", 40, group=2)
    rows = [place * 37 % 40 for place in range(1500)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: parquet.read_cell(path, row, "image")["bytes"], rows))
    assert found == [picture(row) for row in rows]


def test_a_file_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", 3)
    assert (len(open_table(str(path))), parquet.read_cell(path, 2, "text")) == (3, "t2")
    write(path, 5)
    assert (len(open_table(str(path))), parquet.read_cell(path, 4, "text")) == (5, "t4")


def test_what_is_not_there_or_damaged_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", 3)
    with pytest.raises(UserError, match=r"has no row 3 in a column 'text'; it has 3 rows of text, image"):
        parquet.read_cell(path, 3, "text")
    with pytest.raises(UserError, match=r"gone.parquet cannot be read as parquet \(.*No such file"):
        parquet.open_parquet(tmp_path / "gone.parquet")
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"t.parquet cannot be read as parquet"):
        open_table(str(path)).values("text")


def variants() -> dict[str, tuple[pa.DataType, pa.DataType]]:
    """(type of texts, type of images) in Arrow's ways to store them."""
    return {
        "plain": (pa.string(), pa.binary()),
        "large": (pa.large_string(), pa.large_binary()),
        "views": (pa.string_view(), pa.binary_view()),
        "dictionary": (pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int32(), pa.binary())),
        "struct": (pa.string(), pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())])),
        "fixed size": (pa.string(), pa.binary(4)),
    }


@pytest.mark.parametrize("kind", variants())
@pytest.mark.parametrize("listed", [None, pa.list_, pa.large_list, lambda kind: pa.list_(kind, 1)])
def test_every_arrow_type_of_texts_and_images_is_read(kind: str, listed, tmp_path: Path) -> None:
    text, picture = variants()[kind]
    contents = [b"\x89PNG", b"\xff\xd8\xff\xe0"]
    cells = [{"bytes": content, "path": "p"} for content in contents] if kind == "struct" else contents
    if listed:
        cells, picture = [[cell] for cell in cells], listed(picture)
    try:
        table = pa.table({"query": pa.array(["a", "b"], text), "image": pa.array(cells, picture)})
        write_table(table, tmp_path / "t.parquet")
    except pa.ArrowNotImplementedError as error:
        pytest.skip(f"pyarrow does not write it: {error}")
    read = ParquetTable([tmp_path / "t.parquet"])
    assert read.values("query") == ["a", "b"]
    assert read.embeds("image") == ("list" if listed else "one") and read.embeds("query") is None
    assert [read.cell(row, "image") for row in (1, 0)] == cells[::-1] and list(read.stream("image")) == cells
    assert len(read.digest(["query", "image"])) == 64
