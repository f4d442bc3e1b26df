"""Checks before every request: host, rate, key, origin, size, time.

Plain ASGI, so that bodies are counted while they stream in and nothing is buffered.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import math
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collotype.search.server.settings import ServerSettings

COOKIE = "collotype"
SMALL_BODY = 4096
"""Bytes that a request may send where no file is expected."""
JSON_BODY, IMAGE_BODY = 2**20, 20 * 2**20
"""Of the routes that take texts in JSON; of an image that is looked for."""
PAGE = Path(__file__).parent / "page"
OPEN_PATHS = frozenset({"/", "/api/health", "/api/session", *(f"/{file.name}" for file in PAGE.iterdir())})
"""What needs no key: the page's own files, whether it runs, and handing in the key."""
CLIENTS = 10_000
"""Buckets kept; the client that was quiet for longest is forgotten first, with a bucket that is full by then."""

PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class RefusedError(Exception):
    """A request that is not answered: HTTP status, a word for the metrics, and a sentence for the client."""

    def __init__(self, status: int, reason: str, sentence: str, headers: dict[str, str] | None = None):
        super().__init__(sentence)
        self.status, self.reason, self.sentence, self.headers = status, reason, sentence, headers

    def response(self) -> JSONResponse:
        return JSONResponse({"error": self.sentence}, self.status, self.headers)


class Buckets:
    """A token bucket for each client: `burst` tokens at most, `rate` new ones a second."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic):
        self.rate, self.burst, self.clock = rate, burst, clock
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Takes a token; seconds to wait where there is none."""
        now = self.clock()
        tokens, since = self.buckets.pop(client, (float(self.burst), now))
        tokens = min(self.burst, tokens + (now - since) * self.rate)
        granted = tokens >= 1
        self.buckets[client] = (tokens - granted, now)
        if len(self.buckets) > CLIENTS:
            self.buckets.popitem(last=False)
        return 0.0 if granted else (1 - tokens) / self.rate


def client_of(scope: Scope) -> str:
    """Whose tokens a request takes: an address; of IPv6 the network, which one client has whole."""
    host = (scope.get("client") or ("", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((host, 64), strict=False)) if address.version == 6 else host


def session_token(key: str) -> str:
    """What the page's cookie holds instead of the key."""
    return hmac.new(key.encode(), b"collotype page", hashlib.sha256).hexdigest()


def same(given: str, wanted: str) -> bool:
    """Compared in a time that does not tell how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


class Guard:
    """Refuses what must not reach the application, and puts security headers on every answer."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, refused: Callable[[str], None]):
        self.app, self.settings, self.refused = app, settings, refused
        self.buckets = Buckets(settings.rate, settings.burst)
        self.hosts = {"localhost", socket.gethostname().lower(), *(name.lower() for name in settings.hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                secure(message)
            await send(message)

        upload = scope["method"] == "PUT"
        allowance = self.settings.upload_bytes if upload else body_of(scope)
        try:
            self.admit(scope)
            refuse_announced(scope, allowance)
            async with asyncio.timeout(self.settings.upload_s if upload else self.settings.request_s) as limit:
                await self.app(scope, bounded(receive, allowance), send_guarded)
        except RefusedError as error:
            await self.refuse(error, scope, receive, send_guarded, started)
        except TimeoutError:
            if not limit.expired():
                raise
            sentence = "The request took longer than the server allows; try again later, or request less."
            refusal = RefusedError(503, "time", sentence, {"retry-after": "5"})
            await self.refuse(refusal, scope, receive, send_guarded, started)

    async def refuse(self, refusal: RefusedError, scope: Scope, receive: Receive, send: Send, started: bool) -> None:
        self.refused(refusal.reason)
        if not started:
            await refusal.response()(scope, receive, send)

    def admit(self, scope: Scope) -> None:
        """Raises:
        RefusedError: it is sent to a foreign name, comes too often, from a foreign page, or without the key.
        """
        headers = Headers(scope=scope)
        self.check_host(headers)
        if wait := self.buckets.take(client_of(scope)):
            sentence = f"The limit is {self.settings.rate:g} requests per second; slow down."
            raise RefusedError(429, "rate", sentence, {"retry-after": str(math.ceil(wait))})
        if scope["method"] not in ("GET", "HEAD"):
            check_origin(headers)
        if self.settings.api_key and scope["path"] not in OPEN_PATHS:
            self.check_key(headers, self.settings.api_key)

    def check_host(self, headers: Headers) -> None:
        """A name that an attacker's DNS points here is not ours; an address cannot be pointed anywhere."""
        names = headers.getlist("host")
        try:
            name = urlsplit(f"//{names[0]}").hostname or "" if len(names) == 1 else ""
            known = name in self.hosts or bool(ipaddress.ip_address(name))
        except ValueError:
            known = False
        if not known:
            raise RefusedError(
                421, "host", "This server does not accept that host name; start it with --allow-host and the name."
            )

    def check_key(self, headers: Headers, key: str) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
        if same(given, key) or same(cookie_of(headers), session_token(key)):
            return
        raise RefusedError(
            401,
            "key",
            "This server requires a key; send it as X-API-Key, or as Authorization: Bearer.",
            {"www-authenticate": "Bearer"},
        )


def body_of(scope: Scope) -> int:
    """Bytes that a request may send."""
    if scope["method"] != "POST" or scope["path"] in OPEN_PATHS:
        return SMALL_BODY
    return IMAGE_BODY if scope["path"] == "/api/search/image" else JSON_BODY


def cookie_of(headers: Headers) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def check_origin(headers: Headers) -> None:
    """What changes something must come from our own page or from a program, not from another site's page."""
    origin = headers.get("origin")
    if headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none") and origin is None:
        return
    try:
        own = origin is not None and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        own = False
    if not own:
        raise RefusedError(
            403, "origin", "This request came from a page of another site, which must not change anything here."
        )


def refuse_announced(scope: Scope, allowance: int) -> None:
    """A body that says it is too large is refused before it is sent; what a body says is believed in no other way."""
    announced = Headers(scope=scope).get("content-length", "0")
    if announced.isdecimal() and int(announced[:20]) > allowance:
        raise too_large(allowance)


def too_large(allowance: int) -> RefusedError:
    size = f"{allowance / 2**20:.0f} MiB" if allowance >= 2**20 else f"{allowance} bytes"
    return RefusedError(413, "size", f"The request's body is larger than {size}; send less.")


def bounded(receive: Receive, allowance: int) -> Receive:
    """`receive` that stops a body beyond `allowance` bytes, whatever its Content-Length says."""
    seen = 0

    async def receive_bounded() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > allowance:
                raise too_large(allowance)
        return message

    return receive_bounded


def secure(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if not headers.get("content-type", "").startswith("application/pdf"):
        # a browser's PDF viewer is a page of its own, which the policy would keep from showing anything
        headers.setdefault("content-security-policy", PAGE_POLICY)
    headers.setdefault("cache-control", "no-store")
