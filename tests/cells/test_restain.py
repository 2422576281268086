from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.cells.test_references import cell

from dorl.cells.restain import move, restain, restain_harder


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("anew", [restain, restain_harder])
def test_restaining_changes_the_colours_and_stays_in_range(anew: Callable) -> None:
    views = torch.from_numpy(cell()[0]).permute(2, 0, 1)[None].expand(12, -1, -1, -1) / 255
    stained = anew(views, generator(5))
    assert stained.shape == views.shape
    assert stained.min() >= 0
    assert stained.max() <= 1
    assert torch.isfinite(stained).all()
    changed = (stained - views).abs().mean((1, 2, 3))
    assert changed.min() > 0.005
    assert changed.mean() > 0.05
    # the nucleus can still be told from the ground in nearly all of them
    dark, light = stained[..., 32:40, 26:34].mean((2, 3)), stained[..., :6, :6].mean((2, 3))
    assert ((dark - light).abs().amax(1) > 0.03).float().mean() > 0.8


@pytest.mark.parametrize("anew", [restain, restain_harder])
def test_the_same_generator_restains_alike(anew: Callable) -> None:
    views = torch.rand(3, 3, 32, 32, generator=generator(1))
    assert torch.equal(anew(views, generator(2)), anew(views, generator(2)))
    assert not torch.equal(anew(views, generator(2)), anew(views, generator(3)))


@pytest.mark.parametrize("anew", [restain, restain_harder])
@pytest.mark.parametrize("seed", range(6))
def test_a_picture_expanded_is_restained_as_its_copies_are(seed: int, anew: Callable) -> None:
    """What is alike in all copies is computed once; the moving between stains, of copies, changes nothing."""
    image, _, _ = cell()
    pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1) / 255
    once = anew(pixels.expand(4, -1, -1, -1), generator(seed))
    copies = anew(pixels.repeat(4, 1, 1, 1), generator(seed))
    assert (once - copies).abs().max() < 1e-5


@pytest.mark.parametrize("anew", [restain, restain_harder])
def test_what_is_restained_is_left_as_it_was(anew: Callable) -> None:
    image, _, _ = cell()
    views = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None].repeat(3, 1, 1, 1) / 255
    before = views.clone()
    anew(views, generator())
    anew(views[:1].expand(3, -1, -1, -1), generator())
    assert torch.equal(views, before)


def test_some_views_go_far_and_some_hardly() -> None:
    image, _, _ = cell()
    views = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None].expand(60, -1, -1, -1) / 255
    far = (restain_harder(views, generator(1)) - views).abs().mean((1, 2, 3))
    assert far.min() < 0.06
    assert far.max() > 0.2


def test_a_moved_cell_is_still_that_cell() -> None:
    image, mask, nucleus = cell()
    for seed in range(8):
        picture, moved = move(image, mask, generator(seed))
        assert picture.shape == (3, *mask.shape)
        assert 0 <= picture.min() <= picture.max() <= 1
        assert 0.6 < moved.sum() / mask.sum() < 1.6
        # what is dark is the nucleus, and it lies in the cell
        dark = picture.mean(0).numpy() < 0.55
        assert (dark & moved).sum() > 0.9 * dark.sum()
        assert 0.5 < dark.sum() / nucleus.sum() < 2
    assert not np.array_equal(move(image, mask, generator(1))[1], move(image, mask, generator(2))[1])


def test_a_moved_picture_without_a_cell_counts_whole() -> None:
    image, mask, _ = cell()
    _, moved = move(image, np.zeros_like(mask), generator())
    assert moved.all()
