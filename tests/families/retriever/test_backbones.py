"""Every backbone row beside transformers' own processor and model of the same weights, and against its batch mates."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

import collotype
from collotype.families import task_for
from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import IMAGE, Preset
from collotype.recipe import load_recipe
from tests.conftest import SMALL

SIZES = [(130, 70), (64, 200), (96, 96), (300, 20)]
QUERIES = ["red apple and bicycle", "umbrella"]
QWEN = [
    {"backbone.": ""},  # colpali-engine on transformers >= 4.52
    {"backbone.visual.": "visual.", "backbone.language_model.": "model."},  # before
    {"backbone.": "model."},  # transformers' *ForConditionalGeneration
    {"backbone.": "vlm.", "custom_text_proj.": "embedding_proj_layer."},  # transformers' *ForRetrieval
    {"backbone.": "vlm.model.", "custom_text_proj.": "embedding_proj_layer."},
]
GEMMA = {"backbone.language_model.": "language_model.model.", "backbone.vision_tower.": "vision_tower.vision_model."}


@dataclass(frozen=True)
class Case:
    preset: str
    dialects: list[dict[str, str]]
    """Published beginnings of keys, by the canonical beginning; the first that fits is it."""
    processor: str = ""
    """transformers' class; none where golden tensors of the published code are kept in tests/parity."""
    image_processor: str = ""


CASES = {
    "paligemma": Case(
        "colpali-engine-0.3.13",
        [
            {"backbone.": "model.model."},
            {old: f"model.{new}" for old, new in {**GEMMA, "backbone.": ""}.items()},
            {"backbone.": "vlm.", "custom_text_proj.": "embedding_proj_layer."},
        ],
    ),
    "qwen2-vl": Case("colqwen2-engine-0.3.4", QWEN, "Qwen2VLProcessor", "Qwen2VLImageProcessorPil"),
    "qwen2.5-vl": Case("colqwen2-engine-0.3.4", QWEN, "Qwen2_5_VLProcessor", "Qwen2VLImageProcessorPil"),
    "qwen3-vl": Case("colqwen2-engine-0.3.13", QWEN, "Qwen3VLProcessor", "Qwen2VLImageProcessorPil"),
    "qwen3.5": Case("colqwen3.5-engine-0.3.18", QWEN, "Qwen3VLProcessor", "Qwen2VLImageProcessorPil"),
    "idefics3": Case(
        "colidefics3-engine-0.3.13",
        [
            {"backbone.": "model.", "custom_text_proj.": "linear."},
            {"backbone.": "vlm.", "custom_text_proj.": "embedding_proj_layer."},
        ],
        "Idefics3Processor",
        "Idefics3ImageProcessorPil",
    ),
    "modernvbert": Case(
        "colmodernvbert-engine-0.3.18",
        [
            {"backbone.vision_model.": "model.vision_model.vision_model.", "backbone.": "model."},
            {
                "backbone.connector.modality_projection.": "model.connector.modality_projection.proj.",
                "custom_text_proj.": "model.custom_text_proj.",
                "backbone.": "model.",
            },
            {"backbone.": "vlm.", "custom_text_proj.": "embedding_proj_layer."},
        ],
        "ColModernVBertProcessor",
        "Idefics3ImageProcessorPil",
    ),
    "gemma3": Case(
        "colgemma3-engine-0.3.14",
        [{"backbone.": ""}, {"backbone.": "model."}, {**GEMMA, "backbone.": ""}],
        "Gemma3Processor",
        "Gemma3ImageProcessorPil",
    ),
}


def overrides(name: str) -> dict[str, str]:
    return {"model.backbone": name, "model.preset": CASES[name].preset}


def pages() -> list[Image.Image]:
    numbers = np.random.default_rng(0)
    return [Image.fromarray(numbers.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)) for size in SIZES]


