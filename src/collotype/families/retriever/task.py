"""The retriever's answers to the engine's questions."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from collotype.evaluation.ranking import METRICS
from collotype.evaluation.results import Measured
from collotype.families.retriever.backbones import find_backbone, require_budget, require_preset
from collotype.families.retriever.backbones.shapes import Shape, measure, shapes
from collotype.families.retriever.benchmarks import DRAWN, averaged_names, find_suite, suite_needs
from collotype.families.retriever.checkpoints import address_of, native, needs_of, read
from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint, make_processor
from collotype.families.retriever.checkpoints.weights import canonical
from collotype.families.retriever.collate import PairCollate
from collotype.families.retriever.compact import Compact, require_dim
from collotype.families.retriever.config import Lora, RetrieverConfig
from collotype.families.retriever.data import Pair, PairDataset, open_source, source_needs
from collotype.families.retriever.data.pairs import RefPairs
from collotype.families.retriever.data.scores import ScoreTable
from collotype.families.retriever.distill import Teacher
from collotype.families.retriever.evaluate import VectorSearch, evaluate, sizes_of
from collotype.families.retriever.lora import PROJECTION, add_lora, find_targets, linear_layers, merge_lora
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import TRAINED_WITH, find_preset
from collotype.families.retriever.processor import Processor
from collotype.families.retriever.quantize import quantize, require_bitsandbytes
from collotype.families.retriever.recipe import TEXT, RetrieverEvaluate, RetrieverLoss, RetrieverRecipe, TrainSource
from collotype.families.retriever.tokenizer import spelling_tokenizer, word_tokenizer
from collotype.families.shared.suites import OpenedSuites
from collotype.families.shared.task import FamilyTask
from collotype.losses.contrastive import ContrastiveLoss, Vectors
from collotype.losses.distillation import own_scores_loss
from collotype.losses.named import OBJECTIVES, make_loss
from collotype.losses.sparse import flops
from collotype.runtime.digest import state_digest
from collotype.runtime.errors import UserError
from collotype.runtime.hub import Need, plain
from collotype.runtime.model_folder import require_there
from collotype.runtime.process import ALONE, World
from collotype.runtime.weights import Weights
from collotype.training.overlap import Samples
from collotype.training.task import Batch, Loss, Outputs, facts_of_sources

INTERACTIONS = {"late": "late interaction", "single": "single vector", "sparse": "sparse vector"}
A4 = (1654, 2339)
"""A page's (width, height) in pixels, at 200 dpi."""
SEEING = re.compile(r"\b(vision_tower|vision_model|visual)\b")
"""In the names of layers that look at patches, not at tokens."""


