"""Runs the server: its socket, its shutdown."""

import errno
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from collotype.runtime.errors import UserError

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp

CONNECTIONS = 500
"""Beyond them a request is answered with 503 at once."""
HEAD_BYTES = 65_536
"""Limit of a request's first line and headers, or of trailers: h11's, which httptools lacks."""
GRACE_S = 30
"""How long running requests may take after the first Ctrl-C or SIGTERM."""


def is_local(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """
    Args:
        port: 0 for any that is free.

    Raises:
        UserError: the port is in use or not allowed, or the host is not this machine's.
    """
    try:
        # with its protocol: only of a socket that names TCP does asyncio send what is small at once, not 40 ms later
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"There is no host {host!r} ({error.strerror}); give an address of this machine.") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            cause = "is in use; stop the program that uses it, or choose another with --port"
        elif error.errno == errno.EACCES:
            cause = "needs administrator rights; choose one from 1024 on with --port"
        else:
            cause = f"cannot be opened ({error.strerror}); give an address of this machine with --host"
        raise UserError(f"Port {port} of {host} {cause}.") from error
    return listening


def serve(app: "ASGIApp", listening: socket.socket, ready: Callable[[str], None]) -> None:
    """Answers until Ctrl-C or SIGTERM; requests that run are finished, and the document that is being indexed.

    Args:
        ready: called with the address when it can be asked.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready(address_of(listening))

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Unlike uvicorn's, does not raise the signal again in the end: being told to stop is not a failure."""
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    config = uvicorn.Config(
        app,
        http=protocol(),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=15,
    )
    Server(config).run([listening])


def protocol() -> "type[asyncio.Protocol] | Literal['h11']":
    """What reads requests, within HEAD_BYTES: httptools where it is installed."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return "h11"

    class LimitedProtocol(HttpToolsProtocol):
        pending = 0
        """Bytes since the last that completed the headers or belonged to a body."""

        def data_received(self, data: bytes) -> None:
            self.pending += len(data)
            super().data_received(data)
            if self.pending > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response(f"The request has more than {HEAD_BYTES} bytes of headers.")

        def on_headers_complete(self) -> None:
            self.pending = 0
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self.pending = 0
            super().on_body(body)

    return LimitedProtocol


def address_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
