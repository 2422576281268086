from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays

from dorl.views import restain, to_references

SIDE = 64
NUCLEUS, CYTOPLASM, WHITE = (110, 60, 150), (210, 170, 205), (236, 228, 232)


def cell() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cell with a nucleus on a light ground: image uint8 (S, S, 3), mask and nucleus bool (S, S)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    mask, nucleus = ((y - 32) ** 2 + (x - 30) ** 2 < 22**2), ((y - 36) ** 2 + (x - 30) ** 2 < 12**2)
    image = np.where(nucleus[..., None], NUCLEUS, np.where(mask[..., None], CYTOPLASM, WHITE)).astype(np.uint8)
    return image, mask, nucleus


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_ground_becomes_white_and_the_nucleus_is_found() -> None:
    image, mask, nucleus = cell()
    made, found = to_references(image, mask)
    assert made.shape == image.shape
    assert made.dtype == np.uint8
    assert np.median(made[~mask], axis=0).min() >= 253
    assert (found & nucleus).sum() / (found | nucleus).sum() > 0.9


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


def test_restaining_changes_the_colours_and_stays_in_range() -> None:
    views = torch.from_numpy(cell()[0]).permute(2, 0, 1)[None].expand(12, -1, -1, -1) / 255
    stained = restain(views, generator(5))
    assert stained.shape == views.shape
    assert stained.min() >= 0
    assert stained.max() <= 1
    assert torch.isfinite(stained).all()
    assert ((stained - views).abs().mean((1, 2, 3)) > 0.02).all()
    # the nucleus can still be told from the ground in nearly all of them
    dark, light = stained[..., 32:40, 26:34].mean((2, 3)), stained[..., :6, :6].mean((2, 3))
    assert ((dark - light).abs().amax(1) > 0.03).float().mean() > 0.8


def test_the_same_generator_restains_alike() -> None:
    views = torch.rand(3, 3, 32, 32, generator=generator(1))
    assert torch.equal(restain(views, generator(2)), restain(views, generator(2)))
    assert not torch.equal(restain(views, generator(2)), restain(views, generator(3)))


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


@pytest.mark.parametrize("seed", range(6))
def test_a_picture_expanded_is_restained_as_its_copies_are(seed: int) -> None:
    """What is alike in all copies is computed once; the moving between stains, of copies, changes nothing."""
    image, _, _ = cell()
    pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1) / 255
    once = restain(pixels.expand(4, -1, -1, -1), generator(seed))
    copies = restain(pixels.repeat(4, 1, 1, 1), generator(seed))
    assert (once - copies).abs().max() < 1e-5


def test_what_is_restained_is_left_as_it_was() -> None:
    image, _, _ = cell()
    views = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None].repeat(3, 1, 1, 1) / 255
    before = views.clone()
    restain(views, generator())
    restain(views[:1].expand(3, -1, -1, -1), generator())
    assert torch.equal(views, before)
