"""How large the red cells of a smear field are, measured twice, and how far the two agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import fft, ndimage
from skimage.feature import peak_local_max

from dorl.segmentation.crop import filled
from dorl.segmentation.smear import contrast_cuts, optical_density, thiazine

#: longer side of a part in which red cells are measured, and of the reduced picture whose autocorrelation is taken
PART, COARSE = 1024, 400
#: circles that are enough to measure red cells by, and too few; least and largest diameter of one, in pixels
ENOUGH_CIRCLES, MIN_CIRCLES, MIN_DIAMETER, MAX_DIAMETER = 8, 4, 10, 300
#: circles are inscribed in a picture that is reduced until a red cell is about so wide; of one that is much larger than
#: so many periods of the autocorrelation, in four parts of that side
FINE, REACH = 24, 12
#: what has more `thiazine` than this isn't measured as a red cell
RED = 0.5
#: where the autocorrelation of round cells is half, where it ends, and where it is least, in their diameters; medians
#: over rendered fields, and over samples of the BCCD, BCD and Raabin fields with their boxes of red cells
HALF, END, MINIMUM = 0.28, 0.78, 1.0
#: what is stained has at least this optical density, summed over the channels; of stain, this many medians count
STAINED, CAPPED = 0.1, 1.5
#: inscribed circles are narrower than a red cell by this factor
INSCRIBED = 0.9
#: both estimates agree where they differ by less than this factor; a ruler of this confidence is sure
AGREE, SURE = 1.5, 0.5
#: circles of which so large a share, by length, is as large as the middle one up to this factor are red cells, whatever
#: the autocorrelation says: rolls and heaps of cells make it longer
MIN_ALIKE, ALIKE = 0.6, 1.25
#: fields of one folder that tell its magnification, and the largest factor by which one may stand apart
FELLOWS, APART = 3, 1.4


@dataclass(frozen=True)
class Ruler:
    """The diameter of a red cell in a field.

    Attributes
    ----------
    diameter : float or None
        Of circles inscribed in red cells, in pixels; None where there is nothing to measure.
    confidence : float
        From 0 to 1: 1 where both estimates are the same; where they differ by `AGREE` or more, or one is missing, 0,
        and `SURE` if nearly all circles are alike.
    other : float or None
        What the autocorrelation alone gives, in pixels of an inscribed circle.
    """

    diameter: float | None
    confidence: float
    other: float | None = None

    @property
    def sure(self) -> bool:
        """Whether the two estimates agree."""
        return self.diameter is not None and self.confidence >= SURE


def measure(image: np.ndarray) -> Ruler:
    """Measure how large the red cells of a field are: its ruler, since a red cell is 7 to 8 µm across.

    Two estimates that go wrong in different pictures: circles are inscribed in what is stained and no nucleus, which
    noise makes too small and heaps of cells too large; and the autocorrelation of the stain falls and rises again over
    the length of a cell. Where they disagree the confidence is 0.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255, in even light (`dorl.segmentation.light.evenly_lit`). Of a large one four parts are looked at.

    Returns
    -------
    Ruler
    """
    step = 1
    while True:
        parts = [reduced(part, step) for part in _parts(image, PART * step)]
        periods = [period for part in parts if (period := _period(part)) is not None]
        period = float(np.median(periods)) if periods else None
        circles = _circles(parts, period)
        # cells that are too large for a part are measured in a reduced picture
        if (period and len(circles) >= ENOUGH_CIRCLES) or PART * step >= max(image.shape[:2]):
            break
        step *= 2
    other = None if period is None else INSCRIBED * period * step
    if len(circles) < MIN_CIRCLES:
        return Ruler(other, 0.0, other)
    # of their diameters laid end to end the middle: the circles between cells, or in a rim, are many but small
    circles = np.sort(circles)
    along = np.cumsum(circles)
    diameter = step * float(circles[np.searchsorted(along, along[-1] / 2)])
    if other is None:
        return Ruler(diameter, 0.0)
    agreement = 1 - abs(float(np.log(diameter / other))) / np.log(AGREE)
    alike = circles[np.abs(np.log(step * circles / diameter)) < np.log(ALIKE)].sum() / along[-1]
    return Ruler(diameter, float(np.clip(agreement, SURE if alike >= MIN_ALIKE else 0, 1)), other)


def of_one_folder(rulers: Sequence[Ruler]) -> list[Ruler]:
    """Rulers of fields that were taken with one magnification, the doubtful ones replaced.

    Parameters
    ----------
    rulers : sequence of Ruler
        Of pictures of one folder and one size.

    Returns
    -------
    list of Ruler
        Where three or more of them are sure and half of these lie within a factor of 1.4 of their median, a field
        whose own isn't sure, or stands further apart, has the median, with a confidence of `SURE`.
    """
    sure = np.array([ruler.diameter for ruler in rulers if ruler.sure and ruler.diameter])
    if len(sure) < FELLOWS:
        return list(rulers)
    usual = float(np.median(sure))
    if np.mean(np.abs(np.log(sure / usual)) < np.log(APART)) < 0.5:
        return list(rulers)
    return [
        ruler
        if ruler.sure and ruler.diameter and abs(np.log(ruler.diameter / usual)) < np.log(APART)
        else Ruler(usual, SURE, ruler.other)
        for ruler in rulers
    ]


def _parts(image: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """The picture, or parts of that side of one that is much larger, at most four."""
    starts = [
        sorted({min(max(0, middle - side // 2), max(0, length - side)) for middle in (length // 4, 3 * length // 4)})
        if length > 1.5 * side
        else [0]
        for length in image.shape[:2]
    ]
    whole = [side if length > 1.5 * side else length for length in image.shape[:2]]
    for top in starts[0]:
        for left in starts[1]:
            yield image[top : top + whole[0], left : left + whole[1]]


def reduced(image: np.ndarray, step: int) -> np.ndarray:
    """A picture with each square of `step` pixels averaged."""
    return image if step <= 1 else np.asarray(Image.fromarray(image).reduce(step))


def _period(part: np.ndarray) -> float | None:
    """Diameter of a red cell, in pixels, by the autocorrelation of what is stained; None where nothing repeats."""
    step = -(-max(part.shape[:2]) // COARSE)
    density = optical_density(reduced(part, step)).sum(2)
    stain = ndimage.gaussian_filter(density, 0.7)
    stained = stain[stain > STAINED]
    if len(stained) < MIN_DIAMETER**2 or min(stain.shape) < 2 * MIN_DIAMETER:
        return None
    # nuclei count no more than red cells
    stain = np.clip(stain, 0, CAPPED * np.median(stained))
    stain -= stain.mean()
    reach = int(min(stain.shape) / 2.5)
    size = [fft.next_fast_len(side + reach, real=True) for side in stain.shape]
    both, seen = (
        fft.irfft2(np.abs(fft.rfft2(one, size)) ** 2, size)[np.r_[0:reach, -reach:0], :reach]
        for one in (stain, np.ones_like(stain))
    )
    away = np.hypot(np.r_[0:reach, -reach:0][:, None], np.arange(reach)).round().astype(int).ravel()
    curve = np.bincount(away, (both / seen).ravel())[:reach] / np.bincount(away)[:reach]
    if not curve[1] > 0:
        return None
    curve /= curve[1]
    estimates = []
    if (curve < 0.5).any():
        after = int(np.argmax(curve < 0.5))
        estimates.append((after - (0.5 - curve[after]) / (curve[after - 1] - curve[after])) / HALF)
    if (curve < 0.05).any():
        estimates.append(int(np.argmax(curve < 0.05)) / END)
    lowest = (curve[1:-1] <= curve[:-2]) & (curve[1:-1] < curve[2:])
    if lowest.any():
        estimates.append((1 + int(np.argmax(lowest))) / MINIMUM)
    return step * float(np.median(estimates)) if len(estimates) == 3 else None


def _circles(parts: Sequence[np.ndarray], period: float | None) -> np.ndarray:
    """Diameters of circles inscribed in the red cells of all parts, in their pixels."""
    found = [np.empty(0)]
    for part in parts:
        step = max(1, int((period or max(part.shape[:2]) / 20) / FINE))
        for own in _parts(part, round(REACH * period)) if period and len(parts) == 1 else [part]:
            found.append(step * inscribed(reduced(own, step)))
    return np.concatenate(found)


def inscribed(image: np.ndarray) -> np.ndarray:
    """Diameters, in pixels, of circles inscribed in the red cells that the picture's edge doesn't cut."""
    density = optical_density(image)
    green = ndimage.gaussian_filter(density[..., 1], 1)
    cuts = contrast_cuts(green)
    if cuts is None:
        return np.empty(0)
    inside = ndimage.distance_transform_edt(filled(green > cuts[0]))
    places = peak_local_max(ndimage.gaussian_filter(inside, 1), min_distance=MIN_DIAMETER // 2, exclude_border=False)
    radius = inside[tuple(places.T)]
    to_edge = np.minimum(places, np.array(green.shape) - 1 - places).min(1)
    red = ndimage.gaussian_filter(thiazine(density), 2)[tuple(places.T)] < RED
    return 2 * radius[red & (to_edge > 0.9 * radius) & (2 * radius >= MIN_DIAMETER) & (2 * radius <= MAX_DIAMETER)]
