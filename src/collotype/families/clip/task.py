"""CLIP's task: what the engine trains and evaluates."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from collotype.evaluation.results import Measured
from collotype.families.clip.checkpoints import native
from collotype.families.clip.data.captions import CaptionDataset, Captioned
from collotype.families.clip.evaluate import evaluate
from collotype.families.clip.facts import ClipFacts
from collotype.families.clip.model import Clip
from collotype.families.clip.recipe import ClipEvaluate, ClipRecipe
from collotype.families.clip.tokenizer import ClipTokenizer
from collotype.families.shared.task import FamilyTask, cut_events, fault_events
from collotype.losses.contrastive import ContrastiveLoss
from collotype.runtime.world import ALONE, World
from collotype.training.batch_norm import group_batch_norm
from collotype.training.task import Batch, Loss, Outputs

MOST_LOGIT_SCALE = math.log(100)
"""arXiv 2103.00020, section 2.5."""


@dataclass
class CaptionCollate:
    """Examples to a micro-batch; what loader processes need of a task."""

    tokenizer: ClipTokenizer
    positions: int

    def __call__(self, examples: list[Captioned]) -> Batch:
        rows = [self.tokenizer(example.caption) for example in examples]
        return {
            "pixels": torch.stack([example.pixels for example in examples]),
            "ids": self.tokenizer.pad([row.ids for row in rows]),
            "cut": torch.tensor([row.cut for row in rows]),
        }

    def tokens(self, examples: list[Captioned]) -> list[int]:
        """Of an image: all are of one size, and captions are short beside it."""
        return [self.positions] * len(examples)


class ClipTask(ClipFacts, FamilyTask[ClipRecipe, Clip]):
    """Images and captions, contrasted over the whole batch."""

    couples_examples = True

    def __init__(self, recipe: ClipRecipe):
        super().__init__(recipe)
        self.objective = ContrastiveLoss(objective=recipe.loss.name, temperature=1.0)

    def build(self) -> Clip:
        if self.contents:
            model = self.contents.model(None).train()
        else:
            self.seed_init("init")
            model = Clip(self.config, self.tokenizer)
        return group_batch_norm(
            model, None if self.batch_norm_group == self.recipe.train.batch else self.batch_norm_group
        )

    def blocks(self, model: Clip) -> list[nn.Module]:
        return model.blocks()

    def head(self, model: Clip) -> None:
        """Both towers end in projections of their own, trained as the rest."""

    def datasets(self) -> list[CaptionDataset]:
        return self.captioned

    @cached_property
    def collate(self) -> CaptionCollate:
        return CaptionCollate(self.tokenizer, self.config.vision_cfg.positions)

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

    def save(self, model: Clip, folder: Path) -> None:
        native.write(model, folder)

    def events(self, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What was known to be unusable before training, and captions that were longer than the context."""
        cut = int(sum(row.get("captions_cut", 0) for row in steps))
        kind = "samples left out", "samples doubtful"
        found = fault_events([one.faults for one in self.sources], lambda fault: kind[not fault.left_out])
        return found + cut_events("captions", self.config.text_cfg.context_length, cut)
