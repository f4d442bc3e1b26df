"""Folders of this year's retrievers as their authors publish them: other names, other classes, other heads."""

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import collotype
from collotype.evaluation.ranking import ranking_metrics
from collotype.families.retriever.checkpoints.reading import export
from collotype.families.retriever.data.sheets import SheetImages, held_out_sheets
from collotype.families.retriever.evaluate import VectorSearch
from collotype.families.retriever.model import Retriever
from collotype.runtime.errors import UserError
from tests.families.retriever.test_checkpoints import make, same

QWEN3 = {"model.backbone": "qwen3-vl", "model.dim": 320}
QWEN3_5 = {"model.backbone": "qwen3.5", "model.dim": 48}


@pytest.fixture(scope="module")
def pages() -> list:
    images = SheetImages()
    first, second = (images.draw(sheet, "a test") for sheet in held_out_sheets(images)[:2])
    return [first, second.resize((140, 90))]


def published(model: Retriever, folder: Path, names: dict[str, str], **config: Any) -> Path:
    """The engine's export of the model, with other beginnings of its keys and other values in its config.json."""
    export(model, "engine", folder, "card")
    tensors = load_file(folder / "model.safetensors")
    start = {key: next((old for old in names if key.startswith(old)), "") for key in tensors}
    named = {names.get(start[key], "") + key.removeprefix(start[key]): tensors[key] for key in tensors}
    save_file(named, folder / "model.safetensors")
    change(folder / "config.json", **config)
    return folder


def change(file: Path, **values: Any) -> None:
    there = json.loads(file.read_text())
    file.write_text(json.dumps({**there, **values}))


def test_tomoro(pages: list, tmp_path: Path) -> None:
    model = make("colqwen3", **QWEN3, **{"model.preset": "tomoro-colqwen3"})
    names = {
        "visual.": "vlm.model.visual.",
        "language_model.": "vlm.model.language_model.",
        "custom_text_proj.": "embedding_proj_layer.",
    }
    folder = published(
        model, tmp_path / "tomoro", names, model_type="colqwen3", architectures=["ColQwen3"], embed_dim=320
    )
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "vlm.lm_head.weight": torch.zeros(2, 2)}, folder / "model.safetensors")
    found = collotype.load(folder, preset="tomoro-colqwen3")
    assert found.config.dim == 320 and found.config.interaction == "late"
    same(model, found, pages)


def test_ops_gives_the_first_outputs_of_a_wider_projection(pages: list, tmp_path: Path) -> None:
    model = make("colqwen3", **{**QWEN3, "model.preset": "ops-colqwen3", "model.dim": 128})
    names = {"model_type": "ops_colqwen3", "architectures": ["OpsColQwen3Model"], "dims": 40}
    folder = published(model, tmp_path / "ops", {}, **names)
    found = collotype.load(folder, preset="ops-colqwen3")
    whole, first = model.encode_pages(pages)[0], found.encode_pages(pages)[0]
    assert found.config.dim == 40
    torch.testing.assert_close(torch.nn.functional.normalize(whole[:, :40], dim=-1), first, atol=1e-6, rtol=0)


def test_nemotron_has_no_projection_and_looks_both_ways(pages: list, tmp_path: Path) -> None:
    model = make("colqwen3")
    export(make("colqwen3", **QWEN3), "engine", tmp_path / "out", "card")
    names = {"model_type": "qwen3_vl_nemotron_embed", "architectures": ["Qwen3VLNemotronEmbedModel"]}
    change(tmp_path / "out" / "config.json", **names)
    backbone = {f"model.{key}": value for key, value in model.backbone.state_dict().items()}
    save_file({**backbone, "lm_head.weight": torch.zeros(2, 2)}, tmp_path / "out" / "model.safetensors")
    # the vocabulary is a function of the preset, so the tokenizer is this model's
    (tmp_path / "out" / "tokenizer.json").write_text(model.processor.tokenizer.to_str())
    change(
        tmp_path / "out" / "config.json",
        **{"text_config": model.config.backbone_config["text_config"]},
        **{name: value for name, value in model.config.backbone_config.items() if name.endswith("_token_id")},
    )
    found = collotype.load(tmp_path / "out", preset="nemotron-colembed-v2")
    assert found.config.dim is None and found.width == 128
    same(model, found, pages)
    causal = replace(model.config, preset=replace(model.config.preset, query_attention="causal"))
    other = Retriever(causal, model.processor).eval()
    other.load_state_dict(model.state_dict())
    difference = other.encode_queries(["umbrella"])[0] - model.encode_queries(["umbrella"])[0]
    assert difference.abs().max() > 1e-3


