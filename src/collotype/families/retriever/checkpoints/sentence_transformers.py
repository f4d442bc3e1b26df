"""sentence-transformers' folders: a transformers model and `modules.json`, which says what happens to its output.

Late interaction is a `MultiVectorEncoder`, over transformers' own retriever classes where those can express the model,
else over the backbone and a Dense module. A single vector is a `SentenceTransformer` with a Pooling module.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer

from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.checkpoints import transformers_native as native
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint, read_backbone, with_attention
from collotype.families.retriever.checkpoints.locations import MODULES, PRESET, modules_of
from collotype.families.retriever.checkpoints.processors import (
    describe_tokenizer,
    differences,
    image_processor,
    tile_length,
    visual_budget,
)
from collotype.families.retriever.checkpoints.weights import canonical
from collotype.families.retriever.config import RetrieverConfig
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import IMAGE, PRESETS, TRAINED_WITH, Preset
from collotype.runtime.errors import UserError
from collotype.runtime.files import write_json, write_text
from collotype.runtime.model_folder import read_json, read_tokenizer
from collotype.runtime.stage_messages import in_gb, stage
from collotype.runtime.tensor_files import SHARD, read_tensors, write_tensors
from collotype.runtime.weights import Weights

PROJECTION, BIAS = "custom_text_proj.weight", "custom_text_proj.bias"
TYPES = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "MultiVectorMask": "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
}
NATIVE = ("paligemma",)
"""Backbones whose late-interaction class in transformers gives the backbone's own embeddings: ColQwen2ForRetrieval of
5.23 drops the rotary positions that images are to have."""
POOLING: dict[Literal["mean", "last"], str] = {"mean": "mean", "last": "lasttoken"}
TOKENS = "token_embeddings"


def read(folder: Path, named: Preset | None, name: str = "") -> RetrieverCheckpoint:
    """
    Args:
        name: of a published checkpoint, by which its preset may be known.
        named: the preset, for a folder that neither we nor transformers' own retriever classes wrote.

    Raises:
        UserError: a module that changes the embeddings in a way a retriever does not, or no preset.
    """
    modules = modules_of(folder)
    if native.can_load(folder):
        require(modules, ["Transformer", "MultiVectorMask"], folder)
        return native.read(folder)
    late = "MultiVectorMask" in modules
    order = ["Transformer", "Dense", "MultiVectorMask", "Normalize"]
    if not late:
        order = ["Transformer", "Pooling", "Dense", "Normalize"]
    require(modules, [name for name in order if name != "Dense" or "Dense" in modules], folder)
    row, backbone_config = read_backbone(read_json(folder / "config.json"), folder / "config.json")
    tensors = canonical(row, read_tensors(folder), str(folder))
    if "Dense" in modules:
        tensors |= read_dense(modules["Dense"])
    pooling: Literal["mean", "last"] | None = "mean"
    if not late:
        stated = read_json(modules["Pooling"] / "config.json").get("pooling_mode")
        pooling = next((ours for ours, there in POOLING.items() if there == stated), None)
        if pooling is None:
            raise UserError(
                f"{modules['Pooling']} has the pooling {stated!r}; supported are {', '.join(POOLING.values())}."
            )
    preset = named or PRESETS.get(TRAINED_WITH.get(name, ""))
    events = differences(folder, backbone_config, tensors)
    if (folder / PRESET).is_file():
        written = read_preset(folder / PRESET)
        preset = written.within(visual_budget(folder))
        if preset != written:
            note = f"{folder}: the visual tokens of a page are {preset.max_visual_tokens} by its processor's file, "
            note += f"which is taken, and {written.max_visual_tokens} by {PRESET}"
            events = (*events, {"kind": "files differ", "count": 2, "note": note})
    elif preset:
        preset = preset.within(visual_budget(folder))
    else:
        raise UserError(
            f"{folder} contains only a chat template, which does not define the prompts of queries and pages; name the "
            "preset it was trained with (--preset; `collotype list presets`)."
        )
    tokenizer = read_tokenizer(folder)
    if late:
        require_whole_pages(modules["MultiVectorMask"], preset, tokenizer)
    dim = len(tensors[PROJECTION]) if "Dense" in modules else None
    config = RetrieverConfig(row.name, backbone_config, "late" if late else "single", dim, preset, pooling or "mean")
    return RetrieverCheckpoint(config, tokenizer, tensors, str(folder), events)


def read_preset(file: Path) -> Preset:
    try:
        return Preset(**read_json(file))
    except TypeError as error:
        raise UserError(f"{file} is not a known preset ({error}); name the preset with --preset.") from error


def require(modules: dict[str, Path], wanted: list[str], folder: Path) -> None:
    if list(modules) != wanted:
        raise UserError(
            f"{folder / MODULES} lists {', '.join(modules)}; a supported retriever has {', '.join(wanted)}."
        )


def require_whole_pages(mask: Path, preset: Preset, tokenizer: Tokenizer) -> None:
    """
    Raises:
        UserError: the module leaves out some tokens of a page, or of queries.
    """
    values = read_json(mask / "config.json") if (mask / "config.json").is_file() else {}
    words = set(values.get("skiplist_words") or ())
    page = {tokenizer.id_to_token(number) for number in tokenizer.encode(preset.page("")).ids}
    of_queries = words and values.get("skiplist_tasks", ["document"]) != ["document"]
    if values.get("keep_only_token_ids") or of_queries or words & page:
        raise UserError(f"{mask} excludes some tokens of pages or queries, which is not supported.")


def read_dense(folder: Path) -> dict[str, torch.Tensor]:
    """The projection; one without a bias is one whose bias is zero."""
    values = read_json(folder / "config.json")
    stated = values.get("activation_function", "")
    if not stated.endswith("Identity") and stated:
        raise UserError(f"{folder} has the activation {stated} after its projection, which is not supported.")
    found = {name.replace("linear.", "custom_text_proj."): tensor for name, tensor in read_tensors(folder).items()}
    if values.get("bias") is False and PROJECTION in found:
        found.setdefault(BIAS, found[PROJECTION].new_zeros(len(found[PROJECTION])))
    return found


def is_native(config: RetrieverConfig) -> bool:
    """Is it written as transformers' own retriever?"""
    row = BACKBONES[config.backbone]
    return config.interaction == "late" and row.name in NATIVE and native.expresses(config.preset, row)


