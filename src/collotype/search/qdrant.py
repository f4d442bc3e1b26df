"""An index on a Qdrant cluster: `push` copies it, `QdrantIndex` searches it with the same hits.

A page is a point with two multi-vectors: `pages`, all its vectors in fp16, and `centroids`, at most 64 by k-means. Both
are scanned (m = 0): a graph over MaxSim, which is not a metric, loses the right page in a third of queries. The scan of
centroids names candidates, the exact MaxSim of `pages` decides.
"""

import base64
import os
import re
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.texts import sound
from collotype.search.encoders import as_made
from collotype.search.export import require_vectors
from collotype.search.filters import DOCUMENT, check, matches, several
from collotype.search.index import Document, Index, StoredPage, hit, stored_pages
from collotype.search.ingest.sources import SourceLedger
from collotype.search.languages import counted, wanted
from collotype.search.manifest import FORMAT, Manifest
from collotype.search.pages import EncodedPage, EncodedQuery, Hit, Word
from collotype.search.quantization import pack_boxes, unpack_boxes
from collotype.search.scoring.plan import Explanation
from collotype.search.uri import parse

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models

CENTROIDS, CENTROID_STEPS = 64, 4
CANDIDATES = 200
"""Pages whose exact score decides: of a page's 1,030 vectors, recall@10 is 0.993 (0.95 with 50)."""
PAGES_AT_ONCE = 8
"""Of 1,030 vectors, 10 MB of JSON."""
LISTED_AT_ONCE = 1000
NAMESPACE = uuid.UUID("5b0f4a0e-6c0e-4f3f-9a53-3e0c5d1c9a11")
TIMEOUT_S = 120

Progress = Callable[[str, int, int], None]


def connect(url: str) -> "QdrantClient":
    """A client, with the key in QDRANT_API_KEY if there is one."""
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise UserError(
            f"Qdrant needs {error.name}, which is not installed; install it with `pip install 'collotype[qdrant]'`."
        ) from error
    with answering(url):
        return QdrantClient(url, api_key=os.environ.get("QDRANT_API_KEY"), timeout=TIMEOUT_S, check_compatibility=False)


@contextmanager
def answering(url: str) -> Iterator[None]:
    """Turns what the client raises into a UserError."""
    from qdrant_client.http.exceptions import ApiException

    try:
        yield
    except (ApiException, ConnectionError) as error:
        cause = " ".join(str(error).split())[:200]
        raise UserError(
            f"The request to Qdrant at {url} failed ({cause}); check that it runs and that the key is right."
        ) from error


@dataclass(frozen=True)
class Pushed:
    """How many pages."""

    sent: int
    unchanged: int
    removed: int


def push(
    index: Index, place: str, progress: Progress = lambda what, done, total: None, client: "QdrantClient | None" = None
) -> Pushed:
    """Makes a collection what the index is, without encoding anything; a second push sends what has changed.

    Args:
        client: in place of the one that the address leads to.

    Raises:
        UserError: nothing answers at the address, or the collection is another model's.
    """
    address = parse(place)
    require_vectors(index)
    client = client or connect(address.url)
    ledger = SourceLedger(index.folder)
    files = {name: entry.file for name, entry in ledger.read().items()}
    with answering(address.url):
        prepare(client, address.collection, index.manifest, ledger.model())
        view = index.view()
        catalogue, languages = view.version.catalogue, view.languages.tolist()
        payloads = {one.id: one.payload or {} for one in listed(client, address.collection, ["key", "language"])}
        there = {number: (payload["key"], payload.get("language")) for number, payload in payloads.items()}
        ids = [
            point_id(catalogue.names[document], int(number))
            for document, number in zip(catalogue.documents, catalogue.numbers, strict=True)
        ]
        new = [row for row, one in enumerate(ids) if there.get(one) != (int(catalogue.keys[row]), languages[row])]
        for first in range(0, len(new), PAGES_AT_ONCE):
            rows = new[first : first + PAGES_AT_ONCE]
            pages = stored_pages(view, np.array(rows))
            points = [
                point(ids[row], int(catalogue.keys[row]), page, files.get(page.document), languages[row])
                for row, page in zip(rows, pages, strict=True)
            ]
            client.upsert(address.collection, points, wait=True)
            progress("pages sent", first + len(rows), len(new))
        if gone := list(set(there) - set(ids)):
            client.delete(address.collection, gone, wait=True)
    return Pushed(len(new), len(ids) - len(new), len(gone))


def prepare(client: "QdrantClient", collection: str, about: Manifest, model: Mapping[str, Any] | None) -> None:
    """The collection, made if it is not there."""
    from qdrant_client import models

    if client.collection_exists(collection):
        theirs = manifest_of(client, collection)[0]
        if theirs.identity != about.identity:
            raise UserError(
                f"The collection {collection} has pages encoded by {theirs.encoder_name}, but these are by "
                f"{about.encoder_name}; push them to another collection."
            )
        return
    vectors = models.VectorParams(
        size=about.dim,
        distance=models.Distance.DOT,
        datatype=models.Datatype.FLOAT16,
        on_disk=True,
        hnsw_config=models.HnswConfigDiff(m=0),
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
    )
    client.create_collection(
        collection,
        vectors_config={"pages": vectors, "centroids": vectors.model_copy(update={"on_disk": False})},
        metadata={"collotype": asdict(about), "model": model},
    )
    client.create_payload_index(collection, "document", models.PayloadSchemaType.KEYWORD)


