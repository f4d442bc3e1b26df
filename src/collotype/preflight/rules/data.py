"""Rules on the training data."""

import math
from collections.abc import Iterator
from typing import Any

from collotype.preflight.context import CheckContext
from collotype.preflight.data_locations import measured_and_trained
from collotype.preflight.findings import Severity
from collotype.preflight.rules.rule import REPAIRED, Evidence, rule, upstream_rule
from collotype.runtime.hub.names import RENAMED, plain
from collotype.runtime.shards.names import some

FEW, MANY = 100_000, 5_000_000
"""Between them a CLIP from scratch learns its images by heart."""
MANY_SHARED = 0.05
"""Of a test set; fewer are doubles, as large collections have them."""


@rule("row count differs from the published", "may differ", "the data's own publication (preflight/published_data.py)")
def rows_differ(context: CheckContext) -> Iterator[Evidence]:
    for name, facts in context.plan.get("data", {}).items():
        for what, published in facts.get("published", {}).items():
            there = facts.get(what)
            if there is None or there == published:
                continue
            less = (published - there) / published
            grave: Severity = "will differ" if abs(less) > 0.1 else "may differ"
            yield Evidence(
                severity=grave if name == "train" or not less else "will differ",
                seen=f"{name}: {there:,} {what}",
                reference=f"{published:,}",
                why="Copies lack images that vanished from the web, and a split, a filter or a limit removes more."
                if name == "train"
                else "A metric over other queries or pages is a different metric.",
                fix="complete the copy, or expect another number; `limit`, `split` and `only` restrict the data",
            )


@rule("stale dataset name", "blocks", "colpali issues 66 and 315")
def stale_name(context: CheckContext) -> Iterator[Evidence]:
    paths = [getattr(source, "path", "") for source in context.recipe.data.train]
    for number, path in enumerate(paths):
        if (name := plain(path)) in RENAMED:
            yield Evidence(
                seen=path,
                reference=RENAMED[name],
                why="Configurations of earlier versions name data sets that were moved or withdrawn.",
                fix=f"--set data.train.{f'{number}.' * (len(paths) > 1)}path={RENAMED[name].split(' ')[0]}",
            )


@upstream_rule("stale data loader", "note", "colpali issues 66 and 315; colpali-engine's dataset_transformation.py")
def stale_loader(context: CheckContext) -> Iterator[Evidence]:
    """The file runs with the engine of its time alone."""
    name = str(context.upstream.get("dataset") or "")
    stale = next((part for part in ("_detailed", "_ir_negs", "_with_docmatix") if name.endswith(part)), None)
    if stale:
        yield Evidence(
            seen=name,
            reference="vidore/colpali_train_set, 118,695 pairs",
            why="The engine's loader of that name was removed, or gives no data set any more: shipped configurations "
            "with it stop at once in newer versions.",
            fix="the recipe names the data itself: data.train.path",
        )


@rule(
    "no augmentation on a middle-sized set",
    "note",
    "open_clip docs/clip_val_loss.png; facebookresearch/SLIP issue 9",
    "RN50 on CC3M: validation loss lowest at epochs 12 to 17 (0.85), 1.35 at epoch 30; top-1 still rises",
)
def no_augmentation(context: CheckContext) -> Iterator[Evidence]:
    examples, epochs = context.plan.get("examples"), context.plan.get("epochs", 0)
    if context.recipe.family != "clip" or examples is None or not FEW <= examples <= MANY or epochs < 10:
        return
    data: Any = context.recipe.data
    augmentation = data.augmentation
    if augmentation.scale[0] >= 0.8 and augmentation.color_jitter is None:
        yield Evidence(
            seen=f"crops of {augmentation.scale[0]:g} to {augmentation.scale[1]:g} of an image, "
            f"{epochs:.0f} times over {examples:,} images",
            reference="crops from 0.4 on, as clip-rn50-cc3m has"
            + " (the published run had these)"
            * (context.of_reference("data.augmentation.scale") == augmentation.scale),
            why="A few million images seen thirty times almost unchanged are memorised.",
            fix="--set data.augmentation.scale=[0.4,1.0]",
        )


