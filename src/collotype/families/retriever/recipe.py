"""The recipe of a page retriever."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from collotype.recipe.data import Data, TrainSourceSection, nearest_source
from collotype.recipe.evaluate import Evaluate
from collotype.recipe.family import RecipeSpec, Values
from collotype.recipe.load import explain, parse_yaml
from collotype.recipe.schema import Model, Recipe
from collotype.recipe.section import (
    Fraction,
    NotNegativeFloat,
    NotNegativeInt,
    PositiveFloat,
    PositiveInt,
    Section,
    several,
)
from collotype.recipe.smoke import STEPS
from collotype.runtime.errors import UserError

TEXT = "text"
"""The backbone of a student that reads queries only."""


class LoraSection(Section):
    """Low-rank updates of a frozen model (arXiv 2106.09685)."""

    rank: PositiveInt
    alpha: PositiveFloat
    dropout: Fraction = 0.0
    targets: str = "language-model"
    """language-model, all, or a regular expression on whole names of linear layers of the backbone."""
    init: Literal["gaussian", "kaiming"] = "gaussian"
    """Of the first of the two matrices; the second is zero."""
    projection: Literal["lora", "full", "frozen"] = "lora"
    """How the projection to vectors is trained."""
    rank_stabilised: bool = False


class RetrieverModel(Model):
    """The retriever's architecture."""

    backbone: str
    base: str | None = None
    """Where the base of an adapter in `weights` lies, if not where the adapter says."""
    lora: LoraSection | None = None
    """Train low-rank updates only; None trains every weight. An adapter in `weights` is merged first."""
    quantize: Literal["none", "nf4"] = "none"
    """nf4: the backbone's frozen weights in 4 bits (QLoRA, arXiv 2305.14314); needs the extra `bitsandbytes`."""
    interaction: Literal["late", "single", "sparse"]
    """sparse: a page is weights of the vocabulary's words, a query its own words, which no model reads."""
    dim: PositiveInt | None = None
    """Width of the projection; None leaves the backbone's own vectors (BiPali)."""
    pooling: Literal["mean", "last"] = "mean"
    """What a single vector is made of: all tokens, or the last one (BiQwen2)."""
    preset: str
    max_visual_tokens: PositiveInt | None = None
    """The visual budget of a page; None takes the preset's."""
    max_query_tokens: Annotated[int, Field(ge=16)] = 512
    """Tokens of a query's own text; training cuts a longer one and records it, encoding refuses it."""

    @model_validator(mode="after")
    def train_what_can_be(self) -> "RetrieverModel":
        if self.quantize != "none" and self.lora is None:
            raise ValueError(f"quantize is {self.quantize}, but quantized weights cannot be trained; add lora")
        return self


class SheetSource(TrainSourceSection):
    """Pages of 3 x 3 small images, drawn on demand."""

    source: Literal["sheets"]
    queries: PositiveInt
    """Number of (query, page) pairs."""
    negatives: NotNegativeInt = 0
    """Explicit (hard) negatives of each query."""
    seed: int = 0
    pictures: str | None = None
    """Folder with twitter.tar and google.tar; None takes the images that come with the package."""


class SlideSource(TrainSourceSection):
    """Lines of text on the slides that come with the package, each with its slide in four languages."""

    source: Literal["slides"]
    page_px: PositiveInt = 448
    """Longest edge of a rendered slide."""

    @property
    def negatives(self) -> int:
        return 0


class PairSource(TrainSourceSection):
    """A table of queries and pages: parquet, JSON lines, or a dataset of the Hugging Face hub."""

    source: Literal["pairs"]
    path: str
    """A .parquet or .jsonl file, a folder of either, or a dataset of the hub (`vidore/colpali_train_set`)."""
    split: str = "train"
    """Which files of a folder, where they are named by split."""
    subset: str | None = None
    """A folder of the dataset to stay in, as `en` of llamaindex/vdr-multilingual-train."""
    query_column: str = "query"
    image_column: str = "image"
    negatives_column: str = "negatives"
    negatives: NotNegativeInt = 0
    """Explicit negatives of each query: this many of its list, others in every epoch."""
    corpus: str | None = None
    """A table as `path`, whose rows the image and negatives columns name by id instead of holding images."""
    corpus_id_column: str | None = None
    """The corpus's column of ids; None: ids are row numbers, from 0."""
    corpus_image_column: str = "image"
    limit: PositiveInt | None = None
    """Take the first rows only."""
    page_px: PositiveInt = 1536
    """Longest edge of a rendered PDF page."""


class PdfOutlineSource(TrainSourceSection):
    """Weak labels from PDFs themselves: outline entries and captions, each with its page."""

    source: Literal["pdf-outline"]
    path: str
    """A PDF, or a folder of them."""
    outline: bool = True
    """Take the bookmarks' titles as queries."""
    captions: bool = True
    """Take the captions of figures and tables as queries."""
    min_chars: PositiveInt = 6
    """Leave shorter titles and captions out."""
    limit: PositiveInt | None = None
    """Take the first rows only."""
    page_px: PositiveInt = 1536
    """Longest edge of a rendered page."""

    @property
    def negatives(self) -> int:
        return 0


