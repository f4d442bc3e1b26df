"""Ingestion on Ray: files are read and pages encoded by a cluster, or by this machine's own Ray; one process writes.

Tasks read a few documents each, with the same workers as everywhere; actors hold the encoder. What both hand on are the
events of `reading`, a row each, in the order of their document. Rows are numbers and JSON; Ray itself moves code as
pickles, so a cluster must be one's own.
"""

import json
import logging
import math
import os
import socket
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from collotype.runtime.errors import UserError
from collotype.runtime.hub import used
from collotype.search.encoders import open_encoder
from collotype.search.ingest.encoding import BATCH, Encoded, Encoding, Pixels, as_page
from collotype.search.ingest.limits import Limits, ReadingSettings
from collotype.search.ingest.reading import Closed, Event, Lost, Opened, PageRead, Unchanged, read_all
from collotype.search.ingest.sources import Entry, SourceFile
from collotype.search.pages import EncodedPage, Encoder, Page, Word

if TYPE_CHECKING:
    from types import ModuleType

    from collotype.search.index import Index

ADDRESS, LOCAL = "RAY_ADDRESS", "local"
DOCUMENTS = 8
"""Read by one task, with one worker process."""
CPUS = 0.5
"""Of a task or an actor, as Ray counts cores: on one core there is room for both."""
RESTARTS = 3
"""Of a cluster's actor that died: its machine may have been taken away, but a page may also be what it dies of."""
REACHED_S = 5
ROWS = pa.schema(
    {
        "kind": pa.string(),
        "fields": pa.string(),
        "pixels": pa.large_binary(),
        "vectors": pa.large_binary(),
        "boxes": pa.large_binary(),
    }
)
KINDS = {kind.__name__: kind for kind in (Opened, PageRead, Unchanged, Lost, Closed)}


@dataclass(frozen=True)
class RayTask:
    """A document to read."""

    document: str
    source: SourceFile
    known: Entry | None
    digests: dict[int, str]
    """Of the pages that the index has."""


@contextmanager
def on_ray(model: Mapping[str, Any], encoders: int | None = None) -> Iterator["OnRay"]:
    """What `ingest` takes as `ray`: the Ray that this process is connected to, else the cluster that RAY_ADDRESS names,
    else one on this machine that ends with the block. To be entered before an index is opened: Ray's start forks, and
    what Lance has running by then does not like that.

    with on_ray({"model": "reader"}) as ray:
        ingest(["papers/"], index, encoder, ray=ray)

    Args:
        model: what `open_encoder` is called with by every actor; folders by a path that all machines have.
        encoders: actors; as many as there are GPUs if the encoder looks at images, else as cores.

    Raises:
        UserError: Ray is not installed, or not at that address.
    """
    ray = installed()
    address = os.environ.get(ADDRESS) or LOCAL
    ours = not ray.is_initialized()
    if ours:
        try:
            reach(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"There is no Ray cluster at {address} ({last_line(error)}); start it, or set {ADDRESS} to its address "
                "and RAY_AUTH_MODE to its authentication."
            ) from error
    try:
        yield OnRay(ray, model, encoders, 0 if ours and address == LOCAL else RESTARTS)
    finally:
        if ours:
            ray.shutdown()


