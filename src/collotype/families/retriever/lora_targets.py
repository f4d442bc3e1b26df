"""Selects the layers that LoRA adapts, by name."""

import re
from collections.abc import Iterable

from collotype.runtime.errors import UserError

PROJECTION = "custom_text_proj"
TARGETS = {
    "language-model": r".*\b(language_model|text_model)\b.*\.((down|gate|up|k|q|v|o|out)_proj|in_proj_\w+|W(qkv|o|i))",
    "all": r"backbone\..*",
}
"""Named sets of linear layers: what the published recipes adapt, and every one of the backbone."""


def find_targets(linear: Iterable[str], pattern: str) -> tuple[str, ...]:
    """Which of these linear layers a named set or a regular expression on whole names means.

    Raises:
        UserError: it is not a regular expression, or means no layer.
    """
    try:
        wanted = re.compile(TARGETS.get(pattern, pattern))
    except re.error as error:
        raise UserError(f"model.lora.targets {pattern!r} is not a regular expression ({error}); correct it.") from error
    linear = list(linear)
    found = tuple(name for name in linear if wanted.fullmatch(name))
    if not found:
        raise UserError(
            f"model.lora.targets {pattern!r} matches none of the model's {len(linear)} linear layers (such as "
            f"{linear[0]}); give {' or '.join(TARGETS)}, or a regular expression that matches whole names."
        )
    return found
