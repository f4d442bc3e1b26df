"""Small datasets in the layouts that are published, written by pyarrow as the datasets library writes them."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from collotype.families.retriever.data.sheets import SheetImages, held_out_sheets

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(colour: str, size: tuple[int, int] = (32, 24)) -> dict[str, Any]:
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "png")
    return {"bytes": content.getvalue(), "path": f"{colour}.png"}


def as_png(image: Image.Image) -> dict[str, Any]:
    content = io.BytesIO()
    image.save(content, "png")
    return {"bytes": content.getvalue(), "path": None}


def write_table(file: Path, columns: Mapping[str, Sequence[Any]], group: int = 3) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: pa.array(values, IMAGE) if name == "image" else pa.array(values) for name, values in columns.items()
    }
    pyarrow.parquet.write_table(pa.table(arrays), file, row_group_size=group)


def write_qa(folder: Path, rows: Sequence[tuple[str | None, dict, str]], files: int = 2) -> Path:
    """(query, image, file name) rows, in several files of small row groups."""
    for number in range(files):
        queries, images, names = zip(
            *rows[number * len(rows) // files : (number + 1) * len(rows) // files], strict=True
        )
        file = folder / "data" / f"test-{number:05d}-of-{files:05d}.parquet"
        write_table(file, {"query": queries, "image": images, "image_filename": names})
    return folder


def write_beir(
    folder: Path,
    pages: Mapping[int | str, dict],
    queries: Mapping[int | str, str],
    qrels: Sequence[tuple[int | str, int | str, int]],
    prefix: str = "",
    **columns: Sequence[Any],
) -> Path:
    """Further `columns` are of the queries."""
    file = "test-00000-of-00001.parquet"
    corpus = {"corpus-id": list(pages), "image": list(pages.values())}
    asked = {"query-id": list(queries), "query": list(queries.values()), **columns}
    judged = dict(zip(("query-id", "corpus-id", "score"), map(list, zip(*qrels, strict=True)), strict=True))
    for part, table in (("corpus", corpus), ("queries", asked), ("qrels", judged)):
        write_table(folder / f"{prefix}{part}" / file, table)
    return folder


def sheets_as_qa(folder: Path, count: int) -> Path:
    """Held-out sheets: what a small model of the desk can be asked."""
    pictures = SheetImages()
    sheets = held_out_sheets(pictures)[:count]
    rows = [(sheet.query, as_png(pictures.draw(sheet, "a test")), f"{n}.png") for n, sheet in enumerate(sheets)]
    return write_qa(folder, rows)
