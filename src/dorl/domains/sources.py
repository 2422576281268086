"""Where the pixels of a domain come from: files in a folder, or arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from dorl.domains.images import probe_image, read_image
from dorl.domains.masks import USUAL, MaskMeaning, read_mask
from dorl.domains.urls import file_at
from dorl.errors import BadImageError
from dorl.files import digest_of


class ImageSource(Protocol):
    """What a `Domain` asks of the place its images lie in; `path` and `mask` are values of its table."""

    def size(self, path: str) -> tuple[int, int]:
        """(width, height) in pixels, without reading the pixels where that can be done."""

    def read(self, path: str) -> np.ndarray:
        """The image, uint8 (H, W, 3). Raises BadImageError."""

    def read_mask(self, mask: str, shape: tuple[int, int]) -> np.ndarray:
        """The mask, bool (H, W) of `shape`. Raises BadImageError."""

    def digest(self, path: str, mask: str | None = None) -> str:
        """Changes with any part of the image, and of the mask where one is named; "" where it isn't there."""


@dataclass
class FileSource:
    """Images in files below a folder.

    Parameters
    ----------
    root : Path
        Paths below it are text (`dorl.names`); a URL stands for the file that was fetched from there.
    sizes : dict of str to (int, int), optional
        (width, height) of files whose headers have been read already.
    meaning : MaskMeaning
        What the masks' values mean.
    """

    root: Path
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    meaning: MaskMeaning = USUAL

    def file(self, path: str) -> Path:
        """The file of an image or mask."""
        return self.root / file_at(path)

    def size(self, path: str) -> tuple[int, int]:
        if path not in self.sizes:
            self.sizes[path] = probe_image(self.file(path))
        return self.sizes[path]

    def read(self, path: str) -> np.ndarray:
        return read_image(self.file(path))

    def read_mask(self, mask: str, shape: tuple[int, int]) -> np.ndarray:
        return read_mask(self.file(mask), shape, self.meaning)

    def digest(self, path: str, mask: str | None = None) -> str:
        found = [digest_of(self.file(name)) for name in (path, mask) if name is not None]
        if not all(found):
            return ""
        return " ".join([*found, self.meaning.text()] if mask is not None and self.meaning.text() else found)


@dataclass
class ArraySource:
    """Images in memory.

    Parameters
    ----------
    images : mapping of str to ndarray of uint8, shape (H, W, 3)
        By the `path` of the domain's table.
    masks : mapping of str to ndarray of bool, shape (H, W), optional
        By the `mask` of the domain's table.
    """

    images: Mapping[str, np.ndarray] = field(repr=False)
    masks: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)

    def size(self, path: str) -> tuple[int, int]:
        height, width = self.images[path].shape[:2]
        return width, height

    def read(self, path: str) -> np.ndarray:
        return np.array(self.images[path])  # a copy, as from a file: the caller may paint on it

    def read_mask(self, mask: str, shape: tuple[int, int]) -> np.ndarray:
        values = np.asarray(self.masks[mask]) != 0
        if values.shape != tuple(shape):
            raise BadImageError(f"{mask}: the mask has shape {values.shape}, its image {tuple(shape)}")
        return values

    def digest(self, path: str, mask: str | None = None) -> str:
        found = hashlib.sha256()
        for values in (self.images[path],) if mask is None else (self.images[path], np.asarray(self.masks[mask])):
            found.update(str(values.shape).encode() + np.ascontiguousarray(values).tobytes())
        return found.hexdigest()[:32]
