"""Every rule sees its difference, and nothing where there is none."""

import re
from pathlib import Path

import pytest

from collotype.preflight.difference_effects import EFFECTS
from collotype.preflight.findings import SEVERITIES
from collotype.preflight.rules import RULES, find
from collotype.preflight.rules.published_diff import differs_from_published_run
from collotype.recipe import load_recipe
from collotype.recipe.load import parse_yaml, set_key
from collotype.report import published
from collotype.report.comparables import flatten
from tests.preflight.cases import A100, BEIT3, CPU, ENGINE, OPEN_CLIP, V100, case

DOCS = Path(__file__).parents[2] / "docs" / "check.md"
HARD = {"data.train.negatives": 1, "loss.name": "BiPairwiseNegativeCELoss", "loss.dialect": "colpali-engine>=0.3.11"}
ESTIMATE = {"memory_mib": {"weights": 90_000.0}, "disk_mib": 5000.0}

SEEN = {
    # rule: (recipe, what makes it see something, what makes it see nothing)
    "not_here": ("bipali-paper", {"plan": {"unknown": {"weights": "There is none."}}}, {"plan": {"unknown": {}}}),
    "differs_from_published_run": (
        "bipali-paper",
        {"against": "bipali-paper", "overrides": {"train.batch": 16}},
        {"against": "bipali-paper"},
    ),
    "rows_differ": (
        "bipali-paper",
        {"plan": {"data": {"train": {"examples": 118_000, "published": {"examples": 118_695}}}}},
        {"plan": {"data": {"train": {"examples": 118_695, "published": {"examples": 118_695}}}}},
    ),
    "stale_name": ("bipali-paper", {"overrides": {"data.train.path": "vidore/colpali_train_set_detailed"}}, {}),
    "stale_loader": (
        "bipali-paper",
        {"tool": ENGINE, "dataset": "load_train_set_detailed"},
        {"tool": ENGINE, "dataset": "load_train_set"},
    ),
    "no_augmentation": ("clip-rn50-cc3m-v0.1", {}, {"overrides": {"data.augmentation.scale": [0.4, 1.0]}}),
    "trained_on_the_test": (
        "bipali-paper",
        {"overrides": {"evaluate": [{"suite": "qa", "path": "vidore/colpali_train_set", "split": "train"}]}},
        {"overrides": {"evaluate": [{"suite": "qa", "path": "vidore/colpali_train_set", "split": "test"}]}},
    ),
    "few_shards": (
        "clip-rn50-cc3m",
        {"tool": OPEN_CLIP, "shards": 576, "workers": 32},
        {"tool": OPEN_CLIP, "shards": 576, "workers": 4},
    ),
    "missing_process_group": (
        "beit3-base-vqav2",
        {"tool": BEIT3, "process_group": "missing"},
        {"tool": BEIT3, "process_group": "initialised"},
    ),
    "refused_process_group": (
        "beit3-base-vqav2",
        {"tool": BEIT3, "process_group": "refused"},
        {"tool": BEIT3, "process_group": "initialised"},
    ),
    "repeats": (
        "beit3-base-vqav2",
        {"tool": BEIT3, "evaluation_repeats": True},
        {"tool": BEIT3, "evaluation_repeats": True, "processes": 1},
    ),
    "drops": (
        "beit3-base-vqav2",
        {"tool": BEIT3, "evaluation_drops": True},
        {"tool": BEIT3, "evaluation_drops": False},
    ),
    "augmented_validation": (
        "beit3-base-vqav2",
        {"tool": BEIT3, "evaluation_augmented": True},
        {"tool": BEIT3},
    ),
    "seen_in_training": ("beit3-base-vqav2", {"overrides": {"model.new_head": False}}, {}),
    "one_seed": (
        "bipali-paper",
        {
            "against": "bipali-paper",
            "overrides": {
                "expect": [
                    {
                        "dataset": "vidore-v1/average",
                        "metric": "ndcg_at_5",
                        "value": 0.588,
                        "tolerance": 0.001,
                        "source": "a test",
                    }
                ]
            },
        },
        {"against": "bipali-paper", "overrides": {"expect": "published:bipali-paper"}},
    ),
    "no_flash_attention": (
        "colqwen2-v100",
        {"tool": ENGINE, "attention": "flash_attention_2", "plan": {"hardware": V100}},
        {"tool": ENGINE, "attention": "flash_attention_2", "plan": {"hardware": A100}},
    ),
    "reentrant_checkpointing": (
        "colqwen2-v0.1",
        {"tool": ENGINE, "reentrant_checkpointing": True, "frozen_inputs": True},
        {"tool": ENGINE, "reentrant_checkpointing": False, "frozen_inputs": True},
    ),
    "quantized_without_gpu": (
        "colqwen2-v0.1",
        {"overrides": {"model.quantize": "nf4"}, "plan": {"hardware": CPU}},
        {"overrides": {"model.quantize": "nf4"}},
    ),
    "too_little_memory": ("bipali-paper", {"plan": {"estimate": ESTIMATE}}, {"plan": {"estimate": {"memory_mib": {}}}}),
    "too_little_disk": (
        "bipali-paper",
        {"plan": {"estimate": ESTIMATE, "folder": {"path": "runs/x", "free_mib": 100}}},
        {"plan": {"estimate": ESTIMATE, "folder": {"path": "runs/x", "free_mib": 10_000}}},
    ),
    "flat_pairwise_loss": ("colpali-paper", {"overrides": {"loss.dialect": "colpali-engine>=0.3.11"}}, {}),
    "hard_negatives": ("bipali-paper", {"overrides": HARD, "against": "bipali-paper"}, {"against": "bipali-paper"}),
    "raising_filter": (
        "bipali-paper",
        {"overrides": {"loss.filter_threshold": 0.95}},
        {"overrides": {"loss.filter_threshold": 0.95, "loss.filter_formula": "lower"}},
    ),
    "loss_that_crashes": (
        "colpali-paper",
        {
            "tool": ENGINE,
            "overrides": {"loss.name": "ColbertSigmoidLoss", "loss.dialect": "colpali-engine>=0.3.11"},
        },
        {"tool": ENGINE},
    ),
    "negatives_of_a_process": (
        "bipali-paper",
        {"tool": ENGINE, "negatives_scope": "process", "negatives_per_query": 3},
        {"tool": ENGINE, "negatives_scope": "global", "launcher": "python"},
    ),
    "negatives_of_a_block": (
        "bipali-paper",
        {"overrides": {"negatives.scope": "process", "negatives.processes": 8}},
        {},
    ),
    "no_negatives": ("bipali-paper", {"overrides": {"train.batch": 1}}, {}),
    "misplaced_positives": ("bipali-256", {"tool": ENGINE, "misplaced_positives": True}, {"tool": ENGINE}),
    "unshared_explicit_negatives": (
        "bipali-paper",
        {"tool": ENGINE, "overrides": HARD, "explicit_negatives": 1},
        {"tool": ENGINE, "overrides": HARD, "explicit_negatives": 1, "processes": 1},
    ),
    "local_loss_without_gradient": (
        "clip-rn50-cc3m",
        {"tool": OPEN_CLIP, "local_loss": True, "gather_with_grad": False},
        {"tool": OPEN_CLIP, "local_loss": True, "gather_with_grad": True},
    ),
    "gathered_without_gradient": (
        "clip-vit-b-32",
        {"tool": "slip", "gather_with_grad": False},
        {"tool": "slip", "gather_with_grad": False, "processes": 1},
    ),
    "scaled_gradient": (
        "clip-rn50-cc3m",
        {"tool": OPEN_CLIP, "local_loss": False, "gather_with_grad": False},
        {"tool": OPEN_CLIP, "local_loss": True, "gather_with_grad": True},
    ),
    "scale_gradient": (
        "clip-rn50-cc3m",
        {"tool": OPEN_CLIP, "scale_gradient_factor": 4},
        {"tool": OPEN_CLIP, "scale_gradient_factor": 1},
    ),
    "slow_second_moment": ("clip-rn50-cc3m-v0.1", {}, {"overrides": {"train.optimizer.beta2": 0.99}}),
    "paged_without_gpu": ("bipali-paper", {"plan": {"hardware": CPU}}, {}),
    "ignored_head_multiplier": (
        "beit3-base-vqav2",
        {"tool": BEIT3, "overrides": {"train.optimizer.layer_decay": 0.9}},
        {"tool": BEIT3},
    ),
    "half_precision_in_batch_norm": ("clip-rn50-cc3m", {"overrides": {"train.precision": "bf16"}}, {}),
    "no_bf16": ("bipali-paper", {"plan": {"hardware": V100}}, {}),
    "bf16_on_a_cpu": ("bipali-paper", {"plan": {"hardware": CPU}}, {}),
    "fp16_overflow": ("colqwen2-v100", {}, {"overrides": {"train.precision": "bf16"}}),
    "precision_by_default": (
        "clip-rn50-cc3m",
        {"tool": OPEN_CLIP, "precision_given": False},
        {"tool": OPEN_CLIP, "precision_given": True},
    ),
    "half_precision_loss": (
        "clip-rn50-cc3m",
        {"tool": OPEN_CLIP, "loss_precision": "bf16"},
        {"tool": OPEN_CLIP, "loss_precision": "fp32"},
    ),
    "half_precision_weights": (
        "bipali-paper",
        {"tool": ENGINE, "weights_precision": "bf16", "overrides": {"model.lora": None}},
        {"tool": ENGINE, "weights_precision": "bf16"},
    ),
    "another_generation": (
        "colqwen2-v1.0",
        {"plan": {"preset_of_weights": "colqwen2-engine-0.2"}},
        {"plan": {"preset_of_weights": "colqwen2-engine-0.3.4"}},
    ),
    "double_bos": (
        "colpali-v1.3",
        {"overrides": {"model.preset": "colpali-engine-0.3.13-transformers-5"}},
        {},
    ),
    "unpinned_base": ("bipali-paper", {"against": "bipali-paper"}, {}),
    "visual_budget": (
        "colqwen2-v1.0",
        {"tool": ENGINE, "max_visual_tokens": 1024, "overrides": {"model.max_visual_tokens": 512}},
        {"tool": ENGINE, "max_visual_tokens": 768, "overrides": {"model.max_visual_tokens": 768}},
    ),
    "long_warmup": ("clip-rn50-cc3m-v0.1", {}, {"overrides": {"train.schedule.warmup_steps": 2000}}),
    "less_than_an_epoch": ("bipali-paper", {"overrides": {"train.steps": 3000}}, {}),
    "random_projection": (
        "colpali-paper",
        {"plan": {"projection": {"from": "init_seed 42"}}},
        {"plan": {"projection": {"from": "vidore/colpaligemma-3b-pt-448-base"}}},
    ),
    "unseeded_projection": (
        "colpali-paper",
        {"tool": ENGINE, "seeded_initialisation": False, "plan": {"projection": {"from": "init_seed 42"}}},
        {"tool": ENGINE, "seeded_initialisation": True, "plan": {"projection": {"from": "init_seed 42"}}},
    ),
    "unseeded_order": (
        "clip-rn50-cc3m",
        {"tool": OPEN_CLIP, "seeded_shuffle": False},
        {"tool": OPEN_CLIP, "seeded_shuffle": True},
    ),
    "random_head": (
        "beit3-base-vqav2",
        {"tool": BEIT3, "random_head": True, "weights": "beit3_base_patch16_224.pth"},
        {"tool": BEIT3, "random_head": False},
    ),
    "stale_checkpoint": (
        "beit3-base-vqav2",
        {"tool": BEIT3, "stale_checkpoint": True},
        {"tool": BEIT3, "stale_checkpoint": False},
    ),
    "hidden_pattern": (
        "colqwen2-v1.0",
        {"tool": ENGINE, "dead_patterns": ["layers.0.q_proj"]},
        {"tool": ENGINE},
    ),
    "unseen_data_set": (
        "bipali-paper",
        {"tool": ENGINE, "sampler_batch": 32, "plan": {"data": {"train": {"sources": [{"examples": 20}]}}}},
        {"tool": ENGINE, "sampler_batch": 32, "plan": {"data": {"train": {"sources": [{"examples": 32}]}}}},
    ),
    "repeated_order": (
        "bipali-paper",
        {"tool": ENGINE, "sampler_batch": 4, "epochs": 3},
        {"tool": ENGINE, "sampler_batch": 4, "epochs": 3, "processes": 1},
    ),
    "best_before_last": (
        "clip-rn50-cc3m",
        {},
        {"overrides": {"train.keep_best": True}},
    ),
    "half_precision_model": (
        "colpali-v1.3",
        {"tool": "mteb", "evaluation_precision": "fp16"},
        {"tool": "mteb", "evaluation_precision": "fp32"},
    ),
    "other_kernel": (
        "colqwen2-v1.0",
        {"tool": "mteb", "evaluates_only": True, "attention": "flash_attention_2 where it is installed"},
        {"tool": "mteb", "evaluates_only": True, "attention": "sdpa"},
    ),
    "half_precision_scores": (
        "colpali-v1.3",
        {"tool": "vidore-benchmark", "score_precision": "bf16"},
        {"tool": "mteb", "score_precision": "fp32"},
    ),
    "batch_dependent": (
        "colpali-v1.3",
        {"tool": "vidore-benchmark", "evaluates_only": True, "evaluation_batch": 4},
        {"tool": "vidore-benchmark", "evaluates_only": True, "evaluation_batch": 1},
    ),
    "repeated_queries": (
        "colpali-v1.3",
        {"tool": "mteb", "repeated_queries": "merged"},
        {"tool": "mteb", "repeated_queries": "merged", "overrides": {"evaluate": [{"suite": "vidore-v3"}]}},
    ),
    "other_gain": (
        "colpali-v1.3",
        {"tool": "mteb", "gain": "linear", "overrides": {"evaluate": [{"suite": "vidore-v3"}]}},
        {"tool": "mteb", "gain": "linear"},
    ),
    "always_normalised": (
        "beit3-base-vqav2",
        {"tool": "lmms-eval", "answers_normalised": "always"},
        {"tool": "lmms-eval", "answers_normalised": "officially"},
    ),
    "unknown_model": ("beit3-base-vqav2", {"tool": "lmms-eval", "unknown_model": "llava"}, {"tool": "lmms-eval"}),
    "built_causal": (
        "colqwen2-v1.0",
        {"overrides": {"model.weights": "nvidia/nemotron-colembed-vl-4b-v2"}},
        {
            "overrides": {"model.weights": "nvidia/nemotron-colembed-vl-4b-v2"},
            "plan": {"query_attention": "bidirectional"},
        },
    ),
    "unbounded_budget": (
        "colqwen2-v1.0",
        {"tool": ENGINE, "weights": "Qwen/Qwen2-VL-2B-Instruct"},
        {"tool": ENGINE, "weights": "Qwen/Qwen2-VL-2B-Instruct", "max_visual_tokens": 768},
    ),
    "no_bound": (
        "colqwen2-v1.0",
        {"tool": ENGINE, "max_visual_tokens": 16},
        {"tool": ENGINE, "max_visual_tokens": 768},
    ),
    "folder_in_use": (
        "bipali-paper",
        {"plan": {"folder": {"path": "runs/bipali-paper", "holds": "a finished run"}}},
        {"plan": {"folder": {"path": "runs/bipali-paper"}}},
    ),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.look.__name__)
