"""Every golden case below the folders named in COLLOTYPE_PARITY (default: our own copies), by its case.json."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from collotype.evaluation.ranking import ranking_metrics
from collotype.families.beit3.checkpoints.checkpoint import PLACES, resampled
from collotype.families.beit3.config import Beit3Config
from collotype.families.beit3.model import Beit3
from collotype.families.clip.checkpoints.open_clip import from_open_clip
from collotype.families.clip.model import Clip
from collotype.families.clip.tokenizer import bpe_tokenizer
from collotype.families.clip.transforms import EvaluationTransform, normalised
from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.checkpoints.weights import canonical, name_in_file
from collotype.families.retriever.config import RetrieverConfig
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import PRESETS
from collotype.families.retriever.token_pooling import pool_tokens
from collotype.losses.contrastive import Vectors
from collotype.losses.maxsim import maxsim
from collotype.losses.registry import make_loss
from collotype.runtime import tensor_files

FOLDERS = os.environ.get("COLLOTYPE_PARITY", str(Path(__file__).parent / "cases")).split(":")
BACKBONE_OF = {
    "pali": "paligemma",
    "qwen2": "qwen2-vl",
    "qwen2_5": "qwen2.5-vl",
    "qwen3": "qwen3-vl",
    "qwen3_5": "qwen3.5",
    "idefics3": "idefics3",
    "modernvbert": "modernvbert",
    "gemma3": "gemma3",
}
"""By what colpali-engine calls its classes, without Col or Bi."""


def check_ranking_metrics(case: dict, folder: Path) -> None:
    data = json.loads((folder / "input.json").read_text())
    means, by_query = ranking_metrics(data["qrels"], data["run"])
    ours = {"recip_rank": means["mrr"]}
    for theirs, name in (("P", "precision"), ("recall", "recall"), ("ndcg_cut", "ndcg"), ("map_cut", "map")):
        ours |= {f"{theirs}_{k}": means[f"{name}_at_{k}"] for k in (1, 3, 5, 10, 20, 50, 100)}
    assert ours == pytest.approx(case["expected"], abs=case["tolerance"])
    ndcg = {query: metrics["ndcg_at_5"] for query, metrics in by_query.items()}
    assert ndcg == pytest.approx(case["per_query_ndcg5"], abs=case["tolerance"])


def check_maxsim(case: dict, folder: Path) -> None:
    tensors = load_file(folder / "tensors.safetensors")
    numbered = {
        name: sorted((k for k in tensors if k.startswith(f"{name}_")), key=lambda k: int(k[len(name) + 1 :]))
        for name in ("query", "page")
    }
    queries, pages = ([tensors[key] for key in numbered[name]] for name in ("query", "page"))
    (q, q_mask), (p, p_mask) = padded(queries), padded(pages)
    close = {"atol": case["tolerance"]["scores"], "rtol": 0}
    torch.testing.assert_close(maxsim(q, p, q_mask, p_mask).double(), tensors["scores"], **close)
    alone = torch.stack([torch.cat([maxsim(query[None], page[None])[0] for page in pages]) for query in queries])
    torch.testing.assert_close(alone.double(), tensors["scores"], **close)


def padded(ragged: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded with a vector that would win every maximum, were it not masked."""
    batch = torch.nn.utils.rnn.pad_sequence(ragged, batch_first=True, padding_value=9.0)
    mask = torch.arange(batch.shape[1]) < torch.tensor([len(vectors) for vectors in ragged])[:, None]
    return batch, mask


def check_retriever(case: dict, folder: Path) -> None:
    tensors = load_file(folder / "tensors.safetensors")
    for weights in published_weights(case, folder):
        check_embeddings(case, tensors, weights, "causal", "query_embeddings", "page_embeddings")
        for attention in ("causal", "bidirectional"):
            if (name := f"query_embeddings_{attention}") in tensors:
                # PaliGemma's pages attend one way only
                pages = f"page_embeddings_{attention}"
                check_embeddings(
                    case, tensors, weights, attention, name, pages if pages in tensors else "page_embeddings"
                )
        if "query_embeddings_mean" in tensors:
            mean = {**case, "pooling": "mean"}
            check_embeddings(mean, tensors, weights, "causal", "query_embeddings_mean", "page_embeddings_mean")
    if {"query_embeddings", "query_embeddings_bidirectional"} <= set(tensors):
        # what is loaded with the wrong attention is finite, and wrong
        with pytest.raises(AssertionError):
            check_embeddings(case, tensors, weights, "causal", "query_embeddings_bidirectional", "page_embeddings")


