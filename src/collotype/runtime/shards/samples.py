"""Groups the files of a tar into samples, as webdataset and OpenCLIP do, and counts the bad ones."""

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.shards.tar import BLOCK, READ_AHEAD, BrokenTarError, Member, members

ENTRY = np.dtype(
    [("picture", "<u4"), ("picture_bytes", "<u4"), ("text", "<u4"), ("text_bytes", "<u4"), ("suffix", "u1")]
)
"""A sample: where image and text begin, in blocks of a tar (512 bytes), their sizes in bytes, and which of the
image suffixes it has. 17 bytes: 51 MB for three million."""

NO_IMAGE, NO_TEXT, EMPTY_TEXT = "no image", "no caption", "empty caption"
APART = "files of a sample are no neighbours"
NOT_TEXT, SEVERAL, CUT_OFF = "caption is no text", "several images", "shard is cut off or damaged"
MISSING, SURPLUS = "samples listed in sizes.json are missing", "more samples than sizes.json lists"
IMAGES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "avif", "jp2")
TEXTS = ("txt", "text", "caption", "cap", "title", "json")
"""Ends of suffixes that images and texts are likely to have, for advice."""
COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
"""How gzip, zstd, bzip2 and xz begin."""


@dataclass(frozen=True, order=True)
class Fault:
    """What kept `count` samples of a shard from being used (or was doubtful about them)."""

    cause: str
    place: str
    count: int
    first: str = ""
    """The first of them, with what was seen there, where that can be said."""

    @property
    def left_out(self) -> int:
        """Samples that are not used."""
        return 0 if self.cause in (SEVERAL, SURPLUS) else self.count


def counts(faults: Iterable[Fault]) -> dict[str, int]:
    """How many of each cause, over all places."""
    total: Counter[str] = Counter()
    for fault in faults:
        total[fault.cause] += fault.count
    return dict(total)


def in_words(faults: Iterable[Fault]) -> str:
    return ", ".join(f"{cause} in {count:,}" for cause, count in counts(faults).items())


@dataclass(frozen=True)
class SampleLayout:
    """The members of a sample, by suffix: what follows the first dot of a member's name.

    Args:
        images: the first of them that a sample has is its image.
        text: its caption, or a label (`cls`); `json:KEY` is an entry of a JSON object, a text or a list of texts.
    """

    images: tuple[str, ...] = ("jpg", "png", "jpeg", "webp")
    text: str = "txt"

    @classmethod
    def of(cls, image: str | None = None, text: str = "txt") -> "SampleLayout":
        """
        Args:
            image: the suffix of images, or several as `jpg;png`; None takes the usual ones.
        """
        suffixes = [part.strip().lstrip(".").lower() for part in (image or "").split(";")]
        return cls(tuple(filter(None, suffixes)) or cls.images, text.lstrip("."))

    @property
    def text_suffix(self) -> str:
        return self.text.partition(":")[0].lower()

    def lacks(self, suffixes: Container[str]) -> str | None:
        """What a sample of these files lacks: NO_TEXT or NO_PICTURE."""
        if self.text_suffix not in suffixes:
            return NO_TEXT
        return None if any(suffix in suffixes for suffix in self.images) else NO_IMAGE

    def texts(self, content: bytes) -> tuple[str, ...]:
        """The texts of a sample; none if it has none.

        Raises:
            ValueError: it is neither text nor a list of texts.
        """
        found: Any = content.decode()
        if ":" in self.text:
            cells = json.loads(found)
            found = cells.get(self.text.partition(":")[2]) if isinstance(cells, dict) else cells
        texts = found if isinstance(found, list) else [found] if found is not None else []
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{texts!r} is not text")
        return tuple(text for text in texts if text.strip())


@dataclass
class IndexedShard:
    """One shard's samples that are whole, and what was found wrong.

    Args:
        faults: number of samples by cause; of CUT_OFF, one.
        digest: of names, sizes of images, and texts.
        samples: how many there are, whole or not.
    """

    entries: np.ndarray
    faults: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    samples: int = 0


def index_shard(path: Path, layout: SampleLayout, name: str) -> IndexedShard:
    """Reads a shard's headers and texts.

    A shard that was cut off gives the samples before the cut, and one fault.

    Raises:
        UserError: it cannot be read, has no sample, or all samples lack image or text; `name` is what the user calls
            it.
    """
    entries, digest, groups = [], blake2b(digest_size=16), 0
    faults, kinds = Counter[str](), dict[str, Member]()
    torn: dict[str, list[set[str]]] = {}
    again = "download it again"
    try:
        with path.open("rb", buffering=READ_AHEAD) as file:
            for key, parts in grouped(file, faults):
                groups += 1
                kinds = parts | kinds
                entry = sample_entry(file, layout, parts, faults)
                if entry:
                    places, text = entry
                    digest.update(f"{key} {places[1]} {len(text)} ".encode("utf-8", "surrogateescape") + text)
                    entries.append(places)
                elif layout.lacks(parts):
                    torn.setdefault(key, []).append(set(parts))
    except OSError as error:
        raise UserError(f"The shard {name} cannot be read ({error}); check the path or {again}.") from error
    if not groups:
        why = "is compressed, which prevents random access; uncompress it" if is_compressed(path) else ""
        raise UserError(f"The shard {name} {why or f'contains no complete sample; {again}'}.")
    samples = groups - join(torn, layout, faults)
    if problem := unusable(path, name, layout, faults, kinds, samples):
        raise UserError(problem)
    return IndexedShard(
        np.array(entries, ENTRY), {cause: n for cause, n in faults.items() if n}, digest.hexdigest(), samples
    )


