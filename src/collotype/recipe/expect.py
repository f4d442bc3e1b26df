"""The recipe's expectations: values, or the published result that they come from."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from collotype.recipe.section import Section


class Expect(Section):
    dataset: str
    metric: str
    value: float
    tolerance: Annotated[float, Field(ge=0)]
    source: str
    measured_by: str | None = None
    """Who measures it, where no run can: the verdict then leaves it open."""
    published: str | None = None
    """The published result it was taken from (`collotype list published`)."""


class PublishedResult(Section):
    """Expectations that stand in a published result; `published:NAME` stands for it."""

    published: str


def published_by_name(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    kind, _, name = value.partition(":")
    if kind != "published" or not name:
        raise ValueError(f"expected keys, or published:NAME (`collotype list published`), found {value!r}")
    return {"published": name}


def kind_of_expectation(value: Any) -> str:
    keys = value if isinstance(value, dict) else value.model_dump() if isinstance(value, Section) else {}
    return "published" if set(keys) == {"published"} else "expect"


Expected = Annotated[
    Annotated[Expect, Tag("expect")] | Annotated[PublishedResult, Tag("published")],
    Discriminator(kind_of_expectation),
    BeforeValidator(published_by_name),
]
