"""A model's answers to questions: distributed over processes, resumable, each image decoded once."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collotype.families.beit3.benchmarks import QuestionBenchmark
from collotype.families.beit3.data.images import decoded
from collotype.families.beit3.model import Beit3
from collotype.families.beit3.submission import AnswerStore, submission_name, write_submission
from collotype.families.beit3.tokenizer import pad
from collotype.families.beit3.transforms import FILL, squashed
from collotype.runtime.device import room_on
from collotype.runtime.errors import UserError
from collotype.runtime.files import remove
from collotype.runtime.process import gathered, on_main, over_blocks
from collotype.runtime.world import World
from collotype.training.bad_examples import BadExampleError

BATCH_TOKENS = 16_384
"""Of a forward pass, padding included: 16 images of 480 pixels with their questions."""
BLOCK = 32
"""Images whose questions one process answers at a time, and keeps."""


@dataclass
class Pace:
    """What one process did, and how fast."""

    questions: int = 0
    batch_s: list[float] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    ended: float = field(default_factory=time.perf_counter)

    def batch(self, questions: int, began: float) -> None:
        self.ended = time.perf_counter()
        self.questions += questions
        self.batch_s.append(self.ended - began)

    def facts(self) -> dict[str, Any]:
        """Decoding is within the seconds, and outside of the batches'."""
        seconds = self.ended - self.started
        facts = {"questions": self.questions, "batches": len(self.batch_s), "seconds": round(seconds, 2)}
        if self.batch_s:
            facts |= {"batch_mean_s": round(mean(self.batch_s), 4), "batch_median_s": round(median(self.batch_s), 4)}
            facts |= {"batch_max_s": round(max(self.batch_s), 4), "samples_per_s": round(self.questions / seconds, 1)}
        return facts


class Answering:
    """A model's answers to a benchmark's questions, in blocks of images that do not depend on who answers them."""

    def __init__(self, model: Beit3, benchmark: QuestionBenchmark, batch_tokens: int):
        self.model, self.benchmark, self.questions, self.pace = model, benchmark, benchmark.questions, Pace()
        longest = (model.config.side**2 + 1) + model.config.max_text_tokens
        self.batch = max(1, batch_tokens // longest)
        self.images = list(self.questions.by_image())
        self.unreadable: list[str] = []

    def shared(self, world: World) -> dict[int, str]:
        """Answers by question id, without those whose image cannot be read."""
        return self.rest({}, world, lambda own: None)

    def resumed(self, out: Path, key: Mapping[str, Any], world: World) -> dict[int, str]:
        """As `shared`, going on with what is in `out` and keeping it there; at the end the submission.

        Raises:
            UserError: `out` holds answers of another model or of other questions; or questions stay unanswered to which
                nobody's answers are known.
        """
        place = out / f".answers-{self.benchmark.name.replace('/', '-')}"
        file = out / submission_name(self.benchmark.name)
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
                        f"{len(unreadable)} images cannot be read, first {unreadable[0]}. {error}"
                    ) from error

        on_main(world, conclude)
        return answers

    def rest(self, kept: Mapping[int, str], world: World, keep: Callable[[dict[int, str]], None]) -> dict[int, str]:
        def work(block: range) -> dict[int, str]:
            own = self.images[block.start : block.stop]
            ids = [int(number) for _, rows in own for number in self.questions.ids[rows]]
            if all(number in kept for number in ids):
                return {number: kept[number] for number in ids}
            found = self.of_block(own)
            keep(found)
            return found

        self.model.eval()
        blocks = over_blocks(len(self.images), world, work, BLOCK)
        return {number: answer for block in blocks for number, answer in block.items()}

    def of_block(self, pictures: Sequence[tuple[int, np.ndarray]]) -> dict[int, str]:
        """Answers to the questions about these images, but for images that cannot be read."""
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            shown = list(pool.map(self.pixels, [image for image, _ in pictures]))
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

    def pixels(self, image: int) -> Tensor | None:
        """uint8 [3, S, S]; None: it cannot be read."""
        side = self.model.config.image_size
        if self.benchmark.blank:
            return torch.full((3, side, side), FILL[0], dtype=torch.uint8)
        try:
            return squashed(decoded(self.questions.images, image), side)
        except BadExampleError:
            self.unreadable.append(self.questions.images.name(image))
            return None

    @torch.inference_mode()
    def of_batch(self, asked: Sequence[tuple[int, Tensor]]) -> dict[int, str]:
        began, model, questions = time.perf_counter(), self.model, self.questions
        ids, mask = pad([model.tokenizer(questions.text(row)).ids for row, _ in asked])
        pixels = torch.stack([pixels for _, pixels in asked])
        with room_on(model.device, "use a smaller --batch-tokens"):
            logits = model(*(tensor.to(model.device) for tensor in (pixels, ids, mask)))
        if not logits.isfinite().all():
            place = int((~logits.isfinite()).any(1).nonzero()[0])
            raise UserError(
                f"{self.benchmark.name}: the scores of question {questions.ids[asked[place][0]]} are not finite; the "
                "model's weights are damaged."
            )
        best = logits.argmax(1).tolist()
        self.pace.batch(len(asked), began)
        names = model.answer_list or ()
        return {int(questions.ids[row]): names[one] for (row, _), one in zip(asked, best, strict=True)}
