"""Slides in TIFF: OME-TIFF and other pyramids in tiles, by tifffile and zarr."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from tifffile import PHOTOMETRIC

from dorl.domains.channels import colour_order
from dorl.domains.opening import MAX_PIXELS, opened_file_of_any_size, told
from dorl.domains.slides.slide import Slide, likely_pixel_size
from dorl.errors import BadImageError

#: pixels that a tile or strip may have: it is decoded whole
MAX_TILE = 16_000_000
#: µm in the units of OME and of a TIFF's resolution
OME_UNITS = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
TIFF_UNITS = {2: 25_400.0, 3: 10_000.0}


class TiffSlide(Slide):
    """A TIFF with several levels."""

    def __init__(
        self, path: Path, sizes: list[tuple[int, int]], pixel_size: float | None, tiff: Any, arrays: list[Any]
    ) -> None:
        super().__init__(path, sizes, pixel_size)
        self._tiff, self._arrays = tiff, arrays
        self._colours = (0, 1, 2)

    @classmethod
    def open(cls, path: Path) -> TiffSlide:
        """Open a slide. Raises BadImageError."""
        import zarr

        with opened_file_of_any_size(path) as stream:
            length = stream.seek(0, 2)
        with told(path):
            tiff = tifffile.TiffFile(path, _multifile=False)
            try:
                series = tiff.series[0]
                for level in series.levels:
                    _check(level.keyframe, length, path)
                sizes = [_size(level, path) for level in series.levels]
                tiff.filehandle.lock = True
                arrays = [
                    zarr.open(series.aszarr(level=number, fillvalue=255, maxworkers=1, squeeze=False), mode="r")
                    for number in range(len(series.levels))
                ]
                slide = cls(path, sizes, _pixel_size(tiff), tiff, list(zip(arrays, series.levels, strict=True)))
                slide._colours = _colours(tiff, series, path)
                return slide
            except BaseException:
                tiff.close()
                raise

    def read(self, level: int, left: int, top: int, width: int, height: int) -> np.ndarray:
        """As `Slide.read`."""
        array, series = self._arrays[level]
        axes = series.get_axes(squeeze=False)
        colours = _colour_axis(axes, array.shape)
        places = {"Y": slice(top, top + height), "X": slice(left, left + width)}
        chosen = tuple(slice(None) if number == colours else places.get(axis, 0) for number, axis in enumerate(axes))
        with told(self.path):
            part = np.asarray(array[chosen])
        kept = [axis for number, axis in enumerate(axes) if number == colours or axis in "YX"]
        part = np.moveaxis(part, kept.index(axes[colours]), -1)
        return np.ascontiguousarray(part[..., list(self._colours)])

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()


def _check(page: Any, length: int, path: Path) -> None:
    """Refuse a level that can't be read as 8-bit colours in tiles of a size that memory holds, or isn't all there."""
    width, height = int(page.imagewidth), int(page.imagelength)
    if page.dtype != np.uint8:
        raise BadImageError(f"{path}: has {page.bitspersample} bits a colour: save it with 8")
    if page.photometric not in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR, PHOTOMETRIC.MINISBLACK):
        raise BadImageError(f"{path}: its colours are {PHOTOMETRIC(page.photometric).name}: save it as RGB")
    tile = math.prod(page.chunks) / page.samplesperpixel if page.planarconfig == 1 else math.prod(page.chunks)
    if tile > MAX_TILE or (width * height > MAX_PIXELS and not page.is_tiled):
        raise BadImageError(f"{path}: isn't stored in small tiles: save it with vips tiffsave --tile --pyramid")
    places, counts = page.dataoffsets, page.databytecounts
    if len(places) != math.prod(page.chunked) or len(counts) != len(places):
        raise BadImageError(f"{path}: claims {width}×{height} pixels and holds {len(places)} tiles: damaged")
    if len(places) and int((np.asarray(places, np.int64) + np.asarray(counts, np.int64)).max()) > length:
        raise BadImageError(f"{path}: ends before its last tile: truncated, copy it again")


def _size(level: Any, path: Path) -> tuple[int, int]:
    """Width and height of a level."""
    lengths = dict(zip(level.get_axes(squeeze=False), level.get_shape(squeeze=False), strict=True))
    if _colour_axis("".join(lengths), tuple(lengths.values())) < 0:
        raise BadImageError(f"{path}: isn't in colour, and nuclei are found by the colour of their dye: give RGB")
    return int(lengths["X"]), int(lengths["Y"])


def _colour_axis(axes: str, shape: tuple[int, ...]) -> int:
    """Number of the axis on which red, green and blue lie; -1 where there is none."""
    for axis, allowed in (("S", (3, 4)), ("C", (3,))):
        number = axes.find(axis)
        if number >= 0 and shape[number] in allowed:
            return number
    return -1


def _colours(tiff: Any, series: Any, path: Path) -> tuple[int, int, int]:
    """Numbers of red, green and blue along the axis of colours."""
    axes, shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    if axes[_colour_axis(axes, shape)] == "S":
        return 0, 1, 2
    order = colour_order(tiff)
    if order is None:
        raise BadImageError(f"{path}: has 3 channels that aren't red, green and blue; save it as RGB")
    return order


def _pixel_size(tiff: Any) -> float | None:
    """µm a pixel: as OME or Aperio note it, or by the resolution of the first page."""
    page = tiff.pages.first
    if tiff.is_ome:
        return likely_pixel_size(_of_ome(tiff.ome_metadata or ""))
    noted = re.search(r"\|\s*MPP\s*=\s*([\d.]+)", page.description or "")
    if noted is not None:
        try:
            return likely_pixel_size([float(noted[1])])
        except ValueError:
            return None
    unit = TIFF_UNITS.get(int(page.tags.valueof(296, 2)))
    sides: list[float | None] = []
    for tag in (282, 283):
        value = page.tags.valueof(tag)
        dots = value[0] / value[1] if isinstance(value, tuple) and len(value) == 2 and value[1] else 0
        sides.append(unit / dots if unit and dots else None)
    return likely_pixel_size(sides)


def _of_ome(text: str) -> list[float | None]:
    """µm a pixel, across and down, of the first picture."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities can blow a small file up
        return [None]
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return [None]
    pixels = next((one for one in root.iter() if one.tag.endswith("}Pixels") or one.tag == "Pixels"), None)
    if pixels is None:
        return [None]
    sides: list[float | None] = []
    for side in "XY":
        unit = OME_UNITS.get(pixels.get(f"PhysicalSize{side}Unit", "µm"))
        try:
            value = float(pixels.get(f"PhysicalSize{side}", ""))
        except ValueError:
            value = math.nan
        sides.append(value * unit if unit and math.isfinite(value) else None)
    return sides
