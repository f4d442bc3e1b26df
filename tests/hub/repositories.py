"""Small repositories in the layouts and key names that are published, for the imitation of the hub."""

import json
from pathlib import Path

import peft
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from collotype.families.clip.checkpoints import reading as clip_layouts
from collotype.families.retriever.checkpoints.reading import export
from collotype.families.retriever.data.sheets import SheetImages, training_sheet
from tests.families.clip.test_checkpoints import make as make_clip
from tests.families.retriever.benchmarks.parquet_sets import as_png, write_table
from tests.families.retriever.test_checkpoints import TARGETS, Engine, in_old_names, make
from tests.hub.imitation import folder_files, publish

LM_HEAD = torch.zeros(20_000, 128)
"""Published files hold it; here it also makes a shard large."""
BESIDE = {
    ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
    "README.md": b"---\nlicense: mit\n---\n# A model\n",
    "assets/figure.png": b"p" * 1_000_000,
    "special_tokens_map.json": b"{}",
    "git_hash.txt": b"0",
    "results.json": b"{}",
    "training_config.yml": b"a: 1",
}
ADAPTER, BASE = "vidore/colpali-v1.3", "vidore/colpaligemma-3b-pt-448-base"
LITTERED = "someone/colpali-littered"
RECIPE = {
    "base": "desk-colpali",
    "name": "by-name",
    "model": {
        "backbone": "paligemma",
        "weights": ADAPTER,
        "interaction": "late",
        "dim": 128,
        "preset": "colpali-engine-0.2",
        "lora": {"rank": 2, "alpha": 2},
    },
    "data": {"train": {"source": "pairs", "path": "org/train"}},
    "train": {"batch": 2, "steps": 2, "checkpoint_every": 1, "optimizer": {"name": "adamw", "lr": 1e-4}},
    "evaluate": [{"suite": "qa", "path": "org/train", "split": "train"}],
    "expect": [],
}
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def shard(folder: Path, count: int = 2) -> None:
    """model.safetensors as `save_pretrained` shards it."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    cuts = [names[n * len(names) // count : (n + 1) * len(names) // count] for n in range(count)]
    files = {f"model-{n + 1:05d}-of-{count:05d}.safetensors": part for n, part in enumerate(cuts)}
    for file, part in files.items():
        save_file({name: tensors[name] for name in part}, folder / file, {"format": "pt"})
    weights = {name: file for file, part in files.items() for name in part}
    index = {"metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())}, "weight_map": weights}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    (folder / "model.safetensors").unlink()


def publish_adapter(root: Path, work: Path) -> None:
    """As the engine published them: an adapter with its processor's files, and the base in shards."""
    model = make("colpali")
    export(model, "engine", work / "base", "card")
    settings = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, bias="none", target_modules=TARGETS["colpali"])
    adapted = peft.get_peft_model(Engine(model), settings)
    torch.manual_seed(0)
    for key, parameter in adapted.named_parameters():
        if "lora_B" in key:
            nn.init.normal_(parameter, std=0.05)
    adapted.peft_config["default"].base_model_name_or_path = BASE
    adapted.save_pretrained(work / "adapter")
    for file in (work / "base" / "model.safetensors", work / "adapter" / "adapter_model.safetensors"):
        save_file(in_old_names(load_file(file), "colpali"), file, {"format": "pt"})
    whole = work / "base" / "model.safetensors"
    save_file({**load_file(whole), "lm_head.weight": LM_HEAD}, whole, {"format": "pt"})
    shard(work / "base")
    shared = {name: work / "base" / name for name in ("tokenizer.json", "preprocessor_config.json")}
    own = {name: work / "adapter" / name for name in ADAPTER_FILES}
    publish(root, "models", ADAPTER, {**BESIDE, **shared, **own})
    more = {"generation_config.json": b"{}", "added_tokens.json": b"{}", "tokenizer.model": b"x" * 400_000}
    publish(root, "models", BASE, {**BESIDE, **folder_files(work / "base"), **more})


def move_base(root: Path, work: Path) -> None:
    """Other weights under the base's name: each a little larger."""
    folder = next(path for path in (root / "models" / BASE).iterdir() if path.is_dir())
    files = folder_files(folder)
    for name in [name for name in files if name.endswith(".safetensors")]:
        moved = {key: tensor * 1.5 for key, tensor in load_file(files[name]).items()}
        save_file(moved, work / f"moved-{name}", {"format": "pt"})
        files[name] = work / f"moved-{name}"
    publish(root, "models", BASE, files)


def publish_littered(root: Path, work: Path) -> None:
    """A merged model in transformers' layout, among what such repositories carry along."""
    export(make("colpali-native"), "transformers", work / "native", "card")
    weights = (work / "native" / "model.safetensors").read_bytes()
    other = [weights[:-1] + bytes([number]) for number in range(6)]  # of another digest, so no blob serves two files
    litter = {
        "pytorch_model.bin": other[0],
        "model.fp16.safetensors": other[1],
        "onnx/model.onnx": other[2],
        "onnx/config.json": b"{}",
        "original/consolidated.safetensors": other[3],
        "checkpoint-500/model.safetensors": other[4],
        "checkpoint-500/trainer_state.json": b"[0]" * 10_000,
        "checkpoint-1000/model.safetensors": other[5],
    }
    publish(root, "models", LITTERED, {**BESIDE, **folder_files(work / "native"), **litter})


def publish_clip(root: Path, work: Path) -> None:
    """As LAION has it: open_clip's files and transformers' beside each other, safetensors and pickles."""
    clip_layouts.export(make_clip("tiny-vit"), "open_clip", work / "clip", "card")
    files = folder_files(work / "clip")
    config = json.dumps({"architectures": ["CLIPModel"], "model_type": "clip"}).encode()
    pickles = {"pytorch_model.bin": b"k" * 1000, "open_clip_pytorch_model.bin": b"k" * 1000, "tokenizer.json": b"{}"}
    others = {"config.json": config, "model.safetensors": b"s" * 1000, **pickles}
    publish(root, "models", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", {**BESIDE, **files, **others})


def publish_rows(root: Path, work: Path, start: int = 0) -> None:
    """A training set of four sheets, to evaluate on, too."""
    pictures = SheetImages()
    sheets = [training_sheet(pictures, start + row, 3) for row in range(4)]
    images = [as_png(pictures.draw(sheet, "a test")) for sheet in sheets]
    write_table(work / "data/train-0.parquet", {"query": [sheet.query for sheet in sheets], "image": images})
    publish(root, "datasets", "org/train", folder_files(work))


def write_recipe(root: Path, work: Path) -> Path:
    """A recipe of what it publishes: an adapter, its base, and data."""
    publish_adapter(root, work / "work")
    publish_rows(root, work / "rows")
    file = work / "recipe.yaml"
    file.write_text(yaml.safe_dump(RECIPE))
    return file
