"""What a smear field shows before a network looks at it: how it is stained, and where nuclei may lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_multiotsu

from dorl.segmentation.light import background_light, evenly_lit
from dorl.segmentation.marks import find_marks

#: side of the parts of a reduced picture in which nuclei are looked for, in pixels
TILE = 2048
#: a nucleus has at least so much more `thiazine` than the field's red cells, or this share of the deepest stain where
#: that is less, but never less than the third number; the deepest is read through a smoothing, in red cells' diameters
NUCLEUS, SHARE, LEAST_STAIN, DEEP = 0.15, 0.35, 0.05, 0.25
#: of a red cell's diameter: the least diameter of a nucleus, the distance between two places in it, the smoothing
LEAST_NUCLEUS, APART, SMOOTH = 0.2, 0.5, 0.08
#: what is narrower than twice this, in red cells' diameters, isn't counted as dye of a nucleus
GRAIN = 0.08
#: side of the square around a place in which dye is summed, in a red cell's diameters
AROUND = 1.6
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
    dye : float
        Area of everything stained like it in a square 1.6 red cells wide around the place, in squares of a red cell's
        diameter; where the picture's edge cuts the square, as if the rest were like what is seen.
    """

    row: float
    column: float
    diameter: float
    stain: float
    dye: float = 1.0


def optical_density(image: np.ndarray, light: np.ndarray | None = None) -> np.ndarray:
    """Natural logarithm of the light, 0-255, over each pixel, float32 (H, W, 3), of uint8 (H, W, 3).

    Without `light`, (3,), the picture's lightest is taken (95th percentile).
    """
    light = np.percentile(image, 95, axis=(0, 1)) if light is None else light
    values = np.arange(256, dtype=np.float32)[:, None]
    table = np.log((light.astype(np.float32) + 1) / (values + 1))
    return np.stack([table[:, channel][image[..., channel]] for channel in range(3)], axis=-1)


def cleared(image: np.ndarray) -> np.ndarray:
    """A field in even light and without marks: uint8 (H, W, 3), as `image`."""
    marks = find_marks(image)
    light = background_light(image, ignored=marks)
    even = evenly_lit(image, light)
    if marks.any():
        even = even.copy() if even is image else even
        even[marks] = np.clip(256 * np.exp(-light.middle) - 1, 0, 255).astype(np.uint8)
    return even


def thiazine(density: np.ndarray) -> np.ndarray:
    """How much each place is stained by azures and methylene blue, as nuclei are: float32 (H, W).

    Red plus green minus twice blue, of an optical density (H, W, 3): these dyes take red and green light and let blue
    pass, haemoglobin takes blue and lets red pass. What is merely dark, or lit by a yellow lamp, is 0.
    """
    return density[..., 0] + density[..., 1] - 2 * density[..., 2]


def contrast_cuts(green: np.ndarray) -> np.ndarray | None:
    """Density between background and red cells, and between these and nuclei; None for a picture without contrast."""
    try:
        if np.ptp(green) < 0.05:
            return None
        # seen by the light that passes twice through, so that dark nuclei don't outweigh the pale
        return -np.log(1 - threshold_multiotsu(1 - np.exp(-2 * green), classes=3, nbins=128)) / 2
    except ValueError:  # fewer than three grey levels
        return None


@dataclass(frozen=True)
class Dye:
    """Where a field is stained as nuclei are.

    Attributes
    ----------
    places : list of Place
        Platelets, some red cells and deposits of stain are among them; a nucleus in lobes may have several places.
    map : bool array of shape (h, w)
        What is stained, in a reduced picture; grains of stain are left out.
    scale : float
        Pixels of that picture in one of the field.
    """

    places: list[Place]
    map: np.ndarray
    scale: float

    def within(self, box: tuple[int, int, int, int], mask: np.ndarray) -> float:
        """Area of dye in a mask (bool) inside a box (xmin, ymin, xmax, ymax), in squared pixels of the field."""
        left, top, right, bottom = box
        rows, columns = (
            np.minimum((self.scale * (np.arange(first, last) + 0.5)).astype(int), side - 1)
            for first, last, side in ((top, bottom, self.map.shape[0]), (left, right, self.map.shape[1]))
        )
        return float((self.map[np.ix_(rows, columns)] & mask).sum())


