"""Options that several commands share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from collotype.runtime.errors import UserError
from collotype.runtime.texts import nfc

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A built-in recipe's name, a recipe file, or a run directory.")
]
ModelSource = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A model's folder or file (e.g. runs/desk-colpali/model), or a hub name (NAME@REVISION)."
    ),
]
Preset = Annotated[
    str | None, typer.Option("--preset", help="The preset the model was trained with, if its folder does not say.")
]
Activation = Annotated[
    Literal["gelu", "quick_gelu"] | None,
    typer.Option("--activation", help="CLIP: the activation it was trained with, if the file does not say."),
]
Tokenizer = Annotated[
    Path | None, typer.Option("--tokenizer", help="BEiT-3: the path of beit3.spm, if not next to the checkpoint.")
]
Answers = Annotated[
    Path | None, typer.Option("--answers", help="BEiT-3: the file of answers, if answer2label.txt is not next to it.")
]
Base = Annotated[str | None, typer.Option("--base", help="The base model of an adapter, to override the one it names.")]
Dtype = Annotated[
    Literal["auto", "bf16", "fp16", "fp32"] | None,
    typer.Option(
        "--dtype", help="Precision of the weights; auto uses the file's if this device supports it [default: fp32]."
    ),
]
Dim = Annotated[
    int | None,
    typer.Option("--dim", min=1, help="Keep only the first N numbers of each vector, if the model supports it."),
]
PoolFactor = Annotated[
    int | None, typer.Option("--pool-factor", help="How many page vectors are pooled into one [default: 1].")
]
Untrained = Annotated[
    bool, typer.Option("--untrained", help="Allow a --dim or --pool-factor that the model was not trained for.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Run directory [default: runs/NAME].")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. train.steps=8; repeatable.")
]
Smoke = Annotated[
    bool, typer.Option("--smoke", help="Run a small test form: tiny random weights and a few local rows.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume from the last checkpoint in the run directory.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete an existing run in the run directory first.")]
Track = Annotated[
    list[str],
    typer.Option("--track", metavar="NAME", help="Also log to tensorboard, wandb or trackio; repeatable."),
]
BatchTokens = Annotated[
    int | None, typer.Option(min=1, help="Tokens per forward pass, including padding [default: 16384].")
]
Suite = Annotated[
    str | None, typer.Option(help="The evaluation suite (`collotype list suites`) [default: the family's desk suite].")
]
DataPath = Annotated[
    Path | None,
    typer.Option("--path", help="Path of your dataset, for qa, beir, imagenet, labelled, captions, vqav2 and vqa."),
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of local copies of the ViDoRe datasets.")]
CacheFolder = Annotated[
    Path | None, typer.Option("--cache", help="Folder of cached embeddings [default: ~/.cache/collotype].")
]
IndexFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The index.")]
IndexPlace = Annotated[
    str, typer.Argument(metavar="INDEX", help="An index's folder, or qdrant://HOST:PORT/COLLECTION.")
]
AllowHost = Annotated[
    list[str], typer.Option(metavar="NAME", help="A host name that clients use for this server; repeatable.")
]
Queries = Annotated[
    str | None,
    typer.Option("--queries", metavar="MODEL", help="Encode the queries with this student of the index's model."),
]
Rerank = Annotated[
    str | None,
    typer.Option("--rerank", metavar="MODEL", help="A retriever that reranks the first pages (second stage)."),
]
RerankFirst = Annotated[
    int | None,
    typer.Option("--rerank-first", metavar="N", help="How many pages to rerank, at most 200 [default: 50]."),
]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="File of passwords to try on encrypted PDFs, one per line."),
]


def read_passwords(file: Path | None) -> tuple[str, ...]:
    """
    Raises:
        UserError: the file cannot be read.
    """
    if file is None:
        return ()
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--password-file {file} cannot be read ({error}); give a text file with one password per line."
        ) from error
    return tuple(dict.fromkeys(line for line in lines if line))


def documents_named(index: object, given: Iterable[str], known: Iterable[str]) -> list[str]:
    """Documents by names whose accents may be written otherwise.

    Raises:
        UserError: there is no such document.
    """
    from collotype.runtime.model_folder import name_some

    by_name = {nfc(name): name for name in known}
    for name in given:
        if nfc(name) not in by_name:
            raise UserError(f"{index} has no document {name!r}; it has {name_some(sorted(by_name))}.")
    return [by_name[nfc(name)] for name in given]
