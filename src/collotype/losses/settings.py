"""The settings of a contrastive loss; `contrastive.py` computes it."""

from dataclasses import dataclass
from typing import Literal

Filter = Literal["lower", "multiply"]
"""How likely positives are damped: `lower` takes something away whatever the sign; `multiply`, as in colpali-engine,
raises negative scores."""
Objective = Literal["infonce", "symmetric-infonce", "pairwise", "sigmoid"]


@dataclass(frozen=True, kw_only=True)
class ContrastiveSettings:
    """A point in the space of losses.

    Objectives on the in-batch scores:
        infonce: mean_i -log softmax_j(s_ij / T)[i] (arXiv 1807.03748, eq. 4).
        symmetric-infonce: the mean of that and of the same over pages (CLIP, arXiv 2103.00020).
        pairwise: mean_i sp((max_{j != i} s_ij - s_ii) / T), the hardest negative (ColPali, arXiv 2407.01449). Of
            equally hard negatives the first gets the gradient. A batch of one has no negative and no loss.
        sigmoid: mean_ij sp(-y_ij s_ij / T), y = 1 on the diagonal and -1 elsewhere (SigLIP without bias).
    """

    objective: Objective = "infonce"
    temperature: float = 0.02
    normalize: bool = False
    """Divide scores by the query's number of vectors."""
    smooth_max: float | None = None
    """tau of tau * logsumexp(x / tau) in place of the maximum over a page's vectors."""
    in_batch_weight: float = 0.5
    """With explicit negatives: loss = (1 - weight) * mean_ik sp((s_ik - s_ii) / T) + weight * objective."""
    share_negatives: bool = False
    """Every query is pushed from all queries' explicit negatives; off, from its own only."""
    filter_threshold: float | None = None
    """In-batch negatives that score above this part of the positive's score may be positives; their score is damped."""
    filter_factor: float = 0.5
    """What part of such a score is left."""
    filter_formula: Filter = "lower"
