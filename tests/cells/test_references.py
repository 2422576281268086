from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from PIL import Image

from dorl.cells.references import NOISY, noise, to_references, without_noise
from dorl.domains.corrupted import STRENGTHS, corrupt

SIDE = 64
NUCLEUS, CYTOPLASM, WHITE = (110, 60, 150), (210, 170, 205), (236, 228, 232)


def cell() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cell with a nucleus on a light ground: image uint8 (S, S, 3), mask and nucleus bool (S, S)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    mask, nucleus = ((y - 32) ** 2 + (x - 30) ** 2 < 22**2), ((y - 36) ** 2 + (x - 30) ** 2 < 12**2)
    image = np.where(nucleus[..., None], NUCLEUS, np.where(mask[..., None], CYTOPLASM, WHITE)).astype(np.uint8)
    return image, mask, nucleus


def test_the_ground_becomes_white_and_the_nucleus_is_found() -> None:
    image, mask, nucleus = cell()
    made, found = to_references(image, mask)
    assert made.shape == image.shape
    assert made.dtype == np.uint8
    assert np.median(made[~mask], axis=0).min() >= 253
    assert (found & nucleus).sum() / (found | nucleus).sum() > 0.9


def test_the_ground_is_what_is_lightest_around_the_cell() -> None:
    image, mask, _ = cell()
    clean, _ = to_references(image, mask)
    around = np.zeros_like(mask)
    around[:26], around[-6:] = True, True  # red cells and debris on half of what lies around
    image[around & ~mask] = CYTOPLASM
    crowded, _ = to_references(image, mask)
    assert np.median(crowded[~mask & ~around], axis=0).min() >= 253
    np.testing.assert_array_equal(crowded[mask], clean[mask])


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("scale", [1, 3])
def test_noise_is_told_and_filtered_and_what_is_clean_stays(strength: int, scale: int) -> None:
    """Also of a picture that was scaled up, in which neighbours share their noise."""
    image, _, _ = cell()

    def large(picture: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(picture).resize((scale * SIDE, scale * SIDE), Image.Resampling.BILINEAR))

    clean, noisy = large(image), large(corrupt(image, "noise", strength))
    assert without_noise(clean) is clean
    assert noise(noisy) > NOISY
    before, after = (np.abs(one.astype(int) - clean).mean() for one in (noisy, without_noise(noisy)))
    assert after < 0.75 * before


@pytest.mark.parametrize("light", [(1.0, 0.97, 0.62), (0.7, 0.75, 0.9)])
@pytest.mark.parametrize("strength", [0.75, 1.3])
def test_light_and_strength_of_stain_are_taken_out(light: tuple[float, ...], strength: float) -> None:
    image, mask, _ = cell()
    other = 255 * np.array(light) * (image / 255.0) ** strength
    first, second = (to_references(i, mask)[0].astype(int) for i in (image, other.round().astype(np.uint8)))
    assert np.abs(image.astype(int) - other).mean() > 20
    assert np.abs(first - second).mean() < 4


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.uint8, (24, 17, 3)),
    arrays.arrays(bool, (24, 17)),
)
def test_any_picture_and_mask_have_references(image: np.ndarray, mask: np.ndarray) -> None:
    made, nucleus = to_references(image, mask)
    assert made.shape == image.shape
    assert nucleus.shape == mask.shape
    if mask.any():
        assert not (nucleus & ~mask).any()


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_of_one_colour_has_references(value: int) -> None:
    made, nucleus = to_references(np.full((32, 32, 3), value, np.uint8), np.zeros((32, 32), bool))
    assert np.ptp(made) <= 1
    assert nucleus.shape == (32, 32)


def test_the_table_gives_what_every_pixel_would() -> None:
    """Pixels alone decide: a value of a channel becomes the same everywhere, as the formula says."""
    image = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    _, mask, _ = cell()
    made, _ = to_references(image, mask)
    for channel in range(3):
        values, first, which = np.unique(image[..., channel], return_index=True, return_inverse=True)
        assert len(values) > 200
        assert (made[..., channel].ravel()[first][which.ravel()] == made[..., channel].ravel()).all()
        assert (np.diff(made[..., channel].ravel()[first].astype(int)) >= 0).all()
