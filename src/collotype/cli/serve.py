"""`collotype serve`."""

from pathlib import Path
from typing import Annotated

import typer

from collotype.cli.options import (
    AllowHost,
    Dtype,
    IndexPlace,
    PasswordFile,
    Queries,
    Rerank,
    RerankFirst,
    read_passwords,
)
from collotype.runtime.errors import UserError


def serve(
    index: IndexPlace,
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for all interfaces.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 picks a free one.")] = 8080,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="COLLOTYPE_API_KEY", help="The API key that clients must send; prefer the variable."),
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Allow access from other machines without a key (with --host).")
    ] = False,
    queries: Queries = None,
    rerank: Rerank = None,
    rerank_first: RerankFirst = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse uploads and deletes.")] = False,
    allow_host: AllowHost = [],  # noqa: B006 - typer makes a fresh list
    rate: Annotated[float, typer.Option(min=0.1, help="Requests per second allowed for each client.")] = 100.0,
    password_file: PasswordFile = None,
    dtype: Dtype = None,
    upload_mib: Annotated[int, typer.Option(min=1, help="Maximum size of an uploaded file in MiB.")] = 200,
) -> None:
    """Serve an index in the browser and over HTTP.

    Documents dropped on the page are indexed.
    """
    needs_server()
    from collotype.search.ingest import ReadingSettings
    from collotype.search.ingest.rendering import Drawer
    from collotype.search.open_library import open_library
    from collotype.search.server.app import create_app
    from collotype.search.server.run import listen
    from collotype.search.server.run import serve as run
    from collotype.search.server.settings import MIB, ServerSettings
    from collotype.search.uri import is_address

    check_open(host, api_key, open_to_all)
    settings = ServerSettings(
        api_key=api_key,
        read_only=read_only,
        hosts=frozenset(allow_host),
        rate=rate,
        burst=max(1, round(3 * rate)),
        upload_bytes=upload_mib * MIB,
    )
    passwords = read_passwords(password_file)
    draw = Drawer(ReadingSettings(passwords=passwords)).draw
    with listen(host, port) as listening:
        folder = None if is_address(index) else Path(index)
        library = open_library(index, draw, passwords, dtype, rerank, rerank_first, queries)
        app = create_app(library, folder, settings)
        run(app, listening, lambda address: typer.echo(f"Serving {index} at {address} (Ctrl-C stops)"))


def check_open(host: str, api_key: str | None, open_to_all: bool) -> None:
    """Raises a UserError where other machines could do what nobody allowed."""
    from collotype.search.server.run import is_local

    if api_key is not None and len(api_key) < 8:
        raise UserError(f"The API key has only {len(api_key)} characters; use at least 8 random ones.")
    if not is_local(host) and not api_key and not open_to_all:
        raise UserError(
            f"With --host {host}, other machines could search, upload and delete; set COLLOTYPE_API_KEY, or allow it "
            "with --open."
        )


def needs_server() -> None:
    """Raises a UserError that names the extra, where it is not installed."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"Serving needs {error.name}, which is not installed; install it with `pip install 'collotype[serve]'`."
        ) from error