def perplexity(folder: Path, **mask: Any) -> Retriever:
    """In sentence-transformers' form, with what its config.json says of attention, a projection without a bias, and
    punctuation left out of documents."""
    model = make("evie", **QWEN3_5, **{"model.preset": "pplx-late-v2"})
    model.custom_text_proj.bias.data.zero_()
    export(model, "sentence-transformers", folder, "card")
    (folder / "collotype_preset.json").unlink()
    text = json.loads((folder / "config.json").read_text())["text_config"]
    change(folder / "config.json", text_config={**text, "is_causal": False})
    change(folder / "1_Dense" / "config.json", bias=False)
    weights = folder / "1_Dense" / "model.safetensors"
    save_file({"linear.weight": load_file(weights)["linear.weight"]}, weights)
    skipped = {"skiplist_words": list("!?.,"), "skiplist_tasks": ["document"], **mask}
    change(folder / "2_MultiVectorMask" / "config.json", **skipped)
    return model


def test_perplexity(pages: list, tmp_path: Path) -> None:
    model = perplexity(tmp_path / "out")
    same(model, collotype.load(tmp_path / "out", preset="pplx-late-v2"), pages)
    with pytest.raises(UserError, match=r"says is_causal = false, but the preset colqwen3.5-v3 is causal"):
        collotype.load(tmp_path / "out", preset="colqwen3.5-v3")


@pytest.mark.parametrize("mask", [{"skiplist_tasks": ["query", "document"]}, {"skiplist_words": ["<|vision_end|>"]}])
def test_a_mask_that_would_leave_out_a_page_s_or_a_query_s_tokens_is_refused(mask: dict, tmp_path: Path) -> None:
    perplexity(tmp_path / "out", **mask)
    with pytest.raises(UserError, match="excludes some tokens"):
        collotype.load(tmp_path / "out", preset="pplx-late-v2")


def test_evie_keeps_the_budget_it_was_measured_with_and_the_width_of_its_weight(tmp_path: Path) -> None:
    model = make("evie", **QWEN3_5)
    folder = published(model, tmp_path / "out", {}, dim=48, embed_dim=16, mrl_prefix=True)
    (file,) = folder.glob("*processor_config.json")
    change(file, size={"shortest_edge": 65536, "longest_edge": 16384 * 1024})
    text = json.loads((folder / "config.json").read_text())["text_config"]
    del text["is_causal"]  # EVIE's does not say it
    change(folder / "config.json", text_config=text)
    evie, plain = (collotype.load(folder, preset=name) for name in ("evie", "colqwen3.5-v3"))
    assert evie.config.dim == 48 and evie.config.preset.max_visual_tokens == 1024
    assert plain.config.preset.max_visual_tokens == 16384


def test_raw_qwen3_5_is_what_training_starts_from(tmp_path: Path) -> None:
    model = make("biqwen3.5")
    names = {"visual.": "model.visual.", "language_model.": "model.language_model."}
    folder = published(model, tmp_path / "raw", names, architectures=["Qwen3_5ForConditionalGeneration"])
    extra = {"lm_head.weight": torch.zeros(2, 2), "mtp.layers.0.mlp.up_proj.weight": torch.zeros(2, 2)}
    save_file({**load_file(folder / "model.safetensors"), **extra}, folder / "model.safetensors")
    with pytest.raises(UserError, match="which is not a retriever yet"):
        collotype.load(folder, preset="evie")
    start = make("evie", **QWEN3_5, **{"model.weights": str(folder), "model.size": None})
    assert torch.equal(start.backbone.visual.pos_embed.weight, model.backbone.visual.pos_embed.weight)
    assert start.config.dim == 48


@pytest.mark.parametrize("part", ["custom_text_proj.weight", "custom_text_proj.bias", "custom_text_proj"])
def test_a_missing_head_is_no_random_head(part: str, tmp_path: Path) -> None:
    folder = published(make("colqwen3.5"), tmp_path / "out", {})
    tensors = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith(part)}
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"without its projection|tensors are missing \(custom_text_proj"):
        collotype.load(folder, preset="colqwen3.5-v3")


def test_every_name_modernvbert_s_weights_had_is_read(pages: list, tmp_path: Path) -> None:
    """transformers' own class is given the engine's names, too: it misses all of them, and only warns."""
    model = make("colmodernvbert-native")
    preset = model.config.preset.name
    export(model, "engine", tmp_path / "engine", "card")
    export(model, "transformers", tmp_path / "native", "card")
    tensors = load_file(tmp_path / "engine" / "model.safetensors")
    table = "model.text_model.embeddings.tok_embeddings"
    rows = tensors[f"{table}.weight"]
    older = {key: tensor for key, tensor in tensors.items() if "tok_embeddings" not in key}
    older = {key.replace("modality_projection.", "modality_projection.proj."): older[key] for key in older}
    older |= {f"{table}.weight": rows[:-8].clone(), f"{table}.additional_embedding.weight": rows[-8:].clone()}
    save_file(older, tmp_path / "engine" / "model.safetensors")
    text = json.loads((tmp_path / "engine" / "config.json").read_text())["text_config"]
    change(tmp_path / "engine" / "config.json", text_config={**text, "vocab_size": len(rows) - 8})
    same(model, collotype.load(tmp_path / "engine", preset=preset), pages)
    save_file(tensors, tmp_path / "native" / "model.safetensors")
    same(model, collotype.load(tmp_path / "native"), pages)


