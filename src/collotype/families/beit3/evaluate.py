"""Questions answered and measured: shared by processes, resumable, each picture decoded once."""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collotype.evaluation.results import GalleryWriter, Measured
from collotype.evaluation.vqa import METRICS as VQA_METRICS
from collotype.evaluation.vqa import Question, vqa_scores
from collotype.families.beit3.benchmarks import Benchmark
from collotype.families.beit3.data.pictures import decoded
from collotype.families.beit3.model import Beit3
from collotype.families.beit3.submission import AnswerStore, some, write_submission
from collotype.families.beit3.tokenizer import Beit3Tokenizer, pad
from collotype.families.beit3.transforms import FILL, squashed
from collotype.report.heatmap import enlarge, light_up
from collotype.runtime.device import peak_memory, reset_peak_memory, room_on
from collotype.runtime.errors import UserError
from collotype.runtime.files import remove
from collotype.runtime.process import ALONE, World, gathered, on_main, over_blocks
from collotype.training.faults import BadExampleError

BATCH_TOKENS = 16_384
"""Of a forward pass, padding included: 16 pictures of 480 pixels with their questions."""
BLOCK = 32
"""Pictures whose questions one process answers at a time, and keeps."""
ANSWERED = "answered"
METRICS = (*VQA_METRICS, ANSWERED)
SHOWN_PICTURES, SHOWN_QUESTIONS = 6, 4
LEGEND = (
    "A picture, then the same lit where the model looked when it read each answer off (the attention of the last "
    "block's one query, mean of its heads; the frame is the patch with most of it). A green frame is a right answer."
)


@dataclass
class Pace:
    """What one process did, and how fast."""

    questions: int = 0
    batch_s: list[float] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def facts(self) -> dict[str, Any]:
        seconds = time.perf_counter() - self.started
        facts = {"questions": self.questions, "batches": len(self.batch_s), "seconds": round(seconds, 2)}
        if self.batch_s:
            facts |= {"batch_mean_s": round(mean(self.batch_s), 4), "batch_median_s": round(median(self.batch_s), 4)}
            facts |= {"batch_max_s": round(max(self.batch_s), 4), "samples_per_s": round(self.questions / seconds, 1)}
        return facts


