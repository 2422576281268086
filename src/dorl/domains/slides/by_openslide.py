"""Slides that OpenSlide reads: Aperio, Hamamatsu, 3DHISTECH, Zeiss, Leica, Ventana, DICOM and others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dorl.domains.opening import opened_file_of_any_size
from dorl.domains.slides.slide import Slide, likely_pixel_size
from dorl.errors import BadImageError


class OpenSlideSlide(Slide):
    """A slide as OpenSlide gives it. Of a 3DHISTECH slide level 0 is the whole canvas, not what was scanned alone."""

    def __init__(
        self, path: Path, sizes: list[tuple[int, int]], pixel_size: float | None, opened: Any, quick_hash: str
    ) -> None:
        super().__init__(path, sizes, pixel_size)
        self._opened, self._quick_hash = opened, quick_hash

    @classmethod
    def open(cls, path: Path) -> OpenSlideSlide:
        """Open a slide. Raises BadImageError."""
        import openslide

        with opened_file_of_any_size(path):
            pass
        try:
            opened = openslide.OpenSlide(path)
        except openslide.OpenSlideUnsupportedFormatError:
            raise BadImageError(
                f"{path}: is no slide that OpenSlide reads; is it whole, with its files beside it?"
            ) from None
        except openslide.OpenSlideError as error:
            raise BadImageError(f"{path}: damaged or truncated ({_first_line(error)})") from None
        notes = opened.properties
        sides = [_number(notes.get(name)) for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)]
        try:
            sizes = [(int(width), int(height)) for width, height in opened.level_dimensions]
            return cls(path, sizes, likely_pixel_size(sides), opened, notes.get(openslide.PROPERTY_NAME_QUICKHASH1, ""))
        except BadImageError:
            opened.close()
            raise

    def read(self, level: int, left: int, top: int, width: int, height: int) -> np.ndarray:
        """As `Slide.read`."""
        import openslide

        by = self._opened.level_downsamples[level]
        try:
            part = self._opened.read_region((round(left * by), round(top * by)), level, (width, height))
        except openslide.OpenSlideError as error:
            raise BadImageError(f"{self.path}: damaged or truncated ({_first_line(error)})") from None
        white = Image.new("RGBA", part.size, "white")
        white.alpha_composite(part)
        return np.array(white.convert("RGB"))

    def digest(self) -> str:
        """As `Slide.digest`; with OpenSlide's own, which knows the files beside it."""
        return f"{super().digest()[:24]}{self._quick_hash[:24]}"

    def close(self) -> None:
        """Close the file."""
        self._opened.close()


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
