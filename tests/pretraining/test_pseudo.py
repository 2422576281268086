"""Checks of pseudo-masks, on drawn cells and probabilities."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dorl.pretraining.bank import BACKGROUND, CELL, SIDE, UNKNOWN, Bank
from dorl.pretraining.pseudo import (
    COMPARED,
    VIEWS,
    Checks,
    as_target,
    check,
    dark_share,
    probabilities,
    pseudo_masks,
    recolour,
)


def disc(radius: float, *, centre: tuple[float, float] = (0.5, 0.5), side: int = COMPARED) -> np.ndarray:
    rows, columns = np.indices((side, side)) / side
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2


def picture(*, nucleus: float = 0.1, cell: float = 0.2, centre: tuple[float, float] = (0.5, 0.5)) -> np.ndarray:
    """A pale cell with a dark nucleus, uint8 (SIDE, SIDE, 3)."""
    image = np.full((SIDE, SIDE, 3), 220, np.uint8)
    image[disc(cell, centre=centre, side=SIDE)] = (190, 160, 190)
    image[disc(nucleus, centre=centre, side=SIDE)] = (90, 40, 120)
    return image


def tried(mask: np.ndarray, *, image: np.ndarray | None = None, box: np.ndarray | None = None) -> str | None:
    """The check that fails where all views say `mask`."""
    mean = mask.astype(np.float32)
    views, valid = np.stack([mean] * 3), np.ones((3, COMPARED, COMPARED), bool)
    return check(mean, views, valid, picture() if image is None else image, box, Checks())[0]


def test_a_sound_mask_passes() -> None:
    assert tried(disc(0.2)) is None
    box = SIDE * np.array([0.3, 0.3, 0.7, 0.7])
    assert tried(disc(0.2), box=box) is None


def test_each_fault_is_found() -> None:
    ring = disc(0.3) & ~disc(0.27)
    assert tried(np.zeros((COMPARED, COMPARED), bool)) == "nothing found"
    assert tried(disc(0.03)) == "area"
    assert tried(ring) is None  # holes are filled, and the centre lies in one
    assert tried(disc(0.25) & ~disc(0.22, centre=(0.5, 0.62))) == "shape"
    assert tried(disc(0.15, centre=(0.15, 0.15)), image=picture(centre=(0.15, 0.15))) == "position"
    assert tried(disc(0.2), box=SIDE * np.array([0.3, 0.3, 0.5, 0.5])) == "box"
    assert tried(disc(0.15, centre=(0.5, 0.57)), image=picture(nucleus=0.13)) == "nucleus"
    assert tried(disc(0.52)) == "border"


def test_views_must_agree() -> None:
    views = np.stack([disc(0.2), disc(0.2), disc(0.13)]).astype(np.float32)
    valid = np.ones(views.shape, bool)
    assert check(views.mean(0), views, valid, picture(), None, Checks())[0] == "views disagree"
    # what a view doesn't show, it can't contradict
    valid[2] = disc(0.12)
    views[2] = disc(0.13)
    assert check(disc(0.2).astype(np.float32), views, valid, picture(), None, Checks())[0] is None


def test_another_cell_s_nucleus_does_not_count() -> None:
    image = picture()
    image[disc(0.08, centre=(0.5, 0.78), side=SIDE)] = (90, 40, 120)
    assert dark_share(image, disc(0.2)) == 1


def test_the_target_is_sure_of_the_border_and_keeps_what_was_known() -> None:
    mask = disc(0.2)
    mean = np.where(mask, 0.95, 0.02).astype(np.float32)
    mean[disc(0.05, centre=(0.1, 0.1))] = 0.9  # another part
    known = np.full((SIDE, SIDE), UNKNOWN, np.uint8)
    known[:, -8:] = BACKGROUND
    target = as_target(mean, mask, known)
    assert target[SIDE // 2, SIDE // 2] == CELL
    assert target[SIDE // 10, SIDE // 10] == UNKNOWN
    assert (target[:, -8:] == BACKGROUND).all()
    truth = disc(0.2, side=SIDE)
    assert abs(int((target == CELL).sum()) - int(truth.sum())) < 0.05 * truth.sum()


def by_colour(views: Tensor) -> Tensor:
    """Stands in for a network: what is darker than the light ground, as logits at a quarter of the size."""
    dark = views.amax((2, 3), keepdim=True).mean(1, keepdim=True) - views.mean(1, keepdim=True)
    logit = 40 * (F.avg_pool2d(dark, 4) - 0.08)
    return torch.cat([-logit, logit], 1)


def test_views_are_brought_back_to_the_picture() -> None:
    image = picture(centre=(0.4, 0.55))
    mean, views, valid = probabilities(torch.from_numpy(image)[None], by_colour, 64)
    assert views.shape == (1, len(VIEWS), COMPARED, COMPARED)
    truth = disc(0.2, centre=(0.4, 0.55))
    for view, seen in zip(views[0], valid[0], strict=True):
        found = (view > 0.5) & seen
        assert (found & truth).sum() / (found | (truth & seen)).sum() > 0.85
    assert ((mean[0] > 0.5) == truth).mean() > 0.98


@pytest.mark.parametrize("how", range(4))
def test_recolouring_stays_in_range(how: int) -> None:
    views = torch.rand(2, 3, 32, 32)
    changed = recolour(views, how)
    assert changed.shape == views.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(changed, views) == (how == 0)


def test_what_is_much_smaller_than_a_lab_s_cells_is_learnt_as_background() -> None:
    images = np.stack([picture(cell=0.38, nucleus=0.2)] * 4 + [picture(cell=0.14, nucleus=0.06)])
    table = pd.DataFrame({"lab": "a", "box": [""] * 5})
    bank = Bank(images, np.full((5, SIDE, SIDE), UNKNOWN, np.uint8), table)
    kept, counts = pseudo_masks(bank, np.arange(5), by_colour, size=128)
    assert counts == {"a": {"kept": 4, "platelet": 1}}
    assert (kept[0] == CELL).any()
    assert not (kept[4] == CELL).any()
    assert kept[4][SIDE // 2, SIDE // 2] == BACKGROUND


def test_only_checked_masks_are_kept_and_all_are_counted() -> None:
    images = np.stack([picture(), picture(centre=(0.1, 0.1)), np.full((SIDE, SIDE, 3), 220, np.uint8)])
    table = pd.DataFrame({"lab": "a", "box": ["", "", ""]})
    bank = Bank(images, np.full((3, SIDE, SIDE), UNKNOWN, np.uint8), table)
    kept, counts = pseudo_masks(bank, np.arange(3), by_colour, size=64, batch=2)
    assert list(kept) == [0]
    assert counts["a"]["kept"] == 1
    assert sum(counts["a"].values()) == 3
