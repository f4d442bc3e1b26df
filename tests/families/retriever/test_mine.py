"""Hard negatives: which pages they are, and that a killed command goes on."""

import copy
import io
import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from pyarrow.parquet import write_table
from typer.testing import CliRunner

from collotype.cli import app
from collotype.families import task_for
from collotype.families.retriever import mine as module
from collotype.families.retriever.checkpoints import native
from collotype.families.retriever.commands import mine as mine_with
from collotype.families.retriever.data import open_source
from collotype.families.retriever.data.sheets import SheetImages, training_sheet
from collotype.families.retriever.data.table_pairs import TablePairs
from collotype.families.retriever.mine import Rules, mine
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.recipe import PairSource
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError
from collotype.runtime.files import dir_lock

ROWS = 23


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sheets in parquet; the last two rows show the first row's image again, for another query and in another format,
    and ask the second row's question with another page."""
    folder, images, rows = tmp_path_factory.mktemp("data"), SheetImages(), []
    for row in [*range(ROWS - 2), 0, ROWS]:
        sheet, content = training_sheet(images, row, 0), io.BytesIO()
        images.draw(sheet, "a test").save(content, "BMP" if len(rows) == ROWS - 2 else "PNG")
        rows.append({"query": sheet.query, "image": {"bytes": content.getvalue()}})
    rows[-2]["query"], rows[-1]["query"] = "something else", rows[1]["query"]
    write_table(pa.Table.from_pylist(rows), folder / "train.parquet", row_group_size=5)
    return folder


def pairs(path: Path, **settings) -> TablePairs:
    return open_source(PairSource(source="pairs", path=str(path), **settings))


@pytest.fixture(scope="module")
def model(data: Path) -> Retriever:
    changes = {"data.train": {"source": "pairs", "path": str(data)}}
    return task_for(load_recipe("desk-colpali", changes)).build().eval()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch) -> None:
    monkeypatch.setattr(module, "PAGES_PER_CHUNK", 5)
    monkeypatch.setattr(module, "QUERIES_PER_BLOCK", 4)


def read(out: Path) -> list[dict]:
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_negatives_are_the_best_scored_pages_below_the_bound(data: Path, model: Retriever, tmp_path: Path) -> None:
    rules = Rules(top_k=15, negatives=4, max_score_ratio=0.999, margin=0.001)
    done = mine(model, pairs(data), tmp_path / "mined.jsonl", rules)
    found, table = read(tmp_path / "mined.jsonl"), pairs(data)
    scores = model.score(
        model.encode_queries(table.queries), model.encode_pages([table.example(row, 0).page for row in range(ROWS)])
    )
    same_image, same_query = {0, ROWS - 2}, {1, ROWS - 1}
    dropped = 0
    for row, line in enumerate(found):
        own = {row} | next((group for group in (same_image,) if row in group), set())
        own |= same_query if row in same_query else set()
        positive = min(scores[row, page] for page in own - {ROWS - 2})
        bound = min(0.999 * positive, positive - 0.001)
        others = [page for page in range(ROWS) if page not in own and page != ROWS - 2]
        ranked = sorted(others, key=lambda page: -float(scores[row, page]))[:15]
        wanted = [(page, rank) for rank, page in enumerate(ranked, 1) if scores[row, page] <= bound][:4]
        assert [(one["row"], one["rank"]) for one in line["negatives"]] == wanted
        dropped += sum(bool(scores[row, page] > bound) for page in ranked)
        for one in line["negatives"]:
            assert one["score"] == pytest.approx(float(scores[row, one["row"]]), abs=2e-3)
            assert (
                one["positive_score"] == pytest.approx(float(positive), abs=2e-3)
                and one["model"] == model.digest()[:16]
            )
    assert done["likely_right"] == dropped and 0 < dropped
    assert done["negatives"] == sum(len(line["negatives"]) for line in found) > 0
    assert (done["rows"], done["pages"], done["different_pages"]) == (ROWS, ROWS, ROWS - 1)
    assert not (tmp_path / "mined.jsonl.vectors").exists()


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_what_is_written_is_a_source_of_pairs(ending: str, data: Path, model: Retriever, tmp_path: Path) -> None:
    out = tmp_path / "there" / f"mined.{ending}"
    mine(model, pairs(data), out, Rules(negatives=3, max_score_ratio=1.0))
    mined, before = pairs(out, negatives=3), pairs(data)
    assert mined.queries == before.queries
    for row in (0, 7, ROWS - 1):
        assert mined.example(row, 0).page.tobytes() == before.example(row, 0).page.tobytes()
    shown = [negative.tobytes() for negative in mined.example(0, 0).negatives]
    assert shown and before.example(0, 0).page.tobytes() not in shown
    mined.fingerprint()


