"""The retriever's answers to the engine's questions."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from collotype.evaluation.results import Results
from collotype.families.retriever.backbones import find_backbone
from collotype.families.retriever.benchmarks import find_suite
from collotype.families.retriever.checkpoint import make_processor, save_model
from collotype.families.retriever.data.pairs import Pair
from collotype.families.retriever.data.sheets import SHEET_PX, Pictures, SheetPairs
from collotype.families.retriever.evaluate import evaluate
from collotype.families.retriever.model import Retriever, RetrieverConfig
from collotype.families.retriever.preset import find_preset
from collotype.families.retriever.processor import Processor, word_tokenizer
from collotype.losses.contrastive import ContrastiveLoss, Vectors
from collotype.losses.named import OBJECTIVES, make_loss
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
        self.objective = find_loss(recipe.loss, self.num_negatives > 0)
        if recipe.train.batch % recipe.negatives.processes or (
            recipe.negatives.scope == "global" and recipe.negatives.processes > 1
        ):
            raise UserError(
                f"negatives.processes is {recipe.negatives.processes} with the scope {recipe.negatives.scope}; it goes "
                f"with the scope `process` and must divide train.batch = {recipe.train.batch}."
            )

    @property
    def late(self) -> bool:
        return self.recipe.model.interaction == "late"

    @cached_property
    def tokenizer(self) -> Tokenizer:
        texts = [*Pictures().texts(), self.preset.query(""), self.preset.page_prompt]
        return word_tokenizer(texts, self.row.special_tokens)

    @cached_property
    def config(self) -> RetrieverConfig:
        model = self.recipe.model
        backbone_config = self.row.configure(self.row.sizes[model.size], self.tokenizer.get_vocab())
        return RetrieverConfig(
            model.backbone, backbone_config, model.interaction, model.dim, self.preset, model.pooling
        )

    @cached_property
    def processor(self) -> Processor:
        return make_processor(self.config, self.tokenizer)

    def build(self) -> Retriever:
        seed = self.recipe.model.init_seed if self.recipe.model.init_seed is not None else self.recipe.train.seed
        seed_torch(seed, "init")
        return Retriever(self.config, self.processor)

    def blocks(self, model: Retriever) -> list[nn.Module]:
        return model.blocks()

    def head(self, model: Retriever) -> nn.Module | None:
        return model.custom_text_proj

    @cached_property
    def sources(self) -> list[SheetPairs]:
        return [
            SheetPairs(Pictures(source.pictures), source.queries, source.seed, source.negatives)
            for source in self.recipe.data.train
        ]

    def datasets(self) -> list[SheetPairs]:
        return self.sources

    def collate(self, examples: list[Pair]) -> Batch:
        batch = {
            "queries": self.processor.queries([example.query for example in examples]),
            "pages": self.processor.pages([example.page for example in examples]),
        }
        if not self.num_negatives:
            return batch
        counts = torch.tensor([len(example.negatives) for example in examples])
        batch["has_negative"] = torch.arange(max(1, int(counts.max()))) < counts[:, None]
        pages = [page for example in examples for page in example.negatives]
        # a page to no effect where there is none: every process's model takes the same way
        batch["negatives"] = self.processor.pages(pages or [examples[0].page])
        return batch

    def outputs(self, model: nn.Module, batch: Batch) -> Outputs:
        query_vectors, query_mask = model(batch["queries"])
        page_vectors, page_mask = model(batch["pages"])
        outputs = {
            "query_vectors": query_vectors,
            "query_mask": query_mask,
            "page_vectors": page_vectors,
            "page_mask": page_mask,
        }
        if self.num_negatives:
            found = spread(*model(batch["negatives"]), batch["has_negative"])
            outputs["negative_vectors"], outputs["negative_mask"] = found
        return outputs

    def loss(self, outputs: Outputs) -> Loss:
        """The mean over the blocks within which pages are negatives of queries (one block, if the scope is global)."""
        losses, hits = [], []
        for part in range(self.recipe.negatives.processes):
            block = {name: tensor.chunk(self.recipe.negatives.processes)[part] for name, tensor in outputs.items()}
            queries = Vectors(block["query_vectors"], block["query_mask"])
            scores = self.objective.scores(queries, Vectors(block["page_vectors"], block["page_mask"]))
            negatives = (
                Vectors(block["negative_vectors"], block["negative_mask"]) if "negative_vectors" in block else None
            )
            losses.append(self.objective.from_scores(scores, queries, negatives))
            hits.append(scores.detach().argmax(1) == torch.arange(len(scores), device=scores.device))
        return Loss(torch.stack(losses).mean(), {"batch_accuracy": float(torch.cat(hits).float().mean())})

    def evaluate(self, model: Retriever, suite: str, examples_to: Path | None = None) -> Results:
        return evaluate(model, find_suite(suite), examples_to)

    def save(self, model: Retriever, folder: Path) -> None:
        save_model(model, folder)

    def negatives_per_query(self) -> int:
        block = self.recipe.train.batch // self.recipe.negatives.processes
        explicit = self.num_negatives * (block if self.objective.share_negatives else 1)
        return block - 1 + explicit

    @property
    def num_negatives(self) -> int:
        """Explicit negatives of a query, at most."""
        return max(source.negatives for source in self.recipe.data.train)

    def data_facts(self) -> dict[str, Any]:
        sources = [
            {"source": source.source, "queries": len(pairs), "sha256": pairs.fingerprint()}
            for source, pairs in zip(self.recipe.data.train, self.sources, strict=True)
        ]
        facts = {"train": {"queries": sum(source["queries"] for source in sources), "sources": sources}}
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
            "vectors_per_page": len(self.processor.page_ids((SHEET_PX, SHEET_PX))) if self.late else 1,
            "preset": self.preset.name,
        }


def spread(vectors: Tensor, mask: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """The vectors [pages, T, D] and mask [pages, T] of all queries' explicit negatives by query.

    Args:
        there: bool [B, N], whose true places the pages fill in order.

    Returns:
        [B, N, T, D] and [B, N, T], zero and false where there is no negative.
    """
    count = int(there.sum())
    by_query = vectors.new_zeros(*there.shape, *vectors.shape[1:])
    mask_by_query = mask.new_zeros(*there.shape, *mask.shape[1:])
    by_query[there], mask_by_query[there] = vectors[:count], mask[:count]
    return by_query, mask_by_query


def find_loss(settings: LossSection, explicit_negatives: bool) -> ContrastiveLoss:
    """The recipe's loss.

    Raises:
        UserError: no such name or dialect, a class of colpali-engine with explicit negatives where the data has none,
            or one without where the data has some.
    """
    of_the_engine = settings.name not in OBJECTIVES
    if of_the_engine and settings.name.endswith("NegativeCELoss") != explicit_negatives:
        has, mend = ("some", "a *NegativeCELoss") if explicit_negatives else ("no", "data.train.negatives")
        raise UserError(
            f"The recipe's loss is {settings.name}, and its data has {has} explicit negatives, which do not go "
            f"together; set {mend}, or name an objective ({', '.join(OBJECTIVES)}), which takes both."
        )
    changes = settings.model_dump(exclude={"name", "dialect"}, exclude_none=True)
    try:
        return make_loss(settings.name, settings.dialect, **changes)
    except ValueError as error:
        raise UserError(f"The recipe's loss: {error}.") from error
