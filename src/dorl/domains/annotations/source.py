"""Where the pixels of annotated cells come from: each cell cut out of its image, with its outline."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from dorl.domains.annotations.shapes import Shape, Window
from dorl.domains.images import read_image
from dorl.errors import BadImageError
from dorl.files import digest_of
from dorl.names import file_of

#: images that are held, decoded, while their cells are read one after another
HELD = 2


@dataclass(frozen=True)
class Cutting:
    """A part of an image, and the outline of the cell in it.

    Attributes
    ----------
    image : str
        Below the lab's folder, as text (`dorl.names`).
    window : Window
        In pixels of the image.
    shape : Shape or None
    """

    image: str
    window: Window
    shape: Shape | None


@dataclass
class AnnotatedSource:
    """Annotated cells below a folder.

    Parameters
    ----------
    root : Path
    cuttings : mapping of str to Cutting
        By the `path` of the domain's table, which is the `mask` of a cell with an outline, too.
    """

    root: Path
    cuttings: Mapping[str, Cutting] = field(repr=False)

    def __post_init__(self) -> None:
        self._held: OrderedDict[str, np.ndarray] = OrderedDict()
        self._digests: dict[str, str] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        return {"root": self.root, "cuttings": self.cuttings}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def size(self, path: str) -> tuple[int, int]:
        left, top, right, bottom = self.cuttings[path].window
        return right - left, bottom - top

    def read(self, path: str) -> np.ndarray:
        cutting = self.cuttings[path]
        left, top, right, bottom = cutting.window
        image = self._image(cutting.image)
        if right > image.shape[1] or bottom > image.shape[0]:
            raise BadImageError(f"{path}: its image has changed since it was annotated")
        return np.array(image[top:bottom, left:right])

    def read_mask(self, mask: str, shape: tuple[int, int]) -> np.ndarray:
        cutting = self.cuttings[mask]
        if cutting.shape is None:
            raise BadImageError(f"{mask}: has no outline")
        try:
            found = cutting.shape.pixels(cutting.window)
        except BadImageError as error:
            raise BadImageError(f"{mask}: {error}") from error
        if found.shape != tuple(shape):
            raise BadImageError(f"{mask}: the mask has shape {found.shape}, its image {tuple(shape)}")
        return found

    def digest(self, path: str, mask: str | None = None) -> str:
        cutting = self.cuttings[path]
        with self._lock:
            if cutting.image not in self._digests:
                self._digests[cutting.image] = digest_of(self.root / file_of(cutting.image))
        whole = self._digests[cutting.image]
        if not whole:
            return ""
        found = sha256(f"{whole} {cutting.window}".encode())
        if mask is not None:
            left, top, right, bottom = cutting.window
            found.update(np.packbits(self.read_mask(mask, (bottom - top, right - left))).tobytes())
        return found.hexdigest()[:32]

    def _image(self, name: str) -> np.ndarray:
        with self._lock:
            if name in self._held:
                self._held.move_to_end(name)
                return self._held[name]
        image = read_image(self.root / file_of(name))
        with self._lock:
            self._held[name] = image
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        return image
