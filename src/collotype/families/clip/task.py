"""CLIP's answers to the engine's questions."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from collotype.evaluation.results import Measured
from collotype.families.clip.benchmarks import CaptionedImages, Classification, find_suite, suite_needs
from collotype.families.clip.checkpoints import ClipCheckpoint, native, needs_of, read
from collotype.families.clip.checkpoints.checkpoint import at_size
from collotype.families.clip.config import SIZES, ClipConfig, sized
from collotype.families.clip.data import open_captions, source_needs
from collotype.families.clip.data.captions import CaptionDataset, Captioned, samples_of
from collotype.families.clip.evaluate import METRICS, evaluate, facts_of
from collotype.families.clip.model import Clip
from collotype.families.clip.recipe import ClipEvaluate, ClipRecipe
from collotype.families.clip.tokenizer import ClipTokenizer, bpe_tokenizer, word_tokenizer
from collotype.families.clip.transforms import Augmentation, ClipTrainTransform
from collotype.families.shared.suites import OpenedSuites
from collotype.families.shared.task import FamilyTask, cut_events, fault_events, parameter_counts
from collotype.losses.contrastive import ContrastiveLoss
from collotype.runtime.errors import UserError
from collotype.runtime.hub import Need, plain
from collotype.runtime.process import ALONE, World
from collotype.runtime.shapes import shapes_only
from collotype.runtime.shards.reader import Shards
from collotype.runtime.shards.samples import counts
from collotype.training.bad_examples import allowed_bad
from collotype.training.batch_norm import group_batch_norm
from collotype.training.overlap import Samples
from collotype.training.task import Batch, Loss, Outputs, facts_of_sources

MOST_LOGIT_SCALE = math.log(100)
"""arXiv 2103.00020, section 2.5."""
PUBLISHED_NAME = re.compile(r"(?i)/clip-((?:vit-[bl]-\d\d|vit-base-patch\d\d|vit-large-patch14)(?=$|-(?!\d)))")
"""A repository of the hub whose name says the size."""
SAID_AS = {"vit-base-patch32": "ViT-B-32", "vit-base-patch16": "ViT-B-16", "vit-large-patch14": "ViT-L-14"}
"""By transformers."""


@dataclass
class CaptionCollate:
    """Examples to a micro-batch; what loader processes need of a task."""

    tokenizer: ClipTokenizer
    places: int

    def __call__(self, examples: list[Captioned]) -> Batch:
        rows = [self.tokenizer(example.caption) for example in examples]
        return {
            "pixels": torch.stack([example.pixels for example in examples]),
            "ids": self.tokenizer.pad([row.ids for row in rows]),
            "cut": torch.tensor([row.cut for row in rows]),
        }

    def tokens(self, examples: list[Captioned]) -> list[int]:
        """Of an image: all are of one size, and captions are short beside it."""
        return [self.places] * len(examples)


class ClipTask(FamilyTask[ClipRecipe, Clip]):
    """Images and captions, contrasted over the whole batch."""

    couples_examples = True

    def __init__(self, recipe: ClipRecipe):
        super().__init__(recipe)
        self.sigmoid = recipe.loss.name == "sigmoid"
        self.objective = ContrastiveLoss(objective=recipe.loss.name, temperature=1.0)
        self.benchmarks = OpenedSuites(find_suite)

    @cached_property
    def contents(self) -> ClipCheckpoint | None:
        """What training starts from, if not from random weights.

        Raises:
            UserError: it cannot be read, or has no bias, which a sigmoid loss needs.
        """
        model = self.recipe.model
        if model.weights is None:
            return None
        found = read(model.weights, model.activation)
        if model.image_size is not None:
            found = at_size(found, model.image_size)
        if self.sigmoid != (found.config.init_logit_bias is not None):
            has, name = ("no", "symmetric-infonce") if self.sigmoid else ("a", "sigmoid")
            raise UserError(
                f"loss.name is {self.recipe.loss.name}, but {model.weights} has {has} logit_bias, so it was trained "
                f"with {name}; use --set loss.name={name}, or other weights."
            )
        return found

    @cached_property
    def captioned(self) -> list[CaptionDataset]:
        augmentation = Augmentation(**self.recipe.data.augmentation.values())
        prepare = self.config.preprocess_cfg
        transform = ClipTrainTransform(self.config.vision_cfg.image_size, augmentation, prepare.mean, prepare.std)
        return [CaptionDataset(source, transform, self.recipe.train.seed) for source in self.sources]

    @cached_property
    def sources(self) -> list[Any]:
        """
        Raises:
            UserError: a source is not there, more of it than the recipe allows cannot be used, or its shards cannot be
                kept at hand.
        """
        sources = [open_captions(source) for source in self.recipe.data.train]
        for source in sources:
            if isinstance(source, Shards):
                source.require_room(self.recipe.data.shuffle_window)
        faults = [fault for source in sources for fault in source.faults]
        left_out = sum(fault.left_out for fault in faults)
        allowed = allowed_bad(self.recipe, left_out + sum(map(len, sources)))
        if left_out > allowed:
            worst = max(faults, key=lambda fault: fault.left_out)
            raise UserError(
                f"{left_out} training examples cannot be used, but data.max_bad_examples allows {allowed}; most are in "
                f"{worst.place} ({worst.cause}{f'; the first: {worst.first}' * bool(worst.first)}): fix those, or "
                "allow more."
            )
        return sources

    @cached_property
    def tokenizer(self) -> ClipTokenizer:
        if self.contents:
            return self.contents.tokenizer
        length = sized(self.recipe.model.size).text_cfg.context_length
        if self.recipe.model.vocabulary == "clip":
            return bpe_tokenizer(length)
        texts = [text for source in self.sources for row in range(len(source)) for text in source.texts(row)]
        for choice in self.recipe.evaluate:
            for benchmark in self.benchmarks(choice):
                if isinstance(benchmark, Classification):
                    texts += [caption for captions in benchmark.captions for caption in captions]
        return word_tokenizer(texts, length)

    @cached_property
    def config(self) -> ClipConfig:
        if self.contents:
            return self.contents.config
        model = self.recipe.model
        config = sized(model.size, model.activation, self.tokenizer.vocab_size, self.sigmoid)
        side = model.image_size or config.vision_cfg.image_size
        return replace(config, vision_cfg=replace(config.vision_cfg, image_size=side))

    def build(self) -> Clip:
        if self.contents:
            model = self.contents.model(None).train()
        else:
            self.seed_init("init")
            model = Clip(self.config, self.tokenizer)
        return group_batch_norm(
            model, None if self.batch_norm_group == self.recipe.train.batch else self.batch_norm_group
        )

    @cached_property
    def batch_norm_group(self) -> int | None:
        """
        Raises:
            UserError: the recipe names one, and the model has no BatchNorm.
        """
        group = self.recipe.model.batch_norm_group
        if self.config.vision_cfg.is_resnet:
            return group or self.recipe.train.batch
        if group:
            raise UserError(f"model.batch_norm_group is {group}, but a ViT has no BatchNorm; leave it out.")
        return None

    def blocks(self, model: Clip) -> list[nn.Module]:
        return model.blocks()

    def head(self, model: Clip) -> None:
        """Both towers end in projections of their own, trained as the rest."""

    def datasets(self) -> list[CaptionDataset]:
        return self.captioned

    @cached_property
    def collate(self) -> CaptionCollate:
        return CaptionCollate(self.tokenizer, self.config.vision_cfg.places)

    @property
    def tokens(self) -> Callable[[list[Captioned]], list[int]]:
        return self.collate.tokens

    def outputs(self, model: Clip, batch: Batch) -> Outputs:
        """Scale and bias are among them, so that their gradient is that of the whole batch's loss however it is cut."""
        images, texts = model(batch["pixels"], batch["ids"])
        outputs = {"images": images, "texts": texts, "scale": model.logit_scale.expand(len(images))}
        if model.logit_bias is not None:
            outputs["bias"] = model.logit_bias.expand(len(images))
        return {**outputs, "cut": batch["cut"]}

    def loss(self, outputs: Outputs) -> Loss:
        """The mean over the blocks within which captions are negatives of images (one, if the scope is global).

        Of SigLIP's, as published, the sum over pairs divided by the number of images.
        """
        scale, parts = outputs["scale"][0].exp(), self.recipe.negatives.processes
        losses, hits = [], []
        for images, texts in zip(outputs["images"].chunk(parts), outputs["texts"].chunk(parts), strict=True):
            scores = scale * (images @ texts.T)
            if self.sigmoid:
                losses.append(len(scores) * self.objective.in_batch(scores + outputs["bias"][0]))
            else:
                losses.append(self.objective.in_batch(scores))
            hits.append(scores.detach().argmax(1) == torch.arange(len(scores), device=scores.device))
        metrics = {
            "batch_accuracy": float(torch.cat(hits).float().mean()),
            "logit_scale": float(scale.detach()),
            "captions_cut": float(outputs["cut"].sum()),
        }
        return Loss(torch.stack(losses).mean(), metrics)

    @torch.no_grad()
    def after_step(self, model: Clip) -> None:
        model.logit_scale.clamp_(0, MOST_LOGIT_SCALE)

    def evaluate(
        self, model: Clip, choice: ClipEvaluate, examples_to: Path | None = None, world: World = ALONE
    ) -> list[Measured]:
        return evaluate(model, self.benchmarks(choice), examples_to, world)

    def metrics(self) -> tuple[str, ...]:
        return METRICS

    def save(self, model: Clip, folder: Path) -> None:
        native.write(model, folder)

    def negatives_per_query(self) -> int:
        return self.recipe.train.batch // self.recipe.negatives.processes - 1

    def train_facts(self) -> dict[str, Any]:
        faults = counts(fault for source in self.sources for fault in source.faults)
        return facts_of_sources(self.recipe.data.train, self.captioned) | {"faults": faults}

    def facts_of(self, choice: ClipEvaluate) -> dict[str, Any]:
        return facts_of(self.benchmarks(choice))

    def samples(self, choice: ClipEvaluate | None = None) -> dict[str, Samples]:
        if choice is None:
            return {str(place): samples_of(source, len(source)) for place, source in enumerate(self.sources)}
        captioned = [one for one in self.benchmarks(choice) if isinstance(one, CaptionedImages)]
        return {one.name: samples_of(one.source, one.rows) for one in captioned}

    def needs(self) -> dict[str, Callable[[], list[Need]]]:
        return self.needs_by_use(needs_of, suite_needs, source_needs)

    def require_weights(self) -> None:
        _ = self.contents

    def use_published_config(self, size: str | None = None) -> None:
        """The size that a command says, or that the name of a repository does: laion/CLIP-ViT-B-32-laion2B-…."""
        weights = self.recipe.model.weights or ""
        named = PUBLISHED_NAME.search(str(plain(weights)))
        size = size or (named and SAID_AS.get(named[1], named[1]))
        if size not in SIZES:
            why = "cannot be read" if Path(weights).exists() else "was not found"
            raise UserError(f"{weights} {why}, and the size of a CLIP cannot be told from a name")
        activation = self.recipe.model.activation or "gelu"
        model = self.recipe.model.model_copy(update={"size": size, "activation": activation})
        self.contents, self.recipe = None, self.recipe.model_copy(update={"model": model})

    def events(self, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What was known to be unusable before training, and captions that were longer than the context."""
        cut = int(sum(row.get("captions_cut", 0) for row in steps))
        kind = "samples left out", "samples doubtful"
        found = fault_events([one.faults for one in self.sources], lambda fault: kind[not fault.left_out])
        return found + cut_events("captions", self.config.text_cfg.context_length, cut)

    def describe(self) -> dict[str, Any]:
        with shapes_only():
            model = Clip(self.config, self.tokenizer)
        facts = {
            **parameter_counts(model),
            "forward_gflops": round(forward_flops(model) / 1e9, 3),
            "architecture": f"{self.recipe.model.size or self.recipe.model.weights}, {self.config.activation}",
            "activation": self.config.activation,
            "image_size": self.config.vision_cfg.image_size,
        }
        if self.batch_norm_group:
            facts["batch_norm_group"] = self.batch_norm_group
        return facts


TOKENS = 20
"""Of a caption, about."""


def forward_flops(model: Clip) -> float:
    """Of an image and a caption, in convolutions and linear layers, which are most of it; two a multiplication."""
    vision, text = model.config.vision_cfg, model.transformer
    words = sum(weight.numel() for weight in text.parameters()) * TOKENS
    if not vision.is_resnet:
        return 2 * (words + sum(weight.numel() for weight in model.visual.parameters()) * vision.places)
    seeing = 0.0
    for name, layer in model.visual.named_modules():
        if isinstance(layer, nn.Conv2d):
            # the stem works at half of the side, stage n at a 2^(n + 1)th
            stage = int(name.removeprefix("layer")[0]) + 1 if name.startswith("layer") else 1
            seeing += layer.weight.numel() * (vision.image_size / 2**stage) ** 2
    return 2 * (words + seeing)
