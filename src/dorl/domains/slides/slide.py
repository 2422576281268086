"""A slide: a picture too large to be held, with levels of several sizes, read part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from dorl.domains.opening import MAX_PIXELS, MIN_SIDE
from dorl.errors import BadImageError

#: pixels that a slide may have; the smallest of its levels may have `MAX_PIXELS`
MAX_SLIDE_PIXELS = 200_000_000_000
#: µm a pixel that a slide scanner may write; a TIFF's 72 dots an inch are none
PIXEL_SIZES = (0.02, 5.0)
#: blocks of a file that its digest is taken of, and their bytes
BLOCKS, BLOCK_BYTES = 64, 2**16


@dataclass(frozen=True)
class Level:
    """One size in which a slide is stored.

    Attributes
    ----------
    size : (int, int)
        Width and height in pixels.
    downsample : float
        Pixels of level 0 in one of this level, along a side.
    """

    size: tuple[int, int]
    downsample: float


class Slide(ABC):
    """A slide that is open; `dorl.domains.slides.open_slide` opens one.

    Attributes
    ----------
    path : Path
    levels : tuple of Level
        The largest, level 0, first.
    pixel_size : float or None
        µm a pixel of level 0, as the file says; None where it doesn't.
    """

    def __init__(self, path: Path, sizes: Sequence[tuple[int, int]], pixel_size: float | None) -> None:
        self.path, self.pixel_size = path, pixel_size
        width, height = sizes[0]
        if min(width, height) < MIN_SIDE:
            raise BadImageError(f"{path}: {width}×{height} pixels, below {MIN_SIDE} a side")
        if width * height > MAX_SLIDE_PIXELS:
            raise BadImageError(
                f"{path}: claims {width}×{height} pixels, over {MAX_SLIDE_PIXELS // 10**9} gigapixels: is it damaged?"
            )
        smallest = min(sizes, key=lambda size: size[0] * size[1])
        if smallest[0] * smallest[1] > MAX_PIXELS:
            raise BadImageError(
                f"{path}: has no level of {MAX_PIXELS // 10**6} megapixels or fewer: save it as a pyramid, for example "
                "with vips tiffsave --tile --pyramid"
            )
        self.levels = tuple(Level(size, (width / size[0] + height / size[1]) / 2) for size in sizes)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of level 0 in pixels."""
        return self.levels[0].size

    @abstractmethod
    def read(self, level: int, left: int, top: int, width: int, height: int) -> np.ndarray:
        """Read a part of a level; several threads may read at once.

        Parameters
        ----------
        level : int
        left, top, width, height : int
            In pixels of the level; the part lies inside it.

        Returns
        -------
        uint8 array of shape (height, width, 3)
            RGB, 0-255. What the scanner left out is white.

        Raises
        ------
        BadImageError
            If this part is damaged.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Slide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def level_of(self, downsample: float) -> int:
        """The smallest level that is reduced by no more than `downsample`."""
        suited = [number for number, level in enumerate(self.levels) if level.downsample <= downsample * 1.001]
        return max(suited, key=lambda number: self.levels[number].downsample, default=0)

    def read_reduced(self, level: int, left: int, top: int, width: int, height: int, step: int) -> np.ndarray:
        """`read`, with each square of `step` pixels averaged; uint8 (ceil(height / step), ceil(width / step), 3)."""
        part = self.read(level, left, top, width, height)
        return part if step <= 1 else np.asarray(Image.fromarray(part).reduce(step))

    def digest(self) -> str:
        """Changes with the file's length, and with the bytes of `BLOCKS` places in it; a whole slide takes long."""
        found = sha256()
        with self.path.open("rb") as file:
            length = file.seek(0, 2)
            found.update(str((length, self.levels)).encode())
            for place in np.linspace(0, max(0, length - BLOCK_BYTES), BLOCKS).astype(np.int64):
                file.seek(int(place))
                found.update(file.read(BLOCK_BYTES))
        return found.hexdigest()[:32]


def likely_pixel_size(values: Sequence[float | None]) -> float | None:
    """The mean of µm a pixel along both sides; None where one is missing, or none that a scanner has."""
    known = [value for value in values if value is not None and PIXEL_SIZES[0] <= value <= PIXEL_SIZES[1]]
    return float(np.mean(known)) if known and len(known) == len(values) else None
