"""A model's folder apart from its weights (`tensor_files.py`), without torch."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collotype.runtime.errors import UserError
from collotype.runtime.hub.names import address_parts, parse

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DESCRIPTION = "collotype.json"
"""What our own layout says of a model, its family first."""
WEIGHTS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")


def require_there(source: str | Path) -> None:
    """To be asked before what is not there is taken for a name of the hub's.

    Raises:
        UserError: it can only be a path, and nothing is there.
    """
    path, text = Path(source), str(source)
    if path.exists() or address_parts(text):
        return
    looks_like_path = text.startswith((".", "~", "/")) or len(path.parts) > 1
    if path.suffix in WEIGHTS or (looks_like_path and parse(text, "model") is None):
        home = "; ~ works only in a shell, write the full path" if text.startswith("~") else ""
        what = "file" if path.suffix in WEIGHTS else "folder or file"
        above = next(above for above in path.absolute().parents if above.exists())
        there = f" (but there is {above})" if above != Path(above.anchor) else ""
        raise UserError(f"There is no {what} {source}{there}{home}; check the path.")


def read_json(path: Path) -> dict[str, Any]:
    """
    Raises:
        UserError: no such file, or no JSON object in it.
    """
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); copy the model's folder again.") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} contains no JSON object; copy the model's folder again.")
    return values


def read_tokenizer(folder: Path) -> "Tokenizer":
    """
    Raises:
        UserError: there is no readable tokenizer.json.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the tokenizers library raises bare Exception for a file it cannot read
        raise UserError(f"{folder / 'tokenizer.json'} cannot be read ({error}); copy the folder again.") from error


def name_some(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "") if keys else "none"
