"""The response types of the API."""

from typing import Literal

from pydantic import BaseModel, Field


class Problem(BaseModel):
    error: str = Field(description="Cause and next step, in a sentence.")


class RegionResponse(BaseModel):
    word: str = Field(description="The query's word.")
    box: tuple[float, float, float, float] = Field(
        description="Left, top, right, bottom, as fractions of the page's width and height."
    )
    score: float = Field(description="Its dot product.")
    by: str = Field(default="", description="The encoders that found it, if several search together.")


class FinderResponse(BaseModel):
    name: str
    rank: int = Field(description="The page's rank in that encoder's results, from 1.")
    score: float = Field(description="In its own measure.")


class HitResponse(BaseModel):
    document: str
    page: int = Field(description="Counted from 1.")
    label: str = Field(
        default="", description="The page label in the document, such as iv, if it is not the page number."
    )
    words_from: Literal["text layer", "ocr", "both", ""] = Field(
        default="", description="Where the page's words come from."
    )
    score: float = Field(
        description="Exact MaxSim; if several encoders search together, 1 means first with all of them."
    )
    found_by: list[FinderResponse] = Field(description="What found the page, the best first.")
    places: list[RegionResponse] = Field(description="The best match of each word of the query.")
    text: str = Field(description="The text around the best match; empty if the page has no text.")
    link: str = Field(description="The document, opened at the page.")
    picture: str = Field(description="URL of the page as an image; `longest` sets its size.")
    heatmap: str = Field(description="The page lit where the query was found.")


class Answer(BaseModel):
    query: str
    image: str = Field(default="", description="For a search by image: a temporary identifier of the image.")
    encoder: str = Field(description="What found the hits.")
    seconds: float
    hits: list[HitResponse]


class DocumentResponse(BaseModel):
    name: str
    state: Literal["indexed", "waiting", "indexing", "failed"]
    pages: int = Field(description="Pages that can be found.")
    done: int = Field(default=0, description="While it is indexed: pages done…")
    total: int = Field(default=0, description="…of how many.")
    problem: str = Field(default="", description="Why it could not be indexed.")
    uploaded: bool = Field(description="Whether it was uploaded to this server, which stores its file.")


class Documents(BaseModel):
    encoder: str
    read_only: bool
    images: bool = Field(description="Images can be looked for.")
    upload_bytes: int = Field(description="How large an upload may be.")
    kinds: list[str] = Field(description="Endings of files that can be uploaded.")
    pages: int
    languages: dict[str, int] = Field(description="Number of pages per language, by ISO 639 code.")
    documents: list[DocumentResponse]


class Health(BaseModel):
    status: Literal["ok"] = "ok"
    version: str
    key: bool = Field(description="Requests must bring a key.")


class Key(BaseModel):
    key: str = Field(max_length=1000)
