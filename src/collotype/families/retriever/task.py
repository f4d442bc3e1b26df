"""The retriever's answers to the engine's questions."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from collotype.evaluation.results import Results
from collotype.families.retriever.backbones import find_backbone
from collotype.families.retriever.checkpoint import make_processor, save_model
from collotype.families.retriever.data import Pair, SheetPairs, find_suite
from collotype.families.retriever.evaluate import evaluate
from collotype.families.retriever.model import Retriever, RetrieverConfig
from collotype.families.retriever.preset import find_preset
from collotype.families.retriever.processor import Processor, word_tokenizer
from collotype.families.retriever.sheets import Pictures
from collotype.losses.contrastive import ContrastiveLoss, Vectors
from collotype.losses.named import make_loss
from collotype.recipe import Recipe
from collotype.recipe.schema import Loss as LossSection
from collotype.runtime.errors import UserError
from collotype.runtime.seeds import seed_torch
from collotype.training.task import Batch, Loss, Outputs


class RetrieverTask:
    """Queries and pages, late interaction or single vector, contrasted over the whole batch."""

    couples_examples = True

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.preset = find_preset(recipe.model.preset)
        self.row = find_backbone(recipe.model.backbone, recipe.model.size)
        self.objective = find_loss(recipe.loss)
        if recipe.train.batch % recipe.negatives.processes or (
            recipe.negatives.scope == "global" and recipe.negatives.processes > 1
        ):
            raise UserError(
                f"negatives.processes is {recipe.negatives.processes} with the scope {recipe.negatives.scope}; it goes "
                f"with the scope `process` and must divide train.batch = {recipe.train.batch}."
            )

    @cached_property
    def pictures(self) -> Pictures:
        return Pictures(self.recipe.data.train.pictures)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return word_tokenizer([*self.pictures.texts(), self.preset.query_prefix, self.preset.page_prompt])

    @cached_property
    def config(self) -> RetrieverConfig:
        model = self.recipe.model
        backbone_config = self.row.configure(self.row.sizes[model.size], self.tokenizer.get_vocab())
        return RetrieverConfig(model.backbone, backbone_config, model.interaction, model.dim, self.preset)

    @cached_property
    def processor(self) -> Processor:
        return make_processor(self.config, self.tokenizer)

    def build(self) -> Retriever:
        seed = self.recipe.model.init_seed if self.recipe.model.init_seed is not None else self.recipe.train.seed
        seed_torch(seed, "init")
        return Retriever(self.config, self.processor)

    def dataset(self, split: str) -> SheetPairs:
        data = self.recipe.data.train
        return {"train": SheetPairs(self.pictures, data.queries, data.seed)}[split]

    def collate(self, examples: list[Pair]) -> Batch:
        return {
            "queries": self.processor.queries([example.query for example in examples]),
            "pages": self.processor.pages([example.page for example in examples]),
        }

    def outputs(self, model: nn.Module, batch: Batch) -> Outputs:
        query_vectors, query_mask = model(batch["queries"])
        page_vectors, page_mask = model(batch["pages"])
        return {
            "query_vectors": query_vectors,
            "query_mask": query_mask,
            "page_vectors": page_vectors,
            "page_mask": page_mask,
        }

    def loss(self, outputs: Outputs) -> Loss:
        """The mean over the blocks within which pages are negatives of queries (one block, if the scope is global)."""
        names = ("query_vectors", "query_mask", "page_vectors", "page_mask")
        blocks = zip(*(outputs[name].chunk(self.recipe.negatives.processes) for name in names), strict=True)
        losses, hits = [], []
        for query_vectors, query_mask, page_vectors, page_mask in blocks:
            scores = self.objective.scores(Vectors(query_vectors, query_mask), Vectors(page_vectors, page_mask))
            losses.append(self.objective.in_batch(scores))
            hits.append(scores.detach().argmax(1) == torch.arange(len(scores), device=scores.device))
        return Loss(torch.stack(losses).mean(), {"batch_accuracy": float(torch.cat(hits).float().mean())})

    def evaluate(self, model: Retriever, suite: str, examples_to: Path | None = None) -> Results:
        return evaluate(model, find_suite(suite), examples_to)

    def save(self, model: Retriever, folder: Path) -> None:
        save_model(model, folder)

    def negatives_per_query(self) -> int:
        return self.recipe.train.batch // self.recipe.negatives.processes - 1

    def data_facts(self) -> dict[str, Any]:
        train = self.dataset("train")
        source = self.recipe.data.train.source
        facts = {"train": {"source": source, "queries": len(train), "sha256": train.fingerprint()}}
        for suite in {evaluation.suite for evaluation in self.recipe.evaluate}:
            for benchmark in find_suite(suite):
                sizes = {"queries": len(benchmark.queries), "pages": benchmark.num_pages}
                facts[benchmark.name] = sizes | {"sha256": benchmark.fingerprint}
        return facts

    def describe(self) -> dict[str, Any]:
        with torch.device("meta"):
            model = Retriever(self.config, self.processor)
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
        return {
            "parameters": sum(size for size, _ in sizes),
            "trainable_parameters": sum(size for size, trainable in sizes if trainable),
            "vectors_per_page": len(self.processor.page_ids) if self.recipe.model.interaction == "late" else 1,
            "preset": self.preset.name,
        }


def find_loss(settings: LossSection) -> ContrastiveLoss:
    """The recipe's loss.

    Raises:
        UserError: no such name or dialect, or a loss that needs explicit negatives, which no data source gives.
    """
    if settings.name.endswith("NegativeCELoss"):
        raise UserError(
            f"The recipe's loss {settings.name} needs explicit negatives, and the data source gives none; take one "
            "whose negatives are those of the batch (`collotype list losses`)."
        )
    changes = settings.model_dump(exclude={"name", "dialect"}, exclude_none=True)
    try:
        return make_loss(settings.name, settings.dialect, **changes)
    except ValueError as error:
        raise UserError(f"The recipe's loss: {error}.") from error
