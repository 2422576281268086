"""The network in training, with heads that are thrown away afterwards, and the losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.pretraining.bank import BACKGROUND, CELL, NUCLEUS, UNKNOWN
from dorl.segmentation.backbones.sam import SamSpec
from dorl.segmentation.backbones.tiny import CompactSpec

#: numbers that a cell is told from its lab's other cells by
CODE = 128
#: earlier cells of each lab that a cell is told from
QUEUE = 256
#: of the softmax over them
TEMPERATURE = 0.15


class Pretraining(nn.Module):
    """A segmenter's network and its training heads.

    Parameters
    ----------
    spec : CompactSpec or SamSpec
    labs : int
        How many labs there are, rendered cells among them.
    """

    queue: Tensor
    filled: Tensor

    def __init__(self, spec: CompactSpec | SamSpec, labs: int) -> None:
        super().__init__()
        self.sam: Any = spec.build()
        self.parts = nn.Linear(spec.width, 3 * 16)
        self.code = nn.Sequential(nn.Linear(spec.width, 256), nn.GELU(), nn.Linear(256, CODE))
        self.picture = nn.Linear(spec.width, 3 * 256)
        self.register_buffer("queue", torch.zeros(labs, QUEUE, CODE))
        self.register_buffer("filled", torch.zeros(labs, dtype=torch.int64))

    def remember(self, codes: Tensor, labs: Tensor) -> None:
        """Put the codes (B, CODE) of cells of `labs` (B,) in place of the oldest of their lab."""
        for code, lab in zip(codes.detach(), labs.tolist(), strict=True):
            place = int(self.filled[lab]) % QUEUE
            self.queue[lab, place] = code
            self.filled[lab] += 1


def soft_targets(targets: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """From pixels to the decoder's grid.

    Parameters
    ----------
    targets : uint8 Tensor of shape (B, S, S)
    side : int

    Returns
    -------
    cell : float32 Tensor of shape (B, side, side)
        How much of each pixel the cell covers, 0-1, of what is known.
    weight : float32 Tensor of the same shape
        How much of the pixel is known, 0-1.
    """
    known = (targets != UNKNOWN).float()
    cell = ((targets == CELL) | (targets == NUCLEUS)).float()
    weight = F.adaptive_avg_pool2d(known[:, None], side)[:, 0]
    return F.adaptive_avg_pool2d(cell[:, None], side)[:, 0] / weight.clamp_min(1e-6), weight


def mask_loss(logits: Tensor, cell: Tensor, weight: Tensor) -> Tensor:
    """The published 0.2·cross-entropy + 0.8·Dice, for targets that are shares and in part unknown.

    Parameters
    ----------
    logits : Tensor of shape (B, 2, H, W)
    cell, weight : Tensor of shape (B, H, W)
        As `soft_targets` gives them.
    """
    difference = (logits[:, 1] - logits[:, 0]).float()
    entropy = F.binary_cross_entropy_with_logits(difference, cell, weight, reduction="sum") / weight.sum().clamp_min(1)
    probability = difference.sigmoid()
    dice = logits.new_zeros(()).float()
    for p, t in ((probability, cell), (1 - probability, 1 - cell)):
        size = (weight * (p**2 + t**2)).sum()
        dice = dice + 0.5 * (1 - (2 * (weight * p * t).sum() + 1) / (size + 1))
    return 0.2 * entropy + 0.8 * dice


def parts_loss(logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of background, cytoplasm and nucleus where they are told apart.

    Parameters
    ----------
    logits : Tensor of shape (B, 3, H, W)
    targets : uint8 Tensor of shape (B, S, S)
    known : bool Tensor of shape (B,)
    """
    if not known.any():
        return logits.sum() * 0
    nearest = F.interpolate(targets[known][:, None].float(), logits.shape[-2:], mode="nearest")[:, 0].long()
    return F.cross_entropy(logits[known].float(), nearest.clamp(BACKGROUND, NUCLEUS))


def pooled(tokens: Tensor, weight: Tensor) -> Tensor:
    """Tokens (B, D, G, G) averaged by `weight` (B, G, G): (B, D)."""
    weight = weight + 1e-4
    return torch.einsum("bdij,bij->bd", tokens, weight) / weight.sum((1, 2))[:, None]


def token_loss(first: Tensor, second: Tensor, places: Tensor, inside: Tensor) -> Tensor:
    """One minus the cosine between tokens of the same place in two renderings of a picture, less their common mean.

    Parameters
    ----------
    first, second : Tensor of shape (B, D, G, G)
    places : Tensor of shape (B, G, G, 2)
        Where the second view's tokens lie in the first.
    inside : Tensor of shape (B, G, G)
        How much of the second view's tokens the cell covers; they count five times as much as others.
    """
    centre = torch.cat([first, second]).detach().mean((0, 2, 3), keepdim=True)
    first, second = first - centre, second - centre
    moved = F.grid_sample(first, places, mode="bilinear", padding_mode="zeros", align_corners=False)
    weight = ((places.abs() < 1 - 1 / first.shape[-1]).all(-1)) * (1 + 4 * inside)
    return (weight * (1 - F.cosine_similarity(moved, second, dim=1))).sum() / weight.sum().clamp_min(1)


def code_loss(model: Pretraining, first: Tensor, second: Tensor, labs: Tensor, usable: Tensor) -> Tensor:
    """Tell each cell, in two renderings, from other cells of the same lab (InfoNCE, arXiv 1807.03748).

    Others come from its own lab only, so that what tells labs apart is of no help.

    Parameters
    ----------
    first, second : Tensor of shape (B, CODE)
    labs : int64 Tensor of shape (B,)
    usable : bool Tensor of shape (B,)
        Whether there is a cell.
    """
    first, second = F.normalize(first[usable], dim=1), F.normalize(second[usable], dim=1)
    labs = labs[usable]
    if not len(labs):
        return first.sum()
    same = labs[:, None] == labs[None]
    own = torch.eye(len(labs), dtype=torch.bool, device=labs.device)
    old = model.queue[labs]
    empty = torch.arange(QUEUE, device=labs.device)[None] >= model.filled[labs][:, None]
    total = first.new_zeros(())
    for query, key in ((first, second), (second, first)):
        near = (query @ key.T).masked_fill(~same, -1e4)
        past = torch.einsum("bd,bkd->bk", query, old).masked_fill(empty, -1e4)
        total = total + 0.5 * F.cross_entropy(torch.cat([near, past], 1) / TEMPERATURE, own.long().argmax(1))
    model.remember(second, labs)
    return total
