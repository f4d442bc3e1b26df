"""Exports an index for other engines: schema, feed and a sample query, without encoding again.

Vespa and Elasticsearch take JSON lines, Milvus one JSON object an entity. Vectors are written as they are stored, as
float32 of what int8 stands for. A page without vectors is written to none of them: nothing could find it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from collotype.runtime.errors import UserError
from collotype.runtime.files import atomic_folder
from collotype.search.filters import allowed
from collotype.search.index import Index, StoredPage, stored_pages

PAGES_AT_ONCE = 32
FIELDS = ("document", "page", "label", "text", "link")
NAME = "collotype"
MILVUS_VECTORS, MILVUS_TEXT = 4096, 65_535
"""Of an array; bytes of a text."""


@dataclass(frozen=True)
class Engine:
    """
    Args:
        feed: the file's name and a page's line in it.
        others: further files by name, for an index of vectors of `dim` numbers, late or single.
    """

    feed: str
    line: Callable[[dict[str, Any], StoredPage, bool], Sequence[dict[str, Any]]]
    others: Callable[[int, bool], dict[str, str]]


def export(index: Index, engine: str, to: Path, progress: Callable[[str, int, int], None] = lambda *_: None) -> int:
    """Writes the files for an engine into a new folder; how many pages there are.

    Raises:
        UserError: the folder is there already, or the index has no page with vectors.
    """
    if to.exists():
        raise UserError(f"{to} already exists; choose a new folder.")
    require_vectors(index)
    view = index.view()
    rows = [int(row) for row in allowed(view.version, None, None).nonzero()[0]]
    if not rows:
        raise UserError(f"The index in {index.folder} has no pages with vectors, so there is nothing to export.")
    rows.sort(key=lambda row: view.version.catalogue.page_keys(np.array([row]))[0])
    found, late = ENGINES[engine], index.manifest.interaction == "late"
    with atomic_folder(to) as scratch:
        for name, content in found.others(index.manifest.dim, late).items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_text(content, encoding="utf-8")
        with (scratch / found.feed).open("w", encoding="utf-8") as feed:
            for done, page in enumerate(pages(view, rows), start=1):
                for line in found.line(fields(page), page, late):
                    feed.write(json.dumps(line, ensure_ascii=False) + "\n")
                progress("pages", done, len(rows))
    return len(rows)


def require_vectors(index: Index) -> None:
    """
    Raises:
        UserError: its pages are sparse.
    """
    if index.manifest.is_sparse:
        raise UserError(
            f"The index in {index.folder} has sparse pages, but only vectors can be exported; index the documents with "
            "a retriever that makes vectors."
        )


def pages(view: Any, rows: Sequence[int]) -> Iterator[StoredPage]:
    import numpy as np

    for first in range(0, len(rows), PAGES_AT_ONCE):
        yield from stored_pages(view, np.array(rows[first : first + PAGES_AT_ONCE]))


def fields(page: StoredPage) -> dict[str, Any]:
    """What every engine is given of a page beside its vectors."""
    text = " ".join(word.text for word in page.words)
    values = (page.document, page.number, page.label, text, f"{page.document}#page={page.number}")
    return dict(zip(FIELDS, values, strict=True))


# --- Vespa: https://docs.vespa.ai, "ColPali" samples: a mixed tensor, a cell a vector


def vespa_line(known: dict[str, Any], page: StoredPage, late: bool) -> list[dict[str, Any]]:
    rows = page.encoded.vectors.tolist()
    vectors: Any = {"blocks": {str(place): row for place, row in enumerate(rows)}} if late else {"values": rows[0]}
    return [{"put": f"id:{NAME}:page::{known['link']}", "fields": {**known, "vectors": vectors}}]


def vespa_files(dim: int, late: bool) -> dict[str, str]:
    kind = f"tensor<float>(patch{{}}, v[{dim}])" if late else f"tensor<float>(v[{dim}])"
    query = f"tensor<float>(token{{}}, v[{dim}])" if late else kind
    score = (
        "sum(reduce(sum(query(q) * attribute(vectors), v), max, patch), token)"
        if late
        else "sum(query(q) * attribute(vectors))"
    )
    schema = f"""schema page {{
    document page {{
        field document type string {{ indexing: summary | attribute }}
        field page type int {{ indexing: summary | attribute }}
        field label type string {{ indexing: summary }}
        field link type string {{ indexing: summary }}
        field text type string {{
            indexing: summary | index
            index: enable-bm25
        }}
        field vectors type {kind} {{ indexing: attribute }}
    }}
    fieldset default {{ fields: text }}
    rank-profile words {{
        first-phase {{ expression: bm25(text) }}
    }}
    rank-profile both inherits words {{
        inputs {{ query(q) {query} }}
        second-phase {{
            rerank-count: 50
            expression: {score}
        }}
    }}
    rank-profile exact {{
        inputs {{ query(q) {query} }}
        first-phase {{ expression: {score} }}
    }}
}}
"""
    services = """<?xml version="1.0" encoding="UTF-8"?>
<services version="1.0">
    <container id="default" version="1.0"><search/><document-api/></container>
    <content id="pages" version="1.0">
        <min-redundancy>1</min-redundancy>
        <documents><document type="page" mode="index"/></documents>
        <nodes><node distribution-key="0" hostalias="node1"/></nodes>
    </content>