def test_a_rule_sees_what_it_is_about_and_nothing_else(rule) -> None:
    recipe, seen, unseen = SEEN[rule.look.__name__]
    findings = list(rule(case(recipe, **seen)))
    assert findings and not list(rule(case(recipe, **unseen)))
    for found in findings:
        assert found.severity in SEVERITIES and found.here is rule.here
        assert all((found.name, found.seen, found.reference, found.why, found.fix, found.source))


def test_a_budget_other_than_the_published_one_is_told_with_what_sets_it() -> None:
    context = case("evie-4.5b", {"model.max_visual_tokens": 768}, against="evie-4.5b")
    (found,) = [one for one in differs_from_published_run(context) if one.name.startswith("visual budget")]
    assert (found.name, found.severity) == ("visual budget below the reference", "will differ")
    assert (found.seen, found.fix) == ("max_visual_tokens 768", "--set model.max_visual_tokens=1024")


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.here], ids=lambda rule: rule.look.__name__)
def test_the_fix_of_a_finding_silences_it(rule) -> None:
    """Where the fix is a `--set` alone."""
    recipe, seen, _ = SEEN[rule.look.__name__]
    (found, *_) = rule(case(recipe, **seen))
    settings = re.findall(r"--set ([\w.]+)=(\S+)", found.fix)
    if re.sub(r"--set \S+|\s", "", found.fix):
        pytest.skip("more than a --set")
    changes = dict(seen.get("overrides", {})) | {key: parse_yaml(value.rstrip(","), "a fix") for key, value in settings}
    plan = {key: value for key, value in seen.get("plan", {}).items() if key not in ("preset_of_weights",)}
    assert found not in list(rule(case(recipe, **{**seen, "overrides": changes, "plan": plan})))


