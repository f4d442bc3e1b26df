"""What a plan needs to know of a retriever recipe, without torch (except for local weights, a local teacher, and
backbones that `shapes.json` lacks)."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from collotype.evaluation.ranking import METRICS
from collotype.families.retriever.backbones import find_backbone, require_budget, require_preset
from collotype.families.retriever.backbones.shapes import Shape, measure, shapes
from collotype.families.retriever.benchmarks import DRAWN, averaged_names, find_suite, suite_needs
from collotype.families.retriever.benchmarks.benchmark import sizes_of
from collotype.families.retriever.checkpoints.locations import TEXT_ENCODER, fetched, needs_of
from collotype.families.retriever.config import Compact, RetrieverConfig
from collotype.families.retriever.data import PairDataset, open_source, source_needs
from collotype.families.retriever.data.pairs import RefPairs
from collotype.families.retriever.data.scores import ScoreTable
from collotype.families.retriever.lora_targets import PROJECTION, find_targets
from collotype.families.retriever.preset import TRAINED_WITH, find_preset
from collotype.families.retriever.processor import Processor, make_processor
from collotype.families.retriever.quantize import require_bitsandbytes
from collotype.families.retriever.recipe import TEXT, RetrieverEvaluate, RetrieverLoss, RetrieverRecipe, TrainSource
from collotype.families.retriever.tokenizer import spelling_tokenizer, word_tokenizer
from collotype.families.shared.facts import FamilyFacts
from collotype.families.shared.suites import OpenedSuites
from collotype.losses.registry import OBJECTIVES, find_settings
from collotype.losses.settings import ContrastiveSettings
from collotype.runtime.errors import UserError
from collotype.runtime.hub import Need, plain
from collotype.runtime.model_folder import require_there
from collotype.training.facts import facts_of_sources
from collotype.training.overlap import Samples

if TYPE_CHECKING:
    from collotype.families.retriever.checkpoints.checkpoint import RetrieverCheckpoint
    from collotype.families.retriever.checkpoints.text_encoder import TextEncoder
    from collotype.families.retriever.distill import Teacher

INTERACTIONS = {"late": "late interaction", "single": "single vector", "sparse": "sparse vector"}
A4 = (1654, 2339)
"""A page's (width, height) in pixels, at 200 dpi."""
SEEING = re.compile(r"\b(vision_tower|vision_model|visual)\b")
"""In the names of layers that look at patches, not at tokens."""


@dataclass(frozen=True)
class PublishedModel:
    """In the place of a checkpoint that is not here: what its name says of it."""

    config: RetrieverConfig
    tokenizer: Tokenizer
    origin: str


