"""Evaluates answers: the official accuracy, baselines without images, and illustrated examples."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from collotype.evaluation.results import GalleryWriter, Measured
from collotype.evaluation.vqa import Question, answer_accuracy, vqa_scores
from collotype.families.beit3.benchmarks import ANSWERED, QuestionBenchmark
from collotype.families.beit3.data.images import decoded
from collotype.families.beit3.model import Beit3
from collotype.families.beit3.predict import BATCH_TOKENS, Answering
from collotype.families.beit3.submission import some
from collotype.families.beit3.tokenizer import Beit3Tokenizer
from collotype.report.heatmap import enlarge, light_up
from collotype.runtime.device import computed_on, peak_memory, reset_peak_memory
from collotype.runtime.errors import UserError
from collotype.runtime.process import gathered, on_main
from collotype.runtime.world import ALONE, World
from collotype.training.bad_examples import BadExampleError

SHOWN_IMAGES, SHOWN_QUESTIONS = 6, 4
RIGHT = 0.5
"""The least accuracy of an answer that is shown as right: that two of ten people gave."""
LEGEND = (
    "An image, then the same lit where the model looked when it read each answer off (the attention of the last "
    "block's one query, mean of its heads; the frame is the patch with most of it). A green frame is a right answer: "
    "two of ten people gave it, or more."
)


def evaluate(
    model: Beit3,
    benchmark: QuestionBenchmark,
    examples_to: Path | None = None,
    world: World = ALONE,
    out: Path | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> Measured:
    """The official accuracy over all questions, by type of answer and of question, and BEiT-3's own score.

    Args:
        examples_to: a folder for images, questions, answers and attention.
        world: the processes that share the work; all of them call this, and all get the result.
        out: a folder for the submission, and for what is answered until all is.
        batch_tokens: of a forward pass, padding included.

    Raises:
        UserError: the model knows no names of answers, questions have words it was never shown, nothing would come of
            it, or questions stay unanswered that nobody else can answer.
    """
    if model.answer_list is None:
        raise UserError("This model has no names for its answers; give the file of answers with --answers.")
    if not len(benchmark.answered) and out is None:
        raise UserError(
            f"The answers to {benchmark.name} are not public, so the evaluation only writes a submission file; set "
            "--out."
        )
    events = [*model.events, *too_long(benchmark, model.tokenizer)]
    reset_peak_memory(model.device)
    digest, answering = model.digest(), Answering(model, benchmark, batch_tokens)
    key = {"model": digest, "questions": benchmark.fingerprint, "device": computed_on(model.device)}
    answers = answering.resumed(out, key, world) if out else answering.shared(world)
    facts = {
        "model": {"sha256": digest, "architecture": model.config.label, "image_size": model.config.image_size},
        "data": benchmark.sizes(),
        "timing": timing(gathered(answering.pace.facts(), world)),
        "peak_memory_mib": gathered(round(peak_memory(model.device) / 2**20, 1), world),
    }
    if not benchmark.blank:
        on_main(world, partial(illustrate, model, benchmark, answers, examples_to))
    return scored(benchmark, answers, model.answer_list, facts, events)


def scored(
    benchmark: QuestionBenchmark,
    answers: Mapping[int, str],
    vocabulary: Sequence[str] | None,
    facts: dict[str, Any],
    events: list[dict[str, Any]],
) -> Measured:
    """The answers measured, with those who see no image beside; of questions that nobody else has answered only how
    many have an answer.

    Args:
        vocabulary: of whoever answered, if it is known.
        facts, events: what is to be told beside.
    """
    if not len(benchmark.answered):
        share = len(answers) / len(benchmark.questions)
        return Measured(benchmark.name, {ANSWERED: share}, ANSWERED, facts={**facts, "events": events})
    people = benchmark.people()
    events += unknown(benchmark)
    known = {one.id for one in people}
    found = vqa_scores(people, {number: said for number, said in answers.items() if number in known}, vocabulary)
    if found.unanswered:
        note = f"their images cannot be read, and they count as wrong: {some(found.unanswered)}"
        events.append({"kind": "questions unanswered", "count": len(found.unanswered), "note": note})
    if found.outside:
        note = "beit3_score leaves them out, the accuracy counts them"
        events.append({"kind": "questions without an answer in the vocabulary", "count": found.outside, "note": note})
    facts |= {"by_question_type": found.by_question_type, **without_looking(benchmark, people, vocabulary)}
    return Measured(benchmark.name, found.metrics, "vqa_accuracy", facts={**facts, "events": events})


def timing(ranks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    seconds = max(rank["seconds"] for rank in ranks)
    total = sum(rank["questions"] for rank in ranks)
    speed = {"samples_per_s": round(total / seconds, 1)} if total and seconds else {}
    return {"total_s": seconds, "processes": len(ranks), **speed, "by_process": list(ranks)}


def too_long(benchmark: QuestionBenchmark, tokenizer: Beit3Tokenizer) -> list[dict[str, Any]]:
    """The event of questions that are cut; reading all of them once, before any is answered.

    Raises:
        UserError: a question has words that are not in a closed vocabulary.
    """
    questions = benchmark.questions
    times = Counter(questions.text_row.tolist())
    count = sum(times[row] for row in times if tokenizer(questions.texts[row][0]).cut)
    note = f"longer than {tokenizer.max_tokens} tokens"
    return [{"kind": "questions cut", "count": count, "note": note}] if count else []


def unknown(benchmark: QuestionBenchmark) -> list[dict[str, Any]]:
    count = len(benchmark.questions) - len(benchmark.answered)
    note = "they are answered, and the accuracy is over the others"
    return [{"kind": "questions without people's answers", "count": count, "note": note}] if count else []


def without_looking(
    benchmark: QuestionBenchmark, people: Sequence[Question], vocabulary: Sequence[str] | None
) -> dict[str, dict[str, float]]:
    """The metrics of two who see no image: one gives the most frequent answer of all, the other that of each wording,
    which is the most that can be had from words alone (nearly, where people differ). Both know this very data."""
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


def illustrate(model: Beit3, benchmark: QuestionBenchmark, answers: Mapping[int, str], folder: Path | None) -> None:
    """Some images, spread over the set, with their first questions, answers and attention, where there is a folder for
    them."""
    if folder is None:
        return
    writer = GalleryWriter(folder, "Questions, answers, and where the model looked", LEGEND)
    for picture, rows in spread(list(benchmark.questions.by_image())):
        with suppress(BadExampleError):
            show(model, benchmark, answers, writer, picture, rows[:SHOWN_QUESTIONS])
    writer.write()


def spread(pictures: list[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
    count = min(SHOWN_IMAGES, len(pictures))
    for place in range(count):
        yield pictures[place * len(pictures) // count]


def show(
    model: Beit3,
    benchmark: QuestionBenchmark,
    answers: Mapping[int, str],
    writer: GalleryWriter,
    picture: int,
    rows: np.ndarray,
) -> None:
    questions = benchmark.questions
    image, name = decoded(questions.images, picture), questions.images.name(picture)
    row = [writer.image(enlarge(image), "")]
    texts = [questions.text(int(number)) for number in rows]
    hits = 0
    maps = model.attention_maps([image] * len(texts), texts, cut=True)
    for number, text, found in zip(rows.tolist(), texts, maps, strict=True):
        given = answers[int(questions.ids[number])]
        label, right = f"{text} {given}", None
        if questions.answer_row[number] >= 0:
            people = questions.people(number).answers
            right = answer_accuracy(given, people) >= RIGHT
            label += "" if right else f" (people: {Counter(people).most_common(1)[0][0]})"
        hits += bool(right)
        row.append(writer.image(light_up(image, found.numpy()), label, right))
    writer.add(
        f"Image {name}",
        f"{benchmark.name}: {hits} of {len(rows)} questions right" if benchmark.answered.size else benchmark.name,
        [row],
    )