@rule("evaluated on what it trains on", "will differ", "unilm issue 1099")
def trained_on_the_test(context: CheckContext) -> Iterator[Evidence]:
    """By the files, whatever the split is called; else by samples of what is in them."""
    files = {
        number: measured_and_trained(context.recipe.data.train, one)
        for number, one in enumerate(context.recipe.evaluate)
    }
    for found in filter(None, files.values()):
        yield remembered(f"{some(found)} {'is' if len(found) == 1 else 'are'} trained on and measured")
    for dataset, overlap in context.plan.get("overlap", {}).items():
        if not any(files[number] and one.measures(dataset) for number, one in enumerate(context.recipe.evaluate)):
            shared, looked_at = overlap["shared"], overlap["looked_at"]
            yield remembered(
                f"{shared:,} of {looked_at:,} samples of {dataset} looked at are trained on, text and image",
                "will differ" if shared >= MANY_SHARED * looked_at else "may differ",
            )


def remembered(seen: str, severity: Severity = "will differ") -> Evidence:
    return Evidence(
        severity=severity,
        seen=seen,
        reference="data that training never shows",
        why="The number says what was remembered.",
        fix="give evaluate another path or split",
    )


@upstream_rule(
    "a data set that is never seen",
    "will differ",
    "colpali-engine's SingleDatasetBatchSampler, run on 0.3.18",
    "of 100 and 20 examples in batches of 32, 96 and none are seen, with drop_last or without",
)
def unseen_data_set(context: CheckContext) -> Iterator[Evidence]:
    batch, facts = context.upstream.get("sampler_batch"), context.plan.get("data", {}).get("train", {})
    for number, one in enumerate(facts.get("sources", ()) if batch else ()):
        if one["examples"] < batch:
            yield Evidence(
                seen=f"data.train.{number} has {one['examples']:,} examples, a batch of one data set {batch:,}",
                reference="every example once an epoch",
                why="The sampler takes whole batches only, whatever dataloader_drop_last says: a smaller set has none.",
                fix="--set data.mixing=by-example, which mixes small sets into every batch",
            )


@upstream_rule(
    "every epoch in the same order",
    "may differ",
    "colpali-engine's SingleDatasetBatchSampler, run on 0.3.18; accelerate's BatchSamplerShard",
)
def repeated_order(context: CheckContext) -> Iterator[Evidence]:
    epochs = context.upstream.get("epochs") or 1
    if context.upstream.get("sampler_batch") and epochs > 1 and context.imported.processes > 1:
        yield Evidence(
            seen=f"{epochs:g} epochs of several data sets on {context.imported.processes} processes",
            reference="another order, and other negatives, in each epoch",
            why="The sampler shuffles when set_epoch is called, and on several processes nothing calls it: the same "
            "queries meet the same negatives again.",
            fix=f"{REPAIRED}: the order is a function of the seed and the epoch",
        )


@upstream_rule(
    "too few shards for workers and processes",
    "will differ",
    "open_clip issue 930, its data.py",
)
def few_shards(context: CheckContext) -> Iterator[Evidence]:
    shards, workers = (
        context.upstream.get("shards"),
        (context.upstream.get("workers") or 0) * context.imported.processes,
    )
    if not shards or workers < 2 or not context.was("open_clip"):
        return
    low, high, mean = shards // workers, math.ceil(shards / workers), shards / workers
    if low == high or mean >= 10:
        return
    if low == 0:
        seen, effect = f"{shards} shards for {workers} loaders: some have none", "open_clip stops, or trains on a part"
    else:
        seen = f"{shards} shards for {workers} loaders: {low} or {high} each"
        effect = f"about {1 - mean / high:.0%} of the shards of a loader with {high} are dropped each epoch, and "
        effect += f"{mean / low - 1:.0%} of one with {low} are shown twice"
    yield Evidence(
        seen=seen,
        reference="ten or more shards a loader, or as many for each",
        why="Each loader reads the mean number of samples, whatever its shards contain.",
        effect=effect,
        fix=f"{REPAIRED}: every example is seen once an epoch with any number of loaders",
    )