def reach(address: str) -> None:
    """Ray itself would try for minutes.

    Raises:
        OSError: nothing listens at this host and port, if the address is one.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), REACHED_S).close()


def installed() -> "ModuleType":
    """Ray with its part for data, told to be quiet.

    Raises:
        UserError: it is not installed.
    """
    # read when Ray is imported and started: indexing sends nothing to Ray's makers
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise UserError(
            f"Indexing on Ray needs ray[data], which cannot be imported ({error}); "
            "install it with `pip install 'collotype[scale]'`."
        ) from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return ray


@dataclass(frozen=True)
class OnRay:
    """See `on_ray`."""

    ray: "ModuleType"
    model: Mapping[str, Any]
    encoders: int | None
    restarts: int

    def events(
        self,
        index: "Index",
        encoder: Encoder,
        files: Mapping[str, SourceFile],
        known: Mapping[str, Entry],
        settings: ReadingSettings,
    ) -> Generator[Event | Encoded]:
        """The events of every document; what is new or changed is encoded.

        Raises:
            UserError: Ray stopped; what was indexed stays.
        """
        tasks = [RayTask(name, source, known.get(name), index.pages_of(name)) for name, source in files.items()]
        context = self.ray.data.DataContext.get_current().copy()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = context.print_on_execution_start = False
        with self.ray.data.DataContext.current(context):
            rows = self.encoded(tasks, encoder, settings)
        try:
            tables: Iterable[Any] = rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
            for table in tables:
                for row in table.to_pylist():
                    yield unpacked(row, encoder.dim)
        except self.ray.exceptions.RayError as error:
            raise UserError(
                f"Ray stopped with: {last_line(error)}; what is indexed is kept, and the same command continues."
            ) from error

    def pinned(self) -> dict[str, Any]:
        """What actors open: of the hub, the commits that this process has, whatever its names mean by now."""
        return {**self.model, **({"commits": used()} if used() else {})}

    def encoded(self, tasks: list[RayTask], encoder: Encoder, settings: ReadingSettings) -> Any:
        """Rows of events; nothing runs before they are asked for.

        Raises:
            UserError: there is no room for so many encoders.
        """
        has = self.ray.cluster_resources()
        gpus = int(has.get("GPU", 0)) if encoder.looks_at == "picture" else 0
        room = gpus or max(1, int(has.get("CPU", 1) / CPUS) - 1)
        if self.encoders and self.encoders > room:
            raise UserError(
                f"Ray has resources for {room} encoders, but {self.encoders} were requested; lower --workers."
            )
        items = [{"task": json.dumps(asdict(task), default=str)} for task in tasks]
        documents = self.ray.data.from_items(items, override_num_blocks=math.ceil(len(items) / DOCUMENTS))
        pages = documents.map_batches(
            read,
            batch_size=None,
            batch_format="pyarrow",
            fn_kwargs={"settings": asdict(settings)},
            num_cpus=CPUS,
        )
        # so that several actors share a large document
        batches = pages.repartition(target_num_rows_per_block=BATCH)
        with warnings.catch_warnings():
            # until 2.64, which pyproject.toml leaves out, Ray takes a bound on restarts and warns
            warnings.simplefilter("ignore")
            return batches.map_batches(
                Encode,
                batch_size=BATCH,
                batch_format="pyarrow",
                fn_constructor_kwargs={"model": self.pinned(), "identity": encoder.identity},
                compute=self.ray.data.ActorPoolStrategy(size=self.encoders or gpus or (room + 1) // 2),
                num_cpus=CPUS,
                num_gpus=min(1, gpus),
                max_restarts=self.restarts,
                max_task_retries=self.restarts,
            )


def read(tasks: pa.Table, settings: Mapping[str, Any]) -> Iterator[pa.Table]:
    """The events of a few documents, in a task."""
    asked = {task.document: task for task in map(task_of, tasks["task"].to_pylist())}
    files = {name: task.source for name, task in asked.items()}
    known = {name: task.known for name, task in asked.items() if task.known}
    reading = ReadingSettings(**{**settings, "limits": Limits(**settings["limits"])})
    for event in read_all(files, known, lambda document: asked[document].digests, reading, workers=1):
        yield packed([event])


def task_of(text: str) -> RayTask:
    fields = json.loads(text)
    return RayTask(
        fields["document"],
        SourceFile(**{name: Path(path) for name, path in fields["source"].items()}),
        Entry(**fields["known"]) if fields["known"] else None,
        {int(number): digest for number, digest in fields["digests"].items()},
    )


class Encode:
    """An actor with its encoder.

    Raises:
        UserError: it cannot be opened, or is another one than the index's.
    """

    def __init__(self, model: Mapping[str, Any], identity: str):
        encoder = open_encoder(**model)
        if encoder.identity != identity:
            raise UserError(
                f"{encoder.name} on {os.uname().nodename} is not the model that the index was made with; give all "
                "machines the same one."
            )
        self.encoding = Encoding(encoder)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Each page encoded or lost, all else as it is; in their order."""
        found = [unpacked(row, self.encoding.encoder.dim) for row in rows.to_pylist()]
        events = [as_page(event) if isinstance(event, PageRead) else event for event in found]
        encoded = iter(self.encoding.encode([event for event in events if isinstance(event, Page)]))
        return packed([next(encoded) if isinstance(event, Page) else event for event in events])


def packed(events: list[Event | Encoded]) -> pa.Table:
    return pa.Table.from_pylist([row_of(event) for event in events], schema=ROWS)


def row_of(event: Event | Encoded) -> dict[str, Any]:
    kind = type(event).__name__
    if isinstance(event, Encoded):
        page = event.page
        words = [(word.text, word.box) for word in page.words]
        kept = ("document", "number", "digest", "size", "words_from", "label")
        fields = {name: getattr(page, name) for name in kept}
        numbers = {"vectors": event.encoded.vectors, "boxes": event.encoded.boxes}
        of = event.encoded.vector_of
        return {
            "kind": kind,
            "fields": json.dumps({**fields, "words": words, "vector_of": of if of is None else of.tolist()}),
            **{name: np.asarray(array, np.float32).tobytes() for name, array in numbers.items()},
        }
    fields = dict(vars(event))
    pixels = fields.pop("pixels", None)
    return {"kind": kind, "fields": json.dumps(fields), "pixels": pixels}


def unpacked(row: Mapping[str, Any], dim: int) -> Event | Encoded:
    fields = json.loads(row["fields"])
    if "size" in fields:
        fields["size"] = tuple(fields["size"])
        fields["words"] = [(text, tuple(box), *own) for text, box, *own in fields["words"]]
    if row["kind"] == Encoded.__name__:
        words, of = [Word(*word) for word in fields.pop("words")], fields.pop("vector_of")
        vector_of = None if of is None else np.array(of, np.int32)
        page = Page(**fields, words=words, image=Pixels(fields["size"], None))
        vectors, boxes = (np.frombuffer(bytearray(row[name]), np.float32) for name in ("vectors", "boxes"))
        return Encoded(page, EncodedPage(vectors.reshape(-1, dim), boxes.reshape(-1, 4), vector_of))
    if row["kind"] == PageRead.__name__:
        fields["pixels"] = row["pixels"]
    return KINDS[row["kind"]](**fields)


def last_line(error: Exception) -> str:
    """Of a message that may be a traceback from another machine."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
    return line.removeprefix(f"{UserError.__module__}.{UserError.__name__}: ").rstrip(".")
