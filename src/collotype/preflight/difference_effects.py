"""The likely effect of a difference in each key between two runs, most serious first.

`collotype compare` orders by it. Every line has its source; what has none here is shown as unknown.
"""

from pathlib import Path

from collotype.report.compare import Comparison, Effect, compare

CUTS_THE_WORK = (
    "train.micro_batch",
    "train.micro_batch_tokens",
    "train.shard",
    "train.gradient_checkpointing",
    "train.workers",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.keep_best",
)
"""A recipe's keys that say how the work is cut and kept."""

EFFECTS: tuple[Effect, ...] = (
    Effect(
        keys=(
            "family",
            "model.backbone",
            "model.size",
            "architecture",
            "model.interaction",
            "model.dim",
            "model.pooling",
        ),
        severity="will differ",
        why="another model; of the paper's two, late interaction reached 81.3 and a single vector 58.8; at desk scale "
        "0.98 and 0.64",
        source="arXiv 2407.01449; docs/lessons.md",
    ),
    Effect(
        keys=("negatives_per_query", "negatives"),
        severity="will differ",
        why="how hard the task is: 58.8 became 34.0 when the launcher left 3 of 31 negatives, and 0.64 at desk "
        "scale 0.38",
        source="colpali issue 124; docs/lessons.md",
    ),
    Effect(
        keys=("model.weights", "model.base", "model.new_head"),
        severity="will differ",
        why="training starts elsewhere; an adapter means nothing without the very projection it was trained on",
        source="colpali issues 11 and 17",
    ),
    Effect(
        keys=("hub",),
        severity="will differ",
        why="other weights or data under the same name: with another base an adapter fell from 0.24 to 0.17",
        source="docs/hub.md",
    ),
    Effect(
        keys=("loss",),
        severity="will differ",
        why="another objective; under one name defaults have changed, and with today's training was stuck near 0.5; "
        "from random weights the pairwise loss stayed at ln 2 in 4 of 4 runs",
        source="colpali issue 371; docs/lessons.md",
    ),
    Effect(
        keys=("data.train", "data.mixing", "data.distinct"),
        severity="will differ",
        why="other examples; copies of a published set differ by what has vanished from the web",
        source="open_clip issues 448 and 930",
    ),
    Effect(
        keys=("train.batch",),
        severity="will differ",
        why="negatives and noise of a step; a maintainer: BiPali at 256 is largely better than at 32; desk-colpali at "
        "8 has 0.33 instead of 0.99",
        source="colpali issue 124; docs/lessons.md",
    ),
    Effect(
        keys=("train.steps", "epochs"),
        severity="will differ",
        why="how long it was trained; desk-colpali at half its steps has 0.72 instead of 0.99",
        source="docs/lessons.md",
    ),
    Effect(
        keys=(
            "model.preset",
            "preset",
            "preset_of_weights",
            "max_visual_tokens",
            "model.max_query_tokens",
            "model.max_visual_tokens",
        ),
        severity="will differ",
        why="the text around a query and the pixels of a page; a lost prefix was measurable",
        source="embeddings-benchmark/mteb PR 5106",
    ),
    Effect(
        keys=("model.activation",),
        severity="may differ",
        why="weights of one read as the other lose 0.4 to 0.6 points; the effect on training is unknown",
        source="open_clip docs/openclip_results.csv",
    ),
    Effect(
        keys=("train.optimizer.lr",),
        severity="will differ",
        why="RN50x4 on CC3M needed 1e-3; the default of 5e-4 missed the published number; desk-colpali at half its "
        "rate has 0.74 instead of 0.99",
        source="open_clip issue 109; docs/lessons.md",
    ),
    Effect(
        keys=("model.batch_norm_group",),
        severity="will differ",
        why="over how many examples BatchNorm takes its statistics; a small CLIP named 0.20 of another artist's "
        "images with 8, 0.15 with 128",
        source="docs/benchmarks.md",
    ),
    Effect(
        keys=("evaluate",),
        severity="may differ",
        why="what is measured and how it is counted; merging doubles changes DocVQA",
        source="colpali issue 147",
    ),
    Effect(
        keys=("data.augmentation", "model.image_size", "model.drop_path", "model.lora", "model.quantize"),
        severity="may differ",
        why="what regularises a run",
    ),
    Effect(
        keys=("train.schedule", "warmup_steps", "warmup_epochs"),
        severity="may differ",
        why="1,000 to 2,000 warm-up steps were advised where a run had 10,000; a small CLIP gained by a "
        "warm-up of half its 1,000 steps, 0.153 instead of 0.140",
        source="open_clip issue 930; docs/benchmarks.md",
    ),
    Effect(
        keys=("train.optimizer.name",),
        severity="may differ",
        why="8-bit states round the denominator of a step; the effect is unknown",
        source="colpali issue 84",
    ),
    Effect(
        keys=("train.optimizer", "train.clip_grad_norm", "train.ema_decay"),
        severity="may differ",
        why="how a gradient becomes a step",
    ),
    Effect(
        keys=("precision", "train.precision"),
        severity="may differ",
        why="bf16 keeps 8 bits of mantissa, BatchNorm's statistics with the rest",
        source="open_clip issue 184",
    ),
    Effect(
        keys=("packages.transformers", "packages.collotype"),
        severity="may differ",
        why="attention masks and processors have changed between versions; 8 points on ViDoRe v2 were blamed on them",
        source="colpali issue 269",
    ),
    Effect(
        keys=("data",),
        severity="may differ",
        why="other queries or pages to be evaluated on",
    ),
    Effect(
        keys=("train.seed", "model.init_seed", "initial_sha256"),
        severity="may differ",
        why="other initial weights and order: within the spread over seeds",
    ),
    Effect(
        keys=(
            "parameters",
            "trainable_parameters",
            "forward_gflops",
            "vectors_per_page",
            "examples_left_out_per_epoch",
        ),
        severity="note",
        why="follows from the differences above",
    ),
    Effect(
        keys=("device", "machine", "system", "python", "packages", "threads"),
        severity="note",
        why="another order of sums: only rounding, which a long run can amplify to the spread over seeds",
        source="docs/invariance.md",
    ),
    Effect(
        keys=("processes", "launch", "micro_batch", "shard", *CUTS_THE_WORK),
        severity="note",
        why="cuts the work and changes no number",
        source="docs/invariance.md",
    ),
)


def compare_runs(one: str | Path, other: str | Path) -> Comparison:
    """Two finished runs, or a run and published:NAME, side by side.

    Raises:
        UserError: one of them is nothing that can be compared.
    """
    return compare(one, other, EFFECTS)
