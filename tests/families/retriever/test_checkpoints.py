"""Published layouts: files as the other libraries write them are read, and what we write they read alike."""

import json
import re
import shutil
from pathlib import Path

import peft
import pytest
import sentence_transformers
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import collotype
from collotype.families import task_for
from collotype.families.retriever.checkpoints import native
from collotype.families.retriever.checkpoints.reading import export
from collotype.families.retriever.data.sheets import SheetImages, held_out_sheets
from collotype.families.retriever.model import Retriever
from collotype.recipe import load_recipe
from collotype.runtime.errors import UserError

QUERIES = ["red apple and bicycle", "umbrella"]
QWEN = {"model.backbone": "qwen2-vl"}
BI = {"model.interaction": "single", "model.dim": None}
MODELS = {
    "colpali-native": {"model.preset": "colpali-transformers"},
    "colpali": {"model.preset": "colpali-engine-0.3.11"},
    "bipali": {"model.preset": "colpali-engine-0.3.11", **BI},
    "bipali-proj": {"model.preset": "colpali-engine-0.3.11", "model.interaction": "single", "model.dim": 64},
    "colqwen2-native": {"model.preset": "colqwen2-transformers", **QWEN},
    "colqwen2": {"model.preset": "colqwen2-engine-0.3.4", **QWEN},
    "biqwen2": {"model.preset": "biqwen2-engine-0.3.4", "model.pooling": "last", **QWEN, **BI},
    "colqwen3.5": {"model.preset": "colqwen3.5-v3", "model.backbone": "qwen3.5", "model.dim": 320},
    "evie": {"model.preset": "evie", "model.backbone": "qwen3.5"},
    "biqwen3.5": {"model.preset": "evie", "model.backbone": "qwen3.5", "model.pooling": "last", **BI},
    "colqwen3": {"model.preset": "nemotron-colembed-v2", "model.backbone": "qwen3-vl", "model.dim": None},
    "colsmol": {"model.preset": "colidefics3-engine-0.3.13", "model.backbone": "idefics3"},
    "colmodernvbert-native": {"model.preset": "colmodernvbert-engine-0.3.18", "model.backbone": "modernvbert"},
    "bimodernvbert": {"model.preset": "colmodernvbert-engine-0.3.18", "model.backbone": "modernvbert", **BI},
}
IMPOSSIBLE = {
    ("colqwen3", "engine"): "a random one would be added",
}


def make(name: str, **changes: object) -> Retriever:
    return task_for(load_recipe("desk-colpali", {**MODELS[name], **changes})).build().eval()


@pytest.fixture(scope="module")
def pages() -> list[Image.Image]:
    images = SheetImages()
    first, second = (images.draw(sheet, "a test") for sheet in held_out_sheets(images)[:2])
    return [first, second.resize((140, 90))]


def same(one: Retriever, other: Retriever, pages: list[Image.Image], atol: float = 0) -> None:
    for first, second in (
        (one.encode_queries(QUERIES), other.encode_queries(QUERIES)),
        (one.encode_pages(pages), other.encode_pages(pages)),
    ):
        for vectors, others in zip(first, second, strict=True):
            torch.testing.assert_close(vectors, others, atol=atol, rtol=0)


@pytest.mark.parametrize("layout", ["engine", "sentence-transformers", "transformers"])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_exported_is_read_again_exactly(name: str, layout: str, pages: list, tmp_path: Path) -> None:
    if layout == "transformers" and not name.endswith("-native"):
        with pytest.raises(UserError, match="export to sentence-transformers"):
            export(make(name), layout, tmp_path / "out", "card")
        assert not list(tmp_path.iterdir())
        return
    model = make(name)
    if reason := IMPOSSIBLE.get((name, layout)):
        with pytest.raises(UserError, match=reason):
            export(model, layout, tmp_path / "out", "card")
        return
    export(model, layout, tmp_path / "out", "card")
    preset = model.config.preset.name if layout == "engine" else None
    same(model, collotype.load(tmp_path / "out", preset=preset), pages)