@pytest.fixture(scope="module", params=CASES)
def model(request: pytest.FixtureRequest) -> Retriever:
    """Of a row, every weight away from the zero or one that it may start from."""
    built = task_for(load_recipe("desk-colpali", overrides(request.param))).build().eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in built.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    return built


@pytest.fixture
def theirs(model: Retriever, monkeypatch: pytest.MonkeyPatch) -> Any:
    """transformers' processor with our tokenizer, set as the row's layout says."""
    import transformers
    from transformers import PreTrainedTokenizerFast, ProcessorMixin

    case, row = CASES[model.row.name], model.row
    if not case.processor:
        pytest.skip("tests/parity has golden tensors of the published code")
    special = {"image_token": row.image_token}
    if row.name == "gemma3":
        special |= {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model.processor.tokenizer,
        pad_token=row.pad_token,
        padding_side=model.config.preset.padding_side,
        extra_special_tokens=special,
    )
    images = getattr(transformers, case.image_processor)(**model.layout.image_processor()[1])
    tiled = {"image_seq_len": 4}
    lengths = {"idefics3": tiled, "modernvbert": tiled, "gemma3": {"image_seq_length": 36}}.get(row.name, {})
    # a video processor, which the Qwen ones ask for, cannot be had without torchvision
    monkeypatch.setattr(ProcessorMixin, "check_argument_for_proper_class", lambda *_: None)
    videos = {"video_processor": None} if row.name.startswith("qwen") else {}
    return getattr(transformers, case.processor)(image_processor=images, tokenizer=tokenizer, **videos, **lengths)


def prompt(preset: Preset, image_token: str) -> str:
    """The text of a page as their processors take it, a single token for the image and what belongs to it."""
    around = f"\n\n<start_of_image>{IMAGE}<end_of_image>\n\n"
    return preset.page_prompt.replace(around, "<start_of_image>").replace(IMAGE, image_token)


def page_inputs(theirs: Any, model: Retriever) -> dict[str, Tensor]:
    text = prompt(model.config.preset, model.row.image_token)
    images = [[page] for page in pages()]
    given = theirs(text=[text] * len(images), images=images, padding="longest", return_tensors="pt")
    return {name: tensor for name, tensor in given.items() if isinstance(tensor, Tensor)}


def test_token_ids_and_pixels_are_transformers(model: Retriever, theirs: Any) -> None:
    expected, ours = page_inputs(theirs, model), model.processor.pages(pages())
    assert torch.equal(ours["input_ids"], expected["input_ids"])
    assert torch.equal(ours["attention_mask"].long(), expected["attention_mask"])
    pixels = expected["pixel_values"]
    if "pixel_attention_mask" in expected:
        pixels = pixels[expected["pixel_attention_mask"].flatten(2).any(2)]
    assert ours["pixel_values"].dtype is torch.uint8
    torch.testing.assert_close(model.layout.scaled(ours["pixel_values"]), pixels, atol=1e-5, rtol=0)
    if "image_grid_thw" in expected:
        assert torch.equal(ours["image_grid_thw"], expected["image_grid_thw"])


@torch.no_grad()
def test_vectors_are_those_of_transformers_model_on_its_own_inputs(model: Retriever, theirs: Any) -> None:
    query_inputs = theirs.tokenizer(
        [model.config.preset.query(query) for query in QUERIES],
        padding="longest",
        return_tensors="pt",
        return_token_type_ids=False,
    )
    for expected, ours in (
        (page_inputs(theirs, model), model.processor.pages(pages())),
        (query_inputs, model.processor.queries(QUERIES)),
    ):
        model.backbone.rope_deltas = None
        hidden = model.backbone(**expected).last_hidden_state
        wanted = functional.normalize(model.custom_text_proj(hidden), dim=-1) * expected["attention_mask"][..., None]
        vectors, mask = model(ours)
        assert torch.equal(mask.long(), expected["attention_mask"])
        torch.testing.assert_close(vectors, wanted, atol=2e-6, rtol=0)


