"""What a plan needs to know of a BEiT-3 recipe, without torch (except for weights in local files)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype.families.beit3.answer_vocab import ANSWERS, read_answers
from collotype.families.beit3.benchmarks import METRICS, QuestionBenchmark, find_suite, suite_needs
from collotype.families.beit3.checkpoints.locations import FILES
from collotype.families.beit3.config import VQAV2_ANSWERS, Beit3Config, sized
from collotype.families.beit3.data import open_source
from collotype.families.beit3.data.annotations import common_answers
from collotype.families.beit3.data.questions import QuestionDataset, QuestionSource
from collotype.families.beit3.recipe import Beit3Evaluate, Beit3Recipe, VqaIndexSource, VqaTableSource
from collotype.families.beit3.sizes import forward_flops, parameters
from collotype.families.beit3.tokenizer import WORDS, Beit3Tokenizer, word_tokenizer
from collotype.families.beit3.transforms import Beit3TrainTransform
from collotype.families.shared.facts import FamilyFacts
from collotype.families.shared.suites import OpenedSuites
from collotype.runtime import tables as table_files
from collotype.runtime.errors import UserError
from collotype.runtime.hub import Need
from collotype.training.facts import facts_of_sources
from collotype.training.overlap import Samples

if TYPE_CHECKING:
    from collotype.families.beit3.checkpoints.checkpoint import Beit3Checkpoint


def source_needs(source: VqaTableSource | VqaIndexSource) -> list[Need]:
    """What will be fetched of the hub for a source of training data."""
    return table_files.needs_of(source.path, source.split) if isinstance(source, VqaTableSource) else []


class Beit3Facts(FamilyFacts[Beit3Recipe]):
    def __init__(self, recipe: Beit3Recipe):
        super().__init__(recipe)
        self.benchmark = OpenedSuites(open_answered)

    @cached_property
    def sources(self) -> list[QuestionSource]:
        return [open_source(source) for source in self.recipe.data.train]

    @cached_property
    def contents(self) -> "Beit3Checkpoint | None":
        """What training starts from, if not from random weights.

        Raises:
            UserError: it cannot be read, has no head for questions or one for other answers and is to get none, or has
                no names for its answers.
        """
        model = self.recipe.model
        if model.weights is None:
            return None
        named = self.named_answers()
        answers = self.common_answers() if model.new_head and named is None else named
        FILES.fetched(model.weights)
        from collotype.families.beit3.checkpoints.reading import read

        found = read(
            model.weights,
            tokenizer=model.tokenizer,
            answers=answers,
            image_size=model.image_size,
            new_head=model.new_head,
        )
        if found.answer_list is None:
            raise UserError(
                f"{model.weights} does not contain the names of its answers; give them with --set "
                "data.answers=answer2label.txt, or train a new head with --set model.new_head=true."
            )
        return replace(found, config=replace(found.config, drop_path=model.drop_path))

    def named_answers(self) -> tuple[str, ...] | None:
        """Those of the file that the recipe names, or that lies beside index files."""
        indexed = [Path(one.path) / ANSWERS for one in self.recipe.data.train if isinstance(one, VqaIndexSource)]
        files = [Path(self.recipe.data.answers)] if self.recipe.data.answers else indexed
        return read_answers(files[0]) if files else None

    def common_answers(self) -> tuple[str, ...]:
        counts = sum((source.most_frequent for source in self.sources), Counter())
        return common_answers(counts, self.recipe.data.fewest_questions)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The answers to choose from.

        Raises:
            UserError: they are not as many as the recipe says.
        """
        found = self.contents.answer_list if self.contents else self.named_answers() or self.common_answers()
        assert found is not None
        wanted = self.recipe.data.num_answers
        if wanted not in (None, len(found)):
            raise UserError(
                f"The data has {len(found):,} answers, but data.num_answers is {wanted:,}, so the data is different or "
                "incomplete; copy it again, or set data.num_answers to null."
            )
        return found

    @cached_property
    def tokenizer(self) -> Beit3Tokenizer:
        if self.contents:
            return self.contents.tokenizer
        longest = sized(self.recipe.model.size or "").max_text_tokens
        if self.recipe.model.tokenizer != "words":
            return Beit3Tokenizer.read(Path(str(self.recipe.model.tokenizer)), longest)
        asked = [source.questions for source in self.sources]
        asked += [self.benchmark(choice).questions for choice in self.recipe.evaluate]
        return word_tokenizer((one.text(row) for one in asked for row in range(len(one))), longest)

    @cached_property
    def config(self) -> Beit3Config:
        if self.contents:
            return self.contents.config
        model = self.recipe.model
        size = {} if model.image_size is None else {"image_size": model.image_size}
        words, answers = self.tokenizer.vocab_size, len(self.vocabulary)
        return sized(model.size or "", vocab_size=words, num_answers=answers, drop_path=model.drop_path, **size)

    @cached_property
    def asked(self) -> list[QuestionDataset]:
        """
        Raises:
            UserError: questions are in tokens, and the model's are words.
        """
        data = self.recipe.data
        transform = Beit3TrainTransform(self.config.image_size, **data.augmentation.values())
        in_tokens = [source.questions.origin for source in self.sources if source.questions.in_tokens]
        if in_tokens and self.tokenizer.vocabulary.file_name == WORDS:
            raise UserError(
                f"The questions of {in_tokens[0]} are tokenized with beit3.spm; set model.tokenizer to that file."
            )
        return [
            QuestionDataset(source.questions, self.vocabulary, transform, self.recipe.train.seed, data.merged)
            for source in self.sources
        ]

    def metrics(self) -> tuple[str, ...]:
        return METRICS

    def negatives_per_query(self) -> int:
        return 0

    def train_facts(self) -> dict[str, Any]:
        return facts_of_sources(self.recipe.data.train, self.asked)

    def facts_of(self, choice: Beit3Evaluate) -> dict[str, Any]:
        benchmark = self.benchmark(choice)
        return {benchmark.name: benchmark.sizes()}

    def samples(self, choice: Beit3Evaluate | None = None) -> dict[str, Samples]:
        if choice is None:
            return {str(place): one.questions.samples() for place, one in enumerate(self.sources)}
        benchmark = self.benchmark(choice)
        return {} if benchmark.blank else {benchmark.name: benchmark.questions.samples()}

    def needs(self) -> dict[str, Callable[[], list[Need]]]:
        return self.needs_by_use(FILES.needs, suite_needs, source_needs)

    def require_weights(self) -> None:
        weights = self.recipe.model.weights
        if weights and not Path(weights).exists():
            raise UserError(f"There is no folder or file {weights}; copy it there, or set model.weights.")
        _ = self.contents

    def use_published_config(self, size: str | None = None) -> None:
        """A published file's name tells its size; the answers are those of the data, or as many as VQAv2 has."""
        model = self.recipe.model
        named = next((name for name in ("base", "large") if f"_{name}_" in Path(str(model.weights)).name), None)
        if named is None:
            raise UserError(f"{model.weights} was not found, and its name does not tell its size")
        try:
            answers = self.named_answers() or self.common_answers()
        except UserError:
            answers = tuple(map(str, range(VQAV2_ANSWERS)))
        side = {} if model.image_size is None else {"image_size": model.image_size}
        self.config = sized(named, num_answers=len(answers), drop_path=model.drop_path, **side)
        vars(self).update(tokenizer=None, vocabulary=answers)

    def describe(self) -> dict[str, Any]:
        total, trained = parameters(self.config)
        return {
            "parameters": total,
            "trainable_parameters": trained,
            "forward_gflops": round(forward_flops(self.config) / 1e9, 3),
            "architecture": self.recipe.model.size or f"{self.config.label}, {self.recipe.model.weights}",
            "image_size": self.config.image_size,
            "answers": len(self.vocabulary),
        }


def open_answered(choice: Beit3Evaluate) -> QuestionBenchmark:
    """
    Raises:
        UserError: as of `find_suite`, or nobody's answers to its questions are known.
    """
    found = find_suite(choice)
    if not len(found.answered):
        raise UserError(
            f"The answers to {found.name} are not public, so a run cannot be evaluated on it; remove it from evaluate, "
            "and write a submission with `collotype evaluate RUN/model --out DIR`."
        )
    return found


SPEC = Beit3Facts
