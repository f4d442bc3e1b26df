#!/bin/bash
# qdrant-edge-py 0.9.0: pages of results by `offset` of one unchanged shard overlap where scores are equal: points are shown
# twice and others never, though one request for all of them has each once. Multi-vector scores of binarised or bf16 vectors
# are often equal.
set -euo pipefail
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "qdrant-edge-py==0.9.0"
mkdir "$place/shard"
"$place/venv/bin/python" - "$place/shard" <<'END'
import random
import sys
from importlib.metadata import version

import qdrant_edge as edge

print("qdrant-edge-py", version("qdrant-edge-py"))
random.seed(0)


def signs(count):
    return [[random.choice((-1.0, 1.0)) for _ in range(8)] for _ in range(count)]


maxsim = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
vectors = edge.EdgeVectorParams(size=8, distance=edge.Distance.Cosine, multivector_config=maxsim)
shard = edge.EdgeShard.create(sys.argv[1], edge.EdgeConfig(vectors={"pages": vectors}))
shard.update(edge.UpdateOperation.upsert_points([edge.Point(id, {"pages": signs(3)}, {}) for id in range(60)]))
query = edge.Query.Nearest(signs(2), using="pages")


def ids(limit, offset):
    return [point.id for point in shard.query(edge.QueryRequest(limit=limit, offset=offset, query=query))]


whole, paged = ids(60, 0), [id for offset in range(0, 60, 10) for id in ids(10, offset)]
print(f"60 points; one request shows {len(set(whole))} of them, six pages of ten show {len(paged)}, of which {len(set(paged))} differ")
if len(set(whole)) != 60 or len(paged) != 60 or len(set(paged)) == 60:
    sys.exit("the behaviour has changed")
END
