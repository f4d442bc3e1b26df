"""Commands that only evaluate are evaluations: what they measure and how, and nothing about training."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from collotype import runner
from collotype.cli.findings import print_check
from collotype.importers import import_foreign, is_foreign
from collotype.recipe import parse_recipe
from collotype.runtime.errors import UserError

V1 = "vidore/vidore-benchmark-667173f98e70a1c0fa4db00d"
V2 = "vidore/vidore-benchmark-v2-67ae03e3924e85b36e7f53b0"
PYTHON = """
import mteb
from mteb import MTEB

NAME = "vidore/colqwen2-v1.0"
model = mteb.get_model(NAME, revision="530094e8")
tasks = mteb.get_benchmark("ViDoRe(v2)")
results = mteb.evaluate(model, tasks=tasks, encode_kwargs={"batch_size": 16}, cache=None)
"""
OLDER = """
import mteb
tasks = mteb.get_tasks(tasks=["VidoreDocVQARetrieval", "VidoreArxivQARetrieval"])
mteb.MTEB(tasks=tasks).run(mteb.get_model("vidore/colpali-v1.2"), output_folder="out")
"""

COMMANDS: dict[str, tuple[str, dict[str, Any]]] = {
    # text: the tool, and of the recipe (evaluate, weights, preset) and the origin what must be so
    f"vidore-benchmark evaluate-retriever --model-class colqwen2_5 --model-name vidore/colqwen2.5-v0.2 "
    f"--dataset-format qa --collection-name {V1} --split test --batch-passage 8": (
        "vidore-benchmark",
        {
            "weights": "vidore/colqwen2.5-v0.2",
            "backbone": "qwen2.5-vl",
            "preset": "colqwen2-engine-0.3.13",
            "evaluate": [{"suite": "vidore-v1", "counting": "vidore-benchmark"}],
            "evaluation_batch": 8,
            "score_precision": "bf16",
        },
    ),
    "CUDA_VISIBLE_DEVICES=1 uv run vidore-benchmark --log info evaluate-retriever --model-name vidore/colpali-v1.2 "
    f'\\\n  --collection-name "{V2}" --split test': (
        "vidore-benchmark",
        {
            "weights": "vidore/colpali-v1.2",
            "preset": "colpali-engine-0.3.4",
            "evaluate": [{"suite": "vidore-v2", "counting": "vidore-benchmark"}],
            "evaluation_batch": 4,
        },
    ),
    "vidore-benchmark evaluate-retriever --model-class colpali --dataset-name vidore/docvqa_test_subsampled": (
        "vidore-benchmark",
        {
            "weights": "vidore/colpali-v1.3",
            "evaluate": [{"suite": "vidore-v1", "only": ["docvqa"], "counting": "vidore-benchmark"}],
        },
    ),
    "vidore-benchmark evaluate-retriever --model-class colidefics3 --model-name vidore/colSmol-500M "
    "--dataset-name ./own --dataset-format beir --split dev": (
        "vidore-benchmark",
        {"evaluate": [{"suite": "beir", "path": "./own", "counting": "vidore-benchmark", "split": "dev"}]},
    ),
    'mteb run -m vidore/colpali-v1.3 -b "ViDoRe(v1)" --batch-size 8 --output-folder results': (
        "mteb",
        {
            "weights": "vidore/colpali-v1.3",
            "preset": "colpali-engine-0.3.11",
            "evaluate": [{"suite": "vidore-v1"}],
            "evaluation_batch": 8,
            "evaluation_precision": "fp16",
            "repeated_queries": "merged",
        },
    ),
    "python -m mteb run --model=vidore/colqwen2-v1.0 --tasks VidoreDocVQARetrieval Vidore2ESGReportsRetrieval": (
        "mteb",
        {"evaluate": [{"suite": "vidore-v1", "only": ["docvqa"]}, {"suite": "vidore-v2", "only": ["esg-reports"]}]},
    ),
    "mteb -m Verm1ion/ColTurk-VDR-Qwen3VL-4B-v1.0 -t Vidore3HrRetrieval,Vidore3EnergyRetrieval.v2 --verbosity 3": (
        "mteb",
        {
            "backbone": "qwen3-vl",
            "evaluate": [
                {"suite": "vidore-v3", "only": ["hr"]},
                {"suite": "vidore-v3.1", "only": ["energy"]},
            ],
        },
    ),
    "mteb run -m tencent/EVIE-4.5B -b 'ViDoRe(v3)'": (
        "mteb",
        {"backbone": "qwen3.5", "dim": 2048, "preset": "evie", "gain": "linear", "evaluate": [{"suite": "vidore-v3"}]},
    ),
    PYTHON: (
        "mteb",
        {"weights": "vidore/colqwen2-v1.0", "evaluate": [{"suite": "vidore-v2"}], "evaluation_batch": 16},
    ),
    OLDER: (
        "mteb",
        {"weights": "vidore/colpali-v1.2", "evaluate": [{"suite": "vidore-v1", "only": ["docvqa", "arxivqa"]}]},
    ),
    f"pip install mteb -q\npython - <<'EOF'\n{PYTHON}\nEOF\n": ("mteb", {"evaluate": [{"suite": "vidore-v2"}]}),
    f"python -c '{OLDER}'": ("mteb", {"weights": "vidore/colpali-v1.2"}),
    "accelerate launch --num_processes=8 -m lmms_eval --model llava_onevision --model_args "
    'pretrained="lmms-lab/llava-onevision-qwen2-0.5b-ov",conv_template=qwen_1_5 --tasks vqav2_val --batch_size 1': (
        "lmms-eval",
        {
            "weights": "lmms-lab/llava-onevision-qwen2-0.5b-ov",
            "evaluate": [{"suite": "vqav2", "path": "vqav2", "split": "val"}],
            "answers_normalised": "always",
        },
    ),
    "python3 -m lmms_eval --model qwen2_5_vl --model_args pretrained=Qwen/Qwen2.5-VL-3B-Instruct --tasks vqav2_test": (
        "lmms-eval",
        {"evaluate": [{"suite": "vqav2", "path": "vqav2", "split": "test"}]},
    ),
    "python -m open_clip_train.main --imagenet-val in1k/val --model RN101 --pretrained weights/rn101.pt --workers 8": (
        "open_clip",
        {"weights": "weights/rn101.pt", "evaluate": [{"suite": "imagenet", "path": "in1k/val"}]},
    ),
    "python -m training.main --val-data flickr.csv --resume logs/a/checkpoints/epoch_9.pt --precision fp32": (
        "open_clip",
        {
            "weights": "logs/a/checkpoints/epoch_9.pt",
            "evaluate": [{"suite": "captions", "path": "flickr.csv"}],
            "evaluation_precision": "fp32",
        },
    ),
    "clip_benchmark eval --dataset imagenet1k --dataset_root /d/{dataset} --model ViT-B-32 --pretrained e/30.pt": (
        "clip_benchmark",
        {
            "weights": "e/30.pt",
            "activation": "gelu",
            "evaluate": [{"suite": "imagenet", "path": "/d/imagenet1k/val"}],
            "evaluation_precision": "fp16",
        },
    ),
    "python -m clip_benchmark.cli eval --pretrained_model RN50,openai --dataset imagenet1k imagenetv2 --no_amp": (
        "clip_benchmark",
        {
            "weights": "openai",
            "activation": "quick_gelu",
            "evaluate": [
                {"suite": "imagenet", "path": "root/val"},
                {"suite": "imagenet", "path": "root/ImageNetV2-matched-frequency-format-val", "name": "v2"},
            ],
            "evaluation_precision": "fp32",
        },
    ),
}


@pytest.mark.parametrize("text", COMMANDS)
def test_evaluations_are_imported_with_what_they_measure_and_how(text: str) -> None:
    tool, expected = COMMANDS[text]
    assert is_foreign(text)
    imported = import_foreign(text)
    model, settings = imported.values["model"], imported.origin.settings
    found = {"evaluate": imported.values["evaluate"], **settings, **model}
    assert imported.origin.tool == tool and settings["evaluates_only"] is True
    assert {key: found[key] for key in expected} == expected
    parse_recipe(imported.values, "here")


@pytest.mark.parametrize("text", [PYTHON, OLDER])
def test_a_python_file_is_read_and_never_run(text: str, tmp_path: Path) -> None:
    (tmp_path / "eval.py").write_text(text + f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert import_foreign(tmp_path / "eval.py").values["name"] == "eval"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mteb run -m BAAI/bge-m3 -b 'ViDoRe(v1)'", "bge-m3, which is not a known retriever"),
        (
            "mteb run -m vidore/colpali-v1.3 -t Banking77Classification",
            "task is Banking77Classification; only the ViDoRe tasks",
        ),
        ("mteb run -m vidore/colpali-v1.3 -b 'MTEB(eng, v2)'", "benchmark is MTEB"),
        ("mteb run -m vidore/colpali-v1.3", "needs a benchmark"),
        ("vidore-benchmark evaluate-retriever --model-class siglip --collection-name " + V1, "--model-class is siglip"),
        ("vidore-benchmark evaluate-retriever --model-class colpali --collection-name x/y", "evaluates on x/y"),
        ("python -m lmms_eval --model llava --tasks mmmu_val", "--tasks are mmmu_val"),
        ("python -m open_clip_train.main --imagenet-val x --model RN50", "evaluates random weights"),
        ("clip_benchmark eval --dataset vtab+ --dataset_root r", "--dataset is vtab+; only imagenet1k"),
        ("clip_benchmark eval --model RN50", "--dataset is cifar10"),
        ("clip_benchmark eval --dataset imagenet1k --pretrained_model openai", "give one model as MODEL,WEIGHTS"),
        ("clip_benchmark eval --dataset imagenet1k --language de", "--language is de"),
        ("clip_benchmark eval --dataset imagenet1k --task linear_probe", "--task is linear_probe"),
        ("clip_benchmark eval --dataset imagenet1k --model_type ja_clip", "--model_type is ja_clip"),
        ("mteb run -m vidore/colpali-v1.3 -b 'ViDoRe(v1)' --batch_siz 4 --batch_Size 2", "write --batch_size"),
        ("mteb run -m a/colpali -b 'ViDoRe(v1)'\nmteb run -m b/colqwen2 -b 'ViDoRe(v1)'", "2 evaluations"),
    ],
)
def test_what_is_not_known_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        import_foreign(text)


def checked(text: str) -> tuple[str, list[dict[str, Any]]]:
    """The page that a person sees, and the findings."""
    imported = import_foreign(text)
    recipe, plan = runner.check(parse_recipe(imported.values, "here"), origin=imported.origin)
    console = Console(width=100, record=True, file=io.StringIO())
    print_check(console, recipe, plan, imported)
    json.dumps(plan)
    return console.export_text(), plan["findings"]


TRAINING = ("GPU", "V100", "memory", "batch of", "optimiser", "warm-up", "negatives", "epochs", "loader")
"""Words of training, and of the hardware that it takes."""


@pytest.mark.parametrize("text", [text for text in COMMANDS if "EVIE" not in text])
def test_who_evaluates_is_told_of_the_evaluation_alone(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """colpali issue 407: somebody who evaluated was told to use eight GPUs."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    page, findings = checked(text)
    assert not [word for word in TRAINING if word in page]
    assert {one["name"] for one in findings if one["severity"] == "blocks"} <= {
        "weights not here",
        "a model of no family here",
    }
    if "lmms_eval" in text:
        assert "answers normalised where the official accuracy does not" in page
    else:
        assert "It only evaluates: collotype evaluate " in page