def manifest_of(client: "QdrantClient", collection: str) -> tuple[Manifest, dict[str, Any] | None]:
    """What the collection's pages were made by, and how to open that model.

    Raises:
        UserError: there is no such collection, or it is not of a push.
    """
    if not client.collection_exists(collection):
        raise UserError(f"There is no collection {collection}; make one with `collotype index push`.")
    metadata = client.get_collection(collection).config.metadata or {}
    try:
        about = Manifest(**metadata["collotype"])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"The collection {collection} was not pushed by Collotype; give the name of one that was."
        ) from error
    if about.format != FORMAT:
        raise UserError(f"The collection {collection} has format {about.format}, not {FORMAT}; push it again.")
    model = metadata.get("model")
    return about, model and as_made(model)


def listed(client: "QdrantClient", collection: str, payload: list[str]) -> Iterator["models.Record"]:
    """Every point, with these parts of its payload."""
    after = None
    while True:
        points, after = client.scroll(collection, limit=LISTED_AT_ONCE, offset=after, with_payload=payload)
        yield from points
        if after is None:
            return


def point_id(document: str, number: int) -> str:
    return str(uuid.uuid5(NAMESPACE, f"{document}#page={number}"))


def point(identity: str, key: int, page: StoredPage, file: str | None, language: str) -> "models.PointStruct":
    """A page as it is sent; one without vectors is kept and never found."""
    from qdrant_client import models

    vectors = page.encoded.vectors
    sent = {"pages": vectors.tolist(), "centroids": centroids(vectors).tolist()} if len(vectors) else {}
    payload = {
        "key": key,
        "document": page.document,
        "page": page.number,
        "digest": page.digest,
        "size": list(page.size),
        "metadata": page.metadata,
        "label": page.label,
        "words_from": page.words_from,
        "language": language,
        "words": [word.text for word in page.words],
        "word_boxes": packed(np.array([word.box for word in page.words], np.float32).reshape(-1, 4)),
        "boxes": packed(page.encoded.boxes),
        "vector_of": None if page.encoded.vector_of is None else page.encoded.vector_of.tolist(),
        # a name that is not UTF-8 cannot be sent
        "file": file if file and file == sound(file) else None,
    }
    return models.PointStruct(id=identity, vector=sent, payload=payload)