</services>
"""
    body = {
        "yql": "select document, page, label, link from page where true",
        "ranking": "exact",
        "hits": 10,
        "input.query(q)": {"0": [0.0] * dim} if late else [0.0] * dim,
    }
    return {
        "application/schemas/page.sd": schema,
        "application/services.xml": services,
        "query.json": json.dumps(body) + "\n",
        "README.txt": readme("vespa deploy application; vespa feed feed.jsonl; vespa query < query.json"),
    }


# --- Elasticsearch: rank_vectors, scored exactly by maxSimDotProduct (8.18 and later)


def elastic_line(known: dict[str, Any], page: StoredPage, late: bool) -> list[dict[str, Any]]:
    vectors = page.encoded.vectors.tolist()
    key = known["link"]
    return [{"index": {"_index": NAME, "_id": key}}, {**known, "vectors": vectors if late else vectors[0]}]


def elastic_files(dim: int, late: bool) -> dict[str, str]:
    kind = {"type": "rank_vectors", "dims": dim} if late else {"type": "dense_vector", "dims": dim, "index": False}
    keywords = {name: {"type": "keyword"} for name in ("document", "label", "link")}
    properties = {**keywords, "page": {"type": "integer"}, "text": {"type": "text"}, "vectors": kind}
    source = "maxSimDotProduct(params.query, 'vectors')" if late else "dotProduct(params.query, 'vectors') + 1.0"
    vector = [0.0] * dim
    script = {"source": source, "params": {"query": [vector] if late else vector}}
    query = {"script_score": {"query": {"match_all": {}}, "script": script}}
    # of equal scores the order is progress, so that pages of results follow one another
    body = {"query": query, "size": 10, "sort": ["_score", "document", "page"], "_source": [*FIELDS]}
    mappings = {"mappings": {"dynamic": "strict", "properties": properties}}
    return {
        "index.json": json.dumps(mappings, indent=1) + "\n",
        "query.json": json.dumps(body) + "\n",
        "README.txt": readme(
            f"curl -X PUT :9200/{NAME} -H content-type:application/json -d @index.json; "
            "curl :9200/_bulk -H content-type:application/x-ndjson --data-binary @feed.ndjson (in parts of 100 MB); "
            f"curl :9200/{NAME}/_search -H content-type:application/json -d @query.json"
        ),
    }


# --- Milvus: an array of structs, compared by MAX_SIM (2.6.4 and later)


def milvus_line(known: dict[str, Any], page: StoredPage, late: bool) -> list[dict[str, Any]]:
    vectors = page.encoded.vectors.tolist()
    if len(vectors) > MILVUS_VECTORS:
        raise UserError(
            f"{known['link']} has {len(vectors):,} vectors, more than Milvus' limit of {MILVUS_VECTORS:,}; index with "
            "--pool-factor, or export to another engine."
        )
    own = {"vectors": [{"vector": row} for row in vectors]} if late else {"vector": vectors[0]}
    text = known["text"].encode()[:MILVUS_TEXT].decode(errors="ignore")
    return [{"id": known["link"], **known, "text": text, **own}]


def milvus_files(dim: int, late: bool) -> dict[str, str]:
    def text(name: str, most: int, **more: Any) -> dict[str, Any]:
        return {"fieldName": name, "dataType": "VarChar", "elementTypeParams": {"max_length": str(most)}, **more}

    scalars = [
        text("id", 4096, isPrimary=True),
        text("document", 4096),
        {"fieldName": "page", "dataType": "Int64"},
        text("label", 1024),
        text("text", MILVUS_TEXT),
        text("link", 4096),
    ]
    vector = {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": str(dim)}}
    capacity = {
        "elementTypeParams": {"dim": str(dim), "max_capacity": str(MILVUS_VECTORS)},
        "dataType": "ArrayOfVector",
    }
    structs = [{"fieldName": "vectors", "fields": [{**vector, **capacity, "elementDataType": "FloatVector"}]}]
    schema: dict[str, Any] = {"autoId": False, "enableDynamicField": False, "fields": scalars}
    schema |= {"structFields": structs} if late else {"fields": [*scalars, vector]}
    field, metric = ("vectors[vector]", "MAX_SIM_IP") if late else ("vector", "IP")
    place = {"fieldName": field, "indexName": "vectors", "metricType": metric}
    collection = {"collectionName": NAME, "schema": schema, "indexParams": [{**place, "indexType": "HNSW"}]}
    data = [[[0.0] * dim]] if late else [[0.0] * dim]
    body = {"collectionName": NAME, "data": data, "annsField": field, "limit": 10, "outputFields": [*FIELDS]}
    return {
        "collection.json": json.dumps(collection, indent=1) + "\n",
        "query.json": json.dumps(body) + "\n",
        "README.txt": readme(
            "POST collection.json to /v2/vectordb/collections/create; insert feed.jsonl's lines by MilvusClient.insert "
            "or pymilvus' bulk writer; POST query.json to /v2/vectordb/entities/search"
        ),
    }


def readme(commands: str) -> str:
    return (
        f"{commands}\n\nquery.json has zeros in place of a query's vectors: encode the query with the model that made "
        "the index (Collotype's POST /pooling, or open_encoder). These files follow the engine's documentation and "
        "have not been tested on a server.\n"
    )


ENGINES = {
    "vespa": Engine("feed.jsonl", vespa_line, vespa_files),
    "milvus": Engine("feed.jsonl", milvus_line, milvus_files),
    "elasticsearch": Engine("feed.ndjson", elastic_line, elastic_files),
}
