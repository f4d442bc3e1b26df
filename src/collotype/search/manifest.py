"""`index.json`: the encoder of an index, and how it stores vectors."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from collotype.runtime.errors import UserError
from collotype.runtime.files import write_json
from collotype.search.pages import Encoder, Interaction
from collotype.search.quantization import Precision

FORMAT = 1
FILE = "index.json"
OWN = (".writing", "pages.lance")
"""What may be there before `index.json`, which comes last."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    encoder_name: str
    identity: str
    """Digest of all that decides a vector."""
    dim: int
    interaction: Interaction
    precision: Precision = "fp16"
    pool_factor: int = 1
    """How many of a page's vectors became one, on average, before they were stored."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.precision not in ("fp16", "int8"):
            raise UserError(f"An index cannot have the precision {self.precision!r}; the choices are fp16 and int8.")
        if self.pool_factor < 1:
            raise UserError(f"The pool factor is {self.pool_factor}; give a whole number of at least 1 (no pooling).")
        if self.is_sparse and (self.precision, self.pool_factor) != ("fp16", 1):
            raise UserError(
                f"Sparse pages have fp16 weights and cannot be pooled, but the precision is {self.precision} and the "
                f"pool factor {self.pool_factor}; leave --precision and --pool-factor out."
            )

    @property
    def is_sparse(self) -> bool:
        return self.interaction == "sparse"

    @property
    def width(self) -> int:
        """Numbers of a stored vector: of a sparse page each is the weight of one token of `dim`."""
        return 1 if self.is_sparse else self.dim

    def write(self, folder: Path) -> None:
        write_json(folder / FILE, asdict(self))

    def belongs_to(self, encoder: Encoder, folder: Path | str) -> None:
        """Raises a UserError where the vectors are not this encoder's."""
        if encoder.identity != self.identity:
            named = "the same name with other weights/settings" if encoder.name == self.encoder_name else encoder.name
            raise UserError(
                f"The index in {folder} was made by {self.encoder_name} ({self.identity[:12]}), not by {named} "
                f"({encoder.identity[:12]}); use the former, or index the documents again into a new folder."
            )


def is_index(folder: Path) -> bool:
    return (folder / FILE).is_file()


def check_free(folder: Path) -> None:
    """Raises a UserError where a folder has an index, or files that are none of one."""
    if is_index(folder):
        raise UserError(f"There is already an index in {folder}; add to it, or choose another folder.")
    if folder.is_dir() and (foreign := [file.name for file in folder.iterdir() if file.name not in OWN]):
        raise UserError(f"{folder} is not an index and is not empty (it contains {foreign[0]}); choose another folder.")


def read(folder: Path) -> Manifest:
    """What is said of the index in `folder`.

    Raises:
        UserError: there is none, it is of another format, or the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(
            f"There is no index in {folder} (no {FILE}); make one with `collotype index SOURCE --to {folder}`."
        )
    try:
        found = json.loads(path.read_text())
        version = found["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}); index the documents again into a new folder.") from error
    if version != FORMAT:
        raise UserError(
            f"The index in {folder} has format {version}, but this version of Collotype reads format {FORMAT}; use the "
            "version that made it, or index the documents again into a new folder."
        )
    try:
        return Manifest(**{field.name: found[field.name] for field in fields(Manifest)})
    except KeyError as error:
        raise UserError(f"{path} has no {error.args[0]!r}; index the documents again into a new folder.") from error
