"""Opening an image file within limits, and saying in one line why it can't be opened."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from dorl.domains import formats
from dorl.domains.formats import FORMATS, READ
from dorl.errors import BadImageError
from dorl.files import is_special

MIN_SIDE = 8  # pixels
MAX_PIXELS = 64_000_000
MAX_BYTES = 256 * 1024 * 1024

ORIENTATION = 0x0112
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

formats.register()


def check_bytes(count: int, name: str | Path) -> None:
    if count == 0:
        raise BadImageError(f"{name}: the file is empty")
    if count > MAX_BYTES:
        raise BadImageError(f"{name}: over {MAX_BYTES // 2**20} MB")


@contextmanager
def opened_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file of an allowed size. Raises BadImageError."""
    with opened_file_of_any_size(path) as stream:
        count = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        check_bytes(count, path)
        yield stream


@contextmanager
def opened_file_of_any_size(path: str | Path) -> Iterator[BinaryIO]:
    """Open a regular file. Raises BadImageError."""
    try:
        if is_special(Path(path)):
            raise BadImageError(f"{path}: is no regular file")
        stream = Path(path).open("rb")  # noqa: SIM115 - closed by the with below
    except OSError as error:
        raise BadImageError(f"{path}: {error.strerror or 'can not be opened'}") from None
    except ValueError:  # a NUL in the name
        raise BadImageError(f"{path!r}: no file can have this name") from None
    with stream:
        yield stream


@contextmanager
def told(name: str | Path) -> Iterator[None]:
    """Faults of the decoders become BadImageErrors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images and odd metadata; sizes are checked here
            yield
    except BadImageError:
        raise
    except MemoryError:
        raise BadImageError(f"{name}: needs more memory than there is") from None
    except Image.DecompressionBombError:
        raise BadImageError(f"{name}: over {MAX_PIXELS // 10**6} megapixels") from None
    except UnidentifiedImageError:
        raise BadImageError(f"{name}: not a readable {READ} image") from None
    except Exception as error:
        # on damaged files the decoders raise OSError, SyntaxError, struct.error, IndexError and more
        why = (str(error).splitlines() or [""])[0]
        raise BadImageError(f"{name}: damaged or truncated ({why or type(error).__name__})") from None


def checked_size(width: int, height: int, name: str | Path) -> tuple[int, int]:
    if min(width, height) < MIN_SIDE:
        raise BadImageError(f"{name}: {width}×{height} pixels, below {MIN_SIDE} a side")
    if width * height > MAX_PIXELS:
        raise BadImageError(f"{name}: over {MAX_PIXELS // 10**6} megapixels")
    return width, height


@contextmanager
def by_pillow(stream: BinaryIO, name: str | Path) -> Iterator[Image.Image]:
    """Open an image and check its header; its pixels aren't read yet."""
    stream.seek(0)
    with Image.open(stream, formats=FORMATS) as image:
        checked_size(image.size[0], image.size[1], name)
        yield image


def is_tiff(stream: BinaryIO) -> bool:
    stream.seek(0)
    return stream.read(4) in _TIFF


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation; reads the pixels, since that of a PNG may stand behind them."""
    image.load()
    return int(image.getexif().get(ORIENTATION, 1))


def deep_numbers(image: Image.Image, stream: BinaryIO) -> tuple[np.ndarray, float | None] | None:
    """The numbers of a file of more than 8 bits that Pillow doesn't read as they are; None for any other file.

    Of a PNG of 16 bits in colour or with transparency Pillow keeps the high byte; of a JPEG 2000 of 16 bits it takes
    the brightest for black.

    Returns
    -------
    numbers : array of shape (H, W, C)
    full : float or None
        The number that stands for full brightness, where the file says it by its bits.
    """
    stream.seek(0)
    if image.format == "PNG":
        head = stream.read(26)
        if head[24] != 16 or head[25] == 0:  # grey of 16 bits is read by Pillow
            return None
        import imagecodecs

        stream.seek(0)
        return _with_channels(imagecodecs.png_decode(stream.read())), None
    if image.format == "JPEG2000":
        data = stream.read()
        depth = _depth_of_jpeg2000(data)
        if depth <= 8:
            return None
        import imagecodecs

        return _with_channels(imagecodecs.jpeg2k_decode(data)), None if depth >= 16 else 2**depth - 1
    return None


def _with_channels(values: np.ndarray) -> np.ndarray:
    return values[..., None] if values.ndim == 2 else values


def _depth_of_jpeg2000(data: bytes) -> int:
    """Bits of the first channel, by the codestream's marker SIZ (ITU-T T.800, A.5.1); 8 where there is none."""
    at = data.find(b"\xff\x4f\xff\x51")
    return (data[at + 42] & 0x7F) + 1 if 0 <= at < len(data) - 42 else 8