def published_weights(case: dict, folder: Path) -> list[dict]:
    """The case's weights under the names of every layout they are published in."""
    found = [load_file(file) for file in sorted(folder.glob("weights*.safetensors"))]
    dialects = [case["transformers_native"]] if case.get("transformers_native") else []
    dialects += [names for names in case.get("key_dialects", {}).values() if isinstance(names, dict)]
    extra = {f"{name}weight": torch.zeros(1) for name in case.get("key_dialects", {}).get("raw_also_has", ())}
    return found + [renamed(found[0], names) | extra for names in dialects]


def renamed(weights: dict, names: dict[str, str]) -> dict:
    """Keys whose beginning is in `names` get the other one."""
    start = {key: next((old for old in names if key.startswith(old)), "") for key in weights}
    return {names.get(old := start[key], "") + key.removeprefix(old): tensor for key, tensor in weights.items()}


def check_embeddings(case: dict, tensors: dict, weights: dict, attention: str, queries: str, pages: str) -> None:
    if queries not in tensors:
        return
    family, close = case["family"], {"atol": case["tolerance"]["embeddings"], "rtol": 0}
    late, backbone = family.startswith("col"), BACKBONE_OF[family.removeprefix("col").removeprefix("bi")]
    row = BACKBONES[backbone]
    given = canonical(row, weights, family)
    dim = len(given["custom_text_proj.weight"]) if "custom_text_proj.weight" in given else None
    preset = replace(PRESETS["colpali-paper"], query_attention=attention)
    pooling = case.get("pooling") or ("mean" if backbone == "paligemma" else "last")
    config = RetrieverConfig(backbone, case["backbone_config"], "late" if late else "single", dim, preset, pooling)
    model = Retriever(config, None).eval()
    tensor_files.load_strictly(model, given, family, {key: name_in_file(row, key) for key in model.state_dict()})
    for kind, name in (("query", queries), ("page", pages)):
        if name in tensors:
            check_batch(model, inputs_of(tensors, kind), tensors[name], close)
            for number in range(len(tensors[name])):
                check_batch(model, *alone(inputs_of(tensors, kind), tensors[name], number), close)


@torch.no_grad()
def check_batch(model: Retriever, inputs: dict, wanted: torch.Tensor, close: dict) -> None:
    vectors, _ = model(inputs)
    torch.testing.assert_close(vectors if wanted.dim() == 3 else vectors[:, 0], wanted, **close)


def inputs_of(tensors: dict, kind: str) -> dict:
    """Of queries or pages; without the mask of pixels, of which the embeddings do not depend."""
    given = {name.removeprefix(f"{kind}_"): value for name, value in tensors.items() if name.startswith(f"{kind}_")}
    given = {name: value for name, value in given.items() if "embeddings" not in name}
    given.pop("pixel_attention_mask", None)
    return {"attention_mask": torch.ones_like(given["input_ids"]), **given}


def alone(inputs: dict, wanted: torch.Tensor, row: int) -> tuple[dict, torch.Tensor]:
    """One of a batch without its padding and mates, and what it is to become."""
    keep = inputs["attention_mask"][row].bool()
    cut = {name: inputs[name][row, keep][None] for name in ("input_ids", "attention_mask")}
    if "image_grid_thw" in inputs:
        counts = inputs["image_grid_thw"].prod(1).tolist()
        patches = inputs["pixel_values"].split(counts)
        cut |= {"pixel_values": patches[row], "image_grid_thw": inputs["image_grid_thw"][row][None]}
    elif "pixel_values" in inputs:
        cut["pixel_values"] = inputs["pixel_values"][row][None]
    return cut, wanted[row][None] if wanted.dim() == 2 else wanted[row, keep][None]


ARGUMENTS = {"temperature": "temperature", "normalize_scores": "normalize", "in_batch_term_weight": "in_batch_weight"}


