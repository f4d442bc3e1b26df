"""From a published folder to one's own: loaded, evaluated, fine-tuned with LoRA, exported, and read by the others."""

from pathlib import Path

import peft
import pytest
import sentence_transformers
import torch
import transformers

import collotype
from collotype import families
from collotype.families.retriever.checkpoints.reading import export
from collotype.families.retriever.data.sheets import SheetImages, held_out_sheets, training_sheet
from collotype.recipe.load import load_evaluation
from tests.families.retriever.benchmarks.parquet_sets import as_png, sheets_as_qa, write_beir, write_table
from tests.families.retriever.test_checkpoints import Engine, make

PRESET = "colpali-transformers"
PAGES = 12


def write_adapter(folder: Path) -> None:
    """As peft writes it, on a base of the engine's beside it."""
    model = make("colpali-native")
    export(model, "engine", folder / "base", "card")
    settings = peft.LoraConfig(r=4, target_modules=r".*(language_model.*q_proj|custom_text_proj)", bias="none")
    adapted = peft.get_peft_model(Engine(model), settings)
    adapted.peft_config["default"].base_model_name_or_path = str(folder / "base")
    adapted.save_pretrained(folder / "adapter")


def published(layout: str, folder: Path) -> Path:
    if layout == "adapter":
        write_adapter(folder)
        return folder / "adapter"
    export(make("colpali-native"), layout, folder / "model", "card")
    return folder / "model"


def own_pairs(folder: Path) -> Path:
    """A parquet file of queries and pages, as a user has one."""
    images = SheetImages()
    sheets = [training_sheet(images, row, 3) for row in range(16)]
    columns = {
        "query": [sheet.query for sheet in sheets],
        "image": [as_png(images.draw(sheet, "a test")) for sheet in sheets],
    }
    write_table(folder / "train.parquet", columns)
    return folder


def beir_set(folder: Path) -> Path:
    images = SheetImages()
    sheets = held_out_sheets(images)[:PAGES]
    pages = {number: as_png(images.draw(sheet, "a test")) for number, sheet in enumerate(sheets)}
    queries = {number: sheet.query for number, sheet in enumerate(sheets)}
    return write_beir(folder, pages, queries, [(number, number, 1) for number in queries])


@pytest.mark.parametrize("layout", ["engine", "adapter", "transformers", "sentence-transformers"])
def test_a_published_retriever_becomes_ones_own(layout: str, tmp_path: Path) -> None:
    start = published(layout, tmp_path / "published")
    preset = PRESET if layout in ("engine", "adapter") else None
    qa, beir = sheets_as_qa(tmp_path / "qa", PAGES), beir_set(tmp_path / "beir")
    for suite in (f"qa:{qa}", f"beir:{beir}"):
        (measured,) = families.evaluate([start], load_evaluation("retriever", suite=suite), preset=preset)[str(start)]
        assert 0 <= measured.metrics["ndcg_at_5"] <= 1 and not measured.facts["events"]

    changes = {
        "model.size": None,
        "model.weights": str(start),
        "model.preset": PRESET,
        "model.lora": {"rank": 4, "alpha": 8},
        "data.train": {"source": "pairs", "path": str(own_pairs(tmp_path / "own"))},
        "train.steps": 4,
        "train.batch": 8,
        "train.micro_batch": 4,
        "evaluate": [{"suite": f"qa:{qa}"}],
        "expect": [],
    }
    run = collotype.run("desk-colpali", out=tmp_path / "run", overrides=changes)
    assert run.record["model"]["trainable_parameters"] < run.record["model"]["parameters"] / 10
    tuned, before = run.model(), collotype.load(start, preset=preset)
    queries, pages = ["umbrella"], [SheetImages().draw(held_out_sheets(SheetImages())[0], "a test")]
    query, page = tuned.encode_queries(queries)[0], tuned.encode_pages(pages)[0]
    assert not torch.equal(query, before.encode_queries(queries)[0])

    for to in ("transformers", "sentence-transformers"):
        families.export(tmp_path / "run" / "model", to, tmp_path / to)
        assert "How it was trained" in (tmp_path / to / "README.md").read_text()
    theirs = sentence_transformers.MultiVectorEncoder(str(tmp_path / "sentence-transformers"))
    found = torch.as_tensor(theirs.encode_query(queries[0])), torch.as_tensor(theirs.encode_document(pages)[0])
    native = transformers.ColPaliForRetrieval.from_pretrained(tmp_path / "transformers").eval()
    processor = transformers.ColPaliProcessor.from_pretrained(tmp_path / "transformers")
    inputs = processor.process_images(pages)
    inputs.pop("labels", None)
    with torch.no_grad():
        native_found = native(**processor.process_queries(queries)).embeddings[0], native(**inputs).embeddings[0]
    for other_query, other_page in (found, native_found):
        torch.testing.assert_close(other_query, query, atol=1e-5, rtol=0)
        torch.testing.assert_close(other_page, page, atol=1e-5, rtol=0)
