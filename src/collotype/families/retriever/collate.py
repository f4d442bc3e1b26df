"""Training pairs to a micro-batch of tensors."""

import torch

from collotype.families.retriever.data.pairs import Pair
from collotype.families.retriever.processor import Processor
from collotype.training.task import Batch


class PairCollate:
    """What a loader process needs of a task: it is sent there, without the weights that training starts from.

    Args:
        num_negatives: explicit negatives of an example, at most.
    """

    def __init__(self, processor: Processor, num_negatives: int):
        self.processor, self.num_negatives = processor, num_negatives

    def __call__(self, examples: list[Pair]) -> Batch:
        batch = {
            "queries": self.processor.queries([example.query for example in examples], cut=True),
            "pages": self.processor.pages([example.page for example in examples]),
        }
        if not self.num_negatives:
            return batch
        counts = torch.tensor([len(example.negatives) for example in examples])
        batch["has_negative"] = torch.arange(max(1, int(counts.max()))) < counts[:, None]
        pages = [page for example in examples for page in example.negatives]
        # a page to no effect where there is none: every process's model takes the same way
        batch["negatives"] = self.processor.pages(pages or [examples[0].page])
        return batch

    def tokens(self, examples: list[Pair]) -> list[int]:
        """What each example costs the model, in tokens of its longest page."""
        several = ((example.page, *example.negatives) for example in examples)
        # the negatives of a micro-batch go through the model together
        times = max(1, self.num_negatives)
        return [times * max(self.processor.page_length(page.size) for page in pages) for pages in several]
