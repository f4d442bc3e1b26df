"""The retriever's implementation of the commands."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from collotype.evaluation.results import Measured
from collotype.families.retriever import mine as mining
from collotype.families.retriever import stability as sampling
from collotype.families.retriever.backbones import BACKBONES, require_budget
from collotype.families.retriever.batches import BATCH_TOKENS
from collotype.families.retriever.benchmarks import SUITES, find_suite
from collotype.families.retriever.bm25 import Bm25
from collotype.families.retriever.cache import Cache
from collotype.families.retriever.card import write_card
from collotype.families.retriever.checkpoints.reading import ADAPTER, LAYOUTS, read, require_layout
from collotype.families.retriever.checkpoints.reading import export as write_layout
from collotype.families.retriever.compact import STORED, Stored
from collotype.families.retriever.compress import Encode
from collotype.families.retriever.compress import compress as compress_pages
from collotype.families.retriever.config import require_dim
from collotype.families.retriever.data import open_source
from collotype.families.retriever.data.pairs import RefPairs
from collotype.families.retriever.distill import page_model_of
from collotype.families.retriever.evaluate import VectorSearch
from collotype.families.retriever.evaluate import evaluate as evaluate_searcher
from collotype.families.retriever.model import Retriever
from collotype.families.retriever.preset import PRESETS
from collotype.families.retriever.published_models import CHECKPOINTS
from collotype.families.retriever.recipe import RetrieverEvaluate, parse_source
from collotype.families.retriever.task import RetrieverTask
from collotype.families.retriever.token_pooling import Pooling
from collotype.families.shared.spec import FamilySpec
from collotype.report.card import find_record
from collotype.runtime.device import choose_dtype, pick_device
from collotype.runtime.errors import UserError
from collotype.runtime.hub import commits
from collotype.runtime.world import World

BM25 = "bm25"
"""The name by which the baseline is evaluated in a model's place."""
SIGNS = ("config.json", "modules.json", "adapter_config.json")
"""One of these is in any folder of other libraries that holds a retriever."""


def can_load(source: str) -> bool:
    """Is this a retriever in a layout of other libraries, or the baseline?"""
    return source == BM25 or any((Path(source) / name).is_file() for name in SIGNS)


def load(
    source: str | Path,
    preset: str | None = None,
    base: str | None = None,
    dtype: str | None = None,
    max_visual_tokens: int | None = None,
) -> Retriever:
    """The retriever in a folder or a repository of the hub.

    Args:
        preset: the preset it was trained with, where its folder does not say.
        base: where the base of an adapter, or the teacher of a student, lies, if not where it says.
        dtype: as of `collotype.load`.
        max_visual_tokens: the visual budget of a page, if not its own.

    Raises:
        UserError: as of `collotype.load`; a budget for a backbone that has none.
    """
    found = read(source, preset, base)
    if found.config.pages and max_visual_tokens:
        raise UserError(f"{source} encodes queries only; set max_visual_tokens when loading its teacher.")
    require_budget(found.row, max_visual_tokens)
    found = replace(found, config=replace(found.config, preset=found.config.preset.bounded(max_visual_tokens)))
    model = found.model(choose_dtype(dtype, found.tensors.dtype, pick_device(World.from_environment())))
    if found.config.pages:
        model.page_model = cache(partial(page_model_of, found.config, base, partial(load, dtype=dtype)))
    return model


def export(source: str | Path, layout: str, out: Path, **options: Any) -> list[str]:
    """In the type that the weights lie in; what cannot be written is refused before they are read."""
    found, record = read(source, **options), find_record(Path(source))
    require_layout(found.config, layout)
    # an adapter of our own is merged by what it was trained as
    model = found.model(None if found.config.lora else found.tensors.dtype)
    model.check_weights()
    verified = write_layout(model, layout, out, write_card(Path(source), model.config, layout, record))
    return [*verified, *(event["note"] for event in model.events)]


