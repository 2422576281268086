"""Progress: a bar on a terminal, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from dorl.names import printable
from dorl.runtime.processes import is_main

T = TypeVar("T")

#: seconds between two plain lines where standard error is no terminal
LINE_EVERY = 20.0


def say(message: str) -> None:
    """One line for the user about what is going on; of several processes the main one speaks."""
    if is_main():
        print(printable(message), file=sys.stderr, flush=True)


#: signs of ours, for encodings that lack them
_PLAIN = {"–": "-", "→": "->", "×": "x", "µ": "u", "±": "+-", "…": "...", "²": "2"}


def _in_plain_signs(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(
        _PLAIN.get(sign) or printable(sign).encode("ascii", "backslashreplace").decode() for sign in signs
    ), error.end


def print_anything() -> None:
    """Let any text be printed, whatever the encoding of the terminal, file or pipe: what it lacks is written out."""
    codecs.register_error("dorl", _in_plain_signs)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="dorl")


def track(
    items: Iterable[T], *, total: int, what: str, done: int = 0, size: Callable[[T], int] = lambda item: 1
) -> Iterator[T]:
    """Iterate over `items` and show how far it is.

    Parameters
    ----------
    items : iterable
    total : int
        Count of all items, those done earlier included.
    what : str
        What is being done, for example ``"embedding cells"``.
    done : int, default 0
        Items that an earlier, interrupted run had finished.
    size : callable, optional
        How many of `total` an item stands for; one by default.
    """
    if sys.stderr.isatty() and is_main():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        ) as bar:
            task = bar.add_task(what, total=total, completed=done)
            for item in items:
                yield item
                bar.advance(task, size(item))
        return
    start = last = time.monotonic()
    first = done
    for item in items:
        yield item
        done += size(item)
        now = time.monotonic()
        if now - last >= LINE_EVERY and done < total:
            left = (now - start) / (done - first) * (total - done)
            say(f"{what}: {done}/{total}, about {left:.0f} s left")
            last = now
    if done > first and time.monotonic() - start >= 1:
        say(f"{what}: {done}/{total} in {time.monotonic() - start:.0f} s")