def check_loss(case: dict, folder: Path) -> None:
    tensors, given = load_file(folder / "tensors.safetensors"), dict(case["arguments"])
    changes = {}
    if given.pop("use_smooth_max", False):
        changes["smooth_max"] = given.pop("tau", 0.1)
    if given.pop("pos_aware_negative_filtering", False):
        changes["filter_threshold"] = given.pop("filter_threshold", 0.95)
        changes["filter_factor"] = given.pop("filter_factor", 0.5)
    loss = make_loss(case["loss"], **changes, **{ARGUMENTS[name]: value for name, value in given.items()})
    late, leaves, batch = case["interaction"] == "late", {}, []
    for name, lengths in (("queries", "query"), ("documents", "document"), ("negatives", "negative")):
        if name in tensors:
            leaves[name] = tensors[name].clone().requires_grad_()
            values = leaves[name] if late else leaves[name].unsqueeze(-2)
            counts = tensors[f"{lengths}_lengths"][..., None] if late else torch.tensor(1)
            batch.append(Vectors(values, (torch.arange(values.shape[-2]) < counts).expand(values.shape[:-1])))
    value = loss(*batch)
    value.backward()
    assert value.item() == pytest.approx(tensors["loss"].item(), abs=case["tolerance"]["loss"])
    for vectors, (name, leaf) in zip(batch, leaves.items(), strict=True):
        # the peer also sends gradient into query padding, which its model then multiplies by zero
        expected = tensors[f"grad_{name}"] * (vectors.mask[..., None] if late else 1)
        torch.testing.assert_close(leaf.grad, expected, atol=case["tolerance"]["grad"], rtol=0)


def check_clip_loss(case: dict, folder: Path) -> None:
    tensors = load_file(folder / "tensors.safetensors")
    leaves = {n: tensors[n].clone().requires_grad_() for n in ("image_features", "text_features", "logit_scale")}
    scores = leaves["logit_scale"].exp() * leaves["image_features"] @ leaves["text_features"].T
    value = make_loss("symmetric-infonce", temperature=1.0).in_batch(scores)
    value.backward()
    assert value.item() == pytest.approx(tensors["loss"].item(), abs=case["tolerance"]["loss"])
    for name, leaf in leaves.items():
        expected = tensors[f"grad_{name.removesuffix('_features')}"]
        torch.testing.assert_close(leaf.grad, expected, atol=case["tolerance"]["grad"], rtol=0)


def check_clip(case: dict, folder: Path) -> None:
    tensors, weights = load_file(folder / "tensors.safetensors"), load_file(folder / "weights.safetensors")
    config = from_open_clip({"model_cfg": case["model_cfg"]}, str(folder))
    model = Clip(config, bpe_tokenizer(config.text_cfg.context_length)).eval()
    if "token_embedding.rows" in weights:  # only those of the case's captions are kept
        embedding = model.token_embedding.weight.detach().clone()
        embedding[weights.pop("token_embedding.rows")] = weights.pop("token_embedding.values")
        weights["token_embedding.weight"] = embedding
    tensor_files.load_strictly(model, weights, str(folder), {key: key for key in model.state_dict()})
    close = {"atol": case["tolerance"]["features"], "rtol": 0}
    ids = model.tokenizer.batch(case["texts"])
    assert torch.equal(ids, tensors["token_ids"])
    with torch.no_grad():
        images, texts = model(tensors["images"], ids)
        torch.testing.assert_close(images, tensors["image_features"], **close)
        torch.testing.assert_close(texts, tensors["text_features"], **close)
        # batch mates change nothing
        alone = torch.cat([model.text_features(row[None]) for row in ids])
        torch.testing.assert_close(alone, tensors["text_features"], **close)
    torch.testing.assert_close(model.logit_scale.detach(), tensors["logit_scale"])


def check_clip_tokens(case: dict, folder: Path) -> None:
    wanted = load_file(folder / "tensors.safetensors")["token_ids"]
    assert torch.equal(bpe_tokenizer(wanted.shape[1]).batch(case["texts"], cut=True), wanted)


def check_token_pooling(case: dict, folder: Path) -> None:
    tensors = load_file(folder / "tensors.safetensors")
    for name, wanted in tensors.items():
        if name.startswith("pooled_"):
            found = pool_tokens(tensors["embeddings"], int(name.removeprefix("pooled_")), "hierarchical")
            assert found.shape == wanted.shape
            # as sets of rows: each has its own nearest in the other
            nearest = torch.cdist(found, wanted).argmin(1)
            assert sorted(nearest.tolist()) == list(range(len(wanted)))
            torch.testing.assert_close(found, wanted[nearest], atol=case["tolerance"]["embeddings"], rtol=0)


def check_clip_preprocess(case: dict, folder: Path) -> None:
    wanted = load_file(folder / "tensors.safetensors")["pixel_values"]
    options = {name: case[name] for name in ("mean", "std", "interpolation", "resize_mode") if name in case}
    transform = EvaluationTransform(case["size"], **options)
    found = normalised(transform(Image.open(folder / case["image"]))[None], transform.mean, transform.std)
    wanted = wanted.view_as(found)
    torch.testing.assert_close(found, wanted, atol=case["tolerance"]["pixels"], rtol=0)
    assert (found - wanted).abs().mean().item() <= case["tolerance"]["mean"]


