"""Reading a TIFF: any depth and sign, colours as samples, as planes or as pages, white or black at 0, transparency."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from tifffile import PHOTOMETRIC

from dorl.domains.brightness import FULL_SCALES, on_white, on_white_8_bit, to_8_bit, turned
from dorl.domains.channels import colour_order, named_planes
from dorl.errors import BadImageError

#: samples of a pixel before those that are extra
_COLOURS = {PHOTOMETRIC.MINISWHITE: 1, PHOTOMETRIC.MINISBLACK: 1, PHOTOMETRIC.RGB: 3, PHOTOMETRIC.PALETTE: 1}
_COLOURS[PHOTOMETRIC.SEPARATED] = 4
_ORIENTATION, _MAX_SAMPLE_VALUE = 274, 281
#: numbers that are held at once, at most
_MAX_VALUES = 512_000_000

logging.getLogger("tifffile").addHandler(logging.NullHandler())
logging.getLogger("tifffile").propagate = False


class OtherColoursError(Exception):
    """A colour space that this module leaves to Pillow."""


@dataclass(frozen=True)
class TiffPicture:
    """The numbers of a TIFF as they stand in it.

    Attributes
    ----------
    values : array of shape (H, W, C)
        As stored: 1, 3 or 4 colours, then what is extra. Not yet turned.
    photometric : int
        As the TIFF standard numbers it; of a palette `values` are the numbers of its colours.
    colours : int
        How many of the channels are colours.
    full : float or None
        The number that stands for full brightness, where the file says so.
    alpha : int or None
        Channel that is transparency; `multiplied` says whether the colours are multiplied by it.
    palette : array of shape (3, N) or None
    orientation : int
    """

    values: np.ndarray
    photometric: int
    colours: int
    full: float | None
    alpha: int | None
    multiplied: bool
    palette: np.ndarray | None
    orientation: int


@contextmanager
def _opened(stream: BinaryIO) -> Iterator[tifffile.TiffFile]:
    stream.seek(0)
    with tifffile.TiffFile(stream, _multifile=False) as tiff:
        yield tiff


def _first(tiff: tifffile.TiffFile) -> Any:
    """The first page that isn't a preview, by its tag."""
    first = tiff.pages.first
    if not first.is_reduced:
        return first
    return next((page for page in tiff.pages if isinstance(page, tifffile.TiffPage) and not page.is_reduced), first)


def tiff_size(stream: BinaryIO) -> tuple[int, int]:
    """(width, height) in pixels, as stored, of the first page that isn't a preview."""
    with _opened(stream) as tiff:
        page = _first(tiff)
        return int(page.imagewidth), int(page.imagelength)


def tiff_orientation(stream: BinaryIO) -> int:
    """The EXIF orientation, 1 to 8."""
    with _opened(stream) as tiff:
        return _number(_first(tiff), _ORIENTATION, 1)


def read_tiff(stream: BinaryIO, name: str | Path) -> TiffPicture:
    """Read the first picture of a TIFF; its colours may lie on pages of their own.

    Raises
    ------
    BadImageError
        If it can't be told what the channels are.
    OtherColoursError
        For YCbCr, CIELab and others, which Pillow reads.
    """
    with _opened(stream) as tiff:
        page = _first(tiff)
        if page.photometric not in _COLOURS:
            if page is not tiff.pages.first:  # Pillow would read the preview
                raise BadImageError(f"{name}: begins with a preview; save it as one RGB image")
            raise OtherColoursError
        tile = int(page.tilewidth or 1) * int(page.tilelength or 1)
        if max(tile, page.imagewidth * page.imagelength) * page.samplesperpixel > _MAX_VALUES:
            raise BadImageError(f"{name}: needs too much memory; save it as an RGB image of 8 bits a colour")
        extra: tuple[int, ...] = ()
        planes, significant = _pages(tiff, name) if page.samplesperpixel == 1 else (None, None)
        if planes is not None:
            values, colours = planes, 3
        else:
            values = _channels_last(page.asarray(), page.axes)
            colours, extra = _COLOURS[PHOTOMETRIC(page.photometric)], tuple(page.extrasamples)
            if colours == 1 and values.shape[-1] == 3 and not any(extra):  # RGB whose writer didn't say so
                colours, extra = 3, ()
        _check_channels(page, values, colours, extra, name)
        alpha = next((colours + i for i, kind in enumerate(extra) if kind in (1, 2)), None)
        return TiffPicture(
            values,
            int(page.photometric),
            colours,
            _full(page, significant),
            alpha,
            alpha is not None and extra[alpha - colours] == 1,
            page.colormap if page.photometric == PHOTOMETRIC.PALETTE else None,
            _number(page, _ORIENTATION, 1),
        )