def packed(boxes: np.ndarray) -> str:
    return base64.b64encode(pack_boxes(boxes).astype("<u2").tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
    return unpack_boxes(np.frombuffer(base64.b64decode(text), "<u2").reshape(-1, 4))


def centroids(vectors: np.ndarray, count: int = CENTROIDS) -> np.ndarray:
    """At most `count` unit vectors that stand for these unit vectors [n, D], by k-means from every (n / count)th."""
    if len(vectors) <= count:
        return vectors
    found: np.ndarray = vectors[np.linspace(0, len(vectors) - 1, count).astype(int)]
    for _ in range(CENTROID_STEPS):
        nearest = np.zeros((count, len(vectors)), np.float32)
        nearest[(vectors @ found.T).argmax(axis=1), np.arange(len(vectors))] = 1
        sums = nearest @ vectors
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        found = np.where(lengths > 1e-6, sums / np.maximum(lengths, 1e-6), found)
    return found


class QdrantIndex:
    """A pushed index, as far as it is read.

    Raises:
        UserError: nothing answers, or the collection was not made by Collotype.
    """

    def __init__(self, place: str, client: "QdrantClient | None" = None):
        self.place = place
        self.address = parse(place)
        self.client = client or connect(self.address.url)
        with answering(self.address.url):
            self.manifest, self.model = manifest_of(self.client, self.address.collection)

    def listing(self) -> dict[str, tuple[int, str | None]]:
        """How many pages each document has, and which file it was indexed from."""
        found: dict[str, tuple[int, str | None]] = {}
        with answering(self.address.url):
            for one in listed(self.client, self.address.collection, ["document", "file"]):
                payload = one.payload or {}
                name, file = payload["document"], payload["file"]
                found[name] = (found.get(name, (0, None))[0] + 1, file)
        return dict(sorted(found.items()))

    def languages(self) -> dict[str, int]:
        """As `Index.languages`; of a collection that was pushed before languages were known, none."""
        with answering(self.address.url):
            payloads = [one.payload or {} for one in listed(self.client, self.address.collection, ["language"])]
        return counted(np.array([payload.get("language", "") for payload in payloads], "U3"))

    def documents(self) -> list[Document]:
        return [Document(name=name, pages=pages) for name, (pages, _) in self.listing().items()]

    def page(self, document: str, number: int) -> StoredPage:
        """
        Raises:
            UserError: it is not in the collection.
        """
        with answering(self.address.url):
            found = self.client.retrieve(
                self.address.collection, [point_id(document, number)], with_payload=True, with_vectors=["pages"]
            )
        if not found:
            raise UserError(f"Page {number} of {document!r} is not in {self.place}.")
        return as_stored(found[0])

    def search(
        self,
        query: EncodedQuery,
        k: int = 10,
        *,
        where: Mapping[str, Any] | None = None,
        documents: Sequence[str] | None = None,
        languages: Sequence[str] = (),
        group: bool = False,
    ) -> list[Hit]:
        """As `Index.search`: the same pages, scores and places."""
        return self.found(query, k, self.filter(where, documents, languages), group)

    def explained(
        self,
        query: EncodedQuery,
        k: int = 10,
        *,
        documents: Sequence[str] | None = None,
        languages: Sequence[str] = (),
    ) -> tuple[list[Hit], Explanation]:
        """As `search`, and how they were found."""
        kept, collection = self.filter(None, documents, languages), self.address.collection
        hits = self.found(query, k, kept, False)
        with answering(self.address.url):
            pages, allowed = (self.client.count(collection, count_filter=one).count for one in (None, kept))
        why = f"of a collection, {candidates(k)} pages by their centroids are compared exactly"
        explanation = Explanation(plan="centroids", why=why, pages=pages, allowed=allowed, scanned=allowed)
        explanation.rescored = min(allowed, candidates(k))
        return hits, explanation

    def found(self, query: EncodedQuery, k: int, kept: "models.Filter | None", group: bool) -> list[Hit]:
        from qdrant_client import models

        wanted, exact = query.vectors.tolist(), models.SearchParams(exact=True)
        asked = {
            "prefetch": models.Prefetch(
                query=wanted, using="centroids", filter=kept, limit=candidates(k), params=exact
            ),
            "query": wanted,
            "using": "pages",
            "query_filter": kept,
            "with_payload": True,
            "with_vectors": ["pages"],
        }
        collection = self.address.collection
        with answering(self.address.url):
            if group:
                groups = self.client.query_points_groups(collection, DOCUMENT, limit=k, group_size=1, **asked).groups
                points = [one.hits[0] for one in groups]
            else:
                points = self.client.query_points(collection, limit=k, **asked).points
        pages = [as_stored(point) for point in points]
        scores = [(query.vectors @ page.encoded.vectors.T).max(axis=1).sum() for page in pages]
        order = np.argsort(-np.array(scores), kind="stable")
        return [hit(query, pages[place], float(scores[place])) for place in order]

    def filter(
        self, where: Mapping[str, Any] | None, documents: Sequence[str] | None, languages: Sequence[str] = ()
    ) -> "models.Filter | None":
        from qdrant_client import models

        must: list[models.Condition] = []
        for name, value in (where or {}).items():
            check(name, value)
            if name == DOCUMENT:
                known = [one for one in self.listing() if matches(one, several(value))]
                must.append(models.FieldCondition(key=DOCUMENT, match=models.MatchAny(any=known)))
            else:
                alike = [condition(models, f"metadata.{name}", one) for one in several(value)]
                must.append(models.Filter(should=[each for some in alike for each in some]))
        if documents is not None:
            forms = [unicodedata.normalize(form, name) for name in documents for form in ("NFC", "NFD")]
            must.append(models.FieldCondition(key=DOCUMENT, match=models.MatchAny(any=[*documents, *forms])))
        if languages:
            codes = wanted(languages, list(self.languages()))
            must.append(models.FieldCondition(key="language", match=models.MatchAny(any=codes)))
        return models.Filter(must=must) if must else None


def candidates(k: int) -> int:
    return max(CANDIDATES, 10 * k)


def condition(models: Any, key: str, value: Any) -> list["models.Condition"]:
    """Equal, as text too: a command line knows no types."""
    text = str(value)
    found = [models.FieldCondition(key=key, match=models.MatchValue(value=text))]
    if text in ("True", "False"):
        found.append(models.FieldCondition(key=key, match=models.MatchValue(value=text == "True")))
    elif value is None:
        found.append(models.IsNullCondition(is_null=models.PayloadField(key=key)))
    elif re.fullmatch(r"-?\d+(\.\d+)?", text):
        found.append(models.FieldCondition(key=key, range=models.Range(gte=float(text), lte=float(text))))
    return found


def as_stored(point: "models.Record | models.ScoredPoint") -> StoredPage:
    payload, named = point.payload or {}, point.vector
    vectors = np.array(named.get("pages", []) if isinstance(named, dict) else [], np.float32)
    boxes, vector_of = unpacked(payload["word_boxes"]), payload.get("vector_of")
    return StoredPage(
        document=payload["document"],
        number=payload["page"],
        digest=payload["digest"],
        size=tuple(payload["size"]),
        metadata=payload["metadata"],
        label=payload.get("label", ""),
        words_from=payload.get("words_from", ""),
        words=tuple(Word(text, tuple(box)) for text, box in zip(payload["words"], boxes.tolist(), strict=True)),
        encoded=EncodedPage(
            vectors, unpacked(payload["boxes"]), None if vector_of is None else np.array(vector_of, np.int32)
        ),
        word_boxes=boxes,
    )
