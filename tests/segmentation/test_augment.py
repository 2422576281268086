from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dorl.segmentation.augment import augment

SIDE = 48


def shape() -> np.ndarray:
    """A mask that no turn and no flip leaves as it is."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10:38, 12:22] = True
    mask[28:38, 12:40] = True
    return mask


def painted(mask: np.ndarray) -> np.ndarray:
    """An image that shows its mask in red."""
    image = np.full((*mask.shape, 3), 60, np.uint8)
    image[mask] = (220, 60, 60)
    return image


def mirrored(array: np.ndarray) -> list[np.ndarray]:
    """The four reflections of a square."""
    return [np.flip(np.rot90(array, turns), 0) for turns in range(4)]


def branch(image: np.ndarray, out: np.ndarray) -> str:
    if np.array_equal(out, image):
        return "unchanged"
    return "right angle" if any(np.array_equal(out, other) for other in mirrored(image)) else "small angle"


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_image_and_mask_stay_aligned(seed: int) -> None:
    mask = shape()
    image = painted(mask)
    out, turned = augment(image, mask, np.random.default_rng(seed))
    assert (out.shape, out.dtype) == (image.shape, np.uint8)
    assert (turned.shape, turned.dtype) == (mask.shape, bool)
    shown = out[..., 0] > 140
    # interpolation may shift the outline by a pixel, no more
    inside, around = ndimage.binary_erosion(turned), ndimage.binary_dilation(turned, np.ones((3, 3)))
    assert shown[inside].all()
    assert not shown[~around].any()
    assert abs(int(turned.sum()) - int(mask.sum())) < 0.1 * mask.sum()
    np.testing.assert_array_equal(image, painted(shape()))


def test_half_are_mirrored_a_quarter_turned_a_little_a_quarter_left_alone() -> None:
    mask, rng = shape(), np.random.default_rng(0)
    image = painted(mask)
    count = 1200
    found = Counter(branch(image, augment(image, mask, rng)[0]) for _ in range(count))
    shares = {name: number / count for name, number in found.items()}
    assert abs(shares["right angle"] - 0.5) < 0.05
    assert abs(shares["small angle"] - 0.25) < 0.05
    assert abs(shares["unchanged"] - 0.25) < 0.05


def test_all_four_reflections_come_up() -> None:
    mask, rng = shape(), np.random.default_rng(0)
    out = [augment(painted(mask), mask, rng)[1] for _ in range(100)]
    assert all(any(np.array_equal(one, other) for one in out) for other in mirrored(mask))


def test_small_angles_reach_twenty_degrees_both_ways_and_no_further() -> None:
    bar = np.zeros((SIDE, SIDE), bool)
    bar[22:26, 6:42] = True
    rng, angles = np.random.default_rng(0), []
    for _ in range(800):
        mask = augment(painted(bar), bar, rng)[1]
        rows, columns = np.nonzero(mask)
        _, vectors = np.linalg.eigh(np.cov(columns, rows))
        angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
        angle = (angle + 90) % 180 - 90
        if abs(angle) < 45:  # else it was turned by a right angle
            angles.append(angle)
    assert -21.5 < min(angles) < -17
    assert 17 < max(angles) < 21.5


def test_what_a_turn_uncovers_is_not_black() -> None:
    image = np.full((SIDE, SIDE, 3), 200, np.uint8)
    rng = np.random.default_rng(0)
    assert all((augment(image, shape(), rng)[0] == 200).all() for _ in range(40))


def test_the_same_generator_gives_the_same_pair() -> None:
    mask = shape()
    for seed in range(10):
        first, again = (augment(painted(mask), mask, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])