OF_THE_PLAN = {
    "negatives_per_query",
    "explicit_negatives",
    "epochs",
    "warmup_epochs",
    "data.train.examples",
    "max_visual_tokens",
}
"""Circumstances that follow from several keys."""


def test_every_finding_on_a_key_names_a_key_that_can_be_set() -> None:
    for name in published.names():
        found = published.load(name)
        for key, value in found.circumstances.items():
            if key in OF_THE_PLAN:
                continue
            like = {"vidore": "bipali-paper", "imagenet": "clip-rn50-cc3m", "vqav2": "beit3-base-vqav2"}
            recipe = next(one for start, one in like.items() if next(iter(found.results)).startswith(start))
            values = load_recipe(recipe).model_dump()
            known = flatten({**values, "data": {**values["data"], "train": values["data"]["train"][0]}})
            assert any(f"{one}.".startswith(f"{key}.") for one in known), f"{name}: {key} is no key of a recipe"
            set_key(values, key, value)


def test_the_documented_causes_of_a_missed_cc3m_are_found() -> None:
    """open_clip issue 930: warm-up 10,000, bf16, beta2 of a ResNet's defaults."""
    found = find(case("clip-rn50-cc3m-v0.1", {"train.precision": "bf16"}))
    causes = [one["name"] for one in found if one["severity"] != "note"]
    assert causes == ["bf16 with BatchNorm", "beta2 of 0.999", "long warm-up"]
    (warmup,) = (one for one in found if one["name"] == "long warm-up")
    assert "10,000 steps: 3.5 epochs, 12% of the run" in warmup["seen"]


