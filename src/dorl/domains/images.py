"""Reading one image or mask file, whatever its depth and mode, and saying in one line why it can't be read."""

from __future__ import annotations

import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

from dorl.errors import BadImageError

#: endings of files that are taken for images
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
MIN_SIDE = 8  # pixels
MAX_PIXELS = 64_000_000
MAX_BYTES = 256 * 1024 * 1024

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
_ORIENTATION = 0x0112
_WIDTH, _HEIGHT, _BITS = 256, 257, 258  # TIFF tags
_FULL_SCALES = (255, 1023, 4095, 16383, 65535)
#: a JPEG mask is blurred at its edges; JTSC's faintest class is 128
_JPEG_MASK_FROM = 64


def read_image(path: str | Path) -> np.ndarray:
    """Read a jpg, png, bmp or tiff as RGB.

    Grey, palette, CMYK and transparent images (on white) are converted, and the EXIF orientation is applied.
    Of a TIFF with several pages the first is read. Images of more than 8 bits are scaled to 0–255 by the
    smallest of 255, 1023, 4095, 16383 and 65535 that holds their largest value, since cameras store 10, 12
    or 14 bits in 16; floating-point images up to 1 are taken as 0–1. Colour PNGs of 16 bits keep their high byte.

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
    with _file(path) as stream:
        return _read_rgb(stream, path)


def decode_image(data: bytes, name: str = "image") -> np.ndarray:
    """Like `read_image`, for a file's content; `name` stands in the error messages."""
    _check_bytes(len(data), name)
    return _read_rgb(io.BytesIO(data), name)


def probe_image(path: str | Path) -> tuple[int, int]:
    """Read an image's size from its header, with the checks of `read_image` that the header allows.

    Returns
    -------
    (width, height) : tuple of int
        Pixels, with the EXIF orientation applied.
    """
    with _file(path) as stream, _opened(stream, path) as image:
        return _oriented_size(image)


def read_mask(path: str | Path, shape: tuple[int, int]) -> np.ndarray:
    """Read a mask file: every pixel that isn't zero belongs to the cell.

    JTSC's 128 (cytoplasm) and 255 (nucleus) are both cell. Of a palette image the index counts, of a colour
    image any channel, and transparency never. In a JPEG, whose edges are noisy, the cell begins at 64.

    Parameters
    ----------
    path : str or Path
    shape : tuple of int
        (height, width) of the image it belongs to, pixels.

    Returns
    -------
    ndarray of bool, shape (H, W)

    Raises
    ------
    BadImageError
        As `read_image`, and for a mask of another size than its image.
    """
    with _file(path) as stream, _opened(stream, path) as image:
        lossy = image.format in ("JPEG", "MPO")
        image.load()
        values = np.asarray(ImageOps.exif_transpose(image))
        if image.mode in ("LA", "PA"):
            values = values[..., 0]
        elif image.mode in ("RGBA", "RGBX"):
            values = values[..., :3]
        mask = values >= _JPEG_MASK_FROM if lossy else values != 0
    if mask.ndim == 3:
        mask = mask.any(axis=2)
    if mask.shape != tuple(shape):
        raise BadImageError(
            f"{path}: the mask has {mask.shape[1]}×{mask.shape[0]} pixels, its image {shape[1]}×{shape[0]}"
        )
    return mask


def _check_bytes(count: int, name: str | Path) -> None:
    if count == 0:
        raise BadImageError(f"{name}: the file is empty")
    if count > MAX_BYTES:
        raise BadImageError(f"{name}: over {MAX_BYTES // 2**20} MB")


@contextmanager
def _file(path: str | Path) -> Iterator[BinaryIO]:
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe would be waited for
            raise BadImageError(f"{path}: is no file")
        stream = Path(path).open("rb")  # noqa: SIM115 - closed by the with below
        count = stream.seek(0, io.SEEK_END)
        stream.seek(0)
    except OSError as error:
        raise BadImageError(f"{path}: {error.strerror or 'can not be opened'}") from None
    except ValueError:  # a NUL in the name
        raise BadImageError(f"{path!r}: no file can have this name") from None
    with stream:
        _check_bytes(count, path)
        yield stream


