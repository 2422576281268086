"""What a cell measures: size, shape, colour and nucleus."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import regionprops

from dorl.segmentation.crop import filled

#: measures in pixels, and what they are in µm: the power of the pixel's size
LENGTHS = {
    "area": 2,
    "perimeter": 1,
    "equivalent_diameter": 1,
    "major_axis": 1,
    "minor_axis": 1,
    "nucleus_area": 2,
}
SHAPE = ("circularity", "eccentricity", "solidity")
PARTS = ("cell", "nucleus", "cytoplasm")
COLOURS = tuple(f"{part}_{colour}" for part in PARTS for colour in ("red", "green", "blue"))
#: columns of `measure`
COLUMNS = (
    *("xmin", "ymin", "xmax", "ymax", "centre_x", "centre_y"),
    *(f"{name}_px" for name in LENGTHS),
    *SHAPE,
    *("nucleus_share", "nucleus_parts", "nucleus_solidity"),
    *COLOURS,
)
#: of the nucleus' parts, at least this share of the nucleus; smaller ones are granules
LOBE = 0.05


def measure(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Measure a cell.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255.
    mask : bool array of shape (H, W)
        One part, without holes.

    Returns
    -------
    dict of str to float
        `COLUMNS`: bounding box (``xmax``, ``ymax`` exclusive), centre, lengths and axes of the ellipse of equal moments
        in pixels, area in square pixels; circularity 4π·area/perimeter², at most 1; eccentricity and solidity as in
        scikit-image; the nucleus' share of the area, its lobes that are apart, its solidity; mean colour of the
        cell, its nucleus and its cytoplasm, 0-255. All NaN where the mask is empty, the cytoplasm's colour where the
        nucleus fills the cell.
    """
    if not mask.any():
        return dict.fromkeys(COLUMNS, math.nan)
    shape = regionprops(mask.astype(np.uint8))[0]
    top, left, bottom, right = shape.bbox
    nucleus = find_nucleus(image[shape.slice], mask[shape.slice])
    values: dict[str, float] = {"xmin": left, "ymin": top, "xmax": right, "ymax": bottom}
    values |= {"centre_x": shape.centroid[1], "centre_y": shape.centroid[0]}
    values |= {"area_px": shape.area, "perimeter_px": shape.perimeter}
    values |= {"equivalent_diameter_px": shape.equivalent_diameter_area}
    values |= {"major_axis_px": shape.axis_major_length, "minor_axis_px": shape.axis_minor_length}
    values |= {"nucleus_area_px": int(nucleus.sum())}
    values["circularity"] = min(1.0, 4 * math.pi * shape.area / max(shape.perimeter, 1.0) ** 2)
    values |= {"eccentricity": shape.eccentricity, "solidity": shape.solidity}
    values["nucleus_share"] = float(nucleus.sum() / shape.area)
    lobes = np.bincount(ndimage.label(nucleus, np.ones((3, 3), bool))[0].ravel())[1:]
    values["nucleus_parts"] = int((lobes >= LOBE * max(1, nucleus.sum())).sum())
    values["nucleus_solidity"] = regionprops(nucleus.astype(np.uint8))[0].solidity if nucleus.any() else math.nan
    inside = mask[shape.slice]
    for part, where in zip(PARTS, (inside, nucleus, inside & ~nucleus), strict=True):
        colour = image[shape.slice][where].mean(0) if where.any() else (math.nan,) * 3
        values |= {f"{part}_{name}": float(v) for name, v in zip(("red", "green", "blue"), colour, strict=True)}
    return {name: float(values[name]) for name in COLUMNS}


def find_nucleus(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The dark part of a cell by Otsu's threshold on green light inside its mask, smoothed by one pixel.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
    mask : bool array of shape (H, W)

    Returns
    -------
    bool array of shape (H, W)
        All of the cell where it is of one shade.
    """
    inside = mask.astype(np.float32)
    # what lies outside doesn't lighten the rim
    green = gaussian(image[..., 1] * inside, 1) / np.maximum(gaussian(inside, 1), 1e-6)
    if np.ptp(green[mask]) < 4:
        return mask.copy()
    dark = mask & (green < threshold_otsu(green[mask]))
    opened = ndimage.binary_opening(dark)
    return filled(opened if opened.any() else dark) & mask


def in_micrometres(values: dict[str, float], pixel_size: float) -> dict[str, float]:
    """Lengths and areas of `measure` in µm and µm², for pixels of `pixel_size` µm."""
    return {f"{name}_um": values[f"{name}_px"] * pixel_size**power for name, power in LENGTHS.items()}
