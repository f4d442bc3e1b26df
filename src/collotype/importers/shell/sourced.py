"""Files that a script sources (`source env.sh`, `. ./env.sh`), if they are next to it."""

import re
from pathlib import Path, PurePosixPath

from collotype.importers.configue import read_text
from collotype.importers.shell.words import ShellWord
from collotype.runtime.errors import UserError

OF_THE_MACHINE = re.compile(
    r"activate|\.?bashrc|\.?(bash_)?profile|conda(\.sh)?|modules?(\.sh|\.bash)?|setvars\.sh|.*\.cfg"
)
"""They prepare a shell and set nothing that a training takes."""


def text_beside(word: ShellWord, folder: Path | None) -> str | None:
    """The text of a file that is sourced, if it lies in the script's folder or below; none if it does not."""
    name = PurePosixPath(word)
    if folder is None or name.is_absolute() or any(one in name.name for one in word.unknown):
        return None
    try:
        root = folder.resolve()
        path = (root / (name.name if word.unknown else name)).resolve()
        return read_text(path) if path.is_relative_to(root) and path.is_file() else None
    except (OSError, ValueError, UserError):
        return None


def prepares(word: ShellWord) -> bool:
    return OF_THE_MACHINE.fullmatch(PurePosixPath(word).name) is not None
