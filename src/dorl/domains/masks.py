"""Reading mask files, and telling which of their values is the cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from dorl.domains.brightness import turned
from dorl.domains.opening import by_pillow, checked_size, deep_numbers, is_tiff, opened_file, orientation_of, told
from dorl.domains.tiff import OtherColoursError, read_tiff, tiff_size
from dorl.errors import BadImageError

#: of the picture's pixels, the least and the largest share that a cell covers
MIN_SHARE, MAX_SHARE = 0.005, 0.98
#: a mask that covers less of what it encloses shows an outline
OUTLINE = 0.25
#: share of the border, and of the four corners, that lies outside the cell
BORDER, CORNERS = 0.5, 3
#: formats that blur edges: there the cell differs by so much from the outside; JTSC's faintest class is 128
_LOSSY = ("JPEG", "MPO", "WEBP", "HEIF", "AVIF", "JPEG2000")
_JPEG_MASK_FROM = 64
#: masks of a lab that are looked at for what they mean
LOOKED_AT = 32

#: a value, or a colour, as it stands in the file
Value = tuple[float, ...]


@dataclass(frozen=True)
class MaskMeaning:
    """What the masks of a lab mean.

    Attributes
    ----------
    outside : tuple of float
        The value, or colour, outside the cell; tried first.
    cell : tuple of float
        Values of the cell, where a user said them; nothing is concluded then. Of a colour its brightest channel.
    """

    outside: Value = (0,)
    cell: Value = ()

    def text(self) -> str:
        """For digests: "" for the usual meaning, 0 outside."""
        return "" if self == MaskMeaning() else f"{self.outside} {self.cell}"


USUAL = MaskMeaning()


def read_mask(path: str | Path, shape: tuple[int, int], meaning: MaskMeaning = USUAL) -> np.ndarray:
    """Read a mask file: the cell is what differs from the outside.

    The outside is the value of three corners, or else 0, or else that of most of the border: the first that is
    plausible, where the border is mostly outside and the cell covers 0.5 to 98 %. So JTSC's 128 (cytoplasm)
    and 255 (nucleus) are both cell, and a mask that is 0 in the cell is read right, too. A mask that is 0 everywhere is
    empty. Of a palette image the number counts, and of a format that blurs edges, such as JPEG, what differs by 64 or
    more.

    Parameters
    ----------
    path : str or Path
    shape : tuple of int
        (height, width) of the image it belongs to, pixels.
    meaning : MaskMeaning
        What the lab's other masks say, or the user.

    Returns
    -------
    ndarray of bool, shape (H, W)

    Raises
    ------
    BadImageError
        As `read_image`, for a mask of another size than its image, for one that shows an outline, and where it can't be
        told which part is the cell.
    """
    values, lossy = read_values(path)
    if values.shape[:2] != tuple(shape):
        raise BadImageError(
            f"{path}: the mask has {values.shape[1]}×{values.shape[0]} pixels, its image {shape[1]}×{shape[0]}"
        )
    if meaning.cell:
        return _said(values, meaning.cell, lossy)
    if not values.any() or not _differs(values, meaning.outside, lossy).any():
        return np.zeros(shape, bool)
    outside = _outside(values, lossy, meaning.outside)
    if outside is None:
        raise BadImageError(
            f"{path}: can't tell which part of this mask is the cell (its border should be mostly outside, and the "
            f"cell cover {100 * MIN_SHARE:g} to {100 * MAX_SHARE:g} % of it); say it with --mask-value, or draw it anew"
        )
    cell = _differs(values, outside, lossy)
    if cell.sum() < OUTLINE * ndimage.binary_fill_holes(cell).sum():
        raise BadImageError(f"{path}: shows the outline of a cell and not the cell: fill it, or leave the mask out")
    return cell


def conclude(masks: Sequence[Path], chosen: Value = ()) -> tuple[MaskMeaning, str | None]:
    """What the masks of a lab mean, by some of them, and a sentence about it where it isn't the usual.

    Parameters
    ----------
    masks : sequence of Path
    chosen : tuple of float
        Values of the cell that the user said.
    """
    if not masks:
        return USUAL, None
    if chosen:
        return MaskMeaning(cell=chosen), f"masks: {_shown(chosen, ', ')} is the cell, as --mask-value says"
    step = max(1, -(-len(masks) // LOOKED_AT))
    found: Counter[Value] = Counter()
    doubtful = 0
    for path in masks[::step]:
        try:
            values, lossy = read_values(path)
        except BadImageError:  # said where the image is read
            continue
        if not values.any():
            continue
        outside = _outside(values, lossy, USUAL.outside)
        if outside is None:
            doubtful += 1
        else:
            found[(0,) if not any(outside) else outside] += 1
    if not found:
        return USUAL, None
    (most, count), *others = found.most_common()
    notes = []
    if others:
        kinds = ", ".join(f"{_shown(value)} in {number}" for value, number in found.most_common())
        notes.append(f"masks differ in what is outside the cell ({kinds}); each is read by its own border")
    elif any(most):
        notes.append(f"masks: outside the cell is {_shown(most)}, and the cell what differs ({count} looked at)")
    if doubtful:
        notes.append(f"in {doubtful} masks of {doubtful + found.total()} looked at the cell can't be told")
    text = "; ".join(notes)
    return MaskMeaning(outside=most), f"{text} (--mask-value says which value is the cell)" if text else None


def _shown(value: Value, between: str = "/") -> str:
    return between.join(f"{number:g}" for number in value)


def _said(values: np.ndarray, cell: Value, lossy: bool) -> np.ndarray:
    brightest = values.max(axis=2).astype(np.float64)
    near = _JPEG_MASK_FROM / 2 if lossy else 0
    return np.logical_or.reduce([np.abs(brightest - value) <= near for value in cell])


def _differs(values: np.ndarray, outside: Value, lossy: bool) -> np.ndarray:
    """Where a mask differs from the outside, bool (H, W); everywhere if that has another number of channels."""
    if len(outside) != values.shape[2]:
        outside = (0.0,) * values.shape[2] if not any(outside) else (np.nan,) * values.shape[2]
    if lossy:
        return (np.abs(values.astype(np.float64) - np.array(outside)) >= _JPEG_MASK_FROM).any(axis=2)
    if values.dtype == bool:
        values = values.astype(np.uint8)
    return (values != np.array(outside)).any(axis=2)


def _outside(values: np.ndarray, lossy: bool, first: Value) -> Value | None:
    """The value outside the cell; None where none is plausible."""
    border = np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
    kinds, counts = np.unique(border, axis=0, return_counts=True)
    most: Value = tuple(float(number) for number in kinds[counts.argmax()])
    corners = Counter(tuple(float(number) for number in values[row, column]) for row in (0, -1) for column in (0, -1))
    corner, alike = corners.most_common(1)[0]

    def covered(outside: Value) -> bool:
        return MIN_SHARE <= _differs(values, outside, lossy).mean() <= MAX_SHARE

    def around(outside: Value) -> bool:
        return 1 - _differs(border[None], outside, lossy).mean() >= BORDER

    channels = values.shape[2]
    firsts = dict.fromkeys([tuple(first) if len(first) == channels else (0.0,) * channels, (0.0,) * channels])
    if lossy:  # values vary around the corner's
        alike = sum(number for one, number in corners.items() if max(map(_apart, one, corner)) < _JPEG_MASK_FROM)
    if alike >= CORNERS and covered(corner):
        return corner
    for outside in firsts:
        if around(outside) and covered(outside):
            return outside
    if around(most) and covered(most):
        return most
    return None


def _apart(one: float, other: float) -> float:
    return abs(one - other)


def read_values(path: str | Path) -> tuple[np.ndarray, bool]:
    """The numbers that stand in a file, for masks: a palette's numbers, no scaling, transparency left out.

    Returns
    -------
    values : array of shape (H, W, C)
        Upright. The transparency of a picture whose colour is the same everywhere stands for the colour.
    lossy : bool
        Whether the format blurs edges.

    Raises
    ------
    BadImageError
        As `read_image`.
    """
    with opened_file(path) as stream, told(path):
        if is_tiff(stream):
            checked_size(*tiff_size(stream), path)
            try:
                picture = read_tiff(stream, path)
            except OtherColoursError:
                pass
            else:
                alpha = None if picture.alpha is None else picture.values[..., picture.alpha : picture.alpha + 1]
                values = _numbers(_or_alpha(picture.values[..., : picture.colours], alpha))
                return turned(values, picture.orientation), False
        with by_pillow(stream, path) as image:
            lossy = image.format in _LOSSY
            orientation = orientation_of(image)
            deep = deep_numbers(image, stream)
            values = np.asarray(image) if deep is None else deep[0]
            values = values[..., None] if values.ndim == 2 else values
            colours = 1 if values.shape[-1] < 3 else 3
            alpha = values[..., -1:] if values.shape[-1] in (2, 4) and image.mode != "RGBX" else None
            if image.mode == "CMYK":
                colours, alpha = 4, None
            return turned(_or_alpha(values[..., :colours], alpha), orientation), lossy


def _numbers(values: np.ndarray) -> np.ndarray:
    """The same with one number of its own where there is none, as some programs write the outside."""
    if values.dtype.kind != "f" or not np.isnan(values).any():
        return values
    known = values[~np.isnan(values)]
    return np.nan_to_num(values, nan=known.min() - 1 if len(known) else 0)


def _or_alpha(values: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """The transparency, where it varies and nothing else does."""
    return values if alpha is None or _flat(alpha) or not _flat(values) else alpha


def _flat(values: np.ndarray) -> bool:
    return bool((values == values[:1, :1]).all())
