"""A segmenter as one module of plain tensors, for runtimes other than torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dorl.segmentation.pixels import normalise

if TYPE_CHECKING:
    from dorl.segmentation.segmenter import Segmenter


class SegmenterGraph(nn.Module):
    """Normalising, encoder and mask decoder, LoRA folded in, float32, on the CPU.

    Parameters
    ----------
    segmenter : Segmenter
    every_grid : bool
        Give the encoder's finer grids, too, where there are any.
    """

    def __init__(self, segmenter: Segmenter, *, every_grid: bool = False) -> None:
        super().__init__()
        self.network = segmenter.merged(torch.float32).cpu()
        self.spec = segmenter.spec
        self.mean, self.std = segmenter.mean, segmenter.std
        self.every_grid = every_grid
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Tokens (B, D, G, G), mask logits (B, 2, 4·G, 4·G) and finer grids of uint8 images (B, S, S, 3)."""
        hidden = self.spec.encode(self.network, normalise(images, self.mean, self.std))
        tokens, *finer = self.spec.grids(hidden) if self.every_grid else (self.spec.tokens(hidden),)
        return (tokens, self.spec.decode(self.network, hidden), *finer)
