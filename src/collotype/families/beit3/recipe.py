"""The recipe of a BEiT-3 that answers questions about images."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from collotype.recipe.data import Crops, Data, Interval, TrainSourceSection, nearest_source
from collotype.recipe.evaluate import Evaluate
from collotype.recipe.family import RecipeSpec, Values
from collotype.recipe.schema import Model, Recipe
from collotype.recipe.section import Fraction, NotNegativeInt, PositiveInt, Section, several


class Beit3Model(Model):
    """A multiway encoder and a head for questions."""

    tokenizer: str | None = None
    """Path of `beit3.spm`; with `size` also `words`: exactly the words of the questions that the recipe names. With
    `weights` none takes what lies beside them."""
    image_size: PositiveInt | None = None
    """Side of the square image in pixels; None takes that of size or weights."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """How often, in training, an example goes around the last block; around those before it proportionally less."""
    new_head: bool = False
    """With `weights`: draw pooler and head anew, for the answers of this data."""

    @model_validator(mode="after")
    def know_the_rest(self) -> "Beit3Model":
        if self.size is not None and self.tokenizer is None:
            raise ValueError("tokenizer is missing: the path of beit3.spm, or words")
        if self.weights is not None and self.tokenizer == "words":
            raise ValueError("tokenizer is words, but weights have their own vocabulary; leave it out")
        if self.size is not None and self.new_head:
            raise ValueError("new_head is only for given weights; leave it out with size, where all weights are new")
        return self


HELD_OUT_FILE = "held-out.json"


class Vqav2Source(TrainSourceSection):
    """VQAv2's `train`, from the official files: train2014, and val2014 without the images that are held out."""

    source: Literal["vqav2"]
    path: str
    """The folder of the JSON files (they may also be in `vqa` below it) and of COCO's folders of images."""
    held_out: str | None = None
    """The file that lists the images held out; None: `held-out.json` in `path`. It is written if it is not there."""
    num_held_out: PositiveInt = 1000
    """How many to draw when it is written."""

    @property
    def held_out_file(self) -> Path:
        return Path(self.held_out or Path(self.path) / HELD_OUT_FILE)


class VqaIndexSource(TrainSourceSection):
    """VQAv2's `train`, from the index files that BEiT-3's own preparation writes."""

    source: Literal["vqa-index"]
    path: str
    """The folder of `vqa.train.jsonl`, `vqa.trainable_val.jsonl`, `answer2label.txt` and the images."""


class VqaTableSource(TrainSourceSection):
    """A table of images, questions and answers: parquet, JSON lines, CSV, or a dataset of the hub."""

    source: Literal["vqa-table"]
    path: str
    split: str = "train"
    """Which files of a folder, where they are named by split."""
    picture_column: str | None = None
    question_column: str | None = None
    answer_column: str | None = None
    id_column: str | None = None
    """Columns; None: the first of the usual names that is there."""


class EasyVqaSource(TrainSourceSection):
    """easy-VQA: 38,575 questions of 13 answers about 4,000 images of a shape."""

    source: Literal["easy-vqa"]


KINDS = (Vqav2Source, VqaIndexSource, VqaTableSource, EasyVqaSource)
Beit3Source = Annotated[
    Vqav2Source | VqaIndexSource | VqaTableSource | EasyVqaSource,
    Field(discriminator="source"),
    nearest_source(*KINDS),
]


class ImageAugmentation(Crops):
    """How training images are varied; the defaults are the published ones."""

    scale: Interval = Field(default_factory=lambda: [0.5, 1.0])
    flip_prob: Fraction = 0.5
    """How often images are mirrored."""
    operations: NotNegativeInt = 2
    """Of RandAugment; 0 is without."""
    magnitude: Annotated[float, Field(ge=0, le=10)] = 7.0