TrainSource = Annotated[
    SheetSource | SlideSource | PairSource | PdfOutlineSource,
    Field(discriminator="source"),
    nearest_source(SheetSource, SlideSource, PairSource, PdfOutlineSource),
]


class RetrieverData(Data):
    train: Annotated[list[TrainSource], BeforeValidator(several), Field(min_length=1)]


class RetrieverLoss(Section):
    """The objective on the scores; what is none keeps the named loss's own default."""

    name: str
    """infonce, symmetric-infonce, pairwise, sigmoid, or a class of colpali-engine (`collotype list losses`)."""
    dialect: str | None = None
    """For a class of colpali-engine: whose defaults (paper, colpali-engine<=0.3.10, colpali-engine>=0.3.11)."""
    temperature: PositiveFloat | None = None
    normalize: bool | None = None
    """Divide a late-interaction score by the number of query vectors."""
    smooth_max: PositiveFloat | None = None
    """tau of a smooth maximum in MaxSim; None takes the maximum."""
    filter_threshold: PositiveFloat | None = None
    """Damp in-batch negatives that score above this part of the positive's score."""
    filter_factor: PositiveFloat | None = None
    """What part of their score is left."""
    filter_formula: Literal["lower", "multiply"] | None = None
    """lower: their score falls, whatever its sign. multiply: as in colpali-engine, where negative scores rise; the
    default of its classes."""
    in_batch_weight: Fraction | None = None
    """With explicit negatives: the weight of the in-batch objective; theirs is one minus it."""
    share_negatives: bool | None = None
    """Push every query from all queries' explicit negatives, not from its own only."""
    flops: PositiveFloat | None = None
    """Of a sparse model: the weight of the regulariser that keeps its pages sparse."""
    dims: list[PositiveInt] = Field(default_factory=list)
    """Matryoshka: the loss is the mean over vectors cut to each of these numbers of dimensions."""
    pool_factors: list[PositiveInt] = Field(default_factory=list)
    """Of each, over pages pooled by each of these factors; 1 is not pooled."""
    pool_spread: NotNegativeFloat = 0.0
    """The weight of 1 − cosine between a page's vectors and what they are pooled to: what pools well lies together."""


class Distill(Section):
    """A trained retriever that the model learns from, beside the loss or in its place."""

    teacher: str | None = None
    """A model's folder or hub name."""
    scores: str | None = None
    """In its place a .parquet or .jsonl file of its scores, of each query with its page and its explicit negatives:
    the columns query, page and score."""
    base: str | None = None
    """Where the base of a teacher that is an adapter lies, if not where the adapter says."""
    preset: str | None = None
    """That it was trained with, if its folder does not say."""
    objective: Literal["vectors", "kl", "margin-mse"] = "vectors"
    """vectors: one minus the cosine with each of the teacher's query vectors. kl: its distribution of scores over the
    batch's pages. margin-mse: its margins between them (arXiv 2010.02666)."""
    weight: Fraction = 1.0
    """Part of the loss that this is; the rest is `loss`."""
    temperature: PositiveFloat | None = None
    """Of kl; None takes the loss's."""

    @model_validator(mode="after")
    def have_one_teacher(self) -> "Distill":
        if (self.teacher is None) == (self.scores is None):
            raise ValueError("distill needs either a teacher or a table of its scores; give exactly one of them")
        if self.scores and self.objective == "vectors":
            raise ValueError("distill.objective is vectors, but a table contains scores; set it to kl or margin-mse")
        return self

    @property
    def asks_for_pages(self) -> bool:
        """Does the teacher look at pages?"""
        return self.objective != "vectors"


class RetrieverEvaluate(Evaluate):
    data_dir: str | None = None
    """ViDoRe: the folder with local copies of the datasets, each in a folder of its own; None asks the hub."""
    only: list[str] = Field(default_factory=list)
    """ViDoRe: leave out the suite's other datasets."""
    split: str = "test"
    counting: Literal["mteb", "vidore-benchmark"] = "mteb"
    """How duplicates are merged and pages ranked; published tables are of one or the other."""
    looks_at: Literal["image", "text", "both"] = "image"
    """Of a page: its image, its text (embedded as a query), or the vectors of both."""
    dim: PositiveInt | None = None
    """Cut vectors to their first dimensions; None: whole."""
    pool_factor: PositiveInt = 1
    """Pool this many of a page's vectors into one."""
    untrained: bool = False
    """Also where the model was not trained for it."""

    OF_PATHS: ClassVar[tuple[str, ...]] = ("qa", "beir")

    def measures(self, dataset: str) -> bool:
        return super().measures(dataset) and (not self.only or dataset.partition("/")[2] in self.only)

    def contradicts(self, other: Evaluate) -> bool:
        if not isinstance(other, RetrieverEvaluate):
            return super().contradicts(other)
        parts = bool(self.only and other.only) and not set(self.only) & set(other.only)
        measured = {"path", "data_dir", "split", "counting", "looks_at", "dim", "pool_factor", "untrained"}
        same = self.model_dump(include=measured) == other.model_dump(include=measured)
        return not (parts or same) and super().contradicts(other)

    @model_validator(mode="after")
    def ask_nothing_in_vain(self) -> "RetrieverEvaluate":
        own, vidore = self.suite in self.OF_PATHS, self.suite.startswith("vidore-")
        self.require_use(path=own, name=own, data_dir=vidore, only=vidore, counting=own or vidore)
        return self


