from __future__ import annotations

import pytest
import torch

from dorl.pretraining.bank import UNKNOWN
from dorl.pretraining.network import (
    CODE,
    QUEUE,
    Pretraining,
    code_loss,
    mask_loss,
    parts_loss,
    pooled,
    soft_targets,
    token_loss,
)
from dorl.segmentation.backbones.tiny import CompactSpec
from dorl.segmentation.losses import segmentation_loss

SMALL = CompactSpec(width=32, heads=2, depth=1, image_size=64, neck=16, decoder_mlp=32)


@pytest.fixture(scope="module")
def model() -> Pretraining:
    torch.manual_seed(0)
    return Pretraining(SMALL, labs=2)


def test_targets_are_shares_of_what_is_known() -> None:
    target = torch.zeros(1, 8, 8, dtype=torch.uint8)
    target[0, :4, :2], target[0, :4, 2:4] = 2, 1
    target[0, 4:, :4] = UNKNOWN
    target[0, 4:6, 4:] = UNKNOWN
    cell, weight = soft_targets(target, 2)
    assert cell.tolist() == [[[1, 0], [0, 0]]]
    assert weight.tolist() == [[[1, 1], [0, 0.5]]]


def test_with_whole_targets_the_mask_loss_is_nearly_the_published_one() -> None:
    logits = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    target = (torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(1)) > 0.5).long()
    ours = mask_loss(logits, target.float(), torch.ones(2, 16, 16))
    assert float(ours) == pytest.approx(float(segmentation_loss(logits, target)), abs=0.01)


def test_unknown_pixels_do_not_count() -> None:
    logits, cell, weight = torch.randn(1, 2, 8, 8), torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    weight[0, :4] = 1
    other = cell.clone()
    other[0, 4:] = 1
    assert torch.equal(mask_loss(logits, cell, weight), mask_loss(logits, other, weight))
    assert torch.isfinite(mask_loss(logits, cell, 0 * weight))


def test_parts_are_learnt_only_where_they_are_told_apart() -> None:
    logits = torch.randn(2, 3, 8, 8)
    targets = torch.randint(0, 3, (2, 16, 16)).to(torch.uint8)
    one = parts_loss(logits, targets, torch.tensor([True, False]))
    targets[1] = UNKNOWN
    assert torch.equal(one, parts_loss(logits, targets, torch.tensor([True, False])))
    assert parts_loss(logits, targets, torch.tensor([False, False])) == 0


def test_pooling_weighs_tokens() -> None:
    tokens = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert pooled(tokens, torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])).squeeze().tolist() == pytest.approx(
        [1, 5], abs=0.01
    )


def test_tokens_of_the_same_place_cost_nothing() -> None:
    tokens = torch.randn(2, 8, 4, 4)
    there = torch.nn.functional.affine_grid(torch.eye(3)[None, :2].expand(2, 2, 3), [2, 1, 4, 4], align_corners=False)
    inside = torch.ones(2, 4, 4)
    assert float(token_loss(tokens, tokens, there, inside)) == pytest.approx(0, abs=1e-5)
    assert float(token_loss(tokens, tokens.flip(3), there, inside)) > 0.5


def test_a_cell_is_told_from_cells_of_its_own_lab_only(model: Pretraining) -> None:
    codes = torch.nn.functional.normalize(torch.randn(4, CODE), dim=1)
    usable = torch.ones(4, dtype=torch.bool)
    alone = code_loss(model, codes[:2], codes[:2], torch.tensor([0, 1]), usable[:2])
    assert float(alone) == pytest.approx(0, abs=1e-4)  # the other cell is of another lab
    assert model.filled.tolist() == [1, 1]
    crowded = code_loss(model, codes, codes, torch.tensor([0, 0, 0, 0]), usable)
    assert float(crowded) > 0
    wrong = code_loss(model, codes, codes.roll(1, 0), torch.tensor([0, 0, 0, 0]), usable)
    assert float(wrong) > float(crowded)


def test_the_queue_goes_round(model: Pretraining) -> None:
    fresh = Pretraining(SMALL, labs=1)
    fresh.remember(torch.ones(QUEUE + 1, CODE), torch.zeros(QUEUE + 1, dtype=torch.int64))
    fresh.remember(2 * torch.ones(1, CODE), torch.zeros(1, dtype=torch.int64))
    assert fresh.queue[0, 1].eq(2).all()
    assert fresh.queue[0, 0].eq(1).all()


def test_pictures_without_a_cell_have_no_code_to_learn(model: Pretraining) -> None:
    nothing = torch.zeros(2, dtype=torch.bool)
    assert code_loss(model, torch.randn(2, CODE), torch.randn(2, CODE), torch.tensor([0, 0]), nothing) == 0
