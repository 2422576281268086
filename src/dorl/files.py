"""Writing files so that what has its final name is whole, and what a name leads to is written, not replaced."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dorl.errors import InputError
from dorl.names import without_surrogates

#: bytes of a whole file that are read at once
CHUNK = 2**20
#: names of files that the process has open already
_OPEN = re.compile(r"/dev/fd/(\d+)|/proc/(?:self|thread-self)/fd/(\d+)")
_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
#: characters of the longest ending that a temporary name keeps
_ENDING = 16


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; renamed to `path` on success, removed on failure.

    The temporary name keeps the ending of `path`, since many writers choose the format by it. A link is written
    through: what it leads to is replaced, and the link stays. A pipe or a device gets the bytes once they are whole.

    Raises
    ------
    InputError
        If `path` is a pipe that nobody reads, a disk or a socket, or a link that leads nowhere.
    """
    path = Path(path)
    if is_stream(path):
        with _into_stream(path) as temporary:
            yield temporary
        return
    path = behind_links(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    ending = path.suffix if len(path.suffix.encode(errors="surrogateescape")) <= _ENDING else ""
    mark = sha256(os.fsencode(path.name)).hexdigest()[:16]  # the name itself may be as long as a name can be
    # processes of two machines that share a disk may have the same number
    temporary = path.with_name(f".{mark}.{os.getpid()}-{secrets.token_hex(4)}.part{ending}")
    try:
        yield temporary
        if path.is_file() and temporary.is_file():  # who may read it stays as it was
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def behind_links(path: Path) -> Path:
    """Where a file of this name is written: what a link leads to, whether it is there yet or not."""
    if not path.is_symlink():
        return path
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: is a link that leads nowhere; give another file") from error


def is_stream(path: Path) -> bool:
    """Whether a name is that of a pipe, a device, or a file that the process has open, as ``/dev/stdout``."""
    return _number(path) is not None or is_special(path)


def is_special(path: Path) -> bool:
    """Whether a pipe, device or socket has this name: reading it may wait forever."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _number(path: Path) -> int | None:
    """The number of an open file that a name stands for."""
    name = path.as_posix()
    match = _OPEN.fullmatch(name)
    return int(match[1] or match[2]) if match else _STANDARD.get(name)


@contextmanager
def _into_stream(path: Path) -> Iterator[Path]:
    handle = _opened(path)
    try:
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / f"whole{path.suffix[:_ENDING]}"
            yield temporary
            with temporary.open("rb") as whole, os.fdopen(os.dup(handle), "wb") as stream:
                shutil.copyfileobj(whole, stream)
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    number = _number(path)
    try:
        if number is not None:
            return os.dup(number)
        mode = path.stat().st_mode
        if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
            raise InputError(f"{path}: is a disk or a socket; give a file, or a pipe that is read")
        handle = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        why = "nobody reads this pipe" if error.errno == errno.ENXIO else f"can't be written ({error.strerror})"
        raise InputError(f"{path}: {why}; start its reader first, or give a file") from error
    if hasattr(os, "set_blocking"):  # Windows has it from Python 3.12 on, and opens nothing without blocking
        os.set_blocking(handle, True)
    return handle


def write_text(path: str | Path, text: str) -> None:
    r"""Write UTF-8 text atomically; what UTF-8 can't hold stands as ``\xe9``."""
    with atomic(path) as temporary:
        temporary.write_text(without_surrogates(text), encoding="utf-8")


def png(pixels: np.ndarray) -> bytes:
    """Pixels, uint8 (H, W, 3) or uint8 or uint16 (H, W), as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def digest_of(path: Path) -> str:
    """Changes with any byte of a file; "" where it can't be read."""
    found = sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                found.update(chunk)
    except (OSError, ValueError):
        return ""
    return found.hexdigest()[:32]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} can't be written as JSON")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically; numpy scalars and arrays and paths are allowed."""
    write_text(path, json.dumps(value, indent=2, default=_plain) + "\n")
