"""What a smear field shows before a network looks at it: how large its red cells are, and where nuclei may lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_multiotsu

#: side of the parts in which red cells are measured, and of those in which nuclei are looked for, in pixels
PART, TILE = 1024, 2048
#: circles that are enough to measure red cells by, and too few; the least and the largest diameter of one, in pixels
ENOUGH, FEWEST, LEAST, LARGEST = 8, 4, 10, 300
#: what has more `thiazine` than this isn't measured as a red cell
RED = 0.5
#: a nucleus has at least so much more `thiazine` than the field's red cells
NUCLEUS = 0.15
#: of a red cell's diameter: the least diameter of a nucleus, the distance between two places in it, the smoothing
LEAST_NUCLEUS, APART, SMOOTH = 0.2, 0.5, 0.08
#: diameter of a red cell in the reduced picture in which nuclei are looked for, in pixels
DETAIL = 24


@dataclass(frozen=True)
class Place:
    """Where a nucleus may lie.

    Attributes
    ----------
    row, column : float
        Pixels.
    diameter : float
        That of a circle as large as the stained part, in pixels.
    stain : float
        Mean `thiazine` of that part above what the field's red cells have.
    """

    row: float
    column: float
    diameter: float
    stain: float


def optical_density(image: np.ndarray) -> np.ndarray:
    """Natural logarithm of the lightest (95th percentile) over each pixel, float32 (H, W, 3), of uint8 (H, W, 3)."""
    light = np.percentile(image, 95, axis=(0, 1)).astype(np.float32) + 1
    return np.log(light / (image.astype(np.float32) + 1))


def thiazine(density: np.ndarray) -> np.ndarray:
    """How much each place is stained by azures and methylene blue, as nuclei are: float32 (H, W).

    Red plus green minus twice blue, of an optical density (H, W, 3): these dyes take red and green light and let blue
    pass, haemoglobin takes blue and lets red pass. What is merely dark, or lit by a yellow lamp, is 0.
    """
    return density[..., 0] + density[..., 1] - 2 * density[..., 2]


def red_cell_diameter(image: np.ndarray) -> float | None:
    """Measure how large the red cells of a field are: its ruler, since a red cell is 7 to 8 µm across.

    Circles are inscribed in what is stained and no nucleus, so that cells that touch or overlap needn't be told apart;
    a circle is about a seventh narrower than its cell's box.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255. Of a large one four parts are looked at.

    Returns
    -------
    float or None
        Diameter in pixels; None where there are too few to measure.
    """
    best = np.empty(0)
    step = 1
    while True:
        found = step * np.concatenate([inscribed(part) for part in _parts(image, step)])
        if len(found) > len(best):
            best = found
        # cells that are too large for a part are measured in a reduced picture
        if len(best) >= ENOUGH or PART * step >= max(image.shape[:2]) or min(image.shape[:2]) < 4 * LEAST * step:
            break
        step *= 2
    if len(best) < FEWEST:
        return None
    # of their diameters laid end to end the middle: the circles between cells, or in a rim, are many but small
    circles = np.sort(best)
    along = np.cumsum(circles)
    return float(circles[np.searchsorted(along, along[-1] / 2)])


def _parts(image: np.ndarray, step: int) -> Iterator[np.ndarray]:
    """The picture, or four parts of one that is larger than a part, reduced by `step`."""
    side = PART * step
    starts = [
        sorted({min(max(0, middle - side // 2), max(0, length - side)) for middle in (length // 4, 3 * length // 4)})
        for length in image.shape[:2]
    ]
    for top in starts[0]:
        for left in starts[1]:
            part = image[top : top + side, left : left + side]
            yield part if step == 1 else np.asarray(Image.fromarray(part).reduce(step))


def inscribed(image: np.ndarray) -> np.ndarray:
    """Diameters, in pixels, of circles inscribed in the red cells that the picture's edge doesn't cut."""
    density = optical_density(image)
    green = ndimage.gaussian_filter(density[..., 1], 1)
    cuts = _cuts(green)
    if cuts is None:
        return np.empty(0)
    inside = ndimage.distance_transform_edt(ndimage.binary_fill_holes(green > cuts[0]))
    places = peak_local_max(ndimage.gaussian_filter(inside, 1), min_distance=LEAST // 2, exclude_border=False)
    radius = inside[tuple(places.T)]
    to_edge = np.minimum(places, np.array(green.shape) - 1 - places).min(1)
    red = ndimage.gaussian_filter(thiazine(density), 2)[tuple(places.T)] < RED
    return 2 * radius[red & (to_edge > 0.9 * radius) & (2 * radius >= LEAST) & (2 * radius <= LARGEST)]


def _cuts(green: np.ndarray) -> np.ndarray | None:
    """Density between background and red cells, and between these and nuclei; None for a picture without contrast."""
    try:
        if np.ptp(green) < 0.05:
            return None
        # seen by the light that passes twice through, so that dark nuclei don't outweigh the pale
        return -np.log(1 - threshold_multiotsu(1 - np.exp(-2 * green), classes=3, nbins=128)) / 2
    except ValueError:  # fewer than three grey levels
        return None


def nuclei(image: np.ndarray, diameter: float) -> list[Place]:
    """Places where a nucleus may lie, by the colour of its dye.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255.
    diameter : float
        Of a red cell, in pixels.

    Returns
    -------
    list of Place
        Platelets, some red cells and deposits of stain are among them; a nucleus in lobes may have several places.
    """
    step = max(1, int(TILE / min(1.0, DETAIL / diameter)))
    margin = int(2 * diameter) + 1
    found = []
    for top in range(0, image.shape[0], step):
        for left in range(0, image.shape[1], step):
            above, before = max(0, top - margin), max(0, left - margin)
            tile = image[above : top + step + margin, before : left + step + margin]
            for place in _nuclei_of_tile(tile, diameter):
                row, column = place.row + above, place.column + before
                if top <= row < top + step and left <= column < left + step:
                    found.append(replace(place, row=row, column=column))
    return found


def _nuclei_of_tile(tile: np.ndarray, diameter: float) -> list[Place]:
    scale = min(1.0, DETAIL / diameter)
    size = (max(1, round(scale * tile.shape[1])), max(1, round(scale * tile.shape[0])))
    small = np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.BOX))
    red = scale * diameter
    density = optical_density(small)
    like = ndimage.gaussian_filter(thiazine(density), SMOOTH * red)
    cuts = _cuts(density[..., 1])
    if cuts is None:
        return []
    stained = (density[..., 1] > cuts[0]) & (density[..., 1] < cuts[1])
    like -= max(0.0, float(np.median(like[stained]))) if stained.any() else 0.0
    parts, count = ndimage.label(like > NUCLEUS)
    numbers = np.arange(count + 1)
    across = 2 * np.sqrt(np.bincount(parts.ravel(), minlength=count + 1) / np.pi)
    stain = ndimage.mean(like, parts, numbers)
    large = (across >= LEAST_NUCLEUS * red) & (numbers > 0)
    inside = large[parts]
    # places lie in the thick of a part, close enough together for each of two cells that touch to have one
    thick = ndimage.gaussian_filter(inside.astype(np.float32), red / 4)
    places = peak_local_max(thick, min_distance=max(1, round(APART * red)), exclude_border=False, threshold_abs=0.1)
    _, nearest = ndimage.distance_transform_edt(~inside, return_indices=True)
    found = []
    for row, column in places:
        number = parts[tuple(nearest[:, row, column])]
        at = ((row + 0.5) / scale - 0.5, (column + 0.5) / scale - 0.5)
        found.append(Place(*at, float(across[number] / scale), float(stain[number])))
    return found
