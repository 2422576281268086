"""The commands: each reads its arguments, calls one function of `dorl.commands`, and adds nothing of its own."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

# each adds its commands, in the order of `dorl --help`
from dorl.cli import learning, measuring, using, exchange  # isort: skip
from dorl.cli.app import app
from dorl.errors import DorlError, InputError
from dorl.names import printable
from dorl.runtime.memory import keep_memory, own_process
from dorl.runtime.processes import GRACE, LOST, SUPERVISED, is_main, lost_another
from dorl.runtime.progress import print_anything

__all__ = ["app", "exchange", "learning", "main", "measuring", "using"]


def main() -> None:
    """Run a command: exit 0 done, 1 failed while working, 2 wrong input, 130 stopped."""
    keep_memory()
    own_process()
    print_anything()
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    words = [_with_home(word) for word in arguments if word != "--debug"] or ["--help"]
    try:
        status = app(words, prog_name="dorl", standalone_mode=False)  # typer turns an interrupt into 130
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        if lost_another(error):
            if SUPERVISED not in os.environ:
                print(
                    "dorl: another process has ended; the same command goes on from the last checkpoint",
                    file=sys.stderr,
                )
            sys.stderr.flush()
            os._exit(LOST)  # what is left of the group would wait for the other
        if SUPERVISED in os.environ and not is_main():
            time.sleep(GRACE)
        if hasattr(error, "format_message"):  # wrong usage; older typers raise click's error, newer ones their own
            print(f"dorl: {printable(_usage(error))}", file=sys.stderr)
            sys.exit(2)
        if debug:
            raise
        kind = 2 if isinstance(error, InputError) else 1
        text = str(error) if isinstance(error, DorlError) else f"{type(error).__name__}: {error}"
        hint = "" if isinstance(error, DorlError) else " (give --debug for where it happened)"
        print(f"dorl: {printable(' '.join(text.split()))}{hint}", file=sys.stderr)
        sys.exit(kind)
    if status == 130 and is_main() and SUPERVISED not in os.environ:
        print("stopped; the same command goes on from here", file=sys.stderr)
    sys.exit(status or 0)


def _with_home(word: str) -> str:
    """An argument with the home folder in ``--out=~/x``: shells put it into ``--out ~/x`` alone."""
    match = re.fullmatch(r"(--[a-z-]+=)(~(?:/.*)?)", word, re.DOTALL)
    return match[1] + str(Path(match[2]).expanduser()) if match else word


def _usage(error: Any) -> str:
    """A usage error as one line that ends with where to read more."""
    command = error.ctx.command_path if getattr(error, "ctx", None) else "dorl"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see {command} --help"