def test_batch_mates_change_no_vector(model: Retriever) -> None:
    together, alone = model.encode_pages(pages()), model.encode_pages(pages(), batch_tokens=1)
    together += model.encode_queries(QUERIES)
    alone += model.encode_queries(QUERIES, batch_tokens=1)
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_different_pages_have_different_vectors(model: Retriever) -> None:
    white, black = model.encode_pages([Image.new("RGB", (96, 96), colour) for colour in ("white", "black")])
    looking, _ = model.processor.visual_tokens((96, 96))
    assert ((white - black)[looking].norm(dim=-1) > 1e-3).all()


def test_a_visual_vector_looks_where_its_place_says(model: Retriever) -> None:
    """Of all places, the one whose part of the page is inked changes the most."""
    size = (160, 128)
    looking, (rows, columns) = model.processor.visual_tokens(size)
    blank, *inked = [Image.new("RGB", size, "white") for _ in range(4)]
    places = [(0, columns - 1), (rows - 1, 0), (rows // 2, columns // 2)]
    for page, (row, column) in zip(inked, places, strict=True):
        box = (column / columns * size[0], row / rows * size[1])
        box += ((column + 1) / columns * size[0], (row + 1) / rows * size[1])
        page.paste((0, 0, 0), tuple(map(round, box)))
    before, *after = (image_features(model, page, looking) for page in (blank, *inked))
    for features, place in zip(after, places, strict=True):
        change = (features - before).norm(dim=-1)
        assert divmod(int(change.argmax()), columns) == place


@torch.no_grad()
def image_features(model: Retriever, page: Image.Image, looking: Tensor) -> Tensor:
    """What the language model is given at the places of a page: [places, H]."""
    seen: list[Tensor] = []
    text = getattr(model.backbone, "language_model", None) or model.backbone.text_model
    handle = text.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(model.processor.pages([page]))
    handle.remove()
    return seen[0][0, looking]


def test_no_language_model_head_is_built(model: Retriever) -> None:
    vocabulary = model.processor.tokenizer.get_vocab_size()
    assert not any("lm_head" in name for name, _ in model.named_modules())
    wide = [name for name, tensor in model.named_parameters() if tensor.dim() == 2 and tensor.shape[0] == vocabulary]
    assert wide == [name for name, _ in model.named_parameters() if "embed_tokens" in name or "tok_embed" in name]


def published(key: str, dialect: dict[str, str]) -> str:
    start = next((start for start in dialect if key.startswith(start)), None)
    return key if start is None else dialect[start] + key.removeprefix(start)


ADAPTED: list[Callable[[str], str]] = [lambda key: key, lambda key: f"base_model.model.{key}"]


@pytest.mark.parametrize("as_adapter", ADAPTED, ids=["whole", "adapter"])
def test_keys_of_every_published_layout_are_known(model: Retriever, as_adapter: Callable[[str], str]) -> None:
    """Every key of the file finds its own weight, and every weight its key."""
    own = [model.row.canonical(key) for key in model.state_dict()]
    for dialect in CASES[model.row.name].dialects:
        file = [as_adapter(published(key, dialect)) for key in own]
        assert set(file) != set(own)
        assert [model.row.canonical(key) for key in file] == own


@pytest.mark.parametrize("name", [name for name in CASES if name != "paligemma"])
def test_a_row_trains_and_is_saved(name: str, tmp_path: Path) -> None:
    changes = {**SMALL, **overrides(name), "train.steps": 1, "train.batch": 4, "train.micro_batch": 2}
    collotype.run("desk-colpali", out=tmp_path / "run", overrides=changes)
    vectors = collotype.load(tmp_path / "run" / "model").encode_pages(pages()[:1])
    assert vectors[0].isfinite().all()


def test_every_row_is_tested_here() -> None:
    assert list(CASES) == list(BACKBONES)