class RetrieverFacts(FamilyFacts[RetrieverRecipe]):
    def __init__(self, recipe: RetrieverRecipe):
        super().__init__(recipe)
        self.scores: ScoreTable | None = None
        """Of a teacher that is not asked itself, once the sources are open."""
        self.benchmarks = OpenedSuites(find_suite)
        self.preset = find_preset(recipe.model.preset).bounded(recipe.model.max_visual_tokens)
        self.row = find_backbone(recipe.model.backbone, recipe.model.size)
        require_preset(self.row, self.preset)
        require_budget(self.row, recipe.model.max_visual_tokens)
        self.loss_settings = find_loss(recipe.loss, self.num_negatives > 0)
        self.compact = Compact(dims=tuple(recipe.loss.dims), pool_factors=tuple(recipe.loss.pool_factors))

    @cached_property
    def teacher(self) -> "Teacher | None":
        """
        Raises:
            UserError: it is not there.
        """
        taught = self.recipe.distill
        if taught is None or taught.teacher is None:
            return None
        require_there(taught.teacher)
        fetched(taught.teacher, taught.base)
        from collotype.families.retriever.distill import Teacher

        return Teacher(taught)

    @property
    def late(self) -> bool:
        return self.recipe.model.interaction == "late"

    @property
    def sees(self) -> bool:
        """Does the model look at pages itself?"""
        return self.recipe.model.backbone != TEXT

    @cached_property
    def contents(self) -> "RetrieverCheckpoint | PublishedModel | None":
        """What training starts from, if not from random weights.

        Raises:
            UserError: it cannot be read, or is of another backbone or width than the recipe says.
        """
        wanted = self.recipe.model
        if wanted.weights is None or not self.sees:
            return None
        require_there(wanted.weights)
        fetched(wanted.weights, wanted.base)
        from collotype.families.retriever.checkpoints.reading import read

        found = read(wanted.weights, wanted.preset, wanted.base, to_train=True)
        for name, said, there in (
            ("backbone", wanted.backbone, found.config.backbone),
            ("dim", wanted.dim, found.config.dim),
        ):
            if None not in (said, there) and said != there:
                raise UserError(f"model.{name} is {said}, but {wanted.weights} has {there}; correct one of them.")
        return found

    @cached_property
    def text_encoder(self) -> "TextEncoder | None":
        """What a student's text tower starts from, if not from random weights.

        Raises:
            UserError: it cannot be read, or is no such encoder.
        """
        wanted = self.recipe.model
        if wanted.weights is None or self.sees:
            return None
        from collotype.families.retriever.checkpoints import text_encoder

        return text_encoder.read(wanted.weights, self.tokenizer)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """A checkpoint's own; else of the training queries' words. Where these are not all there are, others can be
        spelled."""
        if self.teacher and not self.sees:
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
        elif self.text_encoder:
            backbone_config = self.text_encoder.config
        else:
            backbone_config = self.row.configure(self.row.sizes[model.size or ""], self.tokenizer.get_vocab())
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
        return self.as_student(own, self.teacher) if self.teacher and not self.sees else own

    def as_student(self, config: RetrieverConfig, teacher: "Teacher") -> RetrieverConfig:
        """
        Raises:
            UserError: the recipe says that its vectors are others than the teacher's.
        """
        teacher.require_same_form(self.recipe.model)
        taught = teacher.config
        return replace(config, preset=taught.preset, compact=taught.compact, pages=teacher.as_page_model())

    @cached_property
    def processor(self) -> Processor:
        return make_processor(self.config, self.tokenizer)

    @property
    def has_new_projection(self) -> bool:
        """Is there a projection, and does it start at random?"""
        return self.config.dim is not None and not (self.contents and self.contents.config.dim)

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

    def metrics(self) -> tuple[str, ...]:
        return METRICS

    def negatives_per_query(self) -> int:
        block = self.recipe.train.batch // self.recipe.negatives.processes
        explicit = self.num_negatives * (block if self.loss_settings.share_negatives else 1)
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
        of_weights = partial(needs_of, base=self.recipe.model.base) if self.sees else TEXT_ENCODER.needs
        found = self.needs_by_use(of_weights, suite_needs, source_needs)
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
        _ = self.text_encoder

    def use_published_config(self, size: str | None = None) -> None:
        if self.teacher:
            _ = self.teacher.contents
        name = plain(self.recipe.model.weights) or ""
        if name not in self.row.published:
            raise UserError(f"{name} was not found, and its name does not tell its size")
        shapes = self.row.sizes[self.row.published[name]]
        tokenizer = word_tokenizer([self.preset.query(""), self.preset.page_prompt], self.row.special_tokens)
        config = self.row.configure(shapes, tokenizer.get_vocab())
        config["text_config"]["vocab_size"] = shapes["text_config"]["vocab_size"]
        dim = self.recipe.model.dim if name.startswith("vidore/") else None
        shape = RetrieverConfig(self.row.name, config, "late", dim, self.preset)
        self.contents = PublishedModel(shape, tokenizer, name)

    def framing(self) -> dict[str, Any]:
        said = TRAINED_WITH.get(plain(self.recipe.model.weights) or "")
        return {
            "preset": self.preset.name,
            "query_attention": self.preset.query_attention,
            **({"max_visual_tokens": self.preset.max_visual_tokens} if self.preset.max_visual_tokens else {}),
            **({"preset_of_weights": said} if said else {}),
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
        known = shapes().get(f"{self.row.name}/{model.size or self.row.published.get(plain(model.weights) or '')}")
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
        return float(2 * (seeing * places * per_place + reading * (pages + 24)))

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
        if self.contents and not self.has_new_projection:
            return {"from": self.contents.origin}
        return {"from": f"init_seed {self.init_seed}"}


def find_loss(settings: RetrieverLoss, explicit_negatives: bool) -> ContrastiveSettings:
    """The recipe's loss, as data.

    Raises:
        UserError: no such name or dialect, a class of colpali-engine with explicit negatives where the data has none,
            or one without where the data has some.
    """
    of_the_engine = settings.name not in OBJECTIVES
    if of_the_engine and settings.name.endswith("NegativeCELoss") != explicit_negatives:
        has, mend = ("some", "a *NegativeCELoss") if explicit_negatives else ("no", "data.train.negatives")
        raise UserError(
            f"The recipe's loss {settings.name} does not fit its data, which has {has} explicit negatives; set {mend}, "
            f"or use an objective ({', '.join(OBJECTIVES)}), which works with both."
        )
    of_the_task = {"name", "dialect", "dims", "pool_factors", "pool_spread", "flops"}
    changes = settings.model_dump(exclude=of_the_task, exclude_none=True)
    try:
        return find_settings(settings.name, settings.dialect, **changes)
    except ValueError as error:
        raise UserError(f"The recipe's loss: {error}.") from error


SPEC = RetrieverFacts
