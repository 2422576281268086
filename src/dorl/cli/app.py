"""The command line itself, which the commands are added to."""

from __future__ import annotations

from typing import Annotated

import typer

import dorl
from dorl.errors import InputError
from dorl.runtime.processes import several

#: commands that several processes may do together
DIVISIBLE = ("embed", "fit", "evaluate")

app = typer.Typer(
    name="dorl",
    help="Features and classifiers of white blood cells that hold in another lab (DoRL, arXiv 2408.07467).\n\n"
    "A LAB is name=path or a path: a folder per class, a flat folder, a known data set, a CSV or Parquet manifest, "
    "or another tool's annotations (COCO, CVAT, Label Studio, labelme, QuPath).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(show: bool) -> None:
    if show:
        print(f"dorl {dorl.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Options of every command; `main` takes --debug out before, so that it may stand anywhere."""
    if several() and context.invoked_subcommand not in DIVISIBLE:
        raise InputError(f"{context.invoked_subcommand} is done by one process; {', '.join(DIVISIBLE)} take several")