def test_what_a_tokenizer_adds_around_a_text_is_kept_where_the_checkpoint_had_it() -> None:
    from tokenizers.processors import TemplateProcessing

    model = make("colmodernvbert-native")
    processor, before = model.processor, model.processor.query_ids("umbrella")
    ends = [(token, processor.tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    processor.tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    after = processor.query_ids("umbrella")
    assert after[0] == [ends[0][1], *before[0], ends[1][1]]
    assert processor.query_words("umbrella") == [(1, "umbrella")]


@pytest.mark.parametrize("kind", ["qwen3_6", "argus_colqwen35"])
def test_an_unknown_version_names_the_nearest_one_and_what_differs(kind: str, tmp_path: Path) -> None:
    folder = published(make("colqwen3.5"), tmp_path / "out", {}, model_type=kind, architectures=["ColNew"], experts=4)
    with pytest.raises(UserError, match=r"closest known type is .*the class ColNew and the fields experts"):
        collotype.load(folder, preset="colqwen3.5-v3")


def test_presets_are_kept_in_our_own_folders() -> None:
    model = make("evie", **QWEN3_5)
    assert asdict(type(model.config).from_dict(model.config.to_dict()).preset) == asdict(model.config.preset)


def test_an_export_says_to_transformers_that_it_looks_both_ways(pages: list, tmp_path: Path) -> None:
    """Without the word transformers gives finite vectors of another model."""
    import transformers

    model = make("biqwen3.5")
    export(model, "sentence-transformers", tmp_path / "out", "card")
    theirs = transformers.Qwen3_5Model.from_pretrained(tmp_path / "out").eval()
    ids = torch.tensor([model.processor.query_ids("umbrella")[0]])
    with torch.no_grad():
        found = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, -1]
    vectors = model.encode_queries(["umbrella"])[0]
    torch.testing.assert_close(torch.nn.functional.normalize(found, dim=-1), vectors, atol=1e-6, rtol=0)


def test_a_preset_of_another_attention_is_refused() -> None:
    with pytest.raises(UserError, match=r"modernvbert is bidirectional, but the preset colqwen3.5-v3 is causal"):
        make("colmodernvbert-native", **{"model.preset": "colqwen3.5-v3"})


def test_a_conversion_says_that_it_is_equal_and_when_transformers_would_read_other_words(tmp_path: Path) -> None:
    (said,) = export(make("colmodernvbert-native"), "transformers", tmp_path / "vbert", "card")
    assert said.endswith("the same vectors (largest difference 0)")
    _, warning = export(make("colqwen3.5"), "engine", tmp_path / "qwen", "card")
    assert "only Collotype reads this folder correctly" in warning


def test_what_reads_otherwise_than_it_was_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collotype.families.retriever.checkpoints import colpali_engine

    written = colpali_engine.write

    def damaged(model: Retriever, folder: Path) -> None:
        written(model, folder)
        tensors = load_file(folder / "model.safetensors")
        tensors["custom_text_proj.weight"] *= torch.linspace(1, 2, len(tensors["custom_text_proj.weight"]))[:, None]
        save_file(tensors, folder / "model.safetensors")

    monkeypatch.setattr(colpali_engine, "write", damaged)
    with pytest.raises(UserError, match="so it was deleted"):
        export(make("colqwen3.5"), "engine", tmp_path / "out", "card")
    assert not list(tmp_path.iterdir())


def test_any_layout_is_converted_to_any_other(pages: list, tmp_path: Path) -> None:
    from collotype import families

    model = make("colmodernvbert-native")
    preset = model.config.preset.name
    export(model, "engine", tmp_path / "engine", "card")
    steps = [("engine", "transformers", preset), ("transformers", "sentence-transformers", None)]
    steps += [("sentence-transformers", "engine-2", None)]
    for source, target, known in steps:
        families.export(tmp_path / source, target.removesuffix("-2"), tmp_path / target, preset=known)
    same(model, collotype.load(tmp_path / "engine-2", preset=preset), pages)


def test_lora_adapts_what_the_published_adapters_do() -> None:
    """Of a gated delta net five projections, of full attention four, of each MLP three; nothing that sees images."""
    model = make("colqwen3.5", **{"model.lora": {"rank": 2, "alpha": 4}})
    ends = Counter(name.rpartition(".")[2] for name in model.config.lora.targets)
    delta = ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj")
    full = ("q_proj", "k_proj", "v_proj", "o_proj", "custom_text_proj")
    assert ends == {**dict.fromkeys((*delta, *full), 1), **dict.fromkeys(("gate_proj", "up_proj", "down_proj"), 2)}
    assert not any("visual" in name for name in model.config.lora.targets)


@pytest.mark.parametrize(
    "name",
    ["colqwen3.5", "evie", "colmodernvbert-native", "colpali", "colqwen2", "colqwen3", "colsmol", "bimodernvbert"],
)
def test_what_is_measured_does_not_depend_on_the_tokens_of_a_forward_pass(name: str) -> None:
    images, model = SheetImages(), make(name)
    sheets = held_out_sheets(images)[:12]
    sizes = [(96, 96), (96, 60), (64, 96)]
    pages = [images.draw(sheet, "a test").crop((0, 0, *sizes[n % 3])) for n, sheet in enumerate(sheets)]
    qrels = {str(number): {str(number): 1} for number in range(len(sheets))}
    found = []
    for tokens in (1024, 16384):
        queries = model.encode_queries([sheet.query for sheet in sheets], batch_tokens=tokens)
        scores = model.score(queries, model.encode_pages(pages, batch_tokens=tokens))
        run = {str(q): {str(p): float(score) for p, score in enumerate(row)} for q, row in enumerate(scores)}
        found.append(ranking_metrics(qrels, run))
    assert found[0] == found[1]


def test_another_budget_is_asked_for_by_name_and_refused_where_there_is_none(tmp_path: Path) -> None:
    folder = published(make("evie", **QWEN3_5), tmp_path / "out", {})
    assert collotype.load(folder, preset="evie", max_visual_tokens=80).layout.max_tokens == 80
    assert make("evie", **QWEN3_5, **{"model.max_visual_tokens": 70}).layout.max_tokens == 70
    with pytest.raises(UserError, match="max_visual_tokens is 9, but the backbone paligemma scales every page"):
        make("colpali", **{"model.max_visual_tokens": 9})


def test_kernels_that_are_not_here_are_an_event_of_a_result() -> None:
    lacking = [name for name, here in make("colqwen3.5").row.kernels().items() if not here]
    (told,) = VectorSearch(make("colqwen3.5")).events(["umbrella"])
    assert (told["kind"], told["count"]) == ("optional kernels", len(lacking)) and lacking[0] in told["note"]
    assert not VectorSearch(make("colqwen2")).events(["umbrella"])


def test_weights_that_do_not_fit_name_the_backbone_that_they_are_of(tmp_path: Path) -> None:
    folder, other = (published(make("colqwen3.5"), tmp_path / name, {}) for name in ("own", "other"))
    export(make("colqwen3", **QWEN3, **{"model.preset": "tomoro-colqwen3"}), "engine", tmp_path / "vl", "card")
    (tmp_path / "vl" / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"9 are unknown .*config.json says qwen3-vl, but their names are qwen3.5's"):
        collotype.load(tmp_path / "vl", preset="tomoro-colqwen3")
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "language_model.router.weight": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"1 are unknown .*router.weight\); the closest known layout is qwen3.5"):
        collotype.load(folder, preset="colqwen3.5-v3")
    save_file({key.replace("model", "net"): tensor for key, tensor in tensors.items()}, other / "model.safetensors")
    with pytest.raises(UserError, match="no known version has such names"):
        collotype.load(other, preset="colqwen3.5-v3")


