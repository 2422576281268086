from __future__ import annotations

import numpy as np
import pytest
import torch

from dorl.segmentation.losses import dice_loss, overlap_scores, segmentation_loss


def drawn(batch: int = 3, side: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, 2, side, side, generator=generator)
    return logits, torch.randint(0, 2, (batch, side, side), generator=generator)


def sure(target: torch.Tensor) -> torch.Tensor:
    """Logits that predict `target` with certainty."""
    return 40 * torch.nn.functional.one_hot(target, 2).movedim(-1, 1).float() - 20


def dice_by_hand(logits: torch.Tensor, target: torch.Tensor, epsilon: float = 1e-5) -> float:
    scores = np.exp(logits.double().numpy())
    losses = []
    for kind in (0, 1):
        p = scores[:, kind] / scores.sum(1)
        t = (target.numpy() == kind).astype(float)
        losses.append(1 - (2 * (p * t).sum() + epsilon) / ((p * p).sum() + (t * t).sum() + epsilon))
    return float(np.mean(losses))


def cross_entropy_by_hand(logits: torch.Tensor, target: torch.Tensor) -> float:
    scores = np.exp(logits.double().numpy())
    truth = np.where(target.numpy() == 1, scores[:, 1], scores[:, 0])
    return float(-np.log(truth / scores.sum(1)).mean())


def test_dice_is_the_published_formula() -> None:
    logits, target = drawn()
    assert float(dice_loss(logits, target)) == pytest.approx(dice_by_hand(logits, target), rel=1e-5)


def test_dice_of_four_pixels() -> None:
    # the cell is two of four pixels, and everything is called half a cell:
    # overlap 2·½ = 1, Σp² = 4·¼ = 1, Σt² = 2, for both classes
    loss = dice_loss(torch.zeros(1, 2, 2, 2), torch.tensor([[[0, 0], [1, 1]]]))
    assert float(loss) == pytest.approx(1 - 2 / 3, abs=1e-5)


def test_right_costs_nothing_and_wrong_costs_all() -> None:
    _, target = drawn()
    assert float(dice_loss(sure(target), target)) == pytest.approx(0, abs=1e-5)
    assert float(segmentation_loss(sure(target), target)) == pytest.approx(0, abs=1e-5)
    assert float(dice_loss(sure(1 - target), target)) == pytest.approx(1, abs=1e-5)


def test_an_image_without_a_cell_is_no_special_case() -> None:
    empty = torch.zeros(1, 4, 4, dtype=torch.long)
    assert float(dice_loss(sure(empty), empty)) == pytest.approx(0, abs=1e-5)


def test_a_fifth_is_cross_entropy_and_the_rest_dice() -> None:
    logits, target = drawn()
    expected = 0.2 * cross_entropy_by_hand(logits, target) + 0.8 * dice_by_hand(logits, target)
    assert float(segmentation_loss(logits, target)) == pytest.approx(expected, rel=1e-5)


def test_half_precision_logits_lose_no_more_than_their_rounding() -> None:
    logits, target = drawn(side=56)
    coarse = logits.bfloat16()
    loss = segmentation_loss(coarse, target)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(segmentation_loss(coarse.float(), target)), abs=1e-6)


def test_descending_the_loss_finds_the_mask() -> None:
    logits, target = drawn()
    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        segmentation_loss(logits, target).backward()
        optimizer.step()
    assert torch.equal(logits.argmax(1), target)


def test_overlap_of_masks_counted_by_hand() -> None:
    predicted = torch.tensor([[[1, 1, 0, 0]], [[1, 1, 1, 1]], [[1, 0, 0, 0]]]).bool()
    truth = torch.tensor([[[0, 1, 1, 0]], [[1, 1, 1, 1]], [[0, 0, 0, 1]]]).bool()
    dice, iou = overlap_scores(predicted, truth)
    assert dice.tolist() == [0.5, 1, 0]
    assert iou.tolist() == [pytest.approx(1 / 3), 1, 0]


def test_two_empty_masks_agree_and_one_empty_mask_does_not() -> None:
    cell, empty = torch.ones(1, 3, 3).bool(), torch.zeros(1, 3, 3).bool()
    scores = [[float(score) for score in overlap_scores(*pair)] for pair in ((empty, empty), (cell, empty))]
    assert scores == [[1, 1], [0, 0]]