def test_findings_are_dicts_the_gravest_first_and_theirs_before_ours() -> None:
    found = find(
        case(
            "bipali-paper",
            {"train.batch": 16},
            tool=ENGINE,
            against="bipali-paper",
            negatives_scope="process",
            negatives_per_query=1,
            plan={"unknown": {"weights": "There is none."}},
        )
    )
    order = [(SEVERITIES.index(one["severity"]), one["here"]) for one in found]
    assert order == sorted(order) and found[0]["name"] == "weights not here"
    assert [one["name"] for one in found[1:3]] == ["per-process negatives", "batch below the reference"]


def test_a_difference_that_another_one_explains_is_told_once() -> None:
    batch = [one["name"] for one in find(case("bipali-paper", {"train.batch": 16}, against="bipali-paper"))]
    assert "batch below the reference" in batch and "negatives per query below the reference" not in batch
    halved = case("bipali-paper", {"train.steps": 1800}, against="bipali-paper")
    unpinned = "revision of the base not named"
    assert {"epochs below the reference", unpinned} == {one["name"] for one in find(halved)}


def test_more_than_the_published_run_had_may_do_better() -> None:
    (found,) = (one for one in find(case("bipali-256", against="bipali-paper")) if one["name"].startswith("batch"))
    assert (found["name"], found["severity"]) == ("batch above the reference", "may differ")
    assert found["fix"] == "--set train.batch=32" and "256" in found["seen"] and "32" in found["reference"]


