"""BEiT-3's task: what the engine trains and evaluates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from collotype.evaluation.results import Measured
from collotype.families.beit3.checkpoints import native
from collotype.families.beit3.data.questions import Asked, QuestionDataset
from collotype.families.beit3.evaluate import evaluate
from collotype.families.beit3.facts import Beit3Facts
from collotype.families.beit3.model import Beit3, draw_at_unit_scale
from collotype.families.beit3.recipe import Beit3Evaluate, Beit3Recipe
from collotype.families.beit3.tokenizer import Beit3TokenIds, Beit3Tokenizer, pad
from collotype.families.shared.task import FamilyTask, cut_events, fault_events
from collotype.runtime.world import ALONE, World
from collotype.training.task import Batch, Loss, Outputs


@dataclass
class QuestionCollate:
    """Examples to a micro-batch; what loader processes need of a task.

    Args:
        positions: of an image in the model.
    """

    tokenizer: Beit3Tokenizer
    num_answers: int
    positions: int

    def __call__(self, examples: list[Asked]) -> Batch:
        rows = [self.row(example) for example in examples]
        ids, mask = pad([row.ids for row in rows])
        targets = torch.zeros(len(examples), self.num_answers)
        for place, example in enumerate(examples):
            targets[place, list(example.labels)] = torch.tensor(example.scores)
        return {
            "pixels": torch.stack([example.pixels for example in examples]),
            "ids": ids,
            "mask": mask,
            "targets": targets,
            "cut": torch.tensor([row.cut for row in rows]),
        }

    def row(self, example: Asked) -> Beit3TokenIds:
        asked = example.question
        return self.tokenizer(asked) if isinstance(asked, str) else self.tokenizer.framed(asked)

    def tokens(self, examples: list[Asked]) -> list[int]:
        return [self.positions + len(self.row(example).ids) for example in examples]


class Beit3Task(Beit3Facts, FamilyTask[Beit3Recipe, Beit3]):
    """Questions about images, each by itself."""

    couples_examples = False
    undecayed = ("beit3.vision_embed.cls_token", "beit3.encoder.embed_positions.A.weight")
    """As published; the positions of words are decayed."""

    def build(self) -> Beit3:
        self.seed_init("init")
        if self.contents:
            return self.contents.model(None).train()
        model = Beit3(self.config, self.tokenizer, self.vocabulary)
        draw_at_unit_scale(model)
        return model

    def blocks(self, model: Beit3) -> list[nn.Module]:
        return model.blocks()

    def head(self, model: Beit3) -> nn.Module:
        """Without the pooler, as published."""
        return model.head

    def datasets(self) -> list[QuestionDataset]:
        return self.asked

    @cached_property
    def collate(self) -> QuestionCollate:
        return QuestionCollate(self.tokenizer, len(self.vocabulary), self.config.side**2 + 1)

    @property
    def tokens(self) -> Callable[[list[Asked]], list[int]]:
        return self.collate.tokens

    def outputs(self, model: Beit3, batch: Batch) -> Outputs:
        logits = model(batch["pixels"], batch["ids"], batch["mask"])
        return {"logits": logits, "targets": batch["targets"], "cut": batch["cut"]}

    def loss(self, outputs: Outputs) -> Loss:
        """Binary cross-entropy with soft scores: the sum over answers, the mean over questions."""
        logits, targets = outputs["logits"], outputs["targets"].to(outputs["logits"].dtype)
        value = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)
        best = logits.detach().argmax(1, keepdim=True)
        score, cut = targets.gather(1, best).mean(), outputs["cut"].float().mean()
        return Loss(value, {"batch_score": float(score), "part_cut": float(cut)})

    def evaluate(
        self, model: Beit3, choice: Beit3Evaluate, examples_to: Path | None = None, world: World = ALONE
    ) -> list[Measured]:
        return [evaluate(model, self.benchmark(choice), examples_to, world)]

    def save(self, model: Beit3, folder: Path) -> None:
        native.write(model, folder)

    def events(self, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Questions that are not trained on, and questions that were longer than the limit."""
        cut = round(sum(row.get("part_cut", 0) for row in steps) * self.recipe.train.batch)
        found = fault_events([data.faults for data in self.asked], lambda fault: "questions left out")
        return found + cut_events("questions", self.config.max_text_tokens, cut)
