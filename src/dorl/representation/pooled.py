"""What a step of the learning from a pool sees, and the settings of that learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dorl.cells.pool import Pool
from dorl.cells.views import MARKS
from dorl.errors import InputError
from dorl.representation.autoencoder import CrossDomainAutoencoder
from dorl.representation.celltokens import CellTokens
from dorl.representation.config import AutoencoderConfig
from dorl.runtime.training import seeded

#: share of the cells whose second view is a plain one
PLAIN = 0.5


@dataclass(frozen=True)
class LearningSettings:
    """How an autoencoder of cells learns.

    Parameters
    ----------
    steps : int
    batch_size : int
        Cells of a step, each in two views.
    drawn : int
        Of these, so many are drawn as pictures.
    learning_rate, weight_decay : float
        Of AdamW.
    warmup : int
        In steps.
    agreement, description, discrepancy, tokens, picture, colour : float
        Weights of the losses; ``picture`` is that of 1 − SSIM, ``colour`` that of the mean absolute difference of the
        drawn pixels, which SSIM alone is slow to find.
    temperature : float
        Of the agreement's softmax.
    drawing_steps, drawing_batch : int
        Afterwards the decoder alone learns to draw, all tokens visible, for so many steps of so many cells each.
    """

    steps: int = 3200
    batch_size: int = 48
    drawn: int = 6
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 50
    agreement: float = 0.5
    description: float = 1.0
    discrepancy: float = 0.3
    tokens: float = 0.3
    picture: float = 1.0
    colour: float = 3.0
    temperature: float = 0.15
    drawing_steps: int = 1500
    drawing_batch: int = 16


class Batch(NamedTuple):
    """Cells of one step: of two views each the visible tokens, their positions and the description; and what is wanted.

    That is of the plain view: its description, and of some cells tokens (standardised) and picture (0-1).
    """

    first: tuple[Tensor, Tensor, Tensor]
    second: tuple[Tensor, Tensor, Tensor]
    described: Tensor
    tokens: Tensor
    pictures: Tensor
    lab: Tensor
    number: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(
            *(
                tuple(one.to(device) for one in part) if isinstance(part, tuple) else part.to(device)  # type: ignore[arg-type]
                for part in self
            )
        )


def make_batch(
    pool: Pool, cell: CellTokens, config: AutoencoderConfig, size: int, drawn: int, step: int, seed: int
) -> Batch:
    """Cells of one step."""
    rng = seeded(seed, 1, step)
    rows = draw_rows(pool.lab, size, rng)
    tokens, pictures = pool.batch(rows)
    count, views, plain = len(rows), pool.views.total, pool.views.plain
    # one of the two is restained, where any is, and the other is plain in half of the cells
    first = rng.integers(plain if views > plain else 0, views, count)
    other = (first + rng.integers(1, views, count)) % views if views > 1 else first
    second = np.where(rng.random(count) < PLAIN, rng.integers(0, plain, count), other)
    kept = max(1, round(config.seen * (1 - config.mask_ratio)))

    def seen(view: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        flat = torch.from_numpy(tokens[np.arange(count), view]).float().flatten(2).transpose(1, 2)
        best = flat[..., -MARKS].topk(config.seen, dim=1).indices
        chance = torch.from_numpy(rng.random(best.shape))
        places = best.gather(1, chance.argsort(1)[:, :kept])
        return flat.gather(1, places[..., None].expand(-1, -1, flat.shape[2])), places, cell.begun(flat)

    whole = torch.from_numpy(tokens[:, 0]).float().flatten(2).transpose(1, 2)
    return Batch(
        first=seen(first),
        second=seen(second),
        described=cell.begun(whole),
        tokens=cell.standardised(whole[:drawn]),
        pictures=torch.from_numpy(pictures[:drawn]).permute(0, 3, 1, 2).float() / 255,
        lab=torch.from_numpy(pool.lab[rows]),
        number=torch.from_numpy(rows),
    )


def draw_rows(lab: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of one step; a lab's share goes with the square root of its size. No row comes twice."""
    sizes = np.bincount(lab)
    chance = np.sqrt(sizes[lab]) / sizes[lab]
    return rng.choice(len(lab), min(count, len(lab)), replace=False, p=chance / chance.sum())


def cell_tokens(model: CrossDomainAutoencoder) -> CellTokens:
    """The part of an autoencoder of cells that takes their tokens; InputError for one of whole images."""
    if model.encoder.cell is None:
        raise InputError("this autoencoder takes tokens of whole images, as published: give one of cells")
    return model.encoder.cell
