"""Reading one image file, whatever its depth and mode, and saying in one line why it can't be read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from dorl.domains.brightness import on_white_8_bit, to_8_bit, turned
from dorl.domains.formats import SUFFIXES
from dorl.domains.masks import read_mask
from dorl.domains.opening import (
    ORIENTATION,
    by_pillow,
    check_bytes,
    checked_size,
    deep_numbers,
    is_tiff,
    opened_file,
    orientation_of,
    told,
)
from dorl.domains.tiff import OtherColoursError, read_tiff, tiff_orientation, tiff_rgb, tiff_size
from dorl.errors import BadImageError

__all__ = ["SUFFIXES", "decode_image", "probe_image", "read_image", "read_mask"]


def read_image(path: str | Path) -> np.ndarray:
    """Read an image as RGB; docs/reading.md has a table of what is read.

    Grey, palette, CMYK and transparent images (on white) are converted, and the EXIF orientation is applied. Of
    several pictures the first is read; of a TIFF with red, green and blue on a page each, all three. Images of more
    than 8 bits are scaled to 0–255 as `dorl.domains.brightness.to_8_bit` says.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        Red, green, blue; 0–255.

    Raises
    ------
    BadImageError
        The file is missing, empty, truncated, no image, below 8 pixels a side, above 64 megapixels or 256 MB.
    """
    with opened_file(path) as stream:
        return _read_rgb(stream, path)


def decode_image(data: bytes, name: str = "image") -> np.ndarray:
    """Like `read_image`, for a file's content; `name` stands in the error messages."""
    check_bytes(len(data), name)
    return _read_rgb(io.BytesIO(data), name)


def probe_image(path: str | Path) -> tuple[int, int]:
    """Read an image's size from its header, with the checks of `read_image` that the header allows.

    Returns
    -------
    (width, height) : tuple of int
        Pixels, with the EXIF orientation applied.
    """
    with opened_file(path) as stream:
        if is_tiff(stream):
            with told(path):
                width, height = checked_size(*tiff_size(stream), path)
                orientation = tiff_orientation(stream)
        else:
            with told(path), by_pillow(stream, path) as image:
                width, height = image.size
                # without EXIF in its header Pillow would decode the whole PNG to look behind the pixels
                skip = image.format == "PNG" and "exif" not in image.info
                orientation = 1 if skip else image.getexif().get(ORIENTATION, 1)
        return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def _read_rgb(stream: BinaryIO, name: str | Path) -> np.ndarray:
    with told(name):
        if is_tiff(stream):
            checked_size(*tiff_size(stream), name)
            try:
                return tiff_rgb(read_tiff(stream, name), name)
            except OtherColoursError:
                pass
        with by_pillow(stream, name) as image:
            orientation = orientation_of(image)
            deep = deep_numbers(image, stream)
            if deep is not None:
                return turned(_from_deep(*deep, name), orientation)
            if image.mode.startswith("I") or image.mode == "F":
                full = 65535 if image.format == "PPM" and image.mode.startswith("I") else None
                grey = to_8_bit(np.asarray(image), name, full=full)
                key = image.info.get("transparency")
                if isinstance(key, int):
                    grey = np.where(np.asarray(image) == key, 255, grey).astype(np.uint8)
                return turned(np.repeat(grey[..., None], 3, axis=2), orientation)
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                white = Image.new("RGBA", upright.size, "white")
                white.alpha_composite(upright.convert("RGBA"))
                upright = white
            if upright.mode in ("LAB", "HSV"):
                raise BadImageError(f"{name}: has {upright.mode} colours; save it as RGB")
            rgb = np.array(upright.convert("RGB"))
            if image.format == "PPM" and 0 < rgb.max() < 16:
                raise BadImageError(f"{name}: may use 12 of 16 bits; save it as tiff, or with 8 bits a colour")
            return rgb


def _from_deep(values: np.ndarray, full: float | None, name: str | Path) -> np.ndarray:
    """RGB of a picture of more than 8 bits: grey or colours, with transparency or without."""
    colours = 3 if values.shape[-1] >= 3 else 1
    if values.shape[-1] in (2, 4):
        return on_white_8_bit(values[..., :colours], values[..., -1], name, full=full)
    return np.array(np.broadcast_to(to_8_bit(values[..., :colours], name, full=full), (*values.shape[:2], 3)))
