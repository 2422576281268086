"""What the classifier "Views" took of a cell before it took s: an encoder's grids, averaged in the cell's parts.

Run folders of dorl 0.1 hold such a classifier; nothing learns from these any more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dorl.cells.crop import square_crop
from dorl.cells.views import Pictures, Views, cell_pictures
from dorl.segmentation import Segmenter

#: weight of a grid's every place beside that of the pixels in question, so that an empty part has a mean
LITTLE = 1e-5


def described_views(
    segmenter: Segmenter, images: Sequence[np.ndarray], masks: Sequence[np.ndarray], plain: int
) -> np.ndarray:
    """Plain views of cells, described: float16 (B, plain, F).

    Parameters
    ----------
    segmenter : Segmenter
    images : sequence of uint8 arrays of shape (H, W, 3)
    masks : sequence of bool arrays of shape (H, W)
    plain : int
        Views of each cell.

    Returns
    -------
    float16 array
        For each grid: mean and standard deviation in the cell, mean in the nucleus, mean in the cytoplasm.
    """
    looks = []
    for image, mask in zip(images, masks, strict=True):
        looks.append(cell_pictures(*square_crop(image, mask, segmenter.image_size), Views(plain, 0)))
    together = Pictures.joined(looks)
    parts = np.stack([together.cells, together.nuclei, together.cells & ~together.nuclei], 1).astype(np.float32)
    shares = torch.from_numpy(parts).to(segmenter.device)
    found: list[Tensor] = []
    with torch.inference_mode():
        for grid in segmenter.grids(torch.from_numpy(together.images)):
            weight = F.adaptive_avg_pool2d(shares, (grid.shape[2], grid.shape[3])) + LITTLE
            weight = weight / weight.sum((2, 3), keepdim=True)
            in_cell, in_nucleus, in_cytoplasm = torch.einsum("bchw,bkhw->kbc", grid, weight)
            apart = (grid - in_cell[:, :, None, None]) ** 2
            spread = torch.einsum("bchw,bhw->bc", apart, weight[:, 0]).sqrt()
            found += [in_cell, spread, in_nucleus, in_cytoplasm]
    return torch.cat(found, 1).cpu().numpy().reshape(len(looks), plain, -1).astype(np.float16)
