"""The command line: one module per command, without logic of its own.

Exit status: 0 done, 2 the user can fix it, 3 done but not reproduced, 1 our bug.
"""

import functools
import os
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

import collotype
from collotype.cli import (
    check,
    compare,
    compress,
    convert,
    evaluate,
    import_,
    index,
    list_,
    mcp,
    mine,
    report,
    run,
    search,
    serve,
    submit,
    train,
)
from collotype.runtime.errors import PeerError, UserError
from collotype.runtime.hub import commits
from collotype.runtime.process_exit import leave
from collotype.runtime.stage_messages import tell_stages

# NumPy's products, each on one core: their threads wait for each other by spinning, and search has threads of its own
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def print_version(asked: bool) -> None:
    if asked:
        print(f"collotype {collotype.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Train, evaluate, reproduce and serve vision-language models."""


def in_a_sentence(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with a user's error, or Ctrl-C, as one line on stderr and exit status 2."""

    @functools.wraps(command)
    def call(*arguments: Any, **options: Any) -> Any:
        tell_stages()
        try:
            with commits():
                return command(*arguments, **options)
        except PeerError:
            problem = None
        except UserError as error:
            problem = str(error)
        except KeyboardInterrupt:
            resume = " and --resume" if "resume" in options else ""
            problem = f"Stopped; everything written so far is kept. Continue with the same command{resume}."
        if problem:
            print(f"collotype: {problem}", file=sys.stderr)
        raise typer.Exit(2)

    return call


COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "check": check.check,
    "train": train.train,
    "evaluate": evaluate.evaluate,
    "import": import_.import_,
    "convert": convert.convert,
    "mine": mine.mine,
    "submit": submit.submit,
    "report": report.report,
    "compare": compare.compare,
    "compress": compress.compress,
    "search": search.search,
    "serve": serve.serve,
    "mcp": mcp.mcp,
    "list": list_.list_,
}
for name, command in COMMANDS.items():
    app.command(name)(in_a_sentence(command))

# what it was called
app.command("export", hidden=True)(in_a_sentence(convert.convert))

of_index = typer.Typer(cls=index.SourcesOrCommand, help=index.add.__doc__, no_args_is_help=True)
for name, command in index.COMMANDS.items():
    of_index.command(name)(in_a_sentence(command))
app.add_typer(of_index, name="index")


def take_local_rank(arguments: list[str]) -> list[str]:
    """The arguments without the `--local-rank=N` (or `--local_rank`) that torch.distributed.launch adds to them.

    The number is in LOCAL_RANK already.
    """
    return [word for word in arguments if not re.fullmatch(r"--local[-_]rank=\d+", word)]


def main() -> None:
    try:
        app(take_local_rank(sys.argv[1:]))
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else 1)
        raise
