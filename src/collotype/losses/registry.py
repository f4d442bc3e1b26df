"""Losses by name: the objectives themselves, and colpali-engine's classes in their dialects.

Defaults changed between versions under the same names; a dialect pins them. (colpali_engine/loss/bi_encoder_losses.py
and late_interaction_losses.py of 0.3.18; loss/colbert_loss.py of 0.1.x for the paper.)
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast, get_args

from collotype.losses.settings import ContrastiveSettings, Objective

if TYPE_CHECKING:
    from collotype.losses.contrastive import ContrastiveLoss

CURRENT = "colpali-engine>=0.3.11"
OLDER = "colpali-engine<=0.3.10"
PAPER = "paper"

RAW: dict[str, Any] = {"temperature": 1.0}
SHARP: dict[str, Any] = {"temperature": 0.02}
SHARP_NORMALIZED: dict[str, Any] = {"temperature": 0.02, "normalize": True}
of_engine = partial(ContrastiveSettings, filter_formula="multiply")


NAMED: dict[str, dict[str, ContrastiveSettings]] = {
    CURRENT: {
        "BiEncoderLoss": of_engine(objective="infonce", **SHARP),
        "BiPairedEncoderLoss": of_engine(objective="symmetric-infonce", **SHARP),
        "BiNegativeCELoss": of_engine(objective="infonce", **SHARP),
        "BiPairwiseCELoss": of_engine(objective="pairwise", **SHARP),
        "BiPairwiseNegativeCELoss": of_engine(objective="pairwise", **SHARP),
        "BiSigmoidLoss": of_engine(objective="sigmoid", **SHARP),
        "ColbertLoss": of_engine(objective="infonce", **SHARP_NORMALIZED),
        "ColbertNegativeCELoss": of_engine(objective="infonce", **SHARP_NORMALIZED),
        "ColbertPairwiseCELoss": of_engine(objective="pairwise", temperature=1.0, normalize=True),
        "ColbertPairwiseNegativeCELoss": of_engine(objective="pairwise", **SHARP_NORMALIZED),
        "ColbertSigmoidLoss": of_engine(objective="sigmoid", **SHARP_NORMALIZED),
    },
    # 0.3.9 and 0.3.10: InfoNCE had got its temperature and normalisation, the pairwise losses had not
    OLDER: {
        "BiEncoderLoss": of_engine(objective="infonce", **SHARP),
        "BiPairwiseCELoss": of_engine(objective="pairwise", **RAW),
        "ColbertLoss": of_engine(objective="infonce", **SHARP_NORMALIZED),
        "ColbertPairwiseCELoss": of_engine(objective="pairwise", **RAW),
    },
    PAPER: {
        "BiEncoderLoss": of_engine(objective="infonce", **RAW),
        "BiPairwiseCELoss": of_engine(objective="pairwise", **RAW),
        "ColbertLoss": of_engine(objective="infonce", **RAW),
        "ColbertPairwiseCELoss": of_engine(objective="pairwise", **RAW),
    },
}

OBJECTIVES: tuple[str, ...] = get_args(Objective)


def loss_names() -> list[str]:
    """Every name there is, in any dialect."""
    return [*OBJECTIVES, *NAMED[CURRENT]]


def find_settings(name: str, dialect: str | None = None, **changes: Any) -> ContrastiveSettings:
    """Those of the loss of that name with `changes` to its fields.

    Args:
        name: an objective, or a class of colpali-engine.
        dialect: for such a class, whose defaults; the current ones if none.

    Raises:
        ValueError: no such name or dialect, or the dialect did not have that class.
    """
    if name in OBJECTIVES:
        if dialect is not None:
            raise ValueError(f"{name} is the same in every dialect; leave {dialect!r} out")
        return ContrastiveSettings(objective=cast(Objective, name), **changes)
    dialect = dialect or CURRENT
    if dialect not in NAMED:
        raise ValueError(f"unknown dialect {dialect!r}; the dialects are {', '.join(NAMED)}")
    if name not in NAMED[dialect]:
        known = ", ".join([*OBJECTIVES, *NAMED[dialect]])
        raise ValueError(f"unknown loss {name!r} in the dialect {dialect}; it has {known}")
    return replace(NAMED[dialect][name], **changes)


def make_loss(name: str, dialect: str | None = None, **changes: Any) -> "ContrastiveLoss":
    """The loss of those settings.

    Raises:
        ValueError: as of `find_settings`.
    """
    from collotype.losses.contrastive import ContrastiveLoss

    return ContrastiveLoss(**vars(find_settings(name, dialect, **changes)))
