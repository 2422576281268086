"""Results kept by what they are of and what made them: the content of files and all settings, never a name.

`segment`, `count`, `embed` and `benchmark` take their keys from here.
"""

from __future__ import annotations

import json
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from dorl.files import atomic


def content_key(*parts: Any) -> str:
    """A key that changes with any of its parts: digests of contents, settings; plain values that JSON holds."""
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


class Kept:
    """Arrays by key, a file each, whole or not there.

    Parameters
    ----------
    folder : Path
        Made when something is put into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, key: str) -> Path:
        """Where the result of a key lies."""
        return self.folder / f"{key}.npz"

    def get(self, key: str, *names: str) -> dict[str, np.ndarray] | None:
        """What was put, or what of it has these names; None where there is nothing, or it is damaged."""
        try:
            with np.load(self.place(key), allow_pickle=False) as held:
                return {name: held[name] for name in names or held.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def put(self, key: str, **arrays: Any) -> None:
        """Keep arrays, numbers or text under a key."""
        with atomic(self.place(key)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
