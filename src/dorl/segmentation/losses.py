"""The published fine-tuning loss, and the two measures that a mask is judged by."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def dice_loss(logits: Tensor, target: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """Soft Dice over the two classes, squared denominators.

    Parameters
    ----------
    logits : Tensor of shape (B, 2, H, W)
    target : integer Tensor of shape (B, H, W)
        0 background, 1 cell.

    Returns
    -------
    Tensor, scalar
        Mean over both classes of ``1 - (2·Σpt + ε) / (Σp² + Σt² + ε)``, sums over the batch.
    """
    probabilities = logits.float().softmax(dim=1)
    truth = F.one_hot(target, 2).movedim(-1, 1).to(probabilities.dtype)
    axes = (0, 2, 3)
    overlap = (probabilities * truth).sum(axes)
    size = (probabilities**2).sum(axes) + (truth**2).sum(axes)
    return (1 - (2 * overlap + epsilon) / (size + epsilon)).mean()


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """0.2·cross-entropy + 0.8·Dice on the decoder's own 56×56 logits (DoRL, stage 1); shapes as in `dice_loss`."""
    return 0.2 * F.cross_entropy(logits.float(), target) + 0.8 * dice_loss(logits, target)


def overlap_scores(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Dice and IoU of the cell, per image.

    Parameters
    ----------
    predicted, truth : bool Tensor of shape (B, H, W)

    Returns
    -------
    dice, iou : Tensor of shape (B,)
        1 where both masks are empty.
    """
    axes = (1, 2)
    both = (predicted & truth).sum(axes).double()
    total = predicted.sum(axes).double() + truth.sum(axes).double()
    one = torch.ones_like(both)
    dice = torch.where(total > 0, 2 * both / total, one)
    iou = torch.where(total > 0, both / (total - both), one)
    return dice, iou
