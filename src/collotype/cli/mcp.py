"""`collotype mcp`."""

from typing import Annotated

import typer

from collotype.cli.options import IndexPlace, PasswordFile, Rerank, RerankFirst, read_passwords
from collotype.cli.serve import check_open


def mcp(
    index: IndexPlace,
    http: Annotated[bool, typer.Option("--http", help="Over HTTP at /mcp, in place of standard input.")] = False,
    host: Annotated[str, typer.Option(help="With --http: the address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --http: 0 for any that is free.")] = 8081,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="COLLOTYPE_API_KEY", help="With --http: asked of every client; better by the variable."),
    ] = None,
    allow_host: Annotated[
        list[str], typer.Option(metavar="NAME", help="A name that clients know this server by; repeatable.")
    ] = [],  # noqa: B006
    rerank: Rerank = None,
    rerank_first: RerankFirst = None,
    password_file: PasswordFile = None,
) -> None:
    """Give an assistant that speaks MCP the tools to search an index and to look at its pages."""
    from collotype.search.ingest import ReadingSettings
    from collotype.search.ingest.drawing import Drawer
    from collotype.search.library import open_library
    from collotype.search.mcp import create_server, http_app

    if http:
        check_open(host, api_key, False)
    passwords = read_passwords(password_file)
    drawer = Drawer(ReadingSettings(passwords=passwords))
    library = open_library(index, drawer.draw, passwords, rerank, rerank_first)
    try:
        if not http:
            create_server(library).run("stdio")
            return
        from collotype.search.server.run import is_local, listen, serve
        from collotype.search.server.settings import ServerSettings

        settings = ServerSettings(api_key=api_key, read_only=True, hosts=frozenset(allow_host))
        app = http_app(library, settings, files=is_local(host))
        with listen(host, port) as listening:
            serve(app, listening, lambda address: typer.echo(f"{index} is searched at {address}mcp (Ctrl-C stops)"))
    finally:
        drawer.close()
