"""What the API answers with; its OpenAPI schema follows from these."""

from typing import Literal

from pydantic import BaseModel, Field


class Problem(BaseModel):
    error: str = Field(description="Cause and next step, in a sentence.")


class RegionResponse(BaseModel):
    word: str = Field(description="The query's word.")
    box: tuple[float, float, float, float] = Field(
        description="Left, top, right, bottom, as parts of the page's width and height."
    )
    score: float = Field(description="Its dot product.")
    by: str = Field(default="", description="What found it there, where several encoders search together.")


class FinderResponse(BaseModel):
    name: str
    rank: int = Field(description="The page's place in what it found, from 1.")
    score: float = Field(description="In its own measure.")


class HitResponse(BaseModel):
    document: str
    page: int = Field(description="Counted from 1.")
    label: str = Field(
        default="", description="What the document itself calls the page, as iv, if that is not its number."
    )
    words_from: Literal["text layer", "ocr", "both", ""] = Field(
        default="", description="Where the page's words come from."
    )
    score: float = Field(
        description="Exact MaxSim; where several encoders search together, 1 is first with all of them."
    )
    found_by: list[FinderResponse] = Field(description="What found the page, the best first.")
    places: list[RegionResponse] = Field(description="Where each word of the query was found best.")
    text: str = Field(description="What stands around the best place; empty where a page has no text.")
    link: str = Field(description="The document, opened at the page.")
    picture: str = Field(description="The page as an image; `longest` asks for another size.")
    heatmap: str = Field(description="The page lit where the query was found.")


class Answer(BaseModel):
    query: str
    image: str = Field(default="", description="Where an image was looked for: what stands for it, for a while.")
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
    uploaded: bool = Field(description="It came through this server, which keeps its file.")


class Documents(BaseModel):
    encoder: str
    read_only: bool
    images: bool = Field(description="Images can be looked for.")
    upload_bytes: int = Field(description="How large an upload may be.")
    kinds: list[str] = Field(description="Endings of files that can be uploaded.")
    pages: int
    languages: dict[str, int] = Field(description="How many pages are in which language, by ISO 639 codes.")
    documents: list[DocumentResponse]


class Health(BaseModel):
    status: Literal["ok"] = "ok"
    version: str
    key: bool = Field(description="Requests must bring a key.")


class Key(BaseModel):
    key: str = Field(max_length=1000)
