"""Images as a segmenter's network takes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

#: input mean and standard deviation of the published adapter (RGB, 0-255)
PUBLISHED_MEAN = (215.0322, 187.7592, 200.4668)
PUBLISHED_STD = (41.3047, 56.9191, 21.9522)


def prepare(image: np.ndarray, size: int = 224) -> np.ndarray:
    """Resize one uint8 image (H, W, 3) to (size, size, 3), bilinear; a picture that isn't square is squeezed."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """From uint8 (B, S, S, 3) to float (B, 3, S, S), minus `mean`, divided by `std` (RGB, 0-255)."""
    batch, side, other, _ = images.shape
    # whole rows at a time: loops over three channels are slow
    means, stds = (torch.tensor(values, device=images.device).repeat(other) for values in (mean, std))
    pixels = images.reshape(batch, side, 3 * other).float().sub_(means).div_(stds)
    return pixels.view(batch, side, other, 3).permute(0, 3, 1, 2)
