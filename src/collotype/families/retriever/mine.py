"""Mines hard negatives by the retriever's own scores.

For every query the best-scored pages that are not its own, without those that score so near its own that they are
likely right, too: "positive-aware" mining, TopK-PercPos (`max_score_ratio`) and TopK-MarginPos (`margin`) of
NV-Retriever (arXiv 2407.15831), where 0.95 of the positive's score did best. The first 100 pages are looked at, as in
colpali-engine's `compute_hardnegs.py`.

D vector width.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from collotype.families.retriever.batches import BATCH_TOKENS
from collotype.families.retriever.data.pages import PageRef
from collotype.families.retriever.data.pairs import RefPairs
from collotype.families.retriever.model import Retriever
from collotype.runtime.errors import UserError
from collotype.runtime.files import dir_lock, remove, sweep_partial, write_bytes, write_json, write_text
from collotype.runtime.hub.commits import in_words, used
from collotype.runtime.images import digest

PAGES_PER_CHUNK, READ_AT_ONCE = 128, 32
QUERIES_PER_BLOCK = 256
Progress = Callable[[str, int, int], None]
"""(what, how many are done, of how many)."""


@dataclass(frozen=True)
class Rules:
    """Which pages become negatives."""

    top_k: int = 100
    """Best-scored other pages that are looked at."""
    negatives: int = 16
    """Negatives that are kept of them, the best-scored ones that pass."""
    max_score_ratio: float = 0.95
    """A page that scores above this part of the positive's score is likely right."""
    margin: float = 0.0
    """So is one that scores less than this below the positive."""

    def bound(self, positive: Tensor) -> Tensor:
        """The highest score that a negative may have."""
        return torch.minimum(positive - self.margin, positive - (1 - self.max_score_ratio) * positive.abs())


@dataclass(frozen=True)
class MinedNegatives:
    """What was found for one query."""

    positive_score: float
    """Of its worst-scored own page."""
    negatives: list[tuple[int, int, float]]
    """(page, rank among the pages that are not its own, score)."""
    likely_right: int
    """Pages dropped because they score too near the positive."""


class PageVectors:
    """The vectors of all pages on disk, in chunks that are whole or absent, so that a killed command goes on.

    Args:
        folder: one that is there.
        key: what the vectors are a function of; chunks of another key are thrown away.
    """

    def __init__(self, folder: Path, key: dict[str, Any]):
        self.folder, facts = folder, folder / "key.json"
        if not facts.is_file() or json.loads(facts.read_text()) != key:
            # the folder itself stays: it is what keeps other processes out
            for chunk in folder.iterdir():
                remove(chunk)
            write_json(facts, key)
        sweep_partial(folder)

    def chunk(self, number: int) -> Path:
        return self.folder / f"pages-{number:06d}.safetensors"

    def encode(self, model: Retriever, pages: list[PageRef], batch_tokens: int, progress: Progress) -> list[str]:
        """Encodes what is missing; the digest of every page's image."""
        digests: list[str] = []
        for number, start in enumerate(range(0, len(pages), PAGES_PER_CHUNK)):
            refs = pages[start : start + PAGES_PER_CHUNK]
            if not self.chunk(number).is_file():
                vectors, names = encode(model, refs, batch_tokens)
                lengths = torch.tensor([len(page) for page in vectors])
                # unit vectors: half precision is off by 5e-4 at most, and a large corpus is half as large
                tensors = {"vectors": torch.cat(vectors).half(), "lengths": lengths, "digests": as_bytes(names)}
                write_bytes(self.chunk(number), save(tensors))
            digests += [bytes(row).hex() for row in load_file(self.chunk(number))["digests"].tolist()]
            progress("pages encoded", start + len(refs), len(pages))
        return digests

    def read(self, number: int) -> list[Tensor]:
        """float32 [num_vectors, D] for each page of the chunk."""
        tensors = load_file(self.chunk(number))
        return list(tensors["vectors"].float().split(tensors["lengths"].tolist()))


def encode(model: Retriever, refs: list[PageRef], batch_tokens: int) -> tuple[list[Tensor], list[str]]:
    vectors, names = [], []
    for start in range(0, len(refs), READ_AT_ONCE):
        images = [ref.read() for ref in refs[start : start + READ_AT_ONCE]]
        names += [digest(image) for image in images]
        vectors += model.encode_pages(images, batch_tokens)
    return vectors, names


def as_bytes(digests: list[str]) -> Tensor:
    return torch.tensor([list(bytes.fromhex(name)) for name in digests], dtype=torch.uint8)


