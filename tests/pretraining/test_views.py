from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from dorl.pretraining.bank import UNKNOWN
from dorl.pretraining.views import draw_geometry, look, nearby_geometry, token_places

SIDE = 64


def disc(centre: tuple[float, float] = (32, 32), radius: float = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """A dark disc on a light ground: image uint8 (1, S, S, 3), target uint8 (1, S, S)."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    target = ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2).to(torch.uint8)
    image = torch.where(target[..., None] > 0, torch.tensor([90, 60, 140]), torch.tensor([230, 220, 225]))
    return image.to(torch.uint8)[None], target[None]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_picture_and_target_move_together() -> None:
    image, target = disc((20, 40))
    many, marks = image.expand(16, -1, -1, -1), target.expand(16, -1, -1)
    views, moved = look(many, marks, draw_geometry(marks, generator()), SIDE)
    assert views.shape == (16, 3, SIDE, SIDE)
    assert moved.dtype == torch.uint8
    dark = views[:, 1] < 0.5
    assert ((dark == (moved > 0)).float().mean((1, 2)) > 0.97).all()


def test_known_cells_are_seen_small_and_large_and_rarely_lost() -> None:
    _, target = disc()
    marks = target.expand(200, -1, -1)
    _, moved = look(torch.zeros(200, SIDE, SIDE, 3, dtype=torch.uint8), marks, draw_geometry(marks, generator(1)), SIDE)
    share = (moved > 0).float().mean((1, 2)).sqrt()
    assert share.min() < 0.25
    assert share.max() > 0.7
    assert (share > 0.02).float().mean() > 0.95


def test_unknown_pictures_are_not_zoomed_into_a_corner() -> None:
    marks = torch.full((50, SIDE, SIDE), UNKNOWN, dtype=torch.uint8)
    matrices = draw_geometry(marks, generator(2))
    assert matrices[:, :2, 2].abs().max() < 0.7
    assert torch.isfinite(matrices).all()


def test_tokens_of_a_nearby_view_are_found_in_the_first() -> None:
    image, target = disc((28, 36), 14)
    first = draw_geometry(target, generator(3))
    second = nearby_geometry(first, generator(4))
    one, _ = look(image, target, first, SIDE)
    two, _ = look(image, target, second, SIDE)
    places = token_places(first, second, SIDE)
    moved = F.grid_sample(one, places, padding_mode="zeros", align_corners=False)
    inside = (places.abs() < 0.95).all(-1)
    assert inside.float().mean() > 0.3
    assert ((moved - two).abs().mean(1)[inside] < 0.1).float().mean() > 0.95


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_generator_gives_the_same_views(seed: int) -> None:
    image, target = disc()
    again = [look(image, target, draw_geometry(target, g), 32)[0] for g in (generator(seed), generator(seed))]
    assert torch.equal(*again)
