"""One vector a view of a cell: what an encoder sees in the cell, in its nucleus and in its cytoplasm."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dorl.inference import batch_size
from dorl.segmentation import Segmenter
from dorl.views.crop import square_crop
from dorl.views.stain import restain, to_references

#: vectors of a grid: mean and standard deviation in the cell, means in its nucleus and in its cytoplasm
PARTS = 4
#: weight of a grid's every place beside that of the pixels in question, so that an empty part has a mean
LITTLE = 1e-5


@dataclass(frozen=True)
class Views:
    """How many views of a cell are described.

    Parameters
    ----------
    plain : int
        As it is, each turned by a right angle more than the one before; a cell is classified by these.
    restained : int
        In random stain, light and sharpness; classifiers learn from these, too.
    """

    plain: int = 2
    restained: int = 4

    @property
    def total(self) -> int:
        """Both together."""
        return self.plain + self.restained


def grid_widths(segmenter: Segmenter) -> list[int]:
    """Channels of each grid that the encoder gives."""
    side = segmenter.image_size
    return [grid.shape[1] for grid in segmenter.grids(torch.zeros(1, side, side, 3, dtype=torch.uint8))]


def described_width(segmenter: Segmenter) -> int:
    """Numbers that describe a view."""
    return PARTS * sum(grid_widths(segmenter))


def cell_views(
    segmenter: Segmenter,
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    counts: Sequence[Views],
    keys: Sequence[str],
    *,
    seed: int = 0,
) -> list[np.ndarray]:
    """Describe cells in several views each: `crop_views` of the square around each cell.

    Parameters
    ----------
    images : sequence of uint8 arrays of shape (H, W, 3)
    masks : sequence of bool arrays of shape (H, W)
        As `dorl.segmentation.cell.find_cells` gives them; an empty one stands for the whole picture.
    segmenter, counts, keys, seed
        As for `crop_views`.
    """
    pairs = [square_crop(image, mask, segmenter.image_size) for image, mask in zip(images, masks, strict=True)]
    crops, cells = [crop for crop, _ in pairs], [cell for _, cell in pairs]
    return crop_views(segmenter, crops, cells, counts, keys, seed=seed)


def crop_views(
    segmenter: Segmenter,
    crops: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    counts: Sequence[Views],
    keys: Sequence[str],
    *,
    seed: int = 0,
    references: bool = True,
) -> list[np.ndarray]:
    """Describe cells, from the squares around them, in several views each.

    Each view is the crop, perhaps restained, brought to common references (`to_references`), and seen by the encoder;
    every grid of features is pooled in the cell and its parts (`describe`).

    Parameters
    ----------
    segmenter : Segmenter
        Its encoder sees the views.
    crops : sequence of uint8 arrays of shape (S, S, 3)
        Of the network's own size.
    masks : sequence of bool arrays of shape (S, S)
    counts : sequence of Views
        Of each cell.
    keys : sequence of str
        Each cell's own; with `seed` it decides how the cell is restained, whatever cells come with it.
    seed : int
    references : bool
        Without it the views keep their colours.

    Returns
    -------
    list of float32 arrays of shape (views, F)
        The plain views, then the restained.
    """
    pictures, cells, nuclei = [], [], []
    for crop, cell, count, key in zip(crops, masks, counts, keys, strict=True):
        for number, view in enumerate(_pictures(crop, count, f"{seed}/{key}")):
            # the restained views begin with a turn, too
            turns = number if number < count.plain else number - count.plain + 1
            turned = np.rot90(cell, turns)
            picture, nucleus = to_references(np.rot90(view, turns), turned)
            pictures.append(picture if references else np.rot90(view, turns))
            cells.append(turned)
            nuclei.append(nucleus)
    size = batch_size(segmenter.device)
    parts = [
        describe(segmenter, *(np.stack(some[start : start + size]) for some in (pictures, cells, nuclei)))
        for start in range(0, len(pictures), size)
    ]
    return np.split(np.concatenate(parts), np.cumsum([count.total for count in counts])[:-1])


def _pictures(crop: np.ndarray, count: Views, text: str) -> np.ndarray:
    """The crop as often as views are wanted, uint8 (views, S, S, 3), the last ones restained."""
    plain = np.repeat(crop[None], count.plain, axis=0)
    if not count.restained:
        return plain
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big"))
    pixels = torch.from_numpy(crop.astype(np.float32)).permute(2, 0, 1) / 255
    stained = restain(pixels.expand(count.restained, -1, -1, -1), generator).permute(0, 2, 3, 1)
    return np.concatenate([plain, stained.mul_(255).round_().to(torch.uint8).numpy()])


def describe(segmenter: Segmenter, images: np.ndarray, cells: np.ndarray, nuclei: np.ndarray) -> np.ndarray:
    """Pool each grid of an encoder's features in a cell and its parts.

    Parameters
    ----------
    segmenter : Segmenter
    images : uint8 array of shape (B, S, S, 3)
        RGB, 0-255, of the network's own size.
    cells, nuclei : bool array of shape (B, S, S)

    Returns
    -------
    float32 array of shape (B, F)
        For each grid: mean and standard deviation in the cell, mean in the nucleus, mean in the cytoplasm.
    """
    # (B, 3, S, S): the cell, its nucleus, its cytoplasm
    parts = torch.from_numpy(np.stack([cells, nuclei, cells & ~nuclei], 1).astype(np.float32)).to(segmenter.device)
    found: list[Tensor] = []
    with torch.inference_mode():
        for grid in segmenter.grids(torch.from_numpy(images)):
            # how much of each place a part covers
            weight = F.adaptive_avg_pool2d(parts, (grid.shape[2], grid.shape[3])) + LITTLE
            weight = weight / weight.sum((2, 3), keepdim=True)
            in_cell, in_nucleus, in_cytoplasm = torch.einsum("bchw,bkhw->kbc", grid, weight)
            apart = (grid - in_cell[:, :, None, None]) ** 2
            spread = torch.einsum("bchw,bhw->bc", apart, weight[:, 0]).sqrt()
            found += [in_cell, spread, in_nucleus, in_cytoplasm]
    return torch.cat(found, 1).cpu().numpy()
