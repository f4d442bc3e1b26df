"""`collotype mcp`."""

from typing import Annotated

import typer

from collotype.cli.options import AllowHost, IndexPlace, PasswordFile, Rerank, RerankFirst, read_passwords
from collotype.cli.serve import check_open


def mcp(
    index: IndexPlace,
    http: Annotated[
        bool, typer.Option("--http", help="Serve over HTTP at /mcp instead of standard input and output.")
    ] = False,
    host: Annotated[str, typer.Option(help="With --http: the address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --http: the port; 0 picks a free one.")] = 8081,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="COLLOTYPE_API_KEY", help="With --http: the API key that clients must send; prefer the variable."
        ),
    ] = None,
    allow_host: AllowHost = [],  # noqa: B006 - typer makes a fresh list
    rerank: Rerank = None,
    rerank_first: RerankFirst = None,
    password_file: PasswordFile = None,
) -> None:
    """Serve an index to an assistant over MCP.

    The tools search the index and show its pages.
    """
    from collotype.search.ingest import ReadingSettings
    from collotype.search.ingest.rendering import Drawer
    from collotype.search.mcp import create_server, http_app
    from collotype.search.open_library import open_library

    if http:
        check_open(host, api_key, False)
    passwords = read_passwords(password_file)
    drawer = Drawer(ReadingSettings(passwords=passwords))
    library = open_library(index, drawer.draw, passwords, rerank=rerank, first=rerank_first)
    try:
        if not http:
            create_server(library).run("stdio")
            return
        from collotype.search.server.run import is_local, listen, serve
        from collotype.search.server.settings import ServerSettings

        settings = ServerSettings(api_key=api_key, read_only=True, hosts=frozenset(allow_host))
        app = http_app(library, settings, files=is_local(host))
        with listen(host, port) as listening:
            serve(app, listening, lambda address: typer.echo(f"Serving {index} at {address}mcp (Ctrl-C stops)"))
    finally:
        drawer.close()