def require_expressible(config: RetrieverConfig) -> None:
    """
    Raises:
        UserError: no processor of transformers can frame pages as the model's preset does.
    """
    row = BACKBONES[config.backbone]
    if is_native(config):
        return
    if row.processor is None:
        raise UserError(
            f"transformers' processor of {row.name} cannot be set to a preset, so sentence-transformers would not "
            "encode as the model was trained; export to engine instead."
        )
    page_text(config)


def write(model: Retriever, folder: Path) -> None:
    """Writes a folder that `MultiVectorEncoder(folder)` or `SentenceTransformer(folder)` loads."""
    config, late = model.config, model.config.interaction == "late"
    if is_native(config):
        native.write(model, folder)
        text = {"method": "forward", "method_output_name": "embeddings"}
        modality, task, output = {"text": text, "image": text}, "retrieval", TOKENS
        chain = [("Transformer", ""), ("MultiVectorMask", "1_MultiVectorMask")]
    else:
        write_backbone(model, folder)
        hidden = {"method": "forward", "method_output_name": "last_hidden_state"}
        modality = {"text": hidden, "image": hidden, "message": {**hidden, "format": "structured"}}
        task, output = "feature-extraction", TOKENS
        between = ["Dense"] if config.dim else []
        names = [*between, "MultiVectorMask"] if late else ["Pooling", *between]
        chain = [("Transformer", ""), *((name, f"{n}_{name}") for n, name in enumerate([*names, "Normalize"], start=1))]
        write_json(folder / PRESET, asdict(config.preset))
    for name, path in chain[1:]:
        write_json(folder / path / "config.json", module_config(name, model))
        if name == "Dense" and (projection := model.custom_text_proj):
            weight, bias = projection.weight, projection.bias
            write_tensors({"linear.weight": weight, "linear.bias": bias}, folder / path / "model.safetensors")
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": TYPES[name]}
        for number, (name, path) in enumerate(chain)
    ]
    write_json(folder / MODULES, modules)
    write_json(
        folder / "sentence_bert_config.json",
        {"transformer_task": task, "modality_config": modality, "module_output_name": output},
    )
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "MultiVectorEncoder" if late else "SentenceTransformer",
            "prompts": {"query": "", "document": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "maxsim" if late else "cosine",
            "__version__": {},
        },
    )


