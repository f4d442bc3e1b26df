"""Text helpers: normalisation, plurals, and many texts in little memory."""

import re
import unicodedata
from array import array
from collections.abc import Iterable
from hashlib import sha256
from itertools import pairwise


def nfc(text: str) -> str:
    """As names are compared: macOS writes accents apart from their letters, others do not."""
    return unicodedata.normalize("NFC", text)


def sound(text: str) -> str:
    """Text that any file and terminal takes: U+FFFD for halves of characters, which names have that are not UTF-8."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


class Texts:
    """Rows of texts, in three pieces of memory: forked loader processes share them, and would copy a Python object a
    text. 16 bytes a row beside the texts themselves."""

    def __init__(self, rows: Iterable[tuple[str, ...]]):
        content, ends, firsts = bytearray(), array("Q", [0]), array("Q", [0])
        for texts in rows:
            for text in texts:
                content += text.encode("utf-8", "surrogatepass")
                ends.append(len(content))
            firsts.append(len(ends) - 1)
        self._content, self._ends, self._firsts = bytes(content), ends, firsts

    def __len__(self) -> int:
        return len(self._firsts) - 1

    def __getitem__(self, row: int) -> tuple[str, ...]:
        first, last = self._firsts[row : row + 2].tolist()
        ends = self._ends[first : last + 1].tolist()
        return tuple(self._content[start:end].decode("utf-8", "surrogatepass") for start, end in pairwise(ends))

    @property
    def nbytes(self) -> int:
        return len(self._content) + len(self._ends) * self._ends.itemsize + len(self._firsts) * self._firsts.itemsize

    def digest(self) -> str:
        return sha256(self._content + self._ends.tobytes() + self._firsts.tobytes()).hexdigest()


def plural(count: int, one: str) -> str:
    """ "1 page", "2,000 pages"."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"