class Beit3Data(Data):
    train: Annotated[list[Beit3Source], BeforeValidator(several), Field(min_length=1)]
    answers: str | None = None
    """A file of the answers to choose from, as `answer2label.txt`; None: those of the weights, or, where the head is
    new, what `fewest_questions` of the training data say."""
    fewest_questions: PositiveInt = 9
    """How many questions must have an answer as their most frequent one for it to be chosen from."""
    num_answers: PositiveInt | None = None
    """How many there must be to choose from; None: as many as there are."""
    merged: bool = False
    """Bring people's answers to normal form before they are compared with those; published is without."""
    augmentation: ImageAugmentation = ImageAugmentation()
    max_bad_examples: Fraction = 0.01


class Beit3Loss(Section):
    name: Literal["bce"] = "bce"
    """Binary cross-entropy with soft scores, summed over answers, the mean over questions."""


class Beit3Evaluate(Evaluate):
    split: str | None = None
    """vqav2: val, test or test-dev [val]; easy-vqa: train or test [test]; vqa: which files of a folder [test]."""
    held_out: str | None = None
    """vqav2, val: as of the source."""
    blank_pictures: bool = False
    """Show a grey image in place of each: what is answered then is known without looking."""
    limit: PositiveInt | None = None
    """easy-vqa, vqa: the first questions only."""

    OF_PATHS: ClassVar[tuple[str, ...]] = ("vqav2", "vqa")
    SPLITS: ClassVar[dict[str, str]] = {"vqav2": "val"}

    @model_validator(mode="after")
    def ask_nothing_in_vain(self) -> "Beit3Evaluate":
        own = self.suite in self.OF_PATHS
        self.require_use(
            path=own,
            name=own,
            held_out=self.suite == "vqav2" and self.of_split == "val",
            limit=self.suite != "vqav2",
        )
        return self

    @property
    def of_split(self) -> str:
        return self.split or self.SPLITS.get(self.suite, "test")

    @property
    def held_out_file(self) -> Path:
        return Path(self.held_out or Path(self.path or "") / HELD_OUT_FILE)

    @property
    def own_name(self) -> str:
        name = super().own_name if self.suite == "vqa" else self.name or self.of_split
        return f"{name}-blank" if self.blank_pictures else name

    @property
    def folder(self) -> str:
        return f"{self.suite}-{self.own_name}"

    def contradicts(self, other: Evaluate) -> bool:
        same_name = (self.suite, self.own_name) == (other.suite, other.own_name)
        return same_name and self.model_dump(exclude={"every_steps"}) != other.model_dump(exclude={"every_steps"})


class Beit3Recipe(Recipe):
    """One run of a BEiT-3."""

    family: Literal["beit3"]
    model: Beit3Model
    data: Beit3Data
    loss: Beit3Loss = Beit3Loss()
    evaluate: list[Beit3Evaluate] = Field(default_factory=list)

    @model_validator(mode="after")
    def hold_out_what_is_measured(self) -> "Beit3Recipe":
        trained = {Path(one.path): one.held_out_file for one in self.data.train if isinstance(one, Vqav2Source)}
        for choice in self.evaluate:
            path, file = Path(choice.path or ""), choice.held_out_file
            if (choice.suite, choice.of_split) == ("vqav2", "val") and trained.get(path, file) != file:
                raise ValueError(
                    f"data.train holds out the images in {trained[path]}, but evaluate uses those in {file}, some of "
                    "which are trained on; name the same file in both"
                )
        return self


def smoke_form(model: Values, data: Values, batch: int) -> dict[str, Any]:
    return {
        "model": {
            **{name: model[name] for name in ("drop_path", "init_seed") if name in model},
            "size": "tiny",
            "tokenizer": "words",
        },
        "data": {**data, "answers": None, "num_answers": None, "train": {"source": "easy-vqa"}},
        "evaluate": [{"suite": "easy-vqa", "limit": 64}],
    }


SPEC = RecipeSpec(Beit3Recipe, smoke_form)
