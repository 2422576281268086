"""How the numbers of a file become 8 bits: by the bits that the file says, else by its pixels, not by one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dorl.errors import BadImageError

#: largest values of 8, 10, 12, 14 and 16 bits: what cameras put into wider containers
FULL_SCALES = (255, 1023, 4095, 16383, 65535)
#: share of the values that may lie above the scale or below 0, and are cut off: hot and dead pixels
HOT = 0.001
#: share of the scale by which floating-point numbers may lie below 0, since resizing sharpens edges
OVERSHOT = 0.1


def to_8_bit(values: np.ndarray, name: str | Path, *, full: float | None = None, invert: bool = False) -> np.ndarray:
    """Scale a file's numbers to 0–255.

    Parameters
    ----------
    values : array of bool, ints or floats, any shape
    name : str or Path
        Stands in the error messages.
    full : float, optional
        The number that stands for 255, where the file says so. Otherwise the smallest of `FULL_SCALES`, and of the
        whole range of the number's type, that all values but a thousandth stay below; for floats 1 comes first.
    invert : bool
        0 is white, and `full` is black.

    Raises
    ------
    BadImageError
        If values are negative, no numbers, or larger than every scale.
    """
    full = scale_of(values, name, full=full)
    below = -OVERSHOT * full if values.dtype.kind == "f" else 0
    if values.dtype.kind in "if" and _share(values < below) > HOT:
        raise BadImageError(f"{name}: has negative pixel values; add an offset, or save it with 8 bits a colour")
    if values.dtype == np.uint8 and full == 255:
        return 255 - values if invert else values
    scaled = np.clip(values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64) * (255 / full), 0, 255)
    return np.rint(255 - scaled if invert else scaled).astype(np.uint8)


def scale_of(values: np.ndarray, name: str | Path, *, full: float | None = None) -> float:
    """The number that stands for 255; arguments as for `to_8_bit`, which says how it is chosen."""
    if values.dtype.kind == "c" or not np.isfinite(values).all():
        raise BadImageError(f"{name}: has undefined pixel values; save it with 8 bits a colour")
    return _guessed(values, name) if full is None or _share(values > full) > HOT else full


def on_white_8_bit(
    colours: np.ndarray,
    alpha: np.ndarray,
    name: str | Path,
    *,
    full: float | None = None,
    invert: bool = False,
    multiplied: bool = False,
) -> np.ndarray:
    """A transparent picture of any depth, laid on white: uint8 (H, W, 3).

    Transparency has the scale of the colours where it stays below that, else the whole range of its type; floats that
    stay below 1 have a scale of 1.

    Parameters
    ----------
    colours : array of shape (H, W, 1) or (H, W, 3)
    alpha : array of shape (H, W)
        0 where nothing is seen.
    multiplied : bool
        The colours are multiplied by `alpha` already, so that both have one scale.
    name, full, invert
        As for `to_8_bit`.
    """
    scale = scale_of(colours, name, full=full)
    if alpha.dtype.kind == "f" and _share(alpha > 1) <= HOT:
        whole = 1.0
    elif _share(alpha > scale) <= HOT:
        whole = scale
    else:
        whole = scale_of(alpha, name) if alpha.dtype.kind == "f" else float(np.iinfo(alpha.dtype).max)
    if multiplied:
        scale = max(scale, whole)
    rgb = np.broadcast_to(to_8_bit(colours, name, full=scale, invert=invert), (*alpha.shape, 3))
    return on_white(rgb, to_8_bit(alpha, name, full=whole), multiplied=multiplied)


def _share(where: np.ndarray) -> float:
    return float(np.count_nonzero(where)) / max(1, where.size)


def _guessed(values: np.ndarray, name: str | Path) -> float:
    """The smallest scale that holds all values but a few."""
    if values.dtype == bool:
        return 1
    scales: list[float] = list(FULL_SCALES)
    if values.dtype.kind == "f":
        scales.insert(0, 1)
    else:
        whole = int(np.iinfo(values.dtype).max)
        scales = [*(scale for scale in FULL_SCALES if scale < whole), *((whole,) if whole <= 2**32 else ())]
    for scale in scales:
        # floats a little above 1 are of a picture of 0 to 1 that was resized: one of 0 to 255 would be black
        if _share(values > (2 if scale == 1 else scale)) <= HOT:
            # of 32 bits the whole range, and nothing in between: a sum of pictures has no scale
            if scale > FULL_SCALES[-1] and values.max() < scale / 4:
                break
            return scale
    raise BadImageError(f"{name}: has pixel values over {FULL_SCALES[-1]}; save it with 8 or 16 bits a colour")


def on_white(rgb: np.ndarray, alpha: np.ndarray, *, multiplied: bool = False) -> np.ndarray:
    """A transparent picture laid on white, uint8 (H, W, 3).

    Parameters
    ----------
    rgb : uint8 array of shape (H, W, 3)
    alpha : uint8 array of shape (H, W)
        0 where nothing is seen.
    multiplied : bool
        The colours are multiplied by `alpha` already.
    """
    seen = alpha[..., None].astype(np.float32) / 255
    laid = (rgb if multiplied else rgb * seen) + 255 * (1 - seen)
    return np.rint(np.clip(laid, 0, 255)).astype(np.uint8)


def turned(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Set upright by the EXIF orientation, 1 to 8; other numbers leave it as it is. (H, W, …)."""
    if orientation in (5, 6, 7, 8):
        picture = np.swapaxes(picture, 0, 1)
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return np.ascontiguousarray(picture)
