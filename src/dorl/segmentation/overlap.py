"""Fields of one smear that overlap: how far one is moved against another, and which cells stand in both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import fft, ndimage

#: longer side of the pictures that are laid over each other, in pixels
SIDE = 256
#: details of this size are compared: standard deviations of two blurs, in their pixels
NARROW, BROAD = 0.7, 6.0
#: places that are tried, the correlation that the overlapping parts must have, and the least share that overlaps
PEAKS, ALIKE, LEAST_SHARE = 5, 0.7, 0.03
#: fields that come more than so many later aren't compared
REACH = 40
#: boxes of one cell overlap by this IoU at least
MIN_SAME_IOU = 0.5


def details(image: np.ndarray) -> np.ndarray:
    """The details of a field, uint8 (H, W, 3), in a reduced picture: float32, its longer side `SIDE` at most."""
    step = max(1, -(-max(image.shape[:2]) // SIDE))
    grey = np.asarray(Image.fromarray(image).convert("L").reduce(step), np.float32)
    return ndimage.gaussian_filter(grey, NARROW) - ndimage.gaussian_filter(grey, BROAD)


def moved(first: np.ndarray, second: np.ndarray) -> tuple[int, int] | None:
    """How far the second field's corner lies from the first one's, if they overlap.

    Parameters
    ----------
    first, second : float arrays of shape (h, w)
        `details` of fields of one size and magnification, not turned against each other.

    Returns
    -------
    (int, int) or None
        Rows and columns, in their pixels; None where no place is found at which they are alike.
    """
    height, width = first.shape
    size = [fft.next_fast_len(2 * side, real=True) for side in first.shape]
    cross = fft.rfft2(first, size) * np.conj(fft.rfft2(second, size))
    surface = fft.irfft2(cross / np.maximum(np.abs(cross), 1e-9), size)
    best: tuple[float, tuple[int, int]] | None = None
    for place in np.argsort(surface, axis=None)[-PEAKS:]:
        row, column = (int(at) for at in np.unravel_index(place, surface.shape))
        down = row - size[0] if row > size[0] // 2 else row
        right = column - size[1] if column > size[1] // 2 else column
        if (height - abs(down)) * (width - abs(right)) < LEAST_SHARE * height * width or abs(down) >= height:
            continue
        if abs(right) >= width:
            continue
        one, other = (
            picture[max(0, a) : height + min(0, a), max(0, b) : width + min(0, b)]
            for picture, a, b in ((first, down, right), (second, -down, -right))
        )
        spread = float(one.std() * other.std())
        alike = float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread else 0.0
        if alike >= ALIKE and (best is None or alike > best[0]):
            best = alike, (down, right)
    return None if best is None else best[1]


def in_both(
    first: np.ndarray, second: np.ndarray, shift: tuple[float, float], size: tuple[int, int]
) -> list[tuple[int, int]]:
    """Cells that stand in both of two fields.

    Parameters
    ----------
    first, second : int arrays of shape (N, 4) and (M, 4)
        Boxes: xmin, ymin, xmax, ymax in pixels of the field.
    shift : (float, float)
        Rows and columns by which the second field's corner lies from the first one's, in pixels.
    size : (int, int)
        Width and height of either field.

    Returns
    -------
    list of (int, int)
        Number of a cell among the first and among the second; each at most once.
    """
    down, right = shift
    window = np.array([max(0, right), max(0, down), size[0] + min(0, right), size[1] + min(0, down)])
    here = _clipped(np.asarray(first, float), window)
    there = _clipped(np.asarray(second, float) + np.array([right, down, right, down]), window)
    found, paired = [], set()
    for i, box in enumerate(here):
        scores = [box_iou(box, other) if j not in paired else 0.0 for j, other in enumerate(there)]
        if scores and max(scores) >= MIN_SAME_IOU:
            paired.add(j := int(np.argmax(scores)))
            found.append((i, j))
    return found


def repeated(
    pictures: Sequence[np.ndarray], boxes: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], *, reach: int = REACH
) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Cells of fields that stand in others, too.

    Parameters
    ----------
    pictures : sequence of F float arrays
        `details` of each field.
    boxes : sequence of F int arrays of shape (N, 4)
    sizes : sequence of F (int, int)
        Width and height in pixels. Only fields of one size are compared.
    reach : int
        Fields that come more than so many later aren't compared.

    Returns
    -------
    dict of (int, int) to list of (int, int)
        For each pair of fields that overlap, the pairs of cells that are one.
    """
    found = {}
    for one in range(len(pictures)):
        for other in range(one + 1, min(len(pictures), one + 1 + reach)):
            if sizes[one] != sizes[other] or not len(boxes[one]) or not len(boxes[other]):
                continue
            shift = moved(pictures[one], pictures[other])
            if shift is None:
                continue
            scale = sizes[one][1] / pictures[one].shape[0]
            pairs = in_both(boxes[one], boxes[other], (shift[0] * scale, shift[1] * scale), sizes[one])
            if pairs:
                found[one, other] = pairs
    return found


def _clipped(boxes: np.ndarray, window: np.ndarray) -> np.ndarray:
    return np.concatenate([np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])], 1)


def box_iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes (xmin, ymin, xmax, ymax)."""

    def area(box: np.ndarray) -> float:
        return float(max(0, box[2] - box[0]) * max(0, box[3] - box[1]))

    both = area(np.concatenate([np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])]))
    return both / max(area(one) + area(other) - both, 1e-9)