class RetrieverRecipe(Recipe):
    """One run of a page retriever."""

    family: Literal["retriever"]
    model: RetrieverModel
    data: RetrieverData
    loss: RetrieverLoss
    distill: Distill | None = None
    """Learn from a trained model."""
    evaluate: list[RetrieverEvaluate] = Field(default_factory=list)

    @model_validator(mode="after")
    def train_for_forms_there_are(self) -> "RetrieverRecipe":
        kind, dim = self.model.interaction, self.model.dim
        if self.loss.pool_factors and kind != "late":
            raise ValueError(
                f"loss.pool_factors is {self.loss.pool_factors}, but a single vector per page cannot be pooled; leave "
                "it out, or set model.interaction to late"
            )
        if self.loss.pool_spread and max(self.loss.pool_factors, default=1) == 1:
            raise ValueError(
                f"loss.pool_spread is {self.loss.pool_spread}, but nothing is pooled; set loss.pool_factors, or leave "
                "it out"
            )
        if kind == "sparse" and (dim or self.loss.dims):
            raise ValueError("a sparse vector has one number per vocabulary token; leave model.dim and loss.dims out")
        if self.loss.flops and kind != "sparse":
            raise ValueError(f"loss.flops is {self.loss.flops}, which only sparse models support; leave it out")
        if self.model.dim and max(self.loss.dims, default=0) > self.model.dim:
            raise ValueError(
                f"loss.dims has {max(self.loss.dims)}, but vectors have only model.dim = {self.model.dim} numbers; "
                "give smaller ones"
            )
        return self

    @model_validator(mode="after")
    def have_pages_that_were_scored(self) -> "RetrieverRecipe":
        if self.distill and self.distill.scores:
            if any(isinstance(source, SheetSource) for source in self.data.train):
                raise ValueError(
                    "distill.scores refers to pages by name, but sheets have none; train on a table or PDFs"
                )
            if not any(source.negatives for source in self.data.train):
                raise ValueError(
                    "distill.scores are for a query's page and its explicit negatives, but data.train has none; set "
                    "data.train.negatives"
                )
        return self

    @model_validator(mode="after")
    def learn_from_what_there_is(self) -> "RetrieverRecipe":
        if self.model.backbone != TEXT:
            return self
        if self.distill is None or self.distill.teacher is None:
            raise ValueError(
                f"model.backbone is {TEXT}, which cannot encode pages; name the model that encodes them in "
                "distill.teacher"
            )
        for key, given in (
            ("model.base", self.model.base),
            ("model.lora", self.model.lora),
            ("data.train.negatives", any(source.negatives for source in self.data.train)),
            ("loss.dims", self.loss.dims),
            ("loss.pool_factors", self.loss.pool_factors),
        ):
            if given:
                raise ValueError(f"{key} is not supported by the backbone {TEXT}; leave it out")
        return self

    @model_validator(mode="after")
    def shard_what_can_be(self) -> "RetrieverRecipe":
        if self.model.quantize != "none" and self.train.shard != "none":
            raise ValueError(
                f"model.quantize is {self.model.quantize} and train.shard {self.train.shard}, but 4-bit "
                "weights cannot be sharded; leave one of them out"
            )
        return self


def parse_source(text: str) -> TrainSource:
    """A source of training data from the command line: as in a recipe, `{source: pairs, path: …}`, or a path alone,
    which is that of PDFs if it holds these and no table.

    Raises:
        UserError: as of a recipe's `data.train`.
    """
    path = Path(text).expanduser()
    if text.lstrip().startswith("{"):
        values = parse_yaml(text, "the value of --data")
    elif path.suffix.lower() == ".pdf" or (path.is_dir() and holds_pdfs_only(path)):
        values = {"source": "pdf-outline", "path": text}
    else:
        values = {"source": "pairs", "path": text}
    try:
        return TypeAdapter(TrainSource).validate_python(values)
    except ValidationError as error:
        raise UserError(explain(error, "--data")) from None


def holds_pdfs_only(folder: Path) -> bool:
    endings = {file.suffix.lower() for file in folder.rglob("*")}
    return ".pdf" in endings and not endings & {".parquet", ".jsonl"}


def smoke_form(model: Values, data: Values, batch: int) -> dict[str, Any]:
    sources = data.get("train")
    sources = [one for one in (sources if isinstance(sources, list) else [sources]) if isinstance(one, Mapping)]
    explicit = max((one.get("negatives", 0) for one in sources), default=0)
    return {
        "model": {**model, "size": "tiny", "weights": None, "base": None, "quantize": "none"},
        "data": {"train": {"source": "sheets", "queries": STEPS * batch, "negatives": explicit}},
        "evaluate": [{"suite": "sheets"}],
    }


SPEC = RecipeSpec(RetrieverRecipe, smoke_form)
