"""The server's settings."""

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Limits of requests. What a document may cost (pages, pixels, seconds) are the limits of ingest."""

    api_key: str | None = None
    """Asked of every request for data where it is set."""
    read_only: bool = False
    """No uploads, no deletes."""
    hosts: frozenset[str] = frozenset()
    """Names that requests may be sent to, beside addresses, `localhost` and this machine's own name."""
    upload_bytes: int = 200 * MIB
    waiting: int = 200
    """Most uploads that wait to be indexed."""
    rate: float = 100.0
    """Requests a second of one client, on average…"""
    burst: int = 300
    """…and at once: a page of results asks for its images together."""
    request_s: float = 30.0
    upload_s: float = 600.0
    at_once: int = 16
    """Searches computed at the same time; others wait."""
