"""A cell looked at in several views, each brought to common references, and what an encoder says of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dorl.cells.references import to_references, without_noise
from dorl.cells.restain import move, restain, restain_harder
from dorl.segmentation import Segmenter

#: channels behind those of the encoder: how much of a token's patch the cell covers, and how much its nucleus
MARKS = 2


@dataclass(frozen=True)
class Views:
    """How many views of a cell there are.

    Parameters
    ----------
    plain : int
        As it is, each turned by a right angle more than the one before; a cell is classified by these.
    restained : int
        In random stain, light and sharpness, turned and cut anew; classifiers learn from these, too.
    """

    plain: int = 2
    restained: int = 4

    @property
    def total(self) -> int:
        """Both together."""
        return self.plain + self.restained


class Pictures(NamedTuple):
    """Views of cells at common references.

    Attributes
    ----------
    images : uint8 array of shape (V, S, S, 3)
        RGB, 0-255, the background white.
    cells, nuclei : bool arrays of shape (V, S, S)
    """

    images: np.ndarray
    cells: np.ndarray
    nuclei: np.ndarray

    @classmethod
    def joined(cls, parts: list[Pictures]) -> Pictures:
        """One after another."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def cell_pictures(
    crop: np.ndarray,
    mask: np.ndarray,
    count: Views,
    key: str = "",
    *,
    seed: int = 0,
    harder: bool = False,
    references: bool = True,
) -> Pictures:
    """Views of one cell: the plain ones, then the restained.

    Parameters
    ----------
    crop : uint8 array of shape (S, S, 3)
        RGB, 0-255, the square around the cell (`dorl.cells.crop.square_crop`).
    mask : bool array of shape (S, S)
    count : Views
    key : str
        The cell's own; with `seed` it decides how the cell is restained, whatever cells come with it.
    seed : int
    harder : bool
        Restain by `restain_harder`, as the autoencoder learns, in place of `restain`, as classifiers do.
    references : bool
        Without it the views keep their colours, and their noise (`dorl.cells.references.without_noise`).
    """
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    crop, pictures = without_noise(crop) if references else crop, []
    for number in range(count.total):
        if number < count.plain:
            image, cell = np.rot90(crop, number), np.rot90(mask, number)
        else:
            moved, cell = move(crop, mask, generator)
            anew = restain_harder if harder else restain
            stained = anew(moved[None], generator)[0].permute(1, 2, 0)
            image = (stained * 255).round().byte().numpy()
        image, cell = np.ascontiguousarray(image), np.ascontiguousarray(cell)
        brought, nucleus = to_references(image, cell)
        pictures.append((brought if references else image, cell, nucleus))
    return Pictures(*(np.stack(arrays) for arrays in zip(*pictures, strict=True)))


def alone(pictures: Pictures, size: int) -> np.ndarray:
    """The cells on white, deposits and neighbours gone: uint8 (V, size, size, 3)."""
    on_white = np.where(pictures.cells[..., None], pictures.images, np.uint8(255))
    pixels = torch.from_numpy(on_white).permute(0, 3, 1, 2).float()
    small = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return small.clamp(0, 255).round().byte().permute(0, 2, 3, 1).numpy()


def token_channels(segmenter: Segmenter) -> int:
    """Channels that `view_tokens` gives."""
    side = segmenter.image_size
    tokens, *finer = segmenter.grids(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    return tokens.shape[1] + 2 * sum(grid.shape[1] for grid in finer) + MARKS


def finer_channels(segmenter: Segmenter) -> tuple[int, ...]:
    """Channels of each of the encoder's finer grids, in the order of `view_tokens`; empty where it has none."""
    side = segmenter.image_size
    _, *finer = segmenter.grids(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    return tuple(grid.shape[1] for grid in finer)


def view_tokens(segmenter: Segmenter, pictures: Pictures) -> Tensor:
    """Tokens of views, with finer grids and the cell's outline beside them.

    Parameters
    ----------
    segmenter : Segmenter
        Its encoder sees the views.
    pictures : Pictures of V views
        Of the network's own size.

    Returns
    -------
    float32 Tensor of shape (V, C, G, G)
        On the encoder's device: the tokens; of each finer grid the mean and the standard deviation in each token's
        patch; the share of the patch that the cell covers, and that its nucleus covers.
    """
    marks = torch.from_numpy(np.stack([pictures.cells, pictures.nuclei], 1)).to(segmenter.device).float()
    with torch.inference_mode():
        tokens, *finer = segmenter.grids(torch.from_numpy(pictures.images))
        size = (tokens.shape[2], tokens.shape[3])
        parts = [tokens]
        for grid in finer:
            mean = F.adaptive_avg_pool2d(grid, size)
            spread = (F.adaptive_avg_pool2d(grid.square(), size) - mean.square()).clamp_min(0).sqrt()
            parts += [mean, spread]
        return torch.cat([*parts, F.adaptive_avg_pool2d(marks, size)], 1)
