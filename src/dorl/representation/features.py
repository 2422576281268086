"""From the cell in its image to what its feature s is made of, view by view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dorl.cells.crop import square_crop
from dorl.cells.views import Pictures, Views, alone, cell_pictures, finer_channels, token_channels, view_tokens
from dorl.representation.autoencoder import CrossDomainAutoencoder
from dorl.representation.config import AutoencoderConfig
from dorl.runtime.inference import batch_size
from dorl.segmentation import Segmenter


class SeenCells(NamedTuple):
    """Some cells as the autoencoder sees them.

    Attributes
    ----------
    descriptions : list of float32 arrays of shape (views, F)
        What s is made of (`CrossDomainAutoencoder.describe`), of the views of each cell, the plain ones first.
    first : Pictures
        The first view of each.
    tokens : float16 Tensor of shape (B, C, G, G)
        Of these first views, on the encoder's device.
    """

    descriptions: list[np.ndarray]
    first: Pictures
    tokens: Tensor


def shape_for(segmenter: Segmenter) -> AutoencoderConfig:
    """The shape of an autoencoder of a segmenter's cells, as the bundled one has it."""
    return AutoencoderConfig.of_cells(token_channels(segmenter), segmenter.grid, finer_channels(segmenter))


def see_cells(
    segmenter: Segmenter,
    autoencoder: CrossDomainAutoencoder,
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    counts: Sequence[Views],
    keys: Sequence[str],
    *,
    seed: int = 0,
) -> SeenCells:
    """Look at cells in several views each: `see_crops` of the square around each cell.

    Parameters
    ----------
    images : sequence of uint8 arrays of shape (H, W, 3)
    masks : sequence of bool arrays of shape (H, W)
        As `dorl.segmentation.cell.find_central_cells` gives them; an empty one stands for the whole picture.
    segmenter, autoencoder, counts, keys, seed
        As for `see_crops`.
    """
    pairs = [square_crop(image, mask, segmenter.image_size) for image, mask in zip(images, masks, strict=True)]
    crops, cells = [crop for crop, _ in pairs], [cell for _, cell in pairs]
    return see_crops(segmenter, autoencoder, crops, cells, counts, keys, seed=seed)


def see_crops(
    segmenter: Segmenter,
    autoencoder: CrossDomainAutoencoder,
    crops: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    counts: Sequence[Views],
    keys: Sequence[str],
    *,
    seed: int = 0,
    references: bool = True,
) -> SeenCells:
    """Look at cells, from the squares around them, in several views each.

    Parameters
    ----------
    segmenter : Segmenter
        Its encoder sees the views.
    autoencoder : CrossDomainAutoencoder
        Of a cell's tokens.
    crops : sequence of uint8 arrays of shape (S, S, 3)
        Of the network's own size.
    masks : sequence of bool arrays of shape (S, S)
    counts : sequence of Views
        Of each cell; at least one plain view.
    keys : sequence of str
        Each cell's own, as `dorl.cells.views.cell_pictures` takes it.
    seed : int
    references : bool
        Without it the views keep their colours.
    """
    looks = [
        cell_pictures(crop, mask, count, key, seed=seed, references=references)
        for crop, mask, count, key in zip(crops, masks, counts, keys, strict=True)
    ]
    together = Pictures.joined(looks)
    size = batch_size(segmenter.device)
    starts = np.cumsum([0, *(count.total for count in counts)])
    parts, tokens = [], []
    for start in range(0, len(together.images), size):
        some = Pictures(*(array[start : start + size] for array in together))
        # rounded as a pool keeps them, so that a cell has the same feature wherever it comes from
        views = view_tokens(segmenter, some).half()
        parts.append(autoencoder.describe(views).cpu().numpy())
        tokens.append(views[np.isin(np.arange(start, start + len(views)), starts)])
    first = Pictures(*(np.stack([array[0] for array in arrays]) for arrays in zip(*looks, strict=True)))
    return SeenCells(np.split(np.concatenate(parts), starts[1:-1]), first, torch.cat(tokens))


def reconstructed(autoencoder: CrossDomainAutoencoder, seen: SeenCells) -> tuple[np.ndarray, np.ndarray]:
    """What the autoencoder is to draw of cells, and what it draws: uint8 (B, S, S, 3) each, RGB, 0-255."""
    return alone(seen.first, autoencoder.config.image_size), autoencoder.draw(seen.tokens).cpu().numpy()