def mine(
    model: Retriever,
    pairs: RefPairs,
    out: Path,
    rules: Rules = Rules(),
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Writes the rows of `pairs` with mined negatives to `out` (.jsonl or .parquet), readable as `source: pairs`.

    Pages that show the same image as one of the query's own are never its negatives, and the rows of a query that
    stands there several times share their pages. Vectors are kept in a folder beside `out` until it is written.

    Returns:
        counts of what was done.

    Raises:
        UserError: `out` exists already or is of another format, or another process is making it; a page cannot be read.
    """
    if out.suffix not in (".jsonl", ".parquet"):
        raise UserError(f"{out} is neither .jsonl nor .parquet; give the file one of these extensions.")
    vectors = out.with_name(f"{out.name}.vectors")
    busy = (
        f"Another process is mining into {out}: was the command started twice? Wait for it, stop it, or choose another "
        "file with --out."
    )
    require_absent(out)
    with dir_lock(vectors, busy):
        # it may have been written since
        require_absent(out)
        return mine_into(out, vectors, model, pairs, rules, batch_tokens, progress)


def require_absent(out: Path) -> None:
    if out.exists():
        raise UserError(f"{out} already exists; delete it or choose another file with --out.")


def mine_into(
    out: Path, vectors: Path, model: Retriever, pairs: RefPairs, rules: Rules, batch_tokens: int, progress: Progress
) -> dict[str, Any]:
    """As `mine`, with the vectors in a folder of their own that this process holds."""
    rows, model_digest = [pairs.pages(row) for row in range(len(pairs))], model.digest() + model.held_in
    numbers = {ref: number for number, ref in enumerate(dict.fromkeys(ref for row in rows for ref in row))}
    cache = PageVectors(
        vectors,
        {"model": model_digest, "data": pairs.fingerprint(), "pages": len(numbers), "chunk": PAGES_PER_CHUNK},
    )
    digests = cache.encode(model, list(numbers), batch_tokens, progress)
    first = {name: number for number, name in reversed(list(enumerate(digests)))}
    same = [first[name] for name in digests]
    """For each page the first page that shows the same image."""
    own: dict[str, set[int]] = {}
    for query, refs in zip(pairs.queries, rows, strict=True):
        own.setdefault(query, set()).update(same[numbers[ref]] for ref in refs)
    found = dict(zip(own, search(model, list(own.items()), same, cache, rules, progress), strict=True))
    pages = list(numbers)
    lists, origin = any(len(row) > 1 for row in rows), {"hub": in_words(used())} if used() else {}
    lines = []
    for query, row in zip(pairs.queries, rows, strict=True):
        images = [ref.written(out.parent) for ref in row]
        note = {"positive_score": round(found[query].positive_score, 5), "model": model_digest[:16]}
        negatives = [
            {**pages[page].written(out.parent), "rank": rank, "score": round(score, 5), **note}
            for page, rank, score in found[query].negatives
        ]
        lines.append({"query": query, "image": images if lists else images[0], "negatives": negatives, **origin})
    write_rows(out, lines)
    remove(cache.folder)
    return {
        "rows": len(rows),
        "pages": len(pages),
        "different_pages": len(set(same)),
        "negatives": sum(len(line["negatives"]) for line in lines),
        "rows_without_negatives": sum(not line["negatives"] for line in lines),
        "likely_right": sum(found[query].likely_right for query in pairs.queries),
        "rules": asdict(rules),
        "model": model_digest,
        **({"hub": used()} if used() else {}),
    }


def search(
    model: Retriever,
    queries: list[tuple[str, set[int]]],
    same: list[int],
    cache: PageVectors,
    rules: Rules,
    progress: Progress,
) -> Iterator[MinedNegatives]:
    """The negatives of each (query, own pages), in one pass over the chunks."""
    device = next(model.parameters()).device
    encoded = model.encode_queries([query for query, _ in queries], cut=True)
    blocks = [encoded[start : start + QUERIES_PER_BLOCK] for start in range(0, len(encoded), QUERIES_PER_BLOCK)]
    best, places = torch.full((len(queries), 0), 0.0), torch.zeros(len(queries), 0, dtype=torch.long)
    positive = torch.full((len(queries),), torch.inf)
    owners: dict[int, list[int]] = {}
    for query, (_, pages) in enumerate(queries):
        for page in pages:
            owners.setdefault(page, []).append(query)
    for number, start in enumerate(range(0, len(same), PAGES_PER_CHUNK)):
        vectors = [page.to(device) for page in cache.read(number)]
        # [queries, pages of the chunk]
        scores = torch.cat([model.score([query.to(device) for query in block], vectors).cpu() for block in blocks])
        for column, page in enumerate(range(start, start + len(vectors))):
            if same[page] != page:
                scores[:, column] = -torch.inf
            elif page in owners:
                positive[owners[page]] = torch.minimum(positive[owners[page]], scores[owners[page], column])
                scores[owners[page], column] = -torch.inf
        here = torch.arange(start, start + len(vectors)).expand_as(scores)
        best, places = torch.cat([best, scores], 1), torch.cat([places, here], 1)
        # stable, so that of equal scores the page that comes first wins, however the pages were cut into chunks
        best, order = best.sort(dim=1, descending=True, stable=True)
        best, places = best[:, : rules.top_k], places.gather(1, order)[:, : rules.top_k]
        progress("pages scored", start + len(vectors), len(same))
    bounds = rules.bound(positive)
    for query in range(len(queries)):
        ranked = [
            (page, rank, score)
            for rank, (page, score) in enumerate(
                zip(places[query].tolist(), best[query].tolist(), strict=True), start=1
            )
            if score > -torch.inf
        ]
        passed = [one for one in ranked if one[2] <= bounds[query]]
        yield MinedNegatives(float(positive[query]), passed[: rules.negatives], len(ranked) - len(passed))


def write_rows(out: Path, rows: list[dict[str, Any]]) -> None:
    if out.suffix == ".jsonl":
        write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return
    import pyarrow as pa
    from pyarrow.parquet import write_table

    content = pa.BufferOutputStream()
    write_table(pa.Table.from_pylist(rows), content)
    write_bytes(out, content.getvalue().to_pybytes())