def find_dye(image: np.ndarray, diameter: float, *, light: np.ndarray | None = None) -> Dye:
    """Find what is stained as nuclei are, by the colour of its dye.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255, as `cleared` gives it.
    diameter : float
        Of a red cell, in pixels.
    light : array of shape (3,), optional
        Of the empty background, 0-255; the lightest of each part otherwise.

    Returns
    -------
    Dye
    """
    scale = min(1.0, DETAIL / diameter)
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    small = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
    red = scale * diameter
    margin = int(2 * red) + 1
    stained = np.zeros((height, width), bool)
    found = []
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            above, before = max(0, top - margin), max(0, left - margin)
            places, own = _dye_of_tile(small[above : top + TILE + margin, before : left + TILE + margin], red, light)
            stained[top : top + TILE, left : left + TILE] = own[top - above :, left - before :][:TILE, :TILE]
            for place in places:
                row, column = place.row + above, place.column + before
                if top <= row < top + TILE and left <= column < left + TILE:
                    at = ((row + 0.5) / scale - 0.5, (column + 0.5) / scale - 0.5)
                    found.append(replace(place, row=at[0], column=at[1], diameter=place.diameter / scale))
    return Dye(found, stained, scale)


def _dye_of_tile(small: np.ndarray, red: float, light: np.ndarray | None) -> tuple[list[Place], np.ndarray]:
    """Places and map of a reduced tile in which a red cell is `red` pixels wide, in its pixels."""
    density = optical_density(small, light)
    like = ndimage.gaussian_filter(thiazine(density), SMOOTH * red)
    cuts = contrast_cuts(density[..., 1])
    if cuts is None:
        return [], np.zeros(small.shape[:2], bool)
    stained = (density[..., 1] > cuts[0]) & (density[..., 1] < cuts[1])
    like -= max(0.0, float(np.median(like[stained]))) if stained.any() else 0.0
    # where nothing is stained deeply, as in a pale picture, a share of the deepest stain is enough
    deepest = float(ndimage.gaussian_filter(like, DEEP * red).max())
    parts, count = ndimage.label(like > np.clip(SHARE * deepest, LEAST_STAIN, NUCLEUS))
    numbers = np.arange(count + 1)
    across = 2 * np.sqrt(np.bincount(parts.ravel(), minlength=count + 1) / np.pi)
    stain = ndimage.mean(like, parts, numbers)
    large = (across >= LEAST_NUCLEUS * red) & (numbers > 0)
    inside = large[parts]
    # places lie in the thick of a part, close enough together for each of two cells that touch to have one
    thick = ndimage.gaussian_filter(inside.astype(np.float32), red / 4)
    places = peak_local_max(thick, min_distance=max(1, round(APART * red)), exclude_border=False, threshold_abs=0.1)
    side = max(1, round(AROUND * red))
    amount, seen = (
        ndimage.uniform_filter(one.astype(np.float32), side, mode="constant") for one in (inside, np.ones_like(inside))
    )
    found = []
    for row, column in places:
        number = parts[_nearest(inside, row, column, round(2 * red))]
        dye = AROUND**2 * float(amount[row, column] / seen[row, column])
        found.append(Place(float(row), float(column), float(across[number]), float(stain[number]), dye))
    grains = max(1, round(GRAIN * red))
    return found, ndimage.binary_opening(inside, iterations=grains)


def _nearest(inside: np.ndarray, row: int, column: int, reach: int) -> tuple[int, int]:
    """Row and column of the true pixel nearest to one that has some no further away than half of `reach`."""
    if inside[row, column]:
        return row, column
    top, left = max(0, row - reach), max(0, column - reach)
    near = inside[top : row + reach + 1, left : column + reach + 1]
    rows, columns = np.nonzero(near)
    first = int(np.argmin((rows + top - row) ** 2 + (columns + left - column) ** 2))
    return top + int(rows[first]), left + int(columns[first])