def test_an_unknown_class_or_language_model_names_the_known_one(tmp_path: Path) -> None:
    folder = published(make("colqwen3.5"), tmp_path / "out", {}, architectures=["ColQwen3_5Next"])
    with pytest.raises(UserError, match="unknown class ColQwen3_5Next; if it computes the same as ColQwen3_5 "):
        collotype.load(folder, preset="colqwen3.5-v3")
    text = {**json.loads((folder / "config.json").read_text())["text_config"], "model_type": "qwen4_text"}
    change(folder / "config.json", architectures=["ColQwen3_5"], text_config=text)
    with pytest.raises(
        UserError, match=r"a text_config of the unknown type 'qwen4_text'.*same model as 'qwen3_5_text'"
    ):
        collotype.load(folder, preset="colqwen3.5-v3")


def test_transformers_own_class_is_read_under_the_engines_names_too(pages: list, tmp_path: Path) -> None:
    """transformers itself misses all of them, and makes a random model."""
    model = make("colmodernvbert-native")
    for layout in ("transformers", "engine"):
        export(model, layout, tmp_path / layout, "card")
    (tmp_path / "transformers" / "model.safetensors").write_bytes(
        (tmp_path / "engine" / "model.safetensors").read_bytes()
    )
    same(model, collotype.load(tmp_path / "transformers"), pages)