def evaluate(
    model: Beit3,
    benchmark: Benchmark,
    examples_to: Path | None = None,
    world: World = ALONE,
    out: Path | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> Measured:
    """The official accuracy over all questions, by type of answer and of question, and BEiT-3's own score.

    Args:
        examples_to: a folder for pictures, questions, answers and attention.
        world: the processes that share the work; all of them call this, and all get the result.
        out: a folder for the submission, and for what is answered until all is.
        batch_tokens: of a forward pass, padding included.

    Raises:
        UserError: the model knows no names of answers, questions have words it was never shown, nothing would come of
            it, or questions stay unanswered that nobody else can answer.
    """
    if model.answer_list is None:
        raise UserError("This model knows its answers by number only; name the file of them with --answers.")
    if not len(benchmark.answered) and out is None:
        raise UserError(
            f"Nobody's answers to {benchmark.name} are known, so all that comes of it is a file; name --out."
        )
    events = too_long(benchmark, model.tokenizer)
    reset_peak_memory(model.device)
    digest, pace = model.digest(), Pace()
    answering = Answering(model, benchmark, batch_tokens, pace)
    key = {"model": digest, "questions": benchmark.fingerprint}
    answers = answering.resumed(out, key, world) if out else answering.shared(world)
    facts = {
        "model": {"sha256": digest, "architecture": model.config.label, "image_size": model.config.image_size},
        "data": benchmark.sizes(),
        "timing": timing(gathered(pace.facts(), world), pace, world),
        "peak_memory_mib": gathered(round(peak_memory(model.device) / 2**20, 1), world),
    }
    if examples_to and not benchmark.blank:
        illustrate(model, benchmark, answers, examples_to)
    if not len(benchmark.answered):
        share = len(answers) / len(benchmark.questions)
        return Measured(benchmark.name, {ANSWERED: share}, ANSWERED, facts={**facts, "events": events})
    people = benchmark.people()
    events += unknown(benchmark)
    known = {one.id for one in people}
    found = vqa_scores(people, {number: said for number, said in answers.items() if number in known}, model.answer_list)
    if found.unanswered:
        note = f"their pictures cannot be read, and they count as wrong: {some(found.unanswered)}"
        events.append({"kind": "questions unanswered", "count": len(found.unanswered), "note": note})
    if found.outside:
        note = "beit3_score leaves them out, the accuracy counts them"
        events.append({"kind": "questions without an answer in the vocabulary", "count": found.outside, "note": note})
    facts |= {"by_question_type": found.by_question_type, **without_looking(benchmark, people, model.answer_list)}
    return Measured(benchmark.name, found.metrics, "vqa_accuracy", facts={**facts, "events": events})


def timing(ranks: Sequence[dict[str, Any]], pace: Pace, world: World) -> dict[str, Any]:
    seconds = max(rank["seconds"] for rank in ranks)
    total = sum(rank["questions"] for rank in ranks)
    speed = {"samples_per_s": round(total / seconds, 1)} if total and seconds else {}
    return {"total_s": seconds, "processes": world.size, **speed, "by_process": list(ranks)}


def too_long(benchmark: Benchmark, tokenizer: Beit3Tokenizer) -> list[dict[str, Any]]:
    """The event of questions that are cut; reading all of them once, before any is answered.

    Raises:
        UserError: a question has words that a closed vocabulary has not.
    """
    questions = benchmark.questions
    times = Counter(questions.text_row.tolist())
    count = sum(times[row] for row in times if tokenizer(questions.texts[row][0]).cut)
    note = f"they have more than {tokenizer.max_tokens} tokens"
    return [{"kind": "questions cut", "count": count, "note": note}] if count else []


def unknown(benchmark: Benchmark) -> list[dict[str, Any]]:
    count = len(benchmark.questions) - len(benchmark.answered)
    note = "they are answered, and the accuracy is over the others"
    return [{"kind": "questions without people's answers", "count": count, "note": note}] if count else []


class Answering:
    """A model's answers to a benchmark's questions, in blocks of pictures that do not depend on who answers them."""

    def __init__(self, model: Beit3, benchmark: Benchmark, batch_tokens: int, pace: Pace):
        self.model, self.benchmark, self.questions, self.pace = model, benchmark, benchmark.questions, pace
        longest = (model.config.side**2 + 1) + model.config.max_text_tokens
        self.batch = max(1, batch_tokens // longest)
        self.pictures = list(self.questions.by_picture())
        self.unreadable: list[str] = []

    def shared(self, world: World) -> dict[int, str]:
        """Answers by question id, without those whose picture cannot be read."""
        return self.rest({}, world, lambda own: None)

    def resumed(self, out: Path, key: Mapping[str, Any], world: World) -> dict[int, str]:
        """As `shared`, going on with what is in `out` and keeping it there; at the end the submission.

        Raises:
            UserError: `out` holds answers of another model or of other questions; or questions stay unanswered to which
                nobody's answers are known.
        """
        place = out / f".answers-{self.benchmark.name.replace('/', '-')}"
        file = out / f"submit_{self.benchmark.name.replace('/', '_')}.json"
        kept = on_main(world, lambda: AnswerStore(place, key).read())
        store, order = AnswerStore(place, key), self.questions.ids.tolist()
        try:
            answers = self.rest(kept, world, store.append)
        except BaseException:
            if world.is_main:
                # the file's name says that it is not whole, the error why
                with suppress(UserError):
                    write_submission(file, order, store.read())
            raise
        unreadable = [name for names in gathered(self.unreadable, world) for name in names]

        def conclude() -> None:
            try:
                write_submission(file, order, answers)
                remove(place)
            except UserError as error:
                if not len(self.benchmark.answered):
                    raise UserError(
                        f"{len(unreadable)} pictures cannot be read, {unreadable[0]} first. {error}"
                    ) from error

        on_main(world, conclude)
        return answers

    def rest(self, kept: Mapping[int, str], world: World, keep: Callable[[dict[int, str]], None]) -> dict[int, str]:
        def work(block: range) -> dict[int, str]:
            own = self.pictures[block.start : block.stop]
            ids = [int(number) for _, rows in own for number in self.questions.ids[rows]]
            if all(number in kept for number in ids):
                return {number: kept[number] for number in ids}
            found = self.of_block(own)
            keep(found)
            return found

        self.model.eval()
        blocks = over_blocks(len(self.pictures), world, work, BLOCK)
        return {number: answer for block in blocks for number, answer in block.items()}

    def of_block(self, pictures: Sequence[tuple[int, np.ndarray]]) -> dict[int, str]:
        """Answers to the questions about these pictures, but for pictures that cannot be read."""
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            shown = list(pool.map(self.pixels, [picture for picture, _ in pictures]))
        asked = [
            (int(row), pixels)
            for (_, rows), pixels in zip(pictures, shown, strict=True)
            for row in rows
            if pixels is not None
        ]
        found: dict[int, str] = {}
        for at in range(0, len(asked), self.batch):
            found |= self.of_batch(asked[at : at + self.batch])
        return found

    def pixels(self, picture: int) -> Tensor | None:
        """uint8 [3, S, S]; none: it cannot be read."""
        side = self.model.config.image_size
        if self.benchmark.blank:
            return torch.full((3, side, side), FILL[0], dtype=torch.uint8)
        try:
            return squashed(decoded(self.questions.pictures, picture), side)
        except BadExampleError:
            self.unreadable.append(self.questions.pictures.name(picture))
            return None

    @torch.inference_mode()
    def of_batch(self, asked: Sequence[tuple[int, Tensor]]) -> dict[int, str]:
        began, model, questions = time.perf_counter(), self.model, self.questions
        ids, mask = pad([model.tokenizer(questions.text(row)).ids for row, _ in asked])
        pixels = torch.stack([pixels for _, pixels in asked])
        with room_on(model.device, "take a smaller --batch-tokens"):
            logits = model(*(tensor.to(model.device) for tensor in (pixels, ids, mask)))
        if not logits.isfinite().all():
            place = int((~logits.isfinite()).any(1).nonzero()[0])
            raise UserError(
                f"{self.benchmark.name}: the scores of question {questions.ids[asked[place][0]]} are no numbers; the "
                "model's weights are not sound."
            )
        best = logits.argmax(1).tolist()
        self.pace.batch_s.append(time.perf_counter() - began)
        self.pace.questions += len(asked)
        return {int(questions.ids[row]): model.answer_list[one] for (row, _), one in zip(asked, best, strict=True)}


def without_looking(
    benchmark: Benchmark, people: Sequence[Question], vocabulary: Sequence[str]
) -> dict[str, dict[str, float]]:
    """The metrics of two who see no picture: one gives the most frequent answer of all, the other that of each wording,
    which is the most that can be had from words alone. Both know this very data."""
    wording = {int(benchmark.questions.ids[row]): benchmark.questions.text(int(row)) for row in benchmark.answered}
    by_wording: dict[str, Counter[str]] = defaultdict(Counter)
    for one in people:
        by_wording[wording[one.id]][Counter(one.answers).most_common(1)[0][0]] += 1
    (often, _), *_ = sum(by_wording.values(), Counter()).most_common(1)
    best = {text: counts.most_common(1)[0][0] for text, counts in by_wording.items()}
    answers = {
        "most_frequent_answer": {one.id: often for one in people},
        "most_frequent_of_each_wording": {one.id: best[wording[one.id]] for one in people},
    }
    return {name: vqa_scores(people, given, vocabulary).metrics for name, given in answers.items()}


def illustrate(model: Beit3, benchmark: Benchmark, answers: Mapping[int, str], folder: Path) -> None:
    """Some pictures, spread over the set, with their first questions, answers and attention."""
    writer = GalleryWriter(folder, "Questions, answers, and where the model looked", LEGEND)
    for picture, rows in spread(list(benchmark.questions.by_picture())):
        with suppress(BadExampleError):
            show(model, benchmark, answers, writer, picture, rows[:SHOWN_QUESTIONS])
    writer.write()


def spread(pictures: list[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
    count = min(SHOWN_PICTURES, len(pictures))
    for place in range(count):
        yield pictures[place * len(pictures) // count]


def show(
    model: Beit3,
    benchmark: Benchmark,
    answers: Mapping[int, str],
    writer: GalleryWriter,
    picture: int,
    rows: np.ndarray,
) -> None:
    questions = benchmark.questions
    image, name = decoded(questions.pictures, picture), questions.pictures.name(picture)
    row = [writer.picture(enlarge(image), "")]
    texts = [questions.text(int(number)) for number in rows]
    hits = 0
    maps = model.attention_maps([image] * len(texts), texts, cut=True)
    for number, text, found in zip(rows.tolist(), texts, maps, strict=True):
        given = answers[int(questions.ids[number])]
        label, right = f"{text} {given}", None
        if questions.answer_row[number] >= 0:
            counts = Counter(questions.people(number).answers)
            right = given in counts
            label += "" if right else f" (people: {counts.most_common(1)[0][0]})"
        hits += bool(right)
        row.append(writer.picture(light_up(image, found.numpy()), label, right))
    writer.add(
        f"Picture {name}",
        f"{benchmark.name}: {hits} of {len(rows)} questions right" if benchmark.answered.size else benchmark.name,
        [row],
    )
