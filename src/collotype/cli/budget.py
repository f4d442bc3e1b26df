"""`collotype index --budget`: the best measured form of an index that fits the budget."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from collotype.runtime.errors import UserError, reason

FRONTIER = "frontier.json"
"""What `collotype compress --out` wrote, in the model's folder."""
UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 10**6, "KIB": 2**10, "MIB": 2**20}


@dataclass(frozen=True, kw_only=True)
class Form:
    """How an index keeps pages."""

    model: str
    """Whose pages were measured: `Retriever.page_digest`."""
    dim: int
    pool_factor: int
    precision: Literal["fp16", "int8"]


def form_within(budget: str, model: str | None, file: Path | None, **given: object) -> Form:
    """
    Args:
        budget: of a page, "20KB".
        model: a folder, with the measurements in it unless `file` has them.
        given: options that a form decides, which have to be unset.

    Raises:
        UserError: nothing was measured, or nothing measured is that small; an option of a form is given.
    """
    for name, value in given.items():
        if value is not None:
            option = f"--{name.replace('_', '-')} {value}"
            raise UserError(f"--budget chooses dim, pooling and precision, so it cannot be combined with {option}.")
    file = file or Path(model or "") / FRONTIER
    try:
        rows = json.loads(file.read_text())
        return best_form(rows, number_of_bytes(budget))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--budget chooses among the forms that `collotype compress` measured, but {file} cannot be read "
            f"({reason(error)}); run `collotype compress MODEL --out MODEL/{FRONTIER}`, or name its file with "
            "--frontier."
        ) from error


def best_form(rows: Sequence[Mapping[str, Any]], budget: float) -> Form:
    """The form of the best mean quality over the datasets that is no larger, and of such the smallest.

    Raises:
        UserError: there is none.
    """
    by_form: dict[Form, list[Mapping[str, Any]]] = {}
    for row in rows:
        # an index pools by `fast`, and keeps sign bits only beside vectors
        if not row["queries"] and row["method"] in (None, "fast") and row["stored"] in ("fp16", "int8"):
            form = Form(model=row["model"], dim=row["dim"], pool_factor=row["factor"], precision=row["stored"])
            by_form.setdefault(form, []).append(row)

    def size(form: Form) -> float:
        return float(mean(row["bytes_per_page"] for row in by_form[form]))

    small = [form for form in by_form if size(form) <= budget]
    if not small:
        least = f"; the smallest has {min(map(size, by_form)):,.0f}" if by_form else ""
        raise UserError(f"No measured form has {budget:,.0f} bytes a page or fewer{least}; raise --budget.")

    def order(form: Form) -> tuple[float, float]:
        return mean(row["metrics"][row["headline"]] for row in by_form[form]), -size(form)

    return max(small, key=order)


def number_of_bytes(text: str) -> float:
    """ "20KB" as 20,000.

    Raises:
        UserError: it is none.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmM]?(?:i?[bB])?)\s*", text)
    if not found or found[2].upper() not in UNITS:
        raise UserError(f"--budget is {text!r}; give a number of bytes per page, such as 20KB.")
    return float(found[1]) * UNITS[found[2].upper()]