def test_a_killed_command_goes_on_where_it_was(data: Path, model: Retriever, tmp_path: Path, monkeypatch) -> None:
    encoded: list[int] = []
    encode = module.encode
    monkeypatch.setattr(
        module, "encode", lambda model, refs, batch: encoded.append(len(refs)) or encode(model, refs, batch)
    )

    def stop_after_two_chunks(what: str, done: int, total: int) -> None:
        if done >= 10:
            raise KeyboardInterrupt

    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    mine(model, pairs(data), whole)
    assert encoded == [5, 5, 5, 5, 3]
    encoded.clear()
    with pytest.raises(KeyboardInterrupt):
        mine(model, pairs(data), out, progress=stop_after_two_chunks)
    assert not out.exists() and encoded == [5, 5]
    (tmp_path / "out.jsonl.vectors/.pages-000002.x.partial").write_bytes(b"half")
    shutil.copytree(tmp_path / "out.jsonl.vectors", tmp_path / "other.jsonl.vectors")
    encoded.clear()
    mine(model, pairs(data), out)
    assert encoded == [5, 5, 3] and read(out) == read(whole)
    encoded.clear()
    another = copy.deepcopy(model)
    another.custom_text_proj.bias.data.add_(0.1)
    mine(another, pairs(data), tmp_path / "other.jsonl")
    assert encoded == [5, 5, 5, 5, 3]


def test_a_bound_lies_below_a_negative_score_too() -> None:
    bound = Rules(max_score_ratio=0.9, margin=0.05).bound(torch.tensor([10.0, -10.0, 0.1]))
    torch.testing.assert_close(bound, torch.tensor([9.0, -11.0, 0.05]))


def test_files_that_are_there_and_pages_without_a_name_are_refused(
    data: Path, model: Retriever, tmp_path: Path
) -> None:
    (tmp_path / "m.jsonl").write_text("mine")
    with pytest.raises(UserError, match=r"m.jsonl already exists"):
        mine(model, pairs(data), tmp_path / "m.jsonl")
    with pytest.raises(UserError, match=r"neither .jsonl nor .parquet"):
        mine(model, pairs(data), tmp_path / "m.csv")
    out = tmp_path / "new.jsonl"
    with (
        dir_lock(tmp_path / "new.jsonl.vectors", "ours"),
        pytest.raises(UserError, match=r"mining into .*new.jsonl: was"),
    ):
        mine(model, pairs(data), out)
    with pytest.raises(UserError, match="drawn on demand"):
        mine_with(tmp_path, "{source: sheets, queries: 10}", tmp_path / "new.jsonl")


def test_the_command(data: Path, model: Retriever, tmp_path: Path) -> None:
    native.write(model, tmp_path / "model")
    out = tmp_path / "mined.jsonl"
    source = f"{{source: pairs, path: {data}, limit: 20}}"
    arguments = ["mine", str(tmp_path / "model"), "--data", source, "--out", str(out), "--max-score-ratio", "1"]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["rows"] == len(read(out)) == 20 and told["model"][:16] == read(out)[0]["negatives"][0]["model"]
    out.unlink()
    told = CliRunner().invoke(app, arguments).stdout
    assert re.search(r"negatives for 20 queries out of 20 pages; \d+ pages dropped", told)
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2 and "already exists" in again.stderr
