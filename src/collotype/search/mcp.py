"""An MCP server: search, page image and document list as tools of an assistant."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, Field

import collotype
from collotype.runtime.errors import UserError
from collotype.runtime.images import jpeg
from collotype.runtime.texts import nfc
from collotype.search.library import IndexLibrary
from collotype.search.pages import Box, Hit

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from starlette.types import ASGIApp

T = TypeVar("T")
INSTRUCTIONS = (
    "Searches the pages of a person's documents. Call search with the question, look at a page with page_image, and "
    "give document and page (and its label, if it has one) with the link in the answer."
)
MOST_HITS, MOST_LISTED, MOST_PX = 20, 200, 2000


class Place(BaseModel):
    word: str
    box: Box = Field(description="Left, top, right, bottom, as fractions of the page's width and height.")
    score: float
    by: str = Field("", description="What found it there.")


class Finder(BaseModel):
    name: str
    rank: int
    score: float


class PageFound(BaseModel):
    document: str
    page: int = Field(description="Counted from 1.")
    label: str = Field(description="The page label in the document, such as iv; empty if it is the page number.")
    score: float
    boxes: list[Place] = Field(description="Where on the page each word of the query was found.")
    text: str = Field(description="What stands around the best place.")
    link: str = Field(description="Opens the document at the page.")
    found_by: list[Finder]


class Found(BaseModel):
    query: str
    found_by: str
    pages: list[PageFound]


class Document(BaseModel):
    name: str
    pages: int


class Documents(BaseModel):
    documents: list[Document]
    in_all: int = Field(description="Documents whose name matches; ask for the others by start.")
    languages: dict[str, int] = Field(description="Number of pages per language, by ISO 639 code.")


class Tools:
    """What an assistant can do, each a method; a UserError is for its user.

    Args:
        files: may links be to files of this machine?
    """

    def __init__(self, library: IndexLibrary, files: bool):
        self.library, self.files = library, files

    def search(self, query: str, k: int, documents: list[str], languages: list[str]) -> Found:
        if not query.strip():
            raise UserError("The query is empty; give it at least one word.")
        hits = self.library.search(query.strip(), k, [self.named(name) for name in documents], languages)
        return Found(query=query.strip(), found_by=self.library.encoder, pages=[self.page(hit) for hit in hits])

    def page(self, hit: Hit) -> PageFound:
        return PageFound(
            document=hit.document,
            page=hit.page,
            label=hit.label,
            score=hit.score,
            boxes=[Place(**vars(place)) for place in hit.places],
            text=hit.text,
            link=self.link(hit),
            found_by=[Finder(**vars(one)) for one in hit.found_by],
        )

    def link(self, hit: Hit) -> str:
        try:
            return f"{self.library.file(hit.document).as_uri()}#page={hit.page}" if self.files else hit.link
        except (UserError, ValueError):
            return hit.link

    def page_image(self, document: str, page: int, query: str, longest_px: int) -> bytes:
        name = self.named(document)
        try:
            if query.strip():
                return jpeg(self.library.heatmap(name, page, query.strip(), longest_px))
            return jpeg(self.library.image(name, page, longest_px))
        except UserError as error:
            raise UserError(self.without_path(str(error), name)) from error

    def documents(self, containing: str, start: int, count: int) -> Documents:
        wanted = nfc(containing).casefold()
        found = sorted(
            (one for one in self.library.documents() if wanted in nfc(one.name).casefold()), key=lambda one: one.name
        )
        shown = [Document(name=one.name, pages=one.pages) for one in found[start : start + count]]
        return Documents(documents=shown, in_all=len(found), languages=self.library.languages())

    def named(self, name: str) -> str:
        found = self.library.by_name().get(nfc(name))
        if found is None:
            raise UserError(f"There is no document {name[:200]!r}; the tool list_documents lists their names.")
        return found.name

    def without_path(self, sentence: str, name: str) -> str:
        try:
            return sentence if self.files else sentence.replace(str(self.library.file(name)), name)
        except UserError:
            return f"The file of {name} no longer exists; index it again."


def create_server(library: IndexLibrary, files: bool = True) -> "MCPServer":
    """
    Raises:
        UserError: the extra is not installed.
    """
    try:
        from mcp.server import MCPServer
        from mcp.server.mcpserver import Image
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError as error:
        raise UserError(
            f"This needs the package mcp from 2.3 on ({error}); install it with `pip install 'collotype[mcp]'`."
        ) from error
    tools = Tools(library, files)
    server = MCPServer("collotype", instructions=INSTRUCTIONS, version=collotype.__version__, log_level="WARNING")

    async def with_tool_errors(work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except UserError as error:
            raise ToolError(str(error)) from error

    @server.tool(title="Search the pages", structured_output=True)
    async def search(
        query: Annotated[str, Field(max_length=500, description="The query, in the person's own words.")],
        k: Annotated[int, Field(ge=1, le=MOST_HITS, description="How many pages.")] = 5,
        documents: Annotated[list[str], Field(max_length=100, description="Only in these documents.")] = [],  # noqa: B006
        languages: Annotated[
            list[str], Field(max_length=100, description="Only pages in these languages, by ISO 639 code, such as de.")
        ] = [],  # noqa: B006
    ) -> Found:
        """Finds the pages of the indexed documents that answer a query, and where on them its words are."""
        return await with_tool_errors(partial(tools.search, query, k, documents, languages))

    @server.tool(title="Look at a page", structured_output=False)
    async def page_image(
        document: Annotated[str, Field(max_length=2000, description="As search and list_documents name it.")],
        page: Annotated[int, Field(ge=1, le=1_000_000, description="Counted from 1.")],
        query: Annotated[str, Field(max_length=500, description="Lights the page where this was found.")] = "",
        longest_px: Annotated[int, Field(ge=16, le=MOST_PX, description="The longest edge in pixels.")] = 1000,
    ) -> Image:
        """A page as an image."""
        data = await with_tool_errors(partial(tools.page_image, document, page, query, longest_px))
        return Image(data=data, format="jpeg")

    @server.tool(title="List the documents", structured_output=True)
    async def list_documents(
        containing: Annotated[str, Field(max_length=500, description="Only those with this in their name.")] = "",
        start: Annotated[int, Field(ge=0, le=10_000_000)] = 0,
        count: Annotated[int, Field(ge=1, le=MOST_LISTED)] = 50,
    ) -> Documents:
        """The indexed documents by name, with how many pages they have, and the languages of the pages."""
        return await with_tool_errors(partial(tools.documents, containing, start, count))

    return server


def http_app(library: IndexLibrary, settings: Any, files: bool) -> "ASGIApp":
    """The server over HTTP at `/mcp`, behind the same guard as `collotype serve`."""
    from collotype.search.server.middleware import Guard

    server = create_server(library, files)
    app = server.streamable_http_app(stateless_http=True, json_response=True)
    # names that it is sent to are the guard's to judge
    return Guard(app, settings, refused=lambda reason: None)