@pytest.mark.parametrize("name", ["colpali-native", "colqwen2-native", "colmodernvbert-native"])
def test_transformers_computes_the_same_of_an_export(name: str, pages: list, tmp_path: Path) -> None:
    model = make(name)
    export(model, "transformers", tmp_path / "out", "card")
    kind = {"colpali": "ColPali", "colqwen2": "ColQwen2", "colmodernvbert": "ColModernVBert"}[name.partition("-")[0]]
    native = getattr(transformers, f"{kind}ForRetrieval").from_pretrained(tmp_path / "out").eval()
    processor = getattr(transformers, f"{kind}Processor").from_pretrained(tmp_path / "out")
    page = processor.process_images(pages[1:])
    page.pop("labels", None)
    if kind == "ColQwen2":
        # this class of transformers 5.23 forgets the rotary positions of images, unless it is given them
        kinds = (page["input_ids"] == native.config.vlm_config.image_token_id).int()
        page["position_ids"] = native.vlm.get_rope_index(page["input_ids"], kinds, page["image_grid_thw"])[0]
    with torch.no_grad():
        query = native(**processor.process_queries(QUERIES[:1])).embeddings[0]
        seen = native(**page).embeddings[0]
    torch.testing.assert_close(query, model.encode_queries(QUERIES[:1])[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(seen, model.encode_pages(pages[1:])[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "name", ["colpali-native", "colpali", "bipali", "bipali-proj", "colsmol", "colmodernvbert-native", "bimodernvbert"]
)
def test_sentence_transformers_computes_the_same_of_an_export(name: str, pages: list, tmp_path: Path) -> None:
    model = make(name)
    export(model, "sentence-transformers", tmp_path / "out", "card")
    if model.config.interaction == "late":
        theirs = sentence_transformers.MultiVectorEncoder(str(tmp_path / "out"))
        query, page = theirs.encode_query(QUERIES[0]), theirs.encode_document([pages[1]])[0]
    else:
        theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "out"))
        query, page = theirs.encode(QUERIES[:1]), theirs.encode(pages[1:])
    torch.testing.assert_close(torch.as_tensor(query), model.encode_queries(QUERIES[:1])[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.as_tensor(page), model.encode_pages(pages[1:])[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["colqwen2", "biqwen2", "colqwen3"])
def test_the_chat_template_of_an_export_frames_as_the_preset_does(name: str, pages: list, tmp_path: Path) -> None:
    """sentence-transformers builds Qwen's processor, which needs torchvision; what that processor does is done here."""
    model = make(name)
    export(model, "sentence-transformers", tmp_path / "out", "card")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    template = (tmp_path / "out" / "chat_template.jinja").read_text()

    def render(item: dict) -> str:
        message = [{"role": "user", "content": [item]}]
        return tokenizer.apply_chat_template(message, chat_template=template, tokenize=False)

    query = tokenizer(render({"type": "text", "text": QUERIES[0]}))["input_ids"]
    assert query == model.processor.query_ids(QUERIES[0])[0]
    rows, columns = model.layout.grid(pages[1].size)
    page = render({"type": "image"}).replace(model.row.image_token, model.row.image_token * rows * columns)
    assert tokenizer(page)["input_ids"] == list(model.processor.page_ids(pages[1].size))


class Engine(nn.Module):
    """A model with the module names of colpali-engine's ColPali and ColQwen2."""

    def __init__(self, model: Retriever):
        super().__init__()
        self.custom_text_proj = model.custom_text_proj
        if model.row.name == "paligemma":
            self.model = nn.Module()
            self.model.model = model.backbone
        else:
            self.visual, self.language_model = model.backbone.visual, model.backbone.language_model


LINEARS = "(down_proj|gate_proj|up_proj|k_proj|q_proj|v_proj|o_proj)"
TARGETS = {
    "colpali": rf"(.*(language_model).*{LINEARS}.*$|.*(custom_text_proj).*$)",
    "colqwen2": rf"(.*(model).*{LINEARS}.*$|.*(custom_text_proj).*$)",
}
OLD_NAMES = {
    "colpali": [
        (r"^model\.model\.language_model\.", "model.language_model.model."),
        (r"^model\.model\.vision_tower\.", "model.vision_tower.vision_model."),
        (r"^model\.model\.multi_modal_projector\.", "model.multi_modal_projector."),
    ],
    "colqwen2": [(r"^language_model\.", "model.")],
}
"""From today's module names to those of the first published files."""


def in_old_names(tensors: dict, name: str) -> dict:
    def old(key: str) -> str:
        head, key = ("base_model.model.", key[17:]) if key.startswith("base_model.model.") else ("", key)
        for pattern, replacement in OLD_NAMES[name]:
            key = re.sub(pattern, replacement, key)
        return head + key

    return {old(key): tensor for key, tensor in tensors.items()}


@pytest.mark.parametrize("dialect", ["today's names", "first names"])
@pytest.mark.parametrize("name", ["colpali", "colqwen2"])
def test_an_adapter_peft_wrote_is_read_with_its_base(name: str, dialect: str, pages: list, tmp_path: Path) -> None:
    model = make(name)
    export(model, "engine", tmp_path / "base", "card")
    settings = peft.LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.1, init_lora_weights="gaussian", bias="none", target_modules=TARGETS[name]
    )
    adapted = peft.get_peft_model(Engine(model), settings)
    torch.manual_seed(0)
    for key, parameter in adapted.named_parameters():
        if "lora_B" in key:
            nn.init.normal_(parameter, std=0.05)
    adapted.save_pretrained(tmp_path / "adapter")
    if dialect == "first names":
        for file in (tmp_path / "base" / "model.safetensors", tmp_path / "adapter" / "adapter_model.safetensors"):
            save_file(in_old_names(load_file(file), name), file, {"format": "pt"})
    found = collotype.load(tmp_path / "adapter", preset=model.config.preset.name, base=str(tmp_path / "base"))
    # peft replaced the layers of the backbone themselves, so the model computes with the adapter now
    model.custom_text_proj = adapted.base_model.model.custom_text_proj
    assert found.config.lora is None
    same(model.eval(), found, pages, atol=1e-6)
    assert not torch.equal(found.encode_queries(QUERIES)[0], make(name).encode_queries(QUERIES)[0])


LORA = {"rank": 2, "alpha": 4, "dropout": 0.1}


@pytest.fixture(scope="module")
def adapted() -> Retriever:
    model = make("colpali-native", **{"model.lora": LORA})
    torch.manual_seed(0)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            nn.init.normal_(parameter, std=0.05)
    return model


def test_an_adapted_model_is_kept_exactly_and_merged_on_export(adapted, pages: list, tmp_path: Path) -> None:
    native.write(adapted, tmp_path / "model")
    same(adapted, collotype.load(tmp_path / "model"), pages)
    for layout in ("transformers", "sentence-transformers", "engine"):
        export(adapted, layout, tmp_path / layout, "card")
        preset = "colpali-transformers" if layout == "engine" else None
        merged = collotype.load(tmp_path / layout, preset=preset)
        assert merged.config.lora is None
        same(adapted, merged, pages, atol=1e-5)


def test_an_exported_adapter_is_one_for_peft_too(adapted, pages: list, tmp_path: Path) -> None:
    export(adapted, "engine-adapter", tmp_path / "out", "card")
    same(adapted, collotype.load(tmp_path / "out" / "adapter", preset="colpali-transformers"), pages, atol=1e-6)
    base = collotype.load(tmp_path / "out" / "base", preset="colpali-transformers")
    theirs = peft.PeftModel.from_pretrained(Engine(base), tmp_path / "out" / "adapter")
    assert theirs.peft_config["default"].r == 2
    base.custom_text_proj = theirs.base_model.model.custom_text_proj
    same(adapted, base, pages, atol=1e-6)


def test_only_the_adapter_is_trained() -> None:
    for projection, trained in (("lora", {"lora_A", "lora_B"}), ("full", {"lora_A", "lora_B", "weight", "bias"})):
        model = make("colpali", **{"model.lora": {**LORA, "projection": projection}})
        names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        parts = {part for name in names for part in ("lora_A", "lora_B") if part in name}
        parts |= {name.removeprefix("custom_text_proj.") for name in names if "lora" not in name}
        assert parts == trained
        assert all("language_model" in name or "custom_text_proj" in name for name in names)


def written(tmp_path: Path, name: str = "colpali", layout: str = "engine") -> Path:
    folder = tmp_path / f"{name}-{layout}"
    if not folder.exists():
        export(make(name), layout, folder, "card")
    return folder


def test_an_adapter_on_a_base_without_its_projection_is_refused(adapted, tmp_path: Path) -> None:
    export(adapted, "engine-adapter", tmp_path / "out", "card")
    base = tmp_path / "out" / "base" / "model.safetensors"
    tensors = {key: tensor for key, tensor in load_file(base).items() if not key.startswith("custom_text_proj")}
    save_file(tensors, base, {"format": "pt"})
    with pytest.raises(UserError, match="every embedding would be random"):
        collotype.load(tmp_path / "out" / "adapter", preset="colpali-transformers")


def test_half_an_adapter_is_refused(adapted, tmp_path: Path) -> None:
    export(adapted, "engine-adapter", tmp_path / "out", "card")
    file = tmp_path / "out" / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    del tensors[next(key for key in tensors if "lora_B" in key)]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(UserError, match=r"1 tensors are missing .*lora_B"):
        collotype.load(tmp_path / "out" / "adapter", preset="colpali-transformers")
    settings = tmp_path / "out" / "adapter" / "adapter_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "use_qalora": True}))
    with pytest.raises(UserError, match="use_qalora = True"):
        collotype.load(tmp_path / "out" / "adapter", preset="colpali-transformers")


def test_a_checkpoint_that_does_not_say_its_preset_is_refused_until_it_is_named(pages: list, tmp_path: Path) -> None:
    folder = written(tmp_path)
    with pytest.raises(UserError, match="name the preset it was trained with"):
        collotype.load(folder)
    collotype.load(folder, preset="colpali-engine-0.3.11")
    with pytest.raises(UserError, match="Unknown preset 'colpali'"):
        collotype.load(folder, preset="colpali")
    with pytest.raises(UserError, match="was trained with the preset colpali-transformers"):
        collotype.load(written(tmp_path, "colpali-native", "transformers"), preset="colpali-paper")


@pytest.mark.parametrize("damage", ["truncated", "gone", "pickle", "another kind", "plain", "activation"])
def test_folders_that_are_no_retriever_are_refused(damage: str, tmp_path: Path) -> None:
    layout = "sentence-transformers" if damage == "activation" else "engine"
    folder = shutil.copytree(written(tmp_path, layout=layout), tmp_path / "damaged")
    weights, config = folder / "model.safetensors", folder / "config.json"
    values = json.loads(config.read_text())
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    if damage in ("gone", "pickle"):
        weights.unlink()
    if damage == "pickle":
        (folder / "pytorch_model.bin").touch()
    if damage == "another kind":
        config.write_text(json.dumps({**values, "model_type": "bert"}))
    if damage == "plain":
        config.write_text(json.dumps({**values, "architectures": ["PaliGemmaForConditionalGeneration"]}))
    if damage == "activation":
        dense = folder / "1_Dense" / "config.json"
        dense.write_text(dense.read_text().replace("Identity", "Tanh"))
    words = {
        "truncated": "cannot be read",
        "gone": "contains no model.safetensors",
        "pickle": "pytorch_model.bin is a pickle",
        "another kind": "describes a 'bert' model",
        "plain": "which is not a retriever yet",
        "activation": "Tanh",
    }
    with pytest.raises(UserError, match=words[damage]):
        collotype.load(folder, preset="colpali-engine-0.3.11")


def test_shards_are_read_by_their_index(pages: list, tmp_path: Path) -> None:
    folder = written(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    expected = collotype.load(folder, preset="colpali-engine-0.3.11")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:20], "model-00002-of-00002.safetensors": names[20:]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    same(expected, collotype.load(folder, preset="colpali-engine-0.3.11"), pages)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match="model-00002-of-00002"):
        collotype.load(folder, preset="colpali-engine-0.3.11")


def test_a_repository_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="vidore/colpali-v9 is not complete on this machine and cannot be downloaded"):
        collotype.load("vidore/colpali-v9", preset="colpali-paper")


