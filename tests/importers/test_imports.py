"""What becomes of other tools' published configs and commands, and of those that failed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from collotype.families.clip.config import SIZES as CLIP_SIZES
from collotype.families.retriever.backbones import BACKBONES
from collotype.families.retriever.preset import PRESETS
from collotype.importers import Imported, beit3, colpali_names, import_foreign, is_foreign, open_clip_flags
from collotype.importers.open_clip import SIZES
from collotype.importers.upstream import Upstream
from collotype.losses import registry
from collotype.recipe.load import builtin_names, find_recipe, parse_recipe
from collotype.runtime.errors import UserError
from tests.importers.fuzz import HERE, SEEDS

CASES, PUBLISHED = HERE / "cases", HERE / "published"
PARTS = ("shared.yml", "default_tr_args.yaml", "test_data.yaml")
WHOLE = [file for file in SEEDS if file.name not in PARTS and file.parent.name != "corpus"]


def at(values: Any, dotted: str) -> Any:
    for key in dotted.split("."):
        values = values[key]
    return values


def stated(imported: Imported, expected: dict[str, Any]) -> dict[str, Any]:
    """Of what is expected, what there is: keys of the recipe, and `origin.KEY`."""
    origin = {"launcher": imported.origin.launcher, "processes": imported.origin.processes, **imported.origin.settings}
    whole = {**parse_recipe(imported.values, "here").model_dump(), "origin": origin}
    return {key: at(whole, key) for key in expected}


DOCUMENTED = {
    "bipali-torchrun.sh": {
        "name": "bipali",
        "model.backbone": "paligemma",
        "model.weights": "google/paligemma-3b-mix-448",
        "model.interaction": "single",
        "model.pooling": "mean",
        "model.dim": None,
        "model.lora.targets": "language-model",
        "model.lora.init": "gaussian",
        "loss.name": "BiEncoderLoss",
        "loss.dialect": "paper",
        "train.batch": 32,
        "train.steps": 3710,
        "train.precision": "bf16",
        "train.optimizer.name": "adamw",
        "train.optimizer.lr": 5e-5,
        "train.schedule.name": "linear",
        "train.schedule.warmup_steps": 500,
        "train.clip_grad_norm": 1.0,
        "origin.launcher": "torchrun",
        "origin.processes": 8,
        "origin.negatives_scope": "process",
        "origin.negatives_per_query": 3,
        "origin.dataset": "load_train_set_detailed",
        "origin.optimizer": "adamw_torch",
        "origin.engine": "<=0.3.10",
    },
    "colqwen2-v100.sh": {
        "model.backbone": "qwen2-vl",
        "model.dim": 128,
        "model.lora.projection": "lora",
        "data.train": [{"path": "manu/colpali-queries", "corpus": "manu/colpali-corpus", "negatives": 1}],
        "loss.name": "ColbertPairwiseNegativeCELoss",
        "loss.temperature": 1.0,
        "loss.normalize": False,
        "loss.in_batch_weight": 0.0,
        "train.batch": 32,
        "train.precision": "fp16",
        "train.optimizer.name": "paged_adamw_8bit",
        "origin.launcher": "accelerate",
        "origin.processes": 16,
        "origin.device": "V100",
        "origin.weights_precision": "fp16",
        "origin.negatives_scope": "process",
        "origin.negatives_per_query": 2,
        "origin.explicit_negatives": 1,
    },
    "rn50-cc3m.sh": {
        "name": "sample_bs128x8",
        "model.size": "RN50",
        "model.activation": "gelu",
        "model.batch_norm_group": 128,
        "train.batch": 1024,
        # open_clip's count: 2,838 rounds, made a multiple of 32 workers, in each of 32 epochs
        "train.steps": 32 * 2848,
        "train.precision": "bf16",
        "train.optimizer.beta2": 0.999,
        "train.optimizer.weight_decay": 0.1,
        "train.schedule.warmup_steps": 10_000,
        "train.gradient_checkpointing": True,
        "data.augmentation.scale": [0.9, 1.0],
        "origin.shards": 576,
        "origin.workers": 32,
        "origin.local_loss": False,
        "origin.gather_with_grad": False,
        "origin.loss_precision": "bf16",
        "origin.negatives_per_query": 1023,
    },
    "beit3-evaluate.sh": {
        "model.weights": "data/beit3_base_indomain_patch16_224.pth",
        "model.image_size": 480,
        "model.new_head": False,
        # a recipe trains: as published, so that no rule finds fault with what the command does not do
        "train.batch": 128,
        "train.steps": 50_000,
        "origin.launcher": "python",
        "origin.process_group": "missing",
        "origin.random_head": True,
        "origin.evaluates_only": True,
        "origin.evaluation_repeats": False,
    },
    "configs/pali/train_colpali_model.yaml": {
        "model.weights": "vidore/colpaligemma-3b-mix-448-base",
        "model.preset": "colpali-engine-0.3.13",
        "loss.dialect": "colpali-engine>=0.3.11",
        "train.batch": 4,
        "train.schedule.warmup_steps": 500,
        "origin.engine": ">=0.3.11",
        "origin.negatives_per_query": 3,
    },
    "configs/pali/train_bipali_pairwise_256_model.yaml": {
        "loss.name": "BiPairwiseCELoss",
        "train.workers": 8,
        "train.steps": 3 * 1855,
        "origin.attention": "flash_attention_2",
        "origin.reentrant_checkpointing": False,
    },
    "configs/qwen2/train_colqwen2_model.yaml": {
        "model.backbone": "qwen2-vl",
        "train.gradient_checkpointing": True,
        "train.optimizer.lr": 2e-4,
        "origin.max_visual_tokens": 1024,
    },
    "configs/qwen2/train_biqwen2_hardneg_model.yaml": {
        "model.quantize": "nf4",
        "model.pooling": "last",
        "train.batch": 128,
        "train.schedule.name": "cosine",
        "train.schedule.warmup_steps": 232,
        "loss.in_batch_weight": 0.5,
        "origin.negatives_scope": "process",
        "origin.negatives_per_query": 64,
        "origin.optimizer": "adafactor",
    },
    "rn50-cc3m-readme.sh": {
        "train.precision": "fp16",
        "train.batch": 128,
        "data.train": [
            {"source": "captions", "image_column": "filepath", "caption_column": "title", "separator": "\t"}
        ],
        "evaluate": [{"suite": "imagenet"}, {"suite": "captions"}],
        "origin.precision_given": False,
    },
    "vit-b-32-slurm.sh": {
        "model.activation": "quick_gelu",
        "model.size": "ViT-B-32",
        "train.batch": 256 * 32 * 2,
        "train.steps": 32 * 8280,
        "train.optimizer.beta2": 0.98,
        "data.augmentation.color_jitter": [0.32, 0.32, 0.32, 0.0],
        "origin.launcher": "srun",
        "origin.processes": 32,
        "origin.local_loss": True,
        "origin.gather_with_grad": False,
        "origin.scale_gradient_factor": 2,
    },
    "beit3-base-vqav2.sh": {
        "model.weights": "/your_beit3_model_path/beit3_base_patch16_224.pth",
        "model.new_head": True,
        "train.batch": 128,
        "train.steps": 50_000,
        "train.optimizer.beta2": 0.98,
        "train.optimizer.head_lr_multiplier": 20.0,
        "train.schedule.warmup_steps": 5000,
        "train.schedule.final_lr": 1e-6,
        "origin.launcher": "torch.distributed.launch",
        "origin.process_group": "refused",
        "origin.evaluation_augmented": True,
    },
    "beit3-base-evaluate.sh": {"origin.evaluation_repeats": True, "evaluate": [{"suite": "vqav2", "split": "test"}]},
    "training_args.json": {
        "train.batch": 32,
        "train.seed": 7,
        "train.shard": "fsdp",
        "train.clip_grad_norm": None,
        "train.schedule.name": "constant",
        "train.schedule.warmup_steps": 279,
        "origin.reentrant_checkpointing": True,
    },
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_commands_mean_this(name: str) -> None:
    expected = DOCUMENTED[name]
    imported = import_foreign(next(folder / name for folder in (CASES, PUBLISHED) if (folder / name).exists()))
    found = stated(imported, expected)
    for key, value in expected.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            found[key] = [
                {name: each.get(name) for name in wanted} for each, wanted in zip(found[key], value, strict=True)
            ]
    assert found == expected


def test_the_published_recipe_of_beit3_is_the_built_in_one() -> None:
    """Two ways to one recipe: the published command, and what ships."""
    imported = parse_recipe(import_foreign(PUBLISHED / "beit3-large-vqav2.sh").values, "here")
    ours = parse_recipe(parse_recipe_file("beit3-large-vqav2"), "ours")
    assert imported.train.optimizer == ours.train.optimizer
    assert imported.train.schedule == ours.train.schedule
    assert (imported.train.batch, imported.train.steps, imported.train.seed) == (128, ours.train.steps, 42)


def parse_recipe_file(name: str) -> dict[str, Any]:
    from collotype.recipe.load import parse_yaml

    return parse_yaml(find_recipe(name).read_text(), name)


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_no_setting_is_forgotten(file: Path) -> None:
    """Whatever stands in the file became a key of the recipe, a fact beside it, or is left out with a reason."""
    imported = import_foreign(file)
    names = [*imported.carried, *(one.name for one in imported.left_out)]
    text = re.sub(r"(?m)^\s*#.*$", "", file.read_text())
    if file.suffix == ".sh":
        given = set(re.findall(r"(?<=\s)--[\w-]+", text))
        accounted = {word for name in names for word in name.split()}
    elif file.suffix == ".json":
        given, accounted = set(json.loads(text)), {name.partition(".")[0] for name in names}
    else:
        given = set(re.findall(r"(?m)^ +(\w+)\s*:", text)) | set(re.findall(r'[{,] *"(\w+)":', text))
        accounted = {part for name in names for part in name.split(".")}
    assert given <= accounted, given - accounted


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_what_is_carried_over_is_there(file: Path) -> None:
    imported = import_foreign(file)
    origin = {**imported.origin.settings, "processes": imported.origin.processes}
    for name, target in imported.carried.items():
        at({**imported.values, "origin": origin}, target), name
    assert set(imported.origin.settings) <= set(Upstream.__annotations__)
    assert all(one.reason for one in imported.left_out)
    json.dumps([imported.values, imported.origin.settings])


BASES = {
    "open_clip": ("torchrun --nproc_per_node 2 -m open_clip_train.main --train-data a.tar", open_clip_flags.FLAGS),
    "beit3": (
        "torchrun --nproc_per_node 2 run_beit3_finetuning.py --task vqav2 --model beit3_base_patch16_480 --data_path d "
        "--sentencepiece_model b.spm",
        beit3.FLAGS,
    ),
}
TYPICAL = {
    "--task": "vqav2",
    "--model": "beit3_base_patch16_384",
    "--opt_betas": "0.9 0.98",
    "--precision": "fp32",
    "--lr-scheduler": "const",
    "--aug-cfg": "'scale=(0.5,1)' use_timm=True nothing=3",
    "--beta1": "0.5",
    "--beta2": "0.5",
    "--drop_path": "0.5",
    "--force-image-size": "64 64",
    "--opt": "lookahead_adamw",
}


@pytest.mark.parametrize(("tool", "flag"), [(tool, flag) for tool, (_, flags) in BASES.items() for flag in flags])
def test_every_flag_of_a_tool_is_accounted_for(tool: str, flag: str) -> None:
    base, flags = BASES[tool]
    word = TYPICAL.get(flag, "1") if flags[flag] != "none" else ""
    imported = import_foreign(f"{base} {flag} {word}")
    named = set(imported.carried) | {one.name.partition(" ")[0] for one in imported.left_out}
    assert flag in named
    assert (
        import_foreign(f"{base} {flag}={word}" if word and flags[flag] == "one" else f"{base} {flag} {word}")
        == imported
    )


def test_unknown_flags_and_stray_words_are_left_out() -> None:
    imported = import_foreign(f"{BASES['open_clip'][0]} --new-flag 3 4 --other stray --lr=1e-3 -q")
    left = {one.name: one.value for one in imported.left_out}
    assert left == {"--new-flag": "3 4", "--other": "stray", "-q": "true", "examples": "not given"}


@pytest.mark.parametrize(
    ("version", "preset", "dialect", "scope"),
    [
        ("0.1.1", "colpali-paper", "paper", "process"),
        ("0.3.3", "colpali-engine-0.2", "paper", "process"),
        ("0.3.10", "colpali-engine-0.3.4", "colpali-engine<=0.3.10", "process"),
        ("0.3.12", "colpali-engine-0.3.11", "colpali-engine>=0.3.11", "global"),
    ],
)
def test_a_pinned_engine_says_its_prompts_losses_and_negatives(
    version: str, preset: str, dialect: str, scope: str
) -> None:
    command = f"torchrun --nproc_per_node 8 train_colbert.py {CASES}/bipali.yaml"
    imported = import_foreign(f"pip install 'colpali-engine[train]=={version}'\n{command}")
    assert (imported.values["model"]["preset"], imported.values["loss"]["dialect"]) == (preset, dialect)
    assert (imported.origin.settings["negatives_scope"], imported.origin.settings["engine"]) == (scope, version)


def test_steps_are_counted_as_open_clip_counts_them() -> None:
    """2,838 rounds of 1,024 are 355 for each of 8 workers, so 2,840; another number of workers gives another."""
    command = "torchrun --nproc_per_node 8 -m open_clip_train.main --train-data 'x-{0000..0575}.tar' --batch-size 128 "
    command += "--train-num-samples 2905954 --epochs 1 --workers"
    assert [import_foreign(f"{command} {workers}").values["train"]["steps"] for workers in (8, 1, 32)] == [
        2840,
        2838,
        2848,
    ]
    assert import_foreign(f"{command} 8", examples=10_240).values["train"]["steps"] == 16


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ls -l && rm -rf /", "cannot be imported. Supported are colpali-engine's configs"),
        ("python train.py --lr 3", "cannot be imported; it starts train.py"),
        ("no-such-file.yaml", "There is no file no-such-file.yaml"),
        ("python train_colbert.py scripts/configs/qwen2/train.py", "without a .yaml config"),
        ("python train_colbert.py missing.yaml", "config missing.yaml was not found; run this in"),
        ("python run_beit3_finetuning.py --task nlvr2", "--task is nlvr2; only BEiT-3's vqav2"),
        ("python -m training.main --lr 3", "has no --train-data"),
        ("python -m training.main --train-data", "--train-data has no value"),
        ("python -m training.main --train-data a.tar --lr fast", "--lr is fast; it must be a number"),
        ("python -m training.main --train-data a.tar --lr nan", "--lr is nan; it must be a number"),
        ("python -m training.main --train-data a.tar --lr 0", "at train.optimizer.lr: input should be greater than 0"),
        (
            "python -m training.main --train-data a.tar --batch-size 1.5",
            "--batch-size is 1.5; it must be a whole number",
        ),
        (
            "python -m training.main --train-data a.tar --wandb x",
            "--wandb is ambiguous: --wandb-notes or --wandb-project-name",
        ),
        ("python -m training.main --train-data a.tar --name 'x", "Line 1 cannot be parsed as bash ("),
        ("torchrun --nproc_per_node 0 -m training.main --train-data a.tar", "is '0'; it must be a number"),
        ("python -m training.main --train-data a\npython -m training.main --train-data b", "has 2 training commands"),
        ('{"a": 1}', "not transformers' TrainingArguments"),
        ("A=12345678901234567890;" + "A=$A$A$A$A;" * 20, "has more than 20000 characters"),
        ("ls\n" * 6000, "has more than 20000 steps or words"),
    ],
)
def test_what_cannot_be_imported_is_said_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        import_foreign(text)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_recipes_are_told_from_foreign_files(tmp_path: Path) -> None:
    assert all(is_foreign(file) and is_foreign(str(file)) for file in WHOLE)
    assert is_foreign("torchrun -m training.main --lr 3")
    assert not is_foreign("desk-colpaly") and not is_foreign(str(tmp_path))
    assert not any(is_foreign(find_recipe(name)) for name in builtin_names())


def test_names_are_those_of_the_families_and_losses() -> None:
    presets = {name for rows in colpali_names.GENERATIONS.values() for _, name in rows}
    assert presets <= set(PRESETS)
    assert {row.backbone for row in colpali_names.CLASSES.values()} <= set(BACKBONES)
    assert {name for _, name in colpali_names.DIALECTS} == set(registry.NAMED)
    assert set(colpali_names.IN_BATCH) == set(registry.NAMED[registry.PAPER])
    assert {*colpali_names.IN_BATCH, *colpali_names.LATER} == set(registry.NAMED[registry.CURRENT])
    assert set(SIZES) <= set(CLIP_SIZES)
