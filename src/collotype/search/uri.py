"""Addresses of indexes that are not in a folder: `qdrant://host:port/collection`."""

import re
from typing import NamedTuple

from collotype.runtime.errors import UserError

SCHEMES = {"qdrant": "http", "qdrant+https": "https"}
PORT = 6333


class Address(NamedTuple):
    url: str
    collection: str


def is_address(place: str) -> bool:
    return place.partition("://")[0] in SCHEMES


def parse(place: str) -> Address:
    """`qdrant://host:port/collection`, or `qdrant+https://…`.

    Raises:
        UserError: it is none.
    """
    found = re.fullmatch(r"(qdrant(?:\+https)?)://([\w.-]+|\[[\da-fA-F:]+\])(?::(\d+))?/([\w.-]{1,255})", place)
    if not found:
        raise UserError(f"{place!r} is not the address of a collection; write qdrant://HOST:{PORT}/COLLECTION.")
    scheme, host, port, collection = found.groups()
    return Address(f"{SCHEMES[scheme]}://{host}:{port or PORT}", collection)