def test_training_goes_on_from_any_layout(pages: list, tmp_path: Path) -> None:
    start = written(tmp_path, "colpali-native", "transformers")
    changes = {"model.size": None, "model.weights": str(start), "model.preset": "colpali-transformers"}
    task = task_for(load_recipe("desk-colpali", changes))
    same(make("colpali-native"), task.build().eval(), pages)
    assert task.describe()["projection"] == {"from": str(start)}
    plain = task_for(load_recipe("desk-colpali", {**changes, "model.interaction": "single", "model.dim": None})).build()
    assert plain.custom_text_proj is None
    with pytest.raises(UserError, match=r"model.dim is 64, but .* has 128"):
        task_for(load_recipe("desk-colpali", {**changes, "model.dim": 64})).build()


def test_a_new_projection_is_a_function_of_the_seed(tmp_path: Path) -> None:
    start = written(tmp_path, "bipali", "engine")
    changes = {"model.size": None, "model.weights": str(start), "model.preset": "colpali-engine-0.3.11"}

    def projection(seed: int) -> tuple[str, torch.Tensor]:
        task = task_for(load_recipe("desk-colpali", {**changes, "model.init_seed": seed}))
        return task.describe()["projection"]["sha256"], task.build().custom_text_proj.weight

    (digest, weight), (again, same_weight), (other, _) = projection(1), projection(1), projection(2)
    assert digest == again != other and torch.equal(weight, same_weight)


def test_the_visual_budget_is_that_of_the_processor_beside_the_adapter(tmp_path: Path) -> None:
    model = make("colqwen2", **{"model.lora": LORA})
    export(model, "engine-adapter", tmp_path / "out", "card")
    base, beside = tmp_path / "out" / "base", tmp_path / "out" / "adapter"
    (file,) = (path for path in base.glob("*processor_config.json"))
    values = json.loads(file.read_text())
    values["size"]["longest_edge"] = 16384 * 28 * 28
    file.write_text(json.dumps(values))
    preset = model.config.preset.name
    assert collotype.load(beside, preset=preset).config.preset.max_visual_tokens == 768
    values["size"]["longest_edge"] = 512 * 28 * 28
    (beside / file.name).write_text(json.dumps(values))
    assert collotype.load(beside, preset=preset).config.preset.max_visual_tokens == 512