def tiff_rgb(picture: TiffPicture, name: str | Path) -> np.ndarray:
    """Red, green, blue, upright and on white; uint8 (H, W, 3)."""
    values, colours = picture.values, picture.colours
    invert = picture.photometric == PHOTOMETRIC.MINISWHITE
    if picture.palette is not None:
        table = to_8_bit(picture.palette, name, full=255 if picture.palette.max() < 256 else 65535)
        numbers = values[..., 0].astype(np.int64)
        if numbers.max() >= table.shape[1]:
            raise BadImageError(f"{name}: uses colours that its palette doesn't have; save it as RGB")
        rgb = np.moveaxis(table[:, numbers], 0, -1)
    elif picture.alpha is not None and colours != 4:
        laid = on_white_8_bit(
            values[..., :colours],
            values[..., picture.alpha],
            name,
            full=picture.full,
            invert=invert,
            multiplied=picture.multiplied,
        )
        return turned(laid, picture.orientation)
    else:
        levels = to_8_bit(values[..., :colours], name, full=picture.full, invert=invert)
        if colours == 4:  # cyan, magenta, yellow, black
            ink = 255 - levels.astype(np.uint16)
            rgb = ((ink[..., :3] * ink[..., 3:] + 127) // 255).astype(np.uint8)
        else:
            rgb = np.repeat(levels, 3, axis=2) if colours == 1 else levels
    if picture.alpha is not None:
        alpha = values[..., picture.alpha]
        whole = 1.0 if alpha.dtype.kind == "f" else picture.full if picture.full else float(np.iinfo(alpha.dtype).max)
        rgb = on_white(rgb, to_8_bit(alpha, name, full=whole), multiplied=picture.multiplied)
    return turned(rgb, picture.orientation)


def _check_channels(page: Any, values: np.ndarray, colours: int, extra: tuple[int, ...], name: str | Path) -> None:
    if values.ndim != 3 or values.shape[-1] < colours:
        raise BadImageError(f"{name}: has channels that can't be told apart; save it as RGB")
    if colours == 1 and values.shape[-1] > 2 and page.photometric != PHOTOMETRIC.PALETTE:
        raise BadImageError(f"{name}: has {values.shape[-1]} channels, and doesn't say their colours; save it as RGB")
    if colours == 4 and page.tags.valueof(332, 1) != 1:
        raise BadImageError(f"{name}: has inks other than cyan, magenta, yellow and black; save it as RGB")


def _number(page: Any, tag: int, default: int) -> int:
    value = page.tags.valueof(tag, default)
    return int(value) if isinstance(value, int) else default


def _channels_last(values: np.ndarray, axes: str) -> np.ndarray:
    """(H, W, C) of an array with these axes; of what is no height, width or sample the first."""
    for axis in [one for one in axes if one not in "YXS"]:
        values = values.take(0, axes.index(axis))
        axes = axes.replace(axis, "", 1)
    if "S" not in axes:
        return values[..., None]
    return np.moveaxis(values, axes.index("S"), -1)


def _full(page: Any, significant: int | None) -> float | None:
    """Full brightness, where the file says it: by its bits, OME's note, or the largest value's tag."""
    bits = page.bitspersample
    if page.dtype is None or page.dtype.kind == "f":
        return None
    if page.dtype.kind == "b":
        return 1
    if bits in (8, 16, 32, 64):
        most = page.tags.valueof(_MAX_SAMPLE_VALUE, 0)
        most = max(most) if isinstance(most, tuple) and most else most
        if significant is not None and significant < bits:
            return 2**significant - 1
        if bits > 8 and most in FULL_SCALES[:-1]:
            return float(most)
        return 255 if page.dtype == np.uint8 else None
    return 2**bits - 1


def _pages(tiff: Any, name: str | Path) -> tuple[np.ndarray | None, int | None]:
    """Red, green and blue that lie on a page each, (H, W, 3), or None; and the bits that OME's note says are used."""
    significant = None
    if tiff.is_ome:
        found = re.search(r'\bSignificantBits="(\d{1,2})"', tiff.ome_metadata or "")
        significant = int(found[1]) if found and int(found[1]) > 0 else None
    if not (tiff.is_imagej or tiff.is_ome or len(tiff.pages) > 1):
        return None, significant
    series = tiff.series[0]
    axes, shape = series.axes, series.shape
    if axes[-2:] != "YX":
        return None, significant
    lengths = dict(zip(axes[:-2], shape[:-2], strict=True))
    channels, pages = lengths.get("C", 1), math.prod(shape[:-2])
    stack = named_planes(tiff) if pages == 3 and channels == 1 else None
    if stack is not None:
        flat = series.asarray().reshape(3, *shape[-2:])
        return np.moveaxis(flat[list(stack)], 0, -1), significant
    if channels == 1 and pages != 3 and not (pages == 4 and set(axes[:-2]) <= set("QI")):
        return None, significant
    if channels != 3:
        what = f"{channels} channels" if channels > 1 else f"{pages} grey pages"
        raise BadImageError(f"{name}: has {what}, and doesn't say which are red, green and blue; save it as RGB")
    order = colour_order(tiff)
    if order is None:
        raise BadImageError(f"{name}: has 3 channels that aren't red, green and blue; save it as RGB")
    return np.stack([_plane(series, channel, name) for channel in order], axis=-1), significant


def _plane(series: Any, channel: int, name: str | Path) -> np.ndarray:
    """One channel's picture; the first in depth and time."""
    leading = series.axes[:-2]
    place = tuple(channel if axis == "C" else 0 for axis in leading)
    if len(series.pages) == math.prod(series.shape[:-2]):
        page = series.pages[int(np.ravel_multi_index(place, series.shape[:-2]))]
        if page is None:
            raise BadImageError(f"{name}: a page is missing; save it as RGB")
        return page.asarray()
    if math.prod(series.shape) > _MAX_VALUES:
        raise BadImageError(f"{name}: is a stack of too many pictures; save one as RGB")
    return series.asarray()[place]
