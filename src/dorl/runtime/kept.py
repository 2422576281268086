"""Results kept by what they are of and what made them: the content of files and all settings, never a name.

`segment`, `count`, `fit`, `evaluate`, `benchmark` and the page's server take their keys from here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

import dorl
from dorl.files import atomic

#: folder of what a command keeps beside its results
KEPT = ".kept"
#: code that decides how a file's pixels are read
READING = tuple(
    f"dorl.domains.{name}" for name in ("brightness", "channels", "formats", "images", "masks", "opening", "tiff")
)
#: bytes of the results that a folder keeps
MAX_KEPT_BYTES = 2**30


def content_key(*parts: Any) -> str:
    """A key that changes with any of its parts: digests of contents, settings; plain values that JSON holds."""
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def code_digest(modules: Sequence[str]) -> str:
    """Changes with the text of these modules and with dorl's version; ModuleNotFoundError where one isn't there."""
    found = sha256(dorl.__version__.encode())
    for name in modules:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"no module named {name!r}", name=name)
        found.update(Path(spec.origin).read_bytes())
    return found.hexdigest()[:16]


class Kept:
    """Arrays by key, a file each, whole or not there.

    Parameters
    ----------
    folder : Path
        Made when something is put into it.
    limit : int
        Bytes of its files that `tidy` leaves.
    """

    def __init__(self, folder: Path, *, limit: int = MAX_KEPT_BYTES) -> None:
        self.folder, self.limit = folder, limit
        self._asked: set[str] = set()

    def place(self, key: str) -> Path:
        """Where the result of a key lies."""
        return self.folder / f"{key}.npz"

    def get(self, key: str, *names: str) -> dict[str, np.ndarray] | None:
        """What was put, or what of it has these names; None where there is nothing, or it is damaged."""
        try:
            with np.load(self.place(key), allow_pickle=False) as held:
                found = {name: held[name] for name in names or held.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        if key not in self._asked:
            self._asked.add(key)
            with suppress(OSError):  # a folder that can be read only
                os.utime(self.place(key))
        return found

    def put(self, key: str, **arrays: Any) -> None:
        """Keep arrays, numbers or text under a key."""
        with atomic(self.place(key)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
        self._asked.add(key)

    def tidy(self) -> int:
        """Remove what was asked for longest ago, until the files are within the limit; how many were removed.

        What this object has given or taken stays, however much it is.
        """
        found = []
        for path in self.folder.glob("*.npz"):
            with suppress(OSError):  # another process removed it
                stat = path.stat()
                found.append((stat.st_mtime_ns, path.name, stat.st_size, path))
        size, removed = sum(one[2] for one in found), 0
        for _, _, count, path in sorted(found):
            if size <= self.limit:
                break
            if path.stem not in self._asked:
                path.unlink(missing_ok=True)
                size -= count
                removed += 1
        return removed
