"""The retriever's task: what the engine trains and evaluates."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from collotype.evaluation.results import Measured
from collotype.families.retriever.checkpoints import native
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint
from collotype.families.retriever.checkpoints.locations import address_of
from collotype.families.retriever.checkpoints.weights import canonical
from collotype.families.retriever.collate import PairCollate
from collotype.families.retriever.compact import forms as all_forms
from collotype.families.retriever.config import Lora, require_dim
from collotype.families.retriever.data import Pair, PairDataset
from collotype.families.retriever.evaluate import VectorSearch, evaluate
from collotype.families.retriever.facts import RetrieverFacts
from collotype.families.retriever.lora import add_lora, linear_layers, merge_lora
from collotype.families.retriever.lora_targets import PROJECTION, find_targets
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.quantize import quantize
from collotype.families.retriever.recipe import Distill, RetrieverEvaluate, RetrieverRecipe
from collotype.families.shared.task import FamilyTask
from collotype.losses.contrastive import ContrastiveLoss, Vectors
from collotype.losses.distillation import own_scores_loss
from collotype.losses.sparse import flops
from collotype.runtime.digest import state_digest
from collotype.runtime.world import ALONE, World
from collotype.training.task import Batch, Loss, Outputs


class RetrieverTask(RetrieverFacts, FamilyTask[RetrieverRecipe, Retriever]):
    """Queries and pages, late interaction or single vector, contrasted over the whole batch."""

    couples_examples = True

    def __init__(self, recipe: RetrieverRecipe):
        super().__init__(recipe)
        self.loaded: list[dict[str, Any]] = []
        """What is told of the weights that training started from."""
        self.objective = ContrastiveLoss(**vars(self.loss_settings))

    def build(self) -> Retriever:
        self.require_dims()
        model = self.start()
        if self.recipe.model.quantize == "nf4":
            quantize(model)
        self.seed_init("lora")
        model = self.adapt(model)
        if teacher := self.teacher:
            teacher.prepare(self.recipe.model, model.processor)
            if not self.sees:
                model.page_model = lambda: teacher.model
        return model

    def start(self) -> Retriever:
        """Before it is adapted: random, or the model in `model.weights`, an adapter merged, with the recipe's own
        projection where it has none."""
        found = self.contents
        if not isinstance(found, RetrieverCheckpoint):
            self.seed_init("init")
            model = Retriever(self.config, self.processor)
            if pretrained := self.text_encoder:
                model.backbone.load_state_dict(pretrained.weights)
                self.loaded = list(pretrained.events)
            return model
        tensors = found.tensors
        if found.config.lora:
            tensors = canonical(self.row, merge_lora(found.model(None)).state_dict(), found.origin)
        if self.config.dim is None:
            tensors = native.of_base(tensors, None)
        elif self.has_new_projection:
            tensors |= {f"{PROJECTION}.{name}": tensor for name, tensor in self.new_projection().state_dict().items()}
        model = RetrieverCheckpoint(self.config, self.tokenizer, tensors, found.origin, found.events).model(None)
        model.check_weights()
        self.loaded = list(model.events)
        return model

    def new_projection(self) -> nn.Linear:
        """A function of the seed alone, so that a run on other hardware or data starts from the same."""
        self.seed_init("projection")
        return nn.Linear(self.row.hidden_size(self.config.backbone_config), self.config.dim or 0)

    def adapt(self, model: Retriever) -> Retriever:
        """Freezes what `model.lora` does not train, in place."""
        settings = self.recipe.model.lora
        if not settings:
            return model
        targets = find_targets(linear_layers(model), settings.targets)
        if settings.projection == "lora" and self.config.dim:
            targets = (*targets, PROJECTION)
        lora = Lora(
            rank=settings.rank,
            alpha=settings.alpha,
            dropout=settings.dropout,
            rank_stabilised=settings.rank_stabilised,
            targets=targets,
        )
        add_lora(model, lora, settings.init == "gaussian")
        if settings.projection == "full" and model.custom_text_proj:
            model.custom_text_proj.requires_grad_(True)
        return model

    def require_dims(self) -> None:
        """
        Raises:
            UserError: the loss is to cut vectors to more numbers than they have.
        """
        width = self.config.dim or self.row.hidden_size(self.config.backbone_config)
        require_dim(max(self.compact.dims, default=None), width, "the recipe's model (loss.dims)")

    def blocks(self, model: Retriever) -> list[nn.Module]:
        return model.blocks()

    def head(self, model: Retriever) -> nn.Module | None:
        return model.custom_text_proj

    def datasets(self) -> list[PairDataset]:
        return self.sources

    @cached_property
    def collate(self) -> PairCollate:
        teacher = (self.teacher.processor, self.asks_teacher_for_pages) if self.teacher else None
        return PairCollate(self.processor, self.num_negatives, self.sees, teacher)

    @property
    def contrasts(self) -> bool:
        """Is the recipe's `loss` a part of it?"""
        return self.recipe.distill is None or self.recipe.distill.weight < 1

    @property
    def asks_teacher_for_pages(self) -> bool:
        distill = self.recipe.distill
        return bool(distill and distill.asks_for_pages) or (not self.sees and self.contrasts)

    @property
    def tokens(self) -> Callable[[list[Pair]], list[int]]:
        return self.collate.tokens

    def outputs(self, model: nn.Module, batch: Batch) -> Outputs:
        query_vectors, query_mask = model(batch["queries"])
        outputs = {"query_vectors": query_vectors, "query_mask": query_mask}
        if self.sees:
            outputs["page_vectors"], outputs["page_mask"] = model(batch["pages"])
        if self.teacher:
            outputs |= self.teacher.outputs(batch, query_vectors)
        if "teacher_scores" in batch:
            outputs["teacher_scores"] = batch["teacher_scores"]
        if self.num_negatives:
            vectors, mask = model(batch["negatives"])
            found = spread(vectors, mask, batch["has_negative"])
            outputs["negative_vectors"], outputs["negative_mask"] = found
        return outputs

    def loss(self, outputs: Outputs) -> Loss:
        """The mean over the blocks within which pages are negatives of queries (one block, if the scope is global)."""
        processes = self.recipe.negatives.processes
        losses: list[Tensor] = []
        found: dict[str, list[Tensor]] = {}
        for part in range(processes):
            block = {name: tensor.chunk(processes)[part] for name, tensor in outputs.items()}
            value, metrics = self.block_loss(block)
            losses.append(value)
            for name, numbers in metrics.items():
                found.setdefault(name, []).append(numbers.detach().float())
        return Loss(
            torch.stack(losses).mean(), {name: float(torch.cat(numbers).mean()) for name, numbers in found.items()}
        )

    def block_loss(self, block: Outputs) -> tuple[Tensor, dict[str, Tensor]]:
        """The recipe's loss, the teacher's, or both by its weight; and what is told of each."""
        queries = Vectors(block["query_vectors"], block["query_mask"])
        seen = "page" if self.sees else "teacher_page"
        pages = Vectors(block[f"{seen}_vectors"], block[f"{seen}_mask"]) if f"{seen}_mask" in block else None
        value, metrics = queries.values.new_zeros(()), dict[str, Tensor]()
        has = "negative_vectors" in block
        negatives = Vectors(block["negative_vectors"], block["negative_mask"]) if has else None
        if self.contrasts and pages:
            value, metrics["batch_accuracy"] = self.contrastive(queries, pages, negatives)
            if self.recipe.loss.flops:
                metrics["words_per_page"] = (pages.values > 0).sum(-1).flatten()
                value = value + self.recipe.loss.flops * flops(pages.values[:, 0])
        if self.recipe.distill:
            taught = self.taught(self.recipe.distill, queries, pages, negatives, block)
            weight = self.recipe.distill.weight
            value, metrics["distillation"] = (1 - weight) * value + weight * taught, taught[None]
        return value, metrics

    def taught(
        self, settings: Distill, queries: Vectors, pages: Vectors | None, negatives: Vectors | None, block: Outputs
    ) -> Tensor:
        """How far the model is from its teacher, or from the table of its scores."""
        if self.teacher:
            return self.teacher.loss(queries, pages, block, self.objective)
        # a table has scores of each query's page and negatives
        assert pages and negatives
        temperature = (settings.temperature or self.objective.temperature) if settings.objective == "kl" else None
        own, there = self.objective.own_scores(queries, pages, negatives)
        return own_scores_loss(own, block["teacher_scores"].detach(), there, temperature)

    def contrastive(self, queries: Vectors, pages: Vectors, negatives: Vectors | None) -> tuple[Tensor, Tensor]:
        """The mean over the forms that the model is trained for, and whether each query's own page scores best."""
        losses, hits = [], []
        for asked, shown, misses, distance in all_forms(self.compact, queries, pages, negatives):
            scores = self.objective.scores(asked, shown)
            value = self.objective.from_scores(scores, asked, misses)
            losses.append(value + self.recipe.loss.pool_spread * distance)
            hits.append(scores.argmax(1) == torch.arange(len(scores), device=scores.device))
        return torch.stack(losses).mean(), torch.cat(hits)

    def projection_facts(self) -> dict[str, Any]:
        """With the digest of one that starts at random."""
        found = super().projection_facts()
        return {**found, "sha256": state_digest(self.new_projection())} if self.has_new_projection else found

    def evaluate(
        self, model: Retriever, choice: RetrieverEvaluate, examples_to: Path | None = None, world: World = ALONE
    ) -> list[Measured]:
        searcher = VectorSearch.of(model, choice)
        return evaluate(searcher, self.benchmarks(choice), examples_to, world, model.device)

    def save(self, model: Retriever, folder: Path) -> None:
        """An adapter is saved with the address of what it was trained on, if that lies in files; of quantised weights,
        what they were made of stays."""
        if self.recipe.model.quantize == "nf4":
            adapted = {name: value.data for name, value in model.named_parameters() if value.requires_grad}
            model = self.adapt(self.start())
            model.load_state_dict(adapted, strict=False, assign=True)
        trained = [name for name in model.state_dict() if name.startswith(PROJECTION)] if self.trains_projection else []
        native.write(model, folder, self.base_of(model), trained)

    @property
    def trains_projection(self) -> bool:
        settings = self.recipe.model.lora
        return settings is not None and settings.projection == "full"

    def base_of(self, model: Retriever) -> native.Base | None:
        """Where what an adapter was trained on can be read again; none where that was held in a smaller type, or was
        made of more than the files."""
        wanted, found = self.recipe.model, self.contents
        if (
            wanted.lora is None
            or not isinstance(found, RetrieverCheckpoint)
            or found.config.lora
            or not found.tensors.files
        ):
            return None
        if next(model.backbone.parameters()).dtype.itemsize < found.tensors.dtype.itemsize:
            return None
        weights = native.of_base(found.tensors, self.config.dim)
        return native.Base(address_of(str(wanted.weights)), wanted.base, wanted.preset, weights)

    def extra_digests(self) -> dict[str, str]:
        if self.teacher:
            return {"teacher": self.teacher.sha256}
        return {"table of scores": self.scores.sha256()} if self.scores else {}

    def events(self, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the weights it started from are told for; queries that are longer than `max_query_tokens`, and so are
        cut; kernels that are not here."""
        kind, found = f"queries cut to {self.processor.max_query_tokens} tokens", self.loaded.copy()
        for number, source in enumerate(self.sources):
            rows = [row for row, text in enumerate(source.texts()) if self.processor.is_too_long(text)]
            if rows:
                found.append({"kind": kind, "source": number, "count": len(rows), "first row": rows[0]})
        found += self.teacher.events() if self.teacher else []
        missing = [name for name, here in self.row.kernels().items() if not here]
        return found + [{"kind": f"{name} is not installed: transformers' torch code computed"} for name in missing]


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