class RetrieverTask(FamilyTask[RetrieverRecipe, Retriever]):
    """Queries and pages, late interaction or single vector, contrasted over the whole batch."""

    couples_examples = True

    def __init__(self, recipe: RetrieverRecipe):
        super().__init__(recipe)
        self.loaded: list[dict[str, Any]] = []
        """What is told of the weights that training started from."""
        self.scores: ScoreTable | None = None
        """Of a teacher that is not asked itself, once the sources are open."""
        self.benchmarks = OpenedSuites(find_suite)
        self.preset = find_preset(recipe.model.preset).bounded(recipe.model.max_visual_tokens)
        self.row = find_backbone(recipe.model.backbone, recipe.model.size)
        require_preset(self.row, self.preset)
        require_budget(self.row, recipe.model.max_visual_tokens)
        self.objective = find_loss(recipe.loss, self.num_negatives > 0)
        self.teacher = Teacher(recipe.distill) if recipe.distill and recipe.distill.teacher else None
        self.compact = Compact(dims=tuple(recipe.loss.dims), pool_factors=tuple(recipe.loss.pool_factors))

    @property
    def late(self) -> bool:
        return self.recipe.model.interaction == "late"

    @property
    def sees(self) -> bool:
        """Does the model look at pages itself?"""
        return self.recipe.model.backbone != TEXT

    @cached_property
    def contents(self) -> RetrieverCheckpoint | None:
        """What training starts from, if not from random weights.

        Raises:
            UserError: it cannot be read, or is of another backbone or width than the recipe says.
        """
        wanted = self.recipe.model
        if wanted.weights is None:
            return None
        require_there(wanted.weights)
        found = read(wanted.weights, wanted.preset, wanted.base, to_train=True)
        for name, said, there in (
            ("backbone", wanted.backbone, found.config.backbone),
            ("dim", wanted.dim, found.config.dim),
        ):
            if None not in (said, there) and said != there:
                raise UserError(f"model.{name} is {said}, but {wanted.weights} has {there}; correct one of them.")
        return found

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """A checkpoint's own; else of the training queries' words. Where these are not all there are, others can be
        spelled."""
        if not self.sees:
            return self.teacher.contents.tokenizer
        if self.contents:
            return self.contents.tokenizer
        texts = [text for source in self.sources for text in source.texts()]
        frame = [self.preset.query(""), self.preset.page_prompt]
        if all(source.closed_vocabulary for source in self.sources):
            return word_tokenizer([*texts, *frame], self.row.special_tokens)
        return spelling_tokenizer(texts, frame, self.row.special_tokens)

    @cached_property
    def config(self) -> RetrieverConfig:
        """Of the model that is trained, but for its adapter."""
        model = self.recipe.model
        if self.contents:
            backbone_config = self.contents.config.backbone_config
        else:
            backbone_config = self.row.configure(self.row.sizes[model.size], self.tokenizer.get_vocab())
        own = RetrieverConfig(
            model.backbone,
            backbone_config,
            model.interaction,
            self.tokenizer.get_vocab_size() if model.interaction == "sparse" else model.dim,
            self.preset,
            model.pooling,
            model.max_query_tokens,
            compact=None if self.compact == Compact() else self.compact,
        )
        return own if self.sees else self.as_student(own)

    def as_student(self, config: RetrieverConfig) -> RetrieverConfig:
        """
        Raises:
            UserError: the recipe says that its vectors are others than the teacher's.
        """
        self.teacher.require_same_form(self.recipe.model)
        taught = self.teacher.config
        return replace(config, preset=taught.preset, compact=taught.compact, pages=self.teacher.as_page_model())

    @cached_property
    def processor(self) -> Processor:
        return make_processor(self.config, self.tokenizer)

    def build(self) -> Retriever:
        self.require_dims()
        model = self.start()
        if self.recipe.model.quantize == "nf4":
            quantize(model)
        self.seed_init("lora")
        model = self.adapt(model)
        if self.teacher:
            self.teacher.prepare(self.recipe.model, model.processor)
        if not self.sees:
            model.page_model = lambda: self.teacher.model
        return model

    def start(self) -> Retriever:
        """Before it is adapted: random, or the model in `model.weights`, an adapter merged, with the recipe's own
        projection where it has none."""
        found = self.contents
        if found is None:
            self.seed_init("init")
            return Retriever(self.config, self.processor)
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

    @property
    def has_new_projection(self) -> bool:
        """Is there a projection, and does it start at random?"""
        return self.config.dim is not None and not (self.contents and self.contents.config.dim)

    def new_projection(self) -> nn.Linear:
        """A function of the seed alone, so that a run on other hardware or data starts from the same."""
        self.seed_init("projection")
        return nn.Linear(self.row.hidden_size(self.config.backbone_config), self.config.dim)

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
        if settings.projection == "full" and self.config.dim:
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

    @cached_property
    def sources(self) -> list[PairDataset]:
        return [self.opened(source) for source in self.recipe.data.train]

    def opened(self, source: TrainSource) -> PairDataset:
        """
        Raises:
            UserError: it is not there, or a table of scores lacks one of its pairs.
        """
        found, taught = open_source(source), self.recipe.distill
        if taught and taught.scores and isinstance(found, RefPairs):
            table = ScoreTable(taught.scores, found)
            table.require_all(found)
            found.scores, self.scores = table, table
        return found

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
        return self.recipe.distill.asks_for_pages or (not self.sees and self.contrasts)

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
            found = spread(*model(batch["negatives"]), batch["has_negative"])
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
        if self.contrasts:
            value, metrics["batch_accuracy"] = self.contrastive(queries, pages, negatives)
            if self.recipe.loss.flops:
                metrics["words_per_page"] = (pages.values > 0).sum(-1).flatten()
                value = value + self.recipe.loss.flops * flops(pages.values[:, 0])
        if self.recipe.distill:
            taught = self.taught(queries, pages, negatives, block)
            weight = self.recipe.distill.weight
            value, metrics["distillation"] = (1 - weight) * value + weight * taught, taught[None]
        return value, metrics

    def taught(self, queries: Vectors, pages: Vectors | None, negatives: Vectors | None, block: Outputs) -> Tensor:
        """How far the model is from its teacher, or from the table of its scores."""
        if self.teacher:
            return self.teacher.loss(queries, pages, block, self.objective)
        settings = self.recipe.distill
        temperature = (settings.temperature or self.objective.temperature) if settings.objective == "kl" else None
        own, there = self.objective.own_scores(queries, pages, negatives)
        return own_scores_loss(own, block["teacher_scores"].detach(), there, temperature)

    def contrastive(self, queries: Vectors, pages: Vectors, negatives: Vectors | None) -> tuple[Tensor, Tensor]:
        """The mean over the forms that the model is trained for, and whether each query's own page scores best."""
        losses, hits = [], []
        for form in self.compact.forms(queries, pages, negatives):
            scores = self.objective.scores(*form[:2])
            losses.append(self.objective.from_scores(scores, form[0], form[2]))
            hits.append(scores.argmax(1) == torch.arange(len(scores), device=scores.device))
        return torch.stack(losses).mean(), torch.cat(hits)

    def evaluate(
        self, model: Retriever, choice: RetrieverEvaluate, examples_to: Path | None = None, world: World = ALONE
    ) -> list[Measured]:
        searcher = VectorSearch.of(model, choice)
        return evaluate(searcher, self.benchmarks(choice), examples_to, world, model.device)

    def metrics(self) -> tuple[str, ...]:
        return METRICS

    def save(self, model: Retriever, folder: Path) -> None:
        """An adapter is saved with the address of what it was trained on, if that lies in files; of quantised weights,
        what they were made of stays."""
        if self.recipe.model.quantize == "nf4":
            trained = {name: value.data for name, value in model.named_parameters() if value.requires_grad}
            model = self.adapt(self.start())
            model.load_state_dict(trained, strict=False, assign=True)
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
        if wanted.lora is None or found is None or found.config.lora or not found.tensors.files:
            return None
        if next(model.backbone.parameters()).dtype.itemsize < found.tensors.dtype.itemsize:
            return None
        weights = native.of_base(found.tensors, self.config.dim)
        return native.Base(address_of(wanted.weights), wanted.base, wanted.preset, weights)

    def negatives_per_query(self) -> int:
        block = self.recipe.train.batch // self.recipe.negatives.processes
        explicit = self.num_negatives * (block if self.objective.share_negatives else 1)
        return block - 1 + explicit

    @property
    def num_negatives(self) -> int:
        """Explicit negatives of a query, at most."""
        return max(source.negatives for source in self.recipe.data.train)

    def train_facts(self) -> dict[str, Any]:
        return facts_of_sources(self.recipe.data.train, self.sources)

    def facts_of(self, choice: RetrieverEvaluate) -> dict[str, Any]:
        facts = {}
        for name, subsets in groupby(self.benchmarks(choice), key=lambda benchmark: benchmark.name):
            by_subset = {benchmark.subset: sizes_of(benchmark) for benchmark in subsets}
            facts[name] = by_subset["default"] if list(by_subset) == ["default"] else by_subset
        if (averaged := averaged_names(choice.suite)) and set(averaged) <= set(facts):
            facts[f"{choice.suite}/average"] = {"mean_of": averaged}
        return facts

    def samples(self, choice: RetrieverEvaluate | None = None) -> dict[str, Samples]:
        if choice is None:
            tables = {str(place): source for place, source in enumerate(self.sources) if isinstance(source, RefPairs)}
            return {name: source.samples() for name, source in tables.items()}
        return {one.name: one.samples() for one in self.benchmarks(choice) if choice.suite not in DRAWN}

    def needs(self) -> dict[str, Callable[[], list[Need]]]:
        found = self.needs_by_use(partial(needs_of, base=self.recipe.model.base), suite_needs, source_needs)
        if (taught := self.recipe.distill) is None or taught.teacher is None:
            return found
        return {"teacher": partial(needs_of, taught.teacher, taught.base), **found}

    def require_possible(self) -> None:
        if self.recipe.model.quantize == "nf4":
            require_bitsandbytes()

    def require_weights(self) -> None:
        _ = self.contents
        if self.teacher:
            _ = self.teacher.contents

    def beside(self) -> dict[str, str]:
        if self.teacher:
            return {"teacher": self.teacher.sha256}
        return {"table of scores": self.scores.sha256()} if self.scores else {}

    def use_published_config(self, size: str | None = None) -> None:
        if self.teacher:
            _ = self.teacher.contents
        name = plain(self.recipe.model.weights)
        if name not in self.row.published:
            raise UserError(f"{name} was not found, and its size cannot be told from its name")
        shapes = self.row.sizes[self.row.published[name]]
        tokenizer = word_tokenizer([self.preset.query(""), self.preset.page_prompt], self.row.special_tokens)
        config = self.row.configure(shapes, tokenizer.get_vocab())
        config["text_config"]["vocab_size"] = shapes["text_config"]["vocab_size"]
        dim = self.recipe.model.dim if name.startswith("vidore/") else None
        shape = RetrieverConfig(self.row.name, config, "late", dim, self.preset)
        self.contents = RetrieverCheckpoint(shape, tokenizer, Weights({}), name)

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

    def framing(self) -> dict[str, Any]:
        return {
            "preset": self.preset.name,
            "query_attention": self.preset.query_attention,
            **({"max_visual_tokens": self.preset.max_visual_tokens} if self.preset.max_visual_tokens else {}),
            **({"preset_of_weights": said} if (said := TRAINED_WITH.get(plain(self.recipe.model.weights))) else {}),
        }

    def describe(self) -> dict[str, Any]:
        total, trainable = self.count_parameters()
        return {
            "parameters": total,
            "trainable_parameters": trainable,
            "forward_gflops": round(self.forward_flops() / 1e9, 3),
            "architecture": self.architecture,
            **({"vectors_per_page": pages} if (pages := self._vectors_per_page()) else {}),
            **({"optional_kernels": kernels} if (kernels := self.row.kernels()) else {}),
            **self.framing(),
            **({"projection": self.projection_facts()} if self.config.dim and self.contents else {}),
            **({"teacher": taught.facts()} if (taught := self.teacher or self.scores) else {}),
        }

    @cached_property
    def shape(self) -> Shape:
        """Of the backbone; named sizes are not built for it."""
        model = self.recipe.model
        known = shapes().get(f"{self.row.name}/{model.size or self.row.published.get(plain(model.weights))}")
        return known or measure(self.row, self.config.backbone_config)

    def forward_flops(self) -> float:
        """Of a query of 24 tokens and a page, in the linear layers, which are most of it; two a multiplication."""
        if not self.sees:
            return 2 * 24 * sum(math.prod(size) for size in self.shape.linear.values())
        size = max(self.page_sizes or [A4], key=math.prod)
        pages, places = self.processor.page_length(size), math.prod(self.processor.layout.grid(size))
        per_place = (self.processor.layout.token_px / self.config.backbone_config["vision_config"]["patch_size"]) ** 2
        seeing = sum(math.prod(size) for name, size in self.shape.linear.items() if SEEING.search(name))
        reading = sum(math.prod(size) for size in self.shape.linear.values()) - seeing
        return 2 * (seeing * places * per_place + reading * (pages + 24))

    def count_parameters(self) -> tuple[int, int]:
        """All, and those that are trained."""
        model, config, shape = self.recipe.model, self.config.backbone_config, self.shape
        width = self.row.hidden_size(config)
        projection = (width + 1) * self.config.dim if self.config.dim else 0
        total = shape.parameters + config["text_config"]["vocab_size"] * width + projection
        if not model.lora:
            return total, total
        linear = {**shape.linear, **({PROJECTION: (width, self.config.dim)} if self.config.dim else {})}
        targets = set(find_targets(linear, model.lora.targets))
        if self.config.dim and model.lora.projection == "lora":
            targets.add(PROJECTION)
        added = sum(model.lora.rank * sum(linear[name]) for name in targets)
        return total + added, added + (projection if model.lora.projection == "full" else 0)

    @property
    def architecture(self) -> str:
        model = self.recipe.model
        return f"{model.backbone} ({model.size or model.weights}), {INTERACTIONS[model.interaction]}"

    def _vectors_per_page(self) -> int | None:
        """Of the sources' first pages, the most; none where there are no sources to look at."""
        return max(map(self.processor.page_length, self.page_sizes), default=None) if self.late else 1

    @cached_property
    def page_sizes(self) -> list[tuple[int, int]]:
        """(width, height) in pixels of the sources' first pages; none where they are not here."""
        try:
            return [source.page_size() for source in self.sources]
        except UserError:
            return []

    def projection_facts(self) -> dict[str, Any]:
        """Where the projection comes from: an adapter, or a continued run, means nothing on another one."""
        if not self.has_new_projection:
            return {"from": self.contents.origin}
        return {"from": f"init_seed {self.init_seed}", "sha256": state_digest(self.new_projection())}


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


def find_loss(settings: RetrieverLoss, explicit_negatives: bool) -> ContrastiveLoss:
    """The recipe's loss.

    Raises:
        UserError: no such name or dialect, a class of colpali-engine with explicit negatives where the data has none,
            or one without where the data has some.
    """
    of_the_engine = settings.name not in OBJECTIVES
    if of_the_engine and settings.name.endswith("NegativeCELoss") != explicit_negatives:
        has, mend = ("some", "a *NegativeCELoss") if explicit_negatives else ("no", "data.train.negatives")
        raise UserError(
            f"The recipe's loss {settings.name} does not fit its data, which has {has} explicit negatives; "
            f"set {mend}, or name an objective ({', '.join(OBJECTIVES)}), which takes both."
        )
    changes = settings.model_dump(exclude={"name", "dialect", "dims", "pool_factors", "flops"}, exclude_none=True)
    try:
        return make_loss(settings.name, settings.dialect, **changes)
    except ValueError as error:
        raise UserError(f"The recipe's loss: {error}.") from error
