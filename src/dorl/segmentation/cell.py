"""Which cell of an image is meant, and its mask at the image's own size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import regionprops
from skimage.morphology import isotropic_dilation, isotropic_opening
from skimage.segmentation import clear_border
from torch.nn import functional as F

from dorl.segmentation.crop import NEIGHBOURS, filled, largest_component
from dorl.segmentation.pixels import prepare
from dorl.segmentation.segmenter import Segmenter

#: a part is a cell where its pixels are at least this probable
CUT = 0.5
#: a part of less than this share of the image, or of the largest part, is a speck or a platelet
LEAST_AREA, LEAST_OF_LARGEST = 0.003, 0.1
#: least optical density of a nucleus in red light (natural logarithm, against the image's lightest parts): thiazine
#: dyes take it, haemoglobin and eosin hardly do, so that what stays below it is a red cell
NUCLEUS_DENSITY = 0.12
#: a platelet's area is so many times smaller than a red cell's, whose mean optical density in red light stays below
RED_CELL, RED_DENSITY = 1.3, 0.35
#: a cell of less than this share of the image's side is looked at again, in a crop of so many times its own side
SMALL, REACH = 0.3, 2.5
#: standard deviation of the smoothing of what the decoder says, in its pixels, and radius of the opening that takes
#: threads off a mask, as a share of the square root of its area
SMOOTH, THREAD = 0.5, 0.06


@dataclass(frozen=True)
class FoundCell:
    """The cell of one image.

    Attributes
    ----------
    mask : bool array of shape (H, W)
        One part without holes; empty where no cell was found.
    confidence : float
        From 0 to 1: the Dice that the mask has, in expectation, if the network's probabilities hold; 0 without a cell.
    """

    mask: np.ndarray
    confidence: float

    @property
    def found(self) -> bool:
        """Whether there is a cell at all."""
        return self.confidence > 0

    @property
    def touches_border(self) -> bool:
        """Whether the cell reaches the image's edge, so that a part of it may be missing."""
        mask = self.mask
        return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def find_central_cells(
    segmenter: Segmenter, images: Sequence[np.ndarray], *, logits: torch.Tensor | None = None
) -> list[FoundCell]:
    """Find the white cell nearest the centre of each image.

    Parameters
    ----------
    segmenter : Segmenter
    images : sequence of uint8 arrays of shape (H, W, 3)
        RGB, 0-255, of any sizes.
    logits : Tensor of shape (B, 2, 4·G, 4·G), optional
        What the segmenter said of these images, where it has been asked already.

    Returns
    -------
    list of FoundCell
        Masks have the sizes of their images.
    """
    chances = probabilities(segmenter, images) if logits is None else _at_full_size(logits, images)
    found = [choose_cell(chance, image) for chance, image in zip(chances, images, strict=True)]
    again = [(i, window) for i, cell in enumerate(found) if (window := closer(cell, images[i].shape[:2]))]
    crops = [images[i][window] for i, window in again]
    for (i, window), crop, chance in zip(again, crops, probabilities(segmenter, crops), strict=True):
        better = choose_cell(chance, crop)
        if better.found and not is_platelet(int(better.mask.sum()), images[i]):
            mask = np.zeros(images[i].shape[:2], bool)
            mask[window] = better.mask
            found[i] = FoundCell(mask, better.confidence)
    return found


