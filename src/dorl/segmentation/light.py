"""The light of the empty field, as a smooth surface, and a picture without its unevenness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

#: the surface is fitted in a picture reduced to this many pixels on its longer side
DETAIL = 128
#: blocks on the longer side in which the lightest places are looked for first, and the share of each that is lightest
BLOCKS, LIGHTEST = 10, 0.2
#: degree of the polynomial in x and y: of the first fits, and of the last
DEGREES = (2, 2, 4, 4)
#: a place that is this many standard deviations of the noise denser than the surface isn't empty; the noise is at
#: least so much, in optical density, and at most so much
DENSER, NOISE = 2.0, (0.012, 0.06)
#: rows of a large picture that are brought to even light at once
STRIPE = 128
#: what keeps the polynomial from bending where there is nothing to see, as a share of the places seen
RIDGE = 1e-3


@dataclass(frozen=True)
class Light:
    """The light that a field's empty background has at each place.

    Attributes
    ----------
    coefficients : float64 array of shape (15, 3)
        Of the optical density of the light, natural logarithm of 255 over the value, in red, green and blue, on the
        polynomials of `_terms`.
    noise : float
        Standard deviation of the optical density of the empty background around it, in a reduced picture.
    """

    coefficients: np.ndarray
    noise: float

    def density(self, shape: tuple[int, int]) -> np.ndarray:
        """Optical density of the light in a picture of a height and width: float32 (H, W, 3)."""
        rows, columns = (_legendre(np.linspace(-1, 1, side)) for side in shape)
        return self._at(rows, columns)

    def _at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """`density` at rows and columns given by their `_legendre` values."""
        degree = max(DEGREES)
        surface = np.empty((len(rows), len(columns), 3), np.float32)
        for channel in range(3):
            square = np.zeros((degree + 1, degree + 1), np.float32)
            square[tuple(np.array(_powers(degree)).T)] = self.coefficients[:, channel]
            surface[..., channel] = (rows @ square) @ columns.T
        return surface

    @property
    def middle(self) -> np.ndarray:
        """Median of the light's optical density over the field, (3,)."""
        return np.median(self.density((64, 64)), axis=(0, 1))

    @property
    def unevenness(self) -> float:
        """Largest difference of the light's optical density within the field, of any channel."""
        surface = self.density((24, 24))
        return float((surface.max(axis=(0, 1)) - surface.min(axis=(0, 1))).max())


def background_light(image: np.ndarray, *, ignored: np.ndarray | None = None) -> Light:
    """Estimate the light of the empty background over a picture.

    A polynomial surface of degree 4 in optical density, one a channel. It begins with the lightest places of each
    block and then takes every place that no channel shows to be denser than the surface; so cells are left out without
    being looked for, and vignettes and coloured rims are followed. A picture without empty background gives the
    lightest that it has.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255: a smear field, or a picture of one cell.
    ignored : bool array of shape (H, W), optional
        What is no part of the smear, as `dorl.segmentation.marks.find_marks` gives it, or a white cell.

    Returns
    -------
    Light
    """
    height, width = image.shape[:2]
    scale = min(1.0, DETAIL / max(height, width))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    density = -np.log((small.astype(np.float64) + 1) / 256)
    seen = np.ones(small.shape[:2], bool)
    if ignored is not None and ignored.any():
        part = np.asarray(Image.fromarray(ignored).convert("L").resize(size, Image.Resampling.BOX))
        seen = part < 8
        if seen.mean() < 0.02:
            seen[:] = True
    terms = _terms(np.linspace(-1, 1, size[1]), np.linspace(-1, 1, size[0]))
    grey = ndimage.gaussian_filter(density.sum(2), 0.7)
    chosen = _lightest(grey, seen)
    noise = NOISE[1]
    coefficients = np.zeros((terms.shape[-1], 3))
    for degree in DEGREES:
        count = (degree + 1) * (degree + 2) // 2
        coefficients = np.zeros_like(coefficients)
        coefficients[:count] = _fitted(terms[..., :count][chosen], density[chosen])
        above = density - terms @ coefficients
        lighter = above[chosen & (above.max(2) < 0)]
        noise = float(np.clip(np.sqrt((lighter**2).mean()) if len(lighter) else 0, *NOISE))
        chosen = seen & (above.max(2) < DENSER * noise)
        if chosen.sum() < 3 * terms.shape[-1]:
            chosen = _lightest(grey, seen)
    return Light(coefficients, noise)


def evenly_lit(image: np.ndarray, light: Light) -> np.ndarray:
    """The picture as it would be if the light of its middle were everywhere: uint8 (H, W, 3), as `image`.

    Where the light varies by no more than its noise the picture itself is returned.
    """
    if light.unevenness < 2 * light.noise:
        return image
    rows, columns = (_legendre(np.linspace(-1, 1, side)) for side in image.shape[:2])
    middle = light.middle
    even = np.empty_like(image)
    for start in range(0, len(rows), STRIPE):
        stripe = slice(start, start + STRIPE)
        factor = light._at(rows[stripe], columns)
        np.exp(np.clip(np.subtract(factor, middle, out=factor), -2, 2, out=factor), out=factor)
        factor *= image[stripe] + np.float32(1)
        factor -= np.float32(0.5)
        even[stripe] = np.clip(factor, 0, 255, out=factor)
    return even


def _legendre(axis: np.ndarray) -> np.ndarray:
    """Legendre polynomials up to the last degree at places from -1 to 1: float32 (N, 5)."""
    return np.polynomial.legendre.legvander(axis, max(DEGREES)).astype(np.float32)


def _powers(degree: int) -> list[tuple[int, int]]:
    """Degrees in y and x of each term, those of lower degree first."""
    return [(total - x, x) for total in range(degree + 1) for x in range(total + 1)]


def _terms(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Products of Legendre polynomials at rows and columns from -1 to 1: float32 (H, W, 15)."""
    down, across = _legendre(rows), _legendre(columns)
    return np.stack([down[:, None, y] * across[None, :, x] for y, x in _powers(max(DEGREES))], axis=-1)


def _fitted(terms: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Coefficients (T, 3) by least squares with a ridge that grows with a term's number and spares the first."""
    ridge = RIDGE * len(terms) * np.arange(terms.shape[1])
    return np.linalg.solve(terms.T @ terms + np.diag(ridge + 1e-9), terms.T @ density)


def _lightest(grey: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The lightest places of each block of a reduced picture, bool (H, W)."""
    side = max(1, -(-max(grey.shape) // BLOCKS))
    chosen = np.zeros(grey.shape, bool)
    for top in range(0, grey.shape[0], side):
        for left in range(0, grey.shape[1], side):
            block = np.s_[top : top + side, left : left + side]
            own = grey[block][seen[block]]
            if len(own):
                chosen[block] = seen[block] & (grey[block] <= np.quantile(own, LIGHTEST))
    return chosen if chosen.any() else seen
