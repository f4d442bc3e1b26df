"""The command line: one module a command, no logic of its own.

Exit status: 0 done, 2 the user can fix it, 3 done but not reproduced, 1 our bug.
"""

import sys

import typer

from collotype.cli import check, evaluate, list_, report, run, train
from collotype.runtime.errors import UserError

app = typer.Typer(
    help="Train, evaluate, reproduce and serve vision-language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("check")(check.check)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("report")(report.report)
app.command("list")(list_.list_)


def main() -> None:
    try:
        app()
    except UserError as error:
        print(f"collotype: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("collotype: stopped; what was written is kept, go on with --resume.", file=sys.stderr)
        sys.exit(2)
