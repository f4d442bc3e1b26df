"""Captioned and labelled images in tables: CSV as for OpenCLIP, JSON lines, parquet as `datasets` writes it."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collotype.families.clip.data.captions import CaptionDataset
from collotype.families.clip.data.labelled import LabelledTableImages
from collotype.families.clip.data.tables import TableCaptions
from collotype.families.clip.transforms import EvaluationTransform
from collotype.runtime.errors import UserError
from collotype.runtime.tables import open_table
from collotype.training.bad_examples import BadExampleError
from tests.families.clip.drawn import drawn, encoded


def images(folder: Path, count: int) -> list[str]:
    """Files `images/N.png`, 20 + N pixels wide."""
    (folder / "pictures").mkdir()
    for number in range(count):
        drawn(20 + number, 10).save(folder / "pictures" / f"{number}.png")
    return [f"pictures/{number}.png" for number in range(count)]


def dataset(source: TableCaptions) -> CaptionDataset:
    return CaptionDataset(source, EvaluationTransform(8), seed=0)


def test_a_csv_file_as_for_open_clip(tmp_path: Path) -> None:
    paths = images(tmp_path, 2)
    (tmp_path / "train.csv").write_text(f"title\tfilepath\na cat, asleep\t{paths[0]}\na dog\t{tmp_path}/{paths[1]}\n")
    data = dataset(TableCaptions(open_table(str(tmp_path / "train.csv"))))
    assert [data.example(row, 0).caption for row in range(2)] == ["a cat, asleep", "a dog"]
    assert data.example(1, 0).pixels.equal(EvaluationTransform(8)(drawn(21, 10)))
    assert data.regions == [] and not data.faults


def test_json_lines_with_several_captions_and_rows_that_lack_something(tmp_path: Path) -> None:
    paths = images(tmp_path, 3)
    rows = [
        {"image": paths[0], "caption": ["one", "two"]},
        {"image": paths[0], "caption": " "},
        {"image": None, "caption": "nothing to see"},
        {"image": paths[1]},
        {"image": paths[1], "caption": 3},
        {"image": {"path": paths[2]}, "caption": "last"},
        {"image": "pictures/gone.png", "caption": "gone"},
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = dataset(TableCaptions(open_table(str(path))))
    assert len(data) == 3
    assert {data.example(0, epoch).caption for epoch in range(2)} == {"one", "two"}
    assert data.example(1, 0).pixels.equal(EvaluationTransform(8)(drawn(22, 10)))
    causes = ("empty caption", "no image", "no caption", "caption is no text")
    faults = sorted((fault.cause, fault.place, fault.count) for fault in data.faults)
    assert faults == sorted((cause, str(path), 1) for cause in causes)
    with pytest.raises(BadExampleError, match=r"row 6.*gone\.png") as caught:
        data.example(2, 0)
    assert (caught.value.cause, caught.value.place) == ("image file cannot be read", str(path))


def write_parquet(path: Path, first: int, count: int, kind: str = "bytes") -> None:
    rows = range(first, first + count)
    cells = [encoded(drawn(20 + row, 10), "PNG") for row in rows]
    cells = [{"bytes": cell, "path": None} for cell in cells] if kind == "hub" else cells
    captions = [f"caption {row}" if row % 5 else "" for row in rows]
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"image": cells, "caption": captions}), path, row_group_size=4)


@pytest.mark.parametrize("kind", ["bytes", "hub"])
def test_parquet_files_of_images(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "set"
    write_parquet(folder / "train-00000-of-00002.parquet", 0, 10, kind)
    write_parquet(folder / "train-00001-of-00002.parquet", 10, 6, kind)
    data = dataset(TableCaptions(open_table(str(folder))))
    wanted = [row for row in range(16) if row % 5]
    assert [data.example(row, 0).caption for row in range(len(data))] == [f"caption {row}" for row in wanted]
    assert data.example(len(data) - 1, 0).pixels.equal(EvaluationTransform(8)(drawn(34, 10)))
    # row groups of 4, 4, 2 and 4, 2 rows, without each fifth
    assert [len(region) for region in data.regions] == [3, 3, 2, 3, 1]
    assert data.source.place(len(data) - 1) == str(folder / "train-00001-of-00002.parquet")
    assert sum(fault.count for fault in data.faults) == 4


def test_a_limit_takes_the_first_rows(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set" / "train.parquet", 0, 10)
    table = open_table(str(tmp_path / "set"))
    few = dataset(TableCaptions(table, limit=7))
    assert [few.source.texts(row)[0] for row in range(len(few))] == [f"caption {row}" for row in (1, 2, 3, 4, 6)]
    assert [len(region) for region in few.regions] == [3, 2]
    assert few.fingerprint() != dataset(TableCaptions(table)).fingerprint()


def test_images_shared_by_rows_have_one_identity(tmp_path: Path) -> None:
    paths = images(tmp_path, 2)
    (tmp_path / "a.csv").write_text(f"filepath,title\n{paths[0]},one\n{paths[0]},two\n{paths[1]},two\n")
    data = dataset(TableCaptions(open_table(str(tmp_path / "a.csv"))))
    first, second, third = (set(data.identities(row)) for row in range(3))
    assert first & second and second & third and not first & third


def test_columns_are_named_where_they_have_other_names(tmp_path: Path) -> None:
    paths = images(tmp_path, 1)
    (tmp_path / "a.csv").write_text(f"file;words;image\n{paths[0]};a cat;\n")
    table = open_table(str(tmp_path / "a.csv"), separator=";")
    assert TableCaptions(table, "file", "words").texts(0) == ("a cat",)
    with pytest.raises(UserError, match="no column 'caption' or 'title' or 'text'; it has file, words, image"):
        TableCaptions(table)
    with pytest.raises(UserError, match=r"No row of .* \(.*a\.csv, row 0, column image is empty\)"):
        TableCaptions(table, "image", "words")


def test_the_first_cell_that_is_no_caption_is_named(tmp_path: Path) -> None:
    paths = [str(path) for path in images(tmp_path, 4)]
    captions = ["a cat", 3.5, None, "a dog"]
    rows = [{"image": path, "caption": text} for path, text in zip(paths, captions, strict=True)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = TableCaptions(open_table(str(tmp_path / "a.jsonl")))
    assert [fault.first.removeprefix(f"{tmp_path}/") for fault in found.faults] == [
        "a.jsonl, line 2, column caption is '3.5' (float)",
        "a.jsonl, line 3, column caption is empty",
    ]


def test_fingerprints_follow_captions(tmp_path: Path) -> None:
    paths, path = images(tmp_path, 1), tmp_path / "a.csv"
    path.write_text(f"filepath,title\n{paths[0]},one\n")
    first = dataset(TableCaptions(open_table(str(path)))).fingerprint()
    assert dataset(TableCaptions(open_table(str(path)))).fingerprint() == first
    path.write_text(f"filepath,title\n{paths[0]},two\n")
    assert dataset(TableCaptions(open_table(str(path)))).fingerprint() != first


def test_a_parquet_file_brings_its_class_names(tmp_path: Path) -> None:
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": [encoded(drawn(20 + n, 10)) for n in range(3)], "label": [1, 0, 1]})
    path = tmp_path / "test.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), path)
    labelled = LabelledTableImages(open_table(str(path)))
    assert [labelled.classes.names[labelled.label(row)] for row in range(3)] == ["dog", "cat", "dog"]
    assert labelled.image(2).size == (22, 10) and len(labelled) == 3
    pq.write_table(table, path)
    with pytest.raises(UserError, match="are numbers, or missing; fill them in, or give class names"):
        LabelledTableImages(open_table(str(path)))
    with pytest.raises(UserError, match="1 labels that are none of the 1 classes"):
        LabelledTableImages(open_table(str(path)), names=["cat"])


def test_labels_that_are_texts_are_their_names(tmp_path: Path) -> None:
    paths = images(tmp_path, 3)
    (tmp_path / "a.csv").write_text(
        "image,label\n" + "".join(f"{path},{name}\n" for path, name in zip(paths, "bab", strict=True))
    )
    labelled = LabelledTableImages(open_table(str(tmp_path / "a.csv")))
    assert labelled.classes.names == ("a", "b") and labelled.labels == [1, 0, 1]
    assert labelled.image(1).size == (21, 10)
    (tmp_path / "b.csv").write_text(f"image,label\n{paths[0]},a\n{paths[1]},\nnowhere.jpg,b\n")
    with pytest.raises(UserError, match=r"b\.csv are numbers, or missing; fill them in"):
        LabelledTableImages(open_table(str(tmp_path / "b.csv")))
    (tmp_path / "b.csv").write_text(f"image,label\n{paths[0]},a\nnowhere.jpg,b\n")
    with pytest.raises(BadExampleError, match=r"row 1 names the image .*nowhere\.jpg"):
        LabelledTableImages(open_table(str(tmp_path / "b.csv"))).image(1)
