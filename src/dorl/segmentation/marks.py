"""What a microscope or its program laid over a smear field: scale bars, lettering, frames, pointers, a round stop."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from dorl.segmentation.crop import NEIGHBOURS

#: a mark lets less than this share of the field's light pass, in every channel; nuclei let more blue light pass
DARK = 0.1
#: a white mark has at least this value in every channel, 0-255, where the field's light has at most the second one
WHITE, LIGHT = 250, 232
#: a coloured mark has at least this value in one channel and at most the second one in another; no stain does
PURE = (225, 30)
#: pixels around a mark that its blurred edge takes, as a share of the picture's shorter side, and least
EDGE, LEAST_EDGE = 0.004, 2
#: a dark part whose surroundings let less than this share of the red light pass lies in a nucleus, and is none
INSIDE_NUCLEUS = 0.45
#: of the largest diameter that a grain of stain has, as a share of the shorter side; a mark is longer
LEAST_LENGTH = 0.02


def find_marks(image: np.ndarray) -> np.ndarray:
    """Find what lies over a field and is no part of the smear.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255.

    Returns
    -------
    bool array of shape (H, W)
        Black, white and purely coloured marks with their edges. The densest nuclei and grains of stain aren't marks.
    """
    light = np.percentile(image[::4, ::4], 95, axis=(0, 1))
    red, green, blue = (image[..., channel] for channel in range(3))
    lightest, darkest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    marks = (red < DARK * light[0]) & (green < DARK * light[1]) & (blue < DARK * light[2])
    marks |= (lightest >= PURE[0]) & (darkest <= PURE[1])
    if light.min() <= LIGHT:
        marks |= darkest >= WHITE
    if not marks.any():
        return marks
    side = min(image.shape[:2])
    edge = max(LEAST_EDGE, round(EDGE * side))
    # letters of a word, and strokes of a letter, count together
    parts, count = ndimage.label(ndimage.binary_dilation(marks, NEIGHBOURS, iterations=edge), structure=NEIGHBOURS)
    found = np.zeros(count + 1, bool)
    for number, place in enumerate(ndimage.find_objects(parts), start=1):
        if max(axis.stop - axis.start for axis in place) - 2 * edge < LEAST_LENGTH * side:
            continue
        frame = tuple(slice(max(0, axis.start - edge), axis.stop + edge) for axis in place)
        own = parts[frame] == number
        around = ndimage.binary_dilation(own, NEIGHBOURS, iterations=edge) & (parts[frame] == 0)
        found[number] = not around.any() or np.median(red[frame][around]) > INSIDE_NUCLEUS * light[0]
    return found[parts]
