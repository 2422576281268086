"""How the C library of this process treats freed memory, and how much the process holds."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
TRIM, MMAP = -1, -3
#: whether the process is dorl's alone, as `own_process` said
_own = False


def keep_memory() -> None:
    """Have the C library keep freed memory for what comes next; a fourth to a third quicker on a processor.

    Without it, activations of many megabytes are fetched from the system, and cleared by it, anew for every layer. Only
    Linux' glibc knows how; elsewhere nothing is done.
    """
    if sys.platform.startswith("linux"):
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):
            library.mallopt(MMAP, 2**30)
            library.mallopt(TRIM, 2**31 - 1)


def give_back_memory() -> None:
    """Return freed memory to the system, so that what a process holds is what it uses; does nothing without glibc."""
    if sys.platform.startswith("linux"):
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):
            library.malloc_trim(0)


def own_process() -> None:
    """Say that nothing but dorl runs in this process, so that what it imports may be left out of garbage collection.

    It stays to the end. Looking for garbage in it takes seconds, at the end above all.
    """
    global _own
    _own = True
    atexit.register(gc.freeze)


@contextmanager
def without_collection() -> Iterator[None]:
    """Leave garbage where it is: looking for it takes a fifth of the time in which torch and transformers are imported.

    What they make stays, so that there is none to find; nor later, in a process of one's own (`own_process`).
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if _own:
            gc.freeze()
        if was:
            gc.enable()


def resident_memory() -> float | None:
    """Memory that this process holds now, in MB of 2^20 bytes; None where the system doesn't tell (Linux does)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