def probabilities(segmenter: Segmenter, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Probability of cell at every pixel: float32 (H, W) of each image (H, W, 3)."""
    if not len(images):
        return []
    return _at_full_size(
        segmenter(np.stack([prepare(image, segmenter.image_size) for image in images])).mask_logits, images
    )


def _at_full_size(logits: torch.Tensor, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    logits = logits.cpu()
    difference = torch.from_numpy(
        ndimage.gaussian_filter((logits[:, 1:] - logits[:, :1]).numpy(), (0, 0, SMOOTH, SMOOTH))
    )
    return [
        torch.sigmoid(F.interpolate(one[None], image.shape[:2], mode="bilinear", align_corners=False))[0, 0].numpy()
        for one, image in zip(difference, images, strict=True)
    ]


def choose_cell(probability: np.ndarray, image: np.ndarray) -> FoundCell:
    """Choose the white cell nearest the centre.

    Parameters
    ----------
    probability : float array of shape (H, W)
        Of cell, 0-1.
    image : uint8 array of shape (H, W, 3)

    Returns
    -------
    FoundCell
        Of the connected parts above one half, specks and parts without a dark nucleus left aside, the one nearest the
        centre, its holes filled; the larger one where two are equally near.
    """
    parts, count = ndimage.label(probability > CUT, structure=NEIGHBOURS)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    least = max(1, LEAST_AREA * probability.size, LEAST_OF_LARGEST * sizes.max())
    light = np.percentile(image[..., 0], 95)
    middle = (np.array(probability.shape) - 1) / 2
    candidates = []
    for number, place in enumerate(ndimage.find_objects(parts), start=1):
        if sizes[number] < least:
            continue
        mask = filled(without_threads(parts[place] == number))
        dark = np.percentile(image[place][..., 0][mask], 10)
        if np.log((light + 1) / (dark + 1)) < NUCLEUS_DENSITY or is_platelet(int(mask.sum()), image):
            continue
        corner = np.array([side.start for side in place])
        offsets = (np.argwhere(mask) + corner - middle) / probability.shape
        candidates.append((round(float(np.hypot(*offsets.T).min()), 2), -int(sizes[number]), number, place, mask))
    if not candidates:
        return FoundCell(np.zeros_like(parts, bool), 0.0)
    *_, number, place, part = min(candidates, key=lambda candidate: candidate[:3])
    mask = np.zeros_like(parts, bool)
    mask[place] = part
    # what the network takes for other cells nearby doesn't count against this one
    others = (parts > 0) & (parts != number)
    return FoundCell(mask, expected_dice(probability, mask, others))


def expected_dice(probability: np.ndarray, mask: np.ndarray, others: np.ndarray) -> float:
    """Dice that a mask has, in expectation, if the network's probabilities around it hold.

    Parameters
    ----------
    probability : float array of shape (H, W)
        Of cell, 0-1.
    mask : bool array of shape (H, W)
        Not empty.
    others : bool array of shape (H, W)
        What belongs to other cells, and doesn't count.

    Returns
    -------
    float
        From 0.001 to 1.
    """
    reach = max(1, round(0.04 * max(probability.shape)))
    place = ndimage.find_objects(mask.astype(np.uint8))[0]
    frame = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in place)
    near = isotropic_dilation(mask[frame], reach) & ~others[frame]
    expected = 2 * probability[mask].sum() / (mask.sum() + probability[frame][near | mask[frame]].sum())
    return float(np.clip(expected, 1e-3, 1))


def is_platelet(area: int, image: np.ndarray) -> bool:
    """Whether something is too small for a white cell, by the red cells around it.

    A platelet is 2 to 4 µm across, a large one up to 6, a red cell 7 to 8; the smallest white cells and erythroblasts
    are as large as a red cell.

    Parameters
    ----------
    area : int
        Of the part in question, in pixels.
    image : uint8 array of shape (H, W, 3)
        With what lies around it.

    Returns
    -------
    bool
        Whether there are two or more red cells that are seen whole, round parts that are dark in green light and light
        in red light, and their median area is more than `RED_CELL` times as large.
    """
    if area > 0.05 * image.shape[0] * image.shape[1]:
        return False  # and no red cells of such a size could be seen whole beside it
    red, green = (image[..., channel].astype(np.float32) for channel in (0, 1))
    stained = green < threshold_otsu(green) if np.ptp(green) else np.zeros(green.shape, bool)
    parts, _ = ndimage.label(filled(stained))
    light = np.percentile(red, 95)
    whole = [
        shape.area
        for shape in regionprops(clear_border(parts), intensity_image=red)
        if shape.area > max(area / 2, 16)
        and shape.eccentricity < 0.8
        and np.log((light + 1) / (shape.intensity_mean + 1)) < RED_DENSITY
        and shape.solidity > 0.93  # the last one asked, since it takes a convex hull
    ]
    return len(whole) >= 2 and float(np.median(whole)) > RED_CELL * area


def without_threads(mask: np.ndarray) -> np.ndarray:
    """The largest part of a bool mask (H, W) after an opening; what runs off along a neighbour's rim is cut."""
    radius = THREAD * float(np.sqrt(mask.sum()))
    margin = int(radius) + 1
    # the image's edge isn't the cell's
    opened = isotropic_opening(np.pad(mask, margin, mode="edge"), radius)[margin:-margin, margin:-margin]
    return largest_component(opened) if opened.any() else mask


def closer(cell: FoundCell, shape: tuple[int, int]) -> tuple[slice, slice] | None:
    """Rows and columns of a crop in which a small cell, or one not found yet, is looked for again."""
    height, width = shape
    if min(shape) < 48:
        return None
    if not cell.found:
        return slice(height // 4, height - height // 4), slice(width // 4, width - width // 4)
    rows, columns = (np.flatnonzero(cell.mask.any(axis=axis)) for axis in (1, 0))
    side = max(np.ptp(rows), np.ptp(columns)) + 1
    if side >= SMALL * min(shape):
        return None
    half = max(16, round(REACH * side / 2))
    middle = (int(rows[0] + rows[-1]) // 2, int(columns[0] + columns[-1]) // 2)
    top, left = (max(0, at - half) for at in middle)
    return slice(top, min(height, middle[0] + half)), slice(left, min(width, middle[1] + half))