@contextmanager
def _opened(stream: BinaryIO, name: str | Path) -> Iterator[Image.Image]:
    """Open and check a header; faults of the decoders, while the image is in use too, become BadImageErrors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images and odd metadata; sizes are checked here
            with Image.open(stream, formats=_FORMATS) as image:
                width, height = image.size
                if min(width, height) < MIN_SIDE:
                    raise BadImageError(f"{name}: {width}×{height} pixels, below {MIN_SIDE} a side")
                if width * height > MAX_PIXELS:
                    raise BadImageError(f"{name}: over {MAX_PIXELS // 10**6} megapixels")
                yield image
    except BadImageError:
        raise
    except MemoryError:
        raise BadImageError(f"{name}: needs more memory than there is") from None
    except Image.DecompressionBombError:
        raise BadImageError(f"{name}: over {MAX_PIXELS // 10**6} megapixels") from None
    except UnidentifiedImageError:
        raise BadImageError(f"{name}: not a readable jpg, png, bmp or tiff image") from None
    except Exception as error:
        # on damaged files the decoders raise OSError, SyntaxError, struct.error, IndexError and more
        why = (str(error).splitlines() or [""])[0]
        raise BadImageError(f"{name}: damaged or truncated ({why or type(error).__name__})") from None


def _oriented_size(image: Image.Image) -> tuple[int, int]:
    if image.format == "TIFF":  # Pillow versions differ in whether .size is turned already
        width, height = image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT]  # type: ignore[attr-defined]
        orientation = image.tag_v2.get(_ORIENTATION, 1)  # type: ignore[attr-defined]
    else:
        width, height = image.size
        # without EXIF in its header Pillow would decode the whole PNG to look behind the pixels
        skip = image.format == "PNG" and "exif" not in image.info
        orientation = 1 if skip else image.getexif().get(_ORIENTATION, 1)
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def _read_rgb(stream: BinaryIO, name: str | Path) -> np.ndarray:
    with _opened(stream, name) as image:
        if image.format == "TIFF":
            bits = image.tag_v2.get(_BITS, (1,))  # type: ignore[attr-defined]
            if len(bits) > 1 and max(bits) > 8:  # Pillow would drop the low byte
                return _read_deep_tiff(stream, image.tag_v2.get(_ORIENTATION, 1), name)  # type: ignore[attr-defined]
        high_byte = (
            image.format == "PNG" and "16B" in str(getattr(image, "tile", "")) and not image.mode.startswith("I")
        )
        image.load()
        turned = ImageOps.exif_transpose(image)
        if turned.mode.startswith("I") or turned.mode == "F":
            return np.repeat(_to_8_bit(np.asarray(turned), name)[..., None], 3, axis=2)
        if turned.has_transparency_data:
            white = Image.new("RGBA", turned.size, "white")
            white.alpha_composite(turned.convert("RGBA"))
            turned = white
        rgb = np.array(turned.convert("RGB"))
    if high_byte and 0 < rgb.max() < 16:
        raise BadImageError(f"{name}: 16-bit colour png that uses 12 bits or fewer; save it as tiff or with 8 bits")
    return rgb


def _read_deep_tiff(stream: BinaryIO, orientation: int, name: str | Path) -> np.ndarray:
    stream.seek(0)
    with tifffile.TiffFile(stream) as tiff:
        page = tiff.pages.first
        values = page.asarray()
        if page.axes.startswith("S"):
            values = np.moveaxis(values, 0, -1)
    channels = 3 if values.shape[-1] >= 3 else 1
    rgb = np.broadcast_to(_to_8_bit(values[..., :channels], name), (*values.shape[:2], 3))
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    picture.getexif()[_ORIENTATION] = orientation
    return np.array(ImageOps.exif_transpose(picture))


def _to_8_bit(values: np.ndarray, name: str | Path) -> np.ndarray:
    if not np.isfinite(values).all() or values.min() < 0:
        raise BadImageError(f"{name}: has negative or undefined pixel values")
    top = values.max()
    if values.dtype.kind == "f" and top <= 1:
        return np.rint(values * 255).astype(np.uint8)
    for full in _FULL_SCALES:
        if top <= full:
            return np.rint(values * (255 / full)).astype(np.uint8)
    raise BadImageError(f"{name}: has pixel values over {_FULL_SCALES[-1]}")