def module_config(name: str, model: Retriever) -> dict[str, Any]:
    config = model.config
    hidden = model.row.hidden_size(config.backbone_config)
    where = TOKENS if config.interaction == "late" else "sentence_embedding"
    configs: dict[str, dict[str, Any]] = {
        "Dense": {
            "in_features": hidden,
            "out_features": config.dim,
            "bias": True,
            "activation_function": "torch.nn.modules.linear.Identity",
            "module_input_name": where,
            "module_output_name": where,
        },
        "Pooling": {"embedding_dimension": hidden, "pooling_mode": POOLING[config.pooling], "include_prompt": True},
        "MultiVectorMask": {"skiplist_words": [], "skiplist_tasks": ["document"], "keep_only_token_ids": None},
        "Normalize": {"module_input_name": where, "module_output_name": where},
    }
    return configs[name]


def write_backbone(model: Retriever, folder: Path) -> None:
    """The backbone as transformers saves it, and its processor with a chat template that frames as the preset does."""
    with stage(f"writing {in_gb(Weights.of(model.state_dict()).nbytes)} of weights"):
        backbone: Any = model.backbone
        backbone.save_pretrained(folder, max_shard_size=SHARD)
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", with_attention(model.row, config, model.config.preset))
    image_processor(model).save_pretrained(folder)
    describe_tokenizer(model).save_pretrained(folder)
    # part by part: the whole of Qwen's has a video processor, which cannot be made without torchvision
    write_json(folder / "processor_config.json", {"processor_class": model.row.processor, **tile_length(model)})
    write_text(folder / "chat_template.jinja", chat_template(model.config.preset, page_text(model.config)))


def page_text(config: RetrieverConfig) -> str:
    """What a chat template has to render for a page, so that the processor makes the preset's prompt of it.

    Raises:
        UserError: PaliGemma's processor, which adds <bos> and a newline of its own, cannot make it.
    """
    row, preset = BACKBONES[config.backbone], config.preset
    prompt = preset.page_prompt
    if row.name == "paligemma":
        start, end = f"{IMAGE}<bos>", "\n"
        if not (prompt.startswith(start) and prompt.endswith(end)) or preset.query_attention == "causal":
            raise UserError(
                f"transformers' PaliGemma cannot use the prompts or query attention of the preset {preset.name}; "
                "export to engine instead."
            )
        prompt = IMAGE + prompt.removeprefix(start).removesuffix(end)
    return prompt.replace(IMAGE, row.image_token)


def chat_template(preset: Preset, page: str) -> str:
    """Jinja: an image becomes the page's prompt, a text the query in its frame."""
    before, after = (jinja_text(part) for part in preset.query("\0").split("\0"))
    return (
        "{% for message in messages %}{% for item in message['content'] %}"
        "{% if item['type'] == 'image' %}{{ " + jinja_text(page) + " }}"
        "{% else %}{{ " + before + " + item['text'] + " + after + " }}{% endif %}"
        "{% endfor %}{% endfor %}"
    )


def jinja_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
