"""Collates training pairs into a micro-batch of tensors."""

import torch

from collotype.families.retriever.data.pairs import Pair
from collotype.families.retriever.processor import Processor
from collotype.training.task import Batch


class PairCollate:
    """What a loader process needs of a task: it is sent there, without the weights that training starts from.

    Args:
        num_negatives: explicit negatives of an example, at most.
        sees: does the model look at pages itself?
        teacher: that of a model that learns from another, and whether it is asked for pages.
    """

    def __init__(
        self,
        processor: Processor,
        num_negatives: int,
        sees: bool = True,
        teacher: tuple[Processor, bool] | None = None,
    ):
        self.processor, self.num_negatives, self.sees, self.teacher = processor, num_negatives, sees, teacher

    def __call__(self, examples: list[Pair]) -> Batch:
        queries, pages = [example.query for example in examples], [example.page for example in examples]
        batch: Batch = {"queries": self.processor.queries(queries, cut=True)}
        if self.sees:
            batch["pages"] = self.processor.pages(pages)
        if self.teacher:
            processor, asked_for_pages = self.teacher
            batch["teacher_queries"] = processor.queries(queries, cut=True)
            if asked_for_pages:
                batch["teacher_pages"] = processor.pages(pages)
        if not self.num_negatives:
            return batch
        counts = torch.tensor([len(example.negatives) for example in examples])
        most = max(1, int(counts.max()))
        batch["has_negative"] = torch.arange(most) < counts[:, None]
        if examples[0].scores:
            rows = [[*one.scores, *[0.0] * (most + 1 - len(one.scores))] for one in examples]
            batch["teacher_scores"] = torch.tensor(rows)
        negatives = [page for example in examples for page in example.negatives]
        # a page to no effect where there is none: every process's model takes the same way
        batch["negatives"] = self.processor.pages(negatives or pages[:1])
        return batch

    def tokens(self, examples: list[Pair]) -> list[int]:
        """What each example costs the model, in tokens of its longest page."""
        several = ((example.page, *example.negatives) for example in examples)
        # the negatives of a micro-batch go through the model together
        times = max(1, self.num_negatives)
        return [times * max(self.processor.page_length(page.size) for page in pages) for pages in several]