def evaluate(
    model: str,
    choice: RetrieverEvaluate,
    world: World,
    cache: Path | None = None,
    batch_tokens: int | None = None,
    out: Path | None = None,
    **options: Any,
) -> list[Measured]:
    """
    Args:
        cache: a folder that keeps embeddings and read texts; None keeps nothing.
        batch_tokens: tokens of a forward pass, padding included; None takes the default.
        out: nothing is made for it.
    """
    device, benchmarks, kept = pick_device(world), find_suite(choice), Cache(cache)
    if model == BM25:
        return evaluate_searcher(Bm25(kept), benchmarks, world=world, device=device)
    loaded = load(model, **options).to(device)
    searcher = VectorSearch.of(loaded, choice, kept, batch_tokens or BATCH_TOKENS, model)
    return evaluate_searcher(searcher, benchmarks, world=world, device=device)


def stability(model: str, choice: RetrieverEvaluate, limit: int | None = None, **options: Any) -> dict[str, Any]:
    """What batch, padding, precision and attention kernel change in scores, of `limit` pages of the first dataset."""
    of = sampling.sample(find_suite(choice)[0], limit or sampling.PAGES)
    retriever = load(model, **options).to(pick_device(World()))
    facts = {"dataset": of.dataset, "queries": len(of.queries), "pages": len(of.pages), "cut_to_several_sizes": of.cut}
    return {**facts, "device": str(retriever.device), "settings": [*sampling.stability(retriever, of)]}


def mine(
    source: str | Path,
    data: str,
    out: str | Path,
    rules: Mapping[str, Any] | None = None,
    batch_tokens: int | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    preset: str | None = None,
    base: str | None = None,
    dtype: str | None = None,
) -> dict[str, Any]:
    """Hard negatives for `data` by the model in `source`, written to `out`; counts of what was done.

    Args:
        data: a table, a dataset of the hub, PDFs, or a source as in a recipe: `{source: pairs, path: …}`.
        rules: fields of `retriever.mine.Rules`.

    Raises:
        UserError: the model or the data cannot be read; `out` already exists.
    """
    with commits():
        pairs = open_source(parse_source(data))
        if not isinstance(pairs, RefPairs):
            raise UserError(
                "Pages that are drawn on demand (sheets) have no names for a file of negatives; use a table."
            )
        model = load(source, preset, base, dtype).to(pick_device(World()))
        return mining.mine(model, pairs, Path(out), mining.Rules(**rules or {}), batch_tokens or BATCH_TOKENS, progress)


def compress(
    source: str | Path,
    choice: RetrieverEvaluate,
    factors: Sequence[int],
    methods: Sequence[str],
    cache: Path | None = None,
    preset: str | None = None,
    base: str | None = None,
    dtype: str | None = None,
    dims: Sequence[int] = (),
    stored: Sequence[Stored] = STORED,
    students: Sequence[str] = (),
    encode_of: Callable[[str, Retriever], Encode] | None = None,
) -> list[dict[str, Any]]:
    """Size and quality of the page vectors of the model in `source` in every form: `Compressed` as dicts.

    Args:
        dims: beside those that the model was trained for.
        students: models that read the queries in its place.
        encode_of: what encodes the queries of a student where they are timed; None: the model.

    Raises:
        UserError: no such model, suite, method or way of storing, a factor below 1, a dim that vectors do not have, a
            model of one vector a page to be pooled, or a student of another model.
    """
    poolings = [Pooling(factor=factor, method=method) for method in methods for factor in factors if factor != 1]
    if strange := [one for one in stored if one not in STORED]:
        raise UserError(f"Vectors cannot be stored as {strange[0]!r}; the choices are {', '.join(STORED)}.")
    benchmarks, model = find_suite(choice), load(source, preset, base, dtype).to(pick_device(World()))
    require_dim(max(dims, default=None), model.width, str(source))
    readers = [(name, load(name, dtype=dtype).to(model.device)) for name in students]
    all_dims = [*dims, *(model.config.compact.dims if model.config.compact else ())]
    rows = compress_pages(model, benchmarks, poolings, Cache(cache), all_dims, stored, readers, encode_of)
    return [asdict(row) for row in rows]


SPEC = FamilySpec(
    task=RetrieverTask,
    load=load,
    export=export,
    evaluate=evaluate,
    stability=stability,
    can_load=can_load,
    signs=SIGNS,
    default_suite="sheets",
    models=[*BACKBONES, *map(str, CHECKPOINTS)],
    suites=SUITES,
    layouts=[*LAYOUTS, ADAPTER],
    presets=PRESETS,
)