def join(torn: Mapping[str, list[set[str]]], layout: SampleLayout, faults: Counter[str]) -> int:
    """Counts samples whose image and caption stand apart as such; how many groups too many were counted for them."""
    surplus = 0
    for parts in torn.values():
        if len(parts) > 1 and not layout.lacks(set.union(*parts)):
            faults[APART] += 1
            surplus += len(parts) - 1
            for one in parts:
                faults[layout.lacks(one) or ""] -= 1
    return surplus


def unusable(
    path: Path, name: str, layout: SampleLayout, faults: Counter[str], kinds: Mapping[str, Member], samples: int
) -> str | None:
    """What is wrong with a shard in which every sample lacks the same; nothing if that is not so."""
    if faults[APART] == samples:
        return (
            f"The files of each of the {samples} samples of the shard {name} are not next to each other; pack them "
            f"again sorted by name (tar --sort=name -cf {Path(name).name} …)."
        )
    if samples not in (faults[NO_TEXT], faults[NO_IMAGE]):
        return None
    there = ", ".join(sorted(kinds))
    wanted = f"images are read from {', '.join(layout.images)}, captions from {layout.text_suffix}"
    return (
        f"None of the {samples} samples of the shard {name} can be used: they have {there}, and {wanted}; "
        f"{advice(path, layout, kinds)}."
    )


def advice(path: Path, layout: SampleLayout, kinds: Mapping[str, Member]) -> str:
    """Which suffixes to name, as far as they can be guessed."""
    keys = []
    if not set(layout.images) & set(kinds):
        likely = next((kind for kind in sorted(kinds) if kind.rpartition(".")[2] in IMAGES), None)
        keys.append(f"picture: {likely or 'SUFFIX'}")
    if layout.text_suffix not in kinds:
        likely = next((kind for end in TEXTS for kind in sorted(kinds) if kind.rpartition(".")[2] == end), None)
        keys.append(f"caption: {f'json:{json_keys(path, kinds[likely])}' if likely == 'json' else likely or 'SUFFIX'}")
    return f"name the suffixes ({', '.join(keys)})" if keys else "download it again"


def json_keys(path: Path, member: Member) -> str:
    """The keys of the shard's first JSON object that hold texts, as `caption|title`."""
    try:
        with path.open("rb") as file:
            file.seek(member.offset)
            cells = json.loads(file.read(member.size))
        return "|".join(key for key, cell in cells.items() if isinstance(cell, str | list)) or "KEY"
    except (OSError, ValueError, AttributeError):
        return "KEY"


def is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6).startswith(COMPRESSED)


def grouped(file: BinaryIO, faults: Counter[str]) -> Iterator[tuple[str, dict[str, Member]]]:
    """Neighbours of one key, as {suffix: member}. A suffix that comes again begins another sample, as in OpenCLIP."""
    key, parts = "", dict[str, Member]()
    try:
        for member in members(file):
            folder, _, base = member.name.rpartition("/")
            stem, dot, suffix = base.partition(".")
            if not dot or not stem:
                continue
            own, suffix = f"{folder}/{stem}", suffix.lower()
            if own != key or suffix in parts:
                if parts:
                    yield key, parts
                key, parts = own, {}
            parts[suffix] = member
    except BrokenTarError:
        # what stood before the cut may lack its last member
        faults[CUT_OFF] += 1
    if parts:
        yield key, parts


def sample_entry(
    file: BinaryIO, layout: SampleLayout, parts: dict[str, Member], faults: Counter[str]
) -> tuple[tuple[int, ...], bytes] | None:
    """An ENTRY's values and the text; nothing, and a fault, if the sample cannot be used."""
    if lacking := layout.lacks(parts):
        faults[lacking] += 1
        return None
    images = [place for place, suffix in enumerate(layout.images) if suffix in parts]
    text = parts[layout.text_suffix]
    file.seek(text.offset)
    content = file.read(text.size)
    try:
        if not layout.texts(content):
            faults[EMPTY_TEXT] += 1
            return None
    except ValueError:
        faults[NOT_TEXT] += 1
        return None
    if len(images) > 1:
        faults[SEVERAL] += 1
    image = parts[layout.images[images[0]]]
    return (image.offset // BLOCK, image.size, text.offset // BLOCK, text.size, images[0]), content
