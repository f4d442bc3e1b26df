"""The recipe of a CLIP dual encoder."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from collotype.recipe.data import Crops, Data, Interval, TrainSourceSection, nearest_source
from collotype.recipe.evaluate import Evaluate
from collotype.recipe.family import RecipeSpec, Values
from collotype.recipe.schema import Model, Recipe
from collotype.recipe.section import Fraction, NotNegativeInt, PositiveInt, Section, several


class ClipModel(Model):
    """Two towers and what joins them."""

    activation: Literal["gelu", "quick_gelu"] | None = None
    """Of the transformers; weights do not tell it, and the wrong one costs accuracy. Needed with `size`; with `weights`
    where these do not say."""
    vocabulary: Literal["clip", "words"] = "clip"
    """With `size`: CLIP's byte pairs, or the words of the training captions and of evaluated class names."""
    image_size: PositiveInt | None = None
    """Side of an image in pixels; None takes the size's or the weights' own. Positions of weights are interpolated."""
    batch_norm_group: PositiveInt | None = None
    """Examples that share their statistics, on any hardware; None: the whole batch, summed over the processes.
    Open_clip without --use-bn-sync: the batch of one GPU."""

    @model_validator(mode="after")
    def know_the_rest(self) -> "ClipModel":
        if self.size is not None and self.activation is None:
            raise ValueError(
                "activation is missing; give gelu, or quick_gelu for OpenAI's models and open_clip's early ones"
            )
        if self.weights is not None and self.vocabulary != "clip":
            raise ValueError(
                "vocabulary is only for random weights (size); leave it out with weights, which have their own"
            )
        return self


class ShardSource(TrainSourceSection):
    """Tar shards in webdataset layout: KEY.jpg and KEY.txt next to each other."""

    source: Literal["shards"]
    path: str
    """Shards, several joined by `::`: `cc3m-train-{0000..0575}.tar`, a folder, `s3://…` or any other store of fsspec's,
    `collotype:pictures/…` for those that come with the package."""
    picture: str | None = None
    """The suffix of the member that holds the image: what follows the first dot of its name (`input.jpg`); of several
    (`jpg;png`) the first that is there counts. None: jpg, png, jpeg, webp."""
    caption: str = "txt"
    """The member that holds the caption; `json:KEY` takes a key of KEY.json."""


class CaptionTableSource(TrainSourceSection):
    """A table of images and captions: CSV, TSV, JSON lines, parquet, or a dataset of the hub."""

    source: Literal["captions"]
    path: str
    split: str = "train"
    """Which files of a folder, where they are named by split."""
    image_column: str | None = None
    """Of images or their paths; None: image, filepath or path."""
    caption_column: str | None = None
    """None: caption, title or text."""
    separator: str | None = None
    """Between the columns of a CSV; None: the first of tab, comma, semicolon and bar that its first line has."""
    limit: PositiveInt | None = None
    """Take the first rows only."""


ClipSource = Annotated[
    ShardSource | CaptionTableSource, Field(discriminator="source"), nearest_source(ShardSource, CaptionTableSource)
]

Strengths = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=4, max_length=4)]


class AugmentationSection(Crops):
    """How training images are varied; the keys of open_clip's --aug-cfg."""

    scale: Interval = Field(default_factory=lambda: [0.9, 1.0])
    color_jitter: Strengths | None = None
    """Strength of changes to brightness, contrast, saturation and hue."""
    color_jitter_prob: Fraction = 1.0
    gray_scale_prob: Fraction = 0.0
    re_prob: Fraction = 0.0
    """How often rectangles are erased."""
    re_count: PositiveInt = 1

    @model_validator(mode="after")
    def keep_hues(self) -> "AugmentationSection":
        if self.color_jitter and self.color_jitter[3] > 0.5:
            raise ValueError(f"the last value of color_jitter (hue) is {self.color_jitter[3]}; give at most 0.5")
        return self


class ClipData(Data):
    train: Annotated[list[ClipSource], BeforeValidator(several), Field(min_length=1)]
    augmentation: AugmentationSection = AugmentationSection()
    max_bad_examples: Fraction = 0.01


class ClipLoss(Section):
    name: Literal["symmetric-infonce", "sigmoid"] = "symmetric-infonce"
    """CLIP's, or SigLIP's with its bias; the scale is learned and kept within 1 and 100."""


class ClipEvaluate(Evaluate):
    names: str | None = None
    """labelled: a file of class names, one a line; None takes those of the data."""
    templates: Literal["openai", "simple", "none"] | None = None
    """labelled: the sentences that names are put into: CLIP's 80 for ImageNet, seven of them, or the bare name."""
    split: str | None = None
    """labelled, captions: which files of a folder, where they are named by split; None: test, validation."""
    limit: NotNegativeInt | None = None
    """Take the first rows only."""

    OF_PATHS: ClassVar[tuple[str, ...]] = ("imagenet", "labelled", "captions")

    @property
    def own_name(self) -> str:
        return self.name or "val" if self.suite == "imagenet" else super().own_name

    @model_validator(mode="after")
    def ask_nothing_in_vain(self) -> "ClipEvaluate":
        own = self.suite in self.OF_PATHS
        labelled, split = self.suite == "labelled", self.suite in ("labelled", "captions")
        self.require_use(path=own, name=own, names=labelled, templates=labelled, split=split, limit=own)
        return self


class ClipRecipe(Recipe):
    """One run of a CLIP."""

    family: Literal["clip"]
    model: ClipModel
    data: ClipData
    loss: ClipLoss = ClipLoss()
    evaluate: list[ClipEvaluate] = Field(default_factory=list)

    @model_validator(mode="after")
    def train_all_alike(self) -> "ClipRecipe":
        optimizer = self.train.optimizer
        if self.train.shard != "none":
            raise ValueError(
                f"train.shard is {self.train.shard}, but a CLIP's logit scale is a single number and cannot be "
                "sharded; leave it out, or use train.gradient_checkpointing to save memory"
            )
        if optimizer.layer_decay != 1 or optimizer.head_lr_multiplier != 1:
            raise ValueError(
                f"layer_decay is {optimizer.layer_decay} and head_lr_multiplier {optimizer.head_lr_multiplier}; a CLIP "
                "has two towers and no head above them: leave both out"
            )
        return self


def smoke_form(model: Values, data: Values, batch: int) -> dict[str, Any]:
    vit = "vit" in str(model.get("size")).lower()
    return {
        "model": {
            **{name: model[name] for name in ("activation", "init_seed") if name in model},
            "size": "tiny-vit" if vit else "tiny-rn",
            "vocabulary": "words",
        },
        "data": {**data, "train": {"source": "shards", "path": "collotype:pictures/twitter.tar"}},
        "evaluate": [{"suite": "pictures"}],
    }


SPEC = RecipeSpec(ClipRecipe, smoke_form)
