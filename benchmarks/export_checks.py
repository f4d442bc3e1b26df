"""What `index export` writes, judged by the engines' own clients: pymilvus' bulk writer, pyvespa's application package.

pip install 'pymilvus[bulk_writer]==3.0.2' pyvespa==1.2.9      into an environment of their own that has collotype
python benchmarks/export_checks.py INDEX                       an index of late interaction
"""

import argparse
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from collotype.search.export import export
from collotype.search.index import Index


def bulk_writer(folder: Path) -> Any:
    from pymilvus import DataType, MilvusClient
    from pymilvus.bulk_writer import BulkFileType, LocalBulkWriter

    made = json.loads((folder / "collection.json").read_text())["schema"]
    kinds = {"VarChar": DataType.VARCHAR, "Int64": DataType.INT64}
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    for field in made["fields"]:
        sizes = {name: int(value) for name, value in field.get("elementTypeParams", {}).items()}
        kind, primary = kinds[field["dataType"]], field.get("isPrimary", False)
        schema.add_field(field["fieldName"], kind, is_primary=primary, **sizes)
    (structs,) = made["structFields"]
    (vector,) = structs["fields"]
    sizes = {name: int(value) for name, value in vector["elementTypeParams"].items()}
    struct = MilvusClient.create_struct_field_schema()
    struct.add_field(vector["fieldName"], DataType.FLOAT_VECTOR, dim=sizes["dim"])
    of = {"element_type": DataType.STRUCT, "struct_schema": struct, "max_capacity": sizes["max_capacity"]}
    schema.add_field(structs["fieldName"], DataType.ARRAY, **of)
    return LocalBulkWriter(schema=schema, local_path=str(folder / "written"), file_type=BulkFileType.JSON)


def milvus(folder: Path) -> int:
    """How many lines of the feed the bulk writer took; it refuses a vector of another length."""
    from pymilvus.exceptions import MilvusException

    writer = bulk_writer(folder)
    rows = [json.loads(line) for line in (folder / "feed.jsonl").read_text().splitlines()]
    for row in rows:
        writer.append_row(row)
    try:
        writer.append_row({**rows[0], "vectors": [{"vector": [0.0]}]})
        raise SystemExit("pymilvus took a vector of one number")
    except MilvusException:
        writer.commit()
    return len(rows)


def vespa(folder: Path) -> bool:
    """Is the schema what pyvespa writes of the same fields and profiles?"""
    from vespa.package import Document, Field, FieldSet, RankProfile, Schema, SecondPhaseRanking

    ours = (folder / "application/schemas/page.sd").read_text()
    fields = []
    for name, kind, body in re.findall(r"field (\w+) type (\S+(?: v\[\d+\]\))?) \{(.*?)\}", ours, re.DOTALL):
        (how,) = re.findall(r"indexing: ([\w |]+)", body)
        bm25 = {"index": "enable-bm25"} if "enable-bm25" in body else {}
        fields.append(Field(name=name, type=kind, indexing=how.strip().split(" | "), **bm25))
    (kind,) = set(re.findall(r"query\(q\) (tensor.*\])", ours))
    score = re.findall(r"expression: (sum.*token\))", ours)[0]
    inputs = [("query(q)", f"{kind})")]
    profiles = [
        RankProfile(name="words", first_phase="bm25(text)"),
        RankProfile(
            name="both",
            inherits="words",
            inputs=inputs,
            second_phase=SecondPhaseRanking(expression=score, rerank_count=50),
        ),
        RankProfile(name="exact", inputs=inputs, first_phase=score),
    ]
    sets = [FieldSet(name="default", fields=["text"])]
    theirs = Schema(name="page", document=Document(fields=fields), fieldsets=sets, rank_profiles=profiles)
    return statements(theirs.schema_to_text) == statements(ours)


def statements(schema: str) -> list[str]:
    """Sorted and without blanks: a block may have its statements in any order, an expression stand after a colon."""
    schema = re.sub(r"expression \{\s*(.*?)\s*\}", r"expression: \1", schema)
    lines = re.sub(r"(?<=\s)([{}])(?=\s)", r"\n\1\n", schema).splitlines()
    return sorted("".join(line.split()) for line in lines if line.strip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    index = Index.open(parser.parse_args().index)
    with tempfile.TemporaryDirectory() as scratch:
        for engine in ("milvus", "vespa"):
            export(index, engine, Path(scratch, engine))
        print(f"pymilvus' bulk writer: {milvus(Path(scratch, 'milvus'))} of {len(index)} pages")
        print(f"pyvespa writes the same schema: {vespa(Path(scratch, 'vespa'))}")


if __name__ == "__main__":
    main()