HARMLESS = {
    "RN50's towers are not checkpointed by --grad-checkpointing": ("clip-rn50-cc3m", OPEN_CLIP, {"accum_freq": 1}),
    "both of local loss and gathered gradient": (
        "clip-rn50-cc3m",
        OPEN_CLIP,
        {"local_loss": True, "gather_with_grad": True, "seeded_shuffle": True, "loss_precision": "fp32"},
    ),
    "neither of them, which published runs had": (
        "clip-rn50-cc3m",
        OPEN_CLIP,
        {"local_loss": False, "gather_with_grad": False},
    ),
    "frozen inputs with checkpoints that are not reentrant": (
        "colqwen2-v1.0",
        ENGINE,
        {"frozen_inputs": True, "reentrant_checkpointing": False, "negatives_scope": "global"},
    ),
    "an adapter over half-precision frozen weights": ("colqwen2-v1.0", ENGINE, {"weights_precision": "bf16"}),
    "a launcher, where one process is the whole batch": (
        "bipali-paper",
        ENGINE,
        {"negatives_scope": "global", "negatives_per_query": 31},
    ),
    "an unnamed seed, which has a default": ("clip-rn50-cc3m", OPEN_CLIP, {"seed_given": False}),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_nothing_documented_as_harmless_is_reported_as_harmful(name: str) -> None:
    recipe, tool, theirs = HARMLESS[name]
    found = find(case(recipe, tool=tool, **theirs))
    assert [one["name"] for one in found if not one["here"] and one["severity"] != "note"] == []


def test_effects_and_rules_agree_on_severities() -> None:
    assert {effect.severity for effect in EFFECTS} <= set(SEVERITIES)


def test_the_page_on_check_has_a_row_for_each_rule() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (here|theirs) \|$", DOCS.read_text(), re.MULTILINE)
    assert rows == [(rule.severity, rule.name, rule.source, "here" if rule.here else "theirs") for rule in RULES]