def test_the_prompts_of_the_tool_are_held_against_those_of_the_checkpoint() -> None:
    """vidore-benchmark 5 runs today's engine, whose queries have no prefix; mteb puts it back."""
    named = [
        {found["name"] for found in checked(text)[1]}
        for text in (next(iter(COMMANDS)), "mteb run -m vidore/colqwen2.5-v0.2 -b 'ViDoRe(v1)'")
    ]
    assert "prompts of another generation" in named[0] and "prompts of another generation" not in named[1]
    assert "scores in half precision" in named[0] and "scores in half precision" not in named[1]


def test_validation_on_shards_is_carried() -> None:
    text = "python -m open_clip_train.main --train-data all.tar --val-data all.tar --train-num-samples 8 --model RN50"
    assert import_foreign(text).values["evaluate"] == [{"suite": "captions", "path": "all.tar"}]


def test_here_documents_that_are_never_closed_cost_no_time() -> None:
    from collotype.importers.evaluation_python import without_heredocs

    text = "mteb run\n" + "<<a\n" * 16_000
    assert without_heredocs(text) == (text, [])
    assert without_heredocs("python - <<'E' > x\nimport mteb\nE\nls") == ("python -  > x\nls", ["import mteb"])


def test_slip_is_a_clip_whose_pages_were_gathered_without_gradient() -> None:
    """LaCLIP issue 6."""
    text = "torchrun --nproc_per_node=8 main.py --root /d --dataset cc3m --metadata cc3m.npy --model CLIP_VITB16 "
    imported = import_foreign(text + "--batch-size 128 --epochs 40 --lr 3e-3 --wd 0.1 --update-freq 2 --lr-end 0")
    train = imported.values["train"]
    assert train["batch"] == 128 * 8 * 2 and train["steps"] == 40 * (2_905_954 // 1024 // 2)
    assert train["optimizer"] == {"lr": 3e-3, "beta1": 0.9, "beta2": 0.98, "eps": 1e-8, "weight_decay": 0.1}
    assert train["schedule"] == {"name": "cosine", "final_lr": 0.0, "warmup_steps": 1418}
    _, plan = runner.check(parse_recipe(imported.values, "slip"), origin=imported.origin, card="A100")
    assert {"pages gathered without gradient", "the best epoch before the last"} <= {
        found["name"] for found in plan["findings"]
    }
    with pytest.raises(UserError, match="--model is SIMCLR_VITB16; of SLIP's models, only CLIP_VITB16"):
        import_foreign("python main.py --model SIMCLR_VITB16 --dataset cc3m")


ENGINE = """config:
  (): colpali_engine.trainer.colmodel_training.ColModelTrainingConfig
  model:
    (): colpali_engine.models.ColQwen2.from_pretrained
    pretrained_model_name_or_path: Qwen/Qwen2-VL-2B-Instruct
  processor:
    (): colpali_engine.models.ColQwen2Processor.from_pretrained
    pretrained_model_name_or_path: Qwen/Qwen2-VL-2B-Instruct
  train_dataset:
    - (): colpali_engine.data.dataset.ColPaliEngineDataset
      data: {(): datasets.load_dataset, path: one, split: train}
    - (): colpali_engine.data.dataset.ColPaliEngineDataset
      data: {(): datasets.load_dataset, path: other, split: train}
  loss_func: {(): colpali_engine.loss.ColbertLoss}
  tr_args:
    (): transformers.training_args.TrainingArguments
    per_device_train_batch_size: 16
    num_train_epochs: 2
  peft_config:
    (): peft.LoraConfig
    r: 8
    target_modules: [q_proj, v_proj]
    rank_pattern: PATTERN
"""


@pytest.mark.parametrize(
    ("pattern", "dead"),
    [
        ('{q_proj: 4, "layers.0.self_attn.q_proj": 16}', ["layers.0.self_attn.q_proj"]),
        ('{"layers.0.self_attn.q_proj": 16, q_proj: 4}', None),
        ('{v_proj: 4, "layers.0.self_attn.q_proj": 16}', None),
        ("{q_proj: 4, v_proj: 8}", None),
        (
            r'{self_attn.q_proj: 4, "layers\\.[0-3]\\..*\\.self_attn\\.q_proj": 16}',
            [r"layers\.[0-3]\..*\.self_attn\.q_proj"],
        ),
    ],
)
def test_a_general_pattern_before_a_specific_one_is_seen(pattern: str, dead: list[str] | None) -> None:
    settings = import_foreign(ENGINE.replace("PATTERN", pattern)).origin.settings
    assert settings.get("dead_patterns") == dead and settings["sampler_batch"] == 16