def check_beit3_vqa(case: dict, folder: Path) -> None:
    tensors, weights = load_file(folder / "tensors.safetensors"), load_file(folder / "weights.safetensors")
    model = beit3_of(case["config"], len(weights["beit3.encoder.embed_positions.B.weight"]))
    tensor_files.load_strictly(model, weights, str(folder), {key: key for key in model.state_dict()})
    pixels, ids, mask = tensors["images"], tensors["token_ids"], tensors["padding_mask"] == 0
    close = {"atol": case["tolerance"]["logits"], "rtol": 0}

    logits = model(pixels, ids, mask)
    torch.testing.assert_close(logits, tensors["logits"], **close)
    with torch.no_grad():
        patches, words = model.beit3(pixels, ids, mask)
        wanted = tensors["encoder_out"].split([patches.shape[1], ids.shape[1]], dim=1)
        close_encoder = {"atol": case["tolerance"]["encoder"], "rtol": 0}
        torch.testing.assert_close(patches, wanted[0], **close_encoder)
        real = mask[:, : words.shape[1]]
        torch.testing.assert_close(words[real], wanted[1][:, : words.shape[1]][real], **close_encoder)
        # batch mates and padding change nothing
        for row, keep in enumerate(mask):
            alone = model(pixels[row, None], ids[row, keep][None], mask[row, keep][None])
            torch.testing.assert_close(alone[0], tensors["logits"][row], **close)

    targets = tensors["soft_labels"]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets) * targets.shape[1]
    assert loss.item() == pytest.approx(tensors["loss"].item(), abs=case["tolerance"]["loss"])
    loss.backward()
    norms = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.grad is not None}
    wanted_norms = {name: norm.item() for name, norm in load_file(folder / "grad_norms.safetensors").items()}
    # the peer leaves out what has no influence on the answer
    assert all(norms.pop(name, 0) == 0 for name in set(dict(model.named_parameters())) - set(wanted_norms))
    assert norms == pytest.approx(wanted_norms, abs=case["tolerance"]["grad_norm"], rel=case["tolerance"]["grad_norm"])

    for name, places in tensors.items():
        if name.startswith("positions_A_at_"):
            side = int(name.removeprefix("positions_A_at_")) // model.config.patch_size
            torch.testing.assert_close(resampled(weights[PLACES], side), places, atol=1e-6, rtol=0)


def beit3_of(values: dict, text_positions: int) -> Beit3:
    config = Beit3Config(
        hidden_size=values["encoder_embed_dim"],
        layers=values["encoder_layers"],
        heads=values["encoder_attention_heads"],
        mlp_ratio=values["encoder_ffn_embed_dim"] / values["encoder_embed_dim"],
        image_size=values["img_size"],
        patch_size=values["patch_size"],
        vocab_size=values["vocab_size"],
        text_positions=text_positions,
        num_answers=values["num_labels"],
    )
    return Beit3(config, None).eval()


CHECKS: dict[str, Callable[[dict, Path], None]] = {
    "beit3_vqa": check_beit3_vqa,
    "ranking_metrics": check_ranking_metrics,
    "maxsim": check_maxsim,
    "loss": check_loss,
    "clip_loss": check_clip_loss,
    "clip_preprocess": check_clip_preprocess,
    "clip": check_clip,
    "clip_tokens": check_clip_tokens,
    "retriever": check_retriever,
    "token_pooling": check_token_pooling,
}


def found_cases() -> list:
    files = sorted(file for folder in FOLDERS for file in Path(folder).rglob("case.json"))
    return [pytest.param(file.parent, id=f"{file.parent.parent.name}/{file.parent.name}") for file in files]


@pytest.mark.parametrize("folder", found_cases())
def test_case(folder: Path) -> None:
    case = json.loads((folder / "case.json").read_text())
    if case["kind"] not in CHECKS:
        pytest.skip(f"nothing here computes the kind {case['kind']}")
    CHECKS[case["kind"]](case, folder)


def test_cases_are_found() -> None:
    assert found_cases(), f"no case.json below {FOLDERS}"


def test_rows_of_the_backbone_table_have_their_own_name() -> None:
    assert all(name == row.name for name, row in BACKBONES.items())
