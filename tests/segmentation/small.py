"""Small real networks and rendered cells for the tests of this folder."""

from __future__ import annotations

import numpy as np
import torch

from dorl.domains.rendered import CELL_CLASSES, STYLES, RenderedCell, render_cell
from dorl.segmentation import SamSpec, Segmenter
from dorl.segmentation.lora import lora_modules

#: a grid of 8×8 tokens in windows of 3, and one block that sees the whole grid
SMALL = SamSpec(
    width=32, depth=2, heads=2, image_size=64, patch=8, window=3, global_blocks=(1,), neck=16, decoder_mlp=32
)


def small_segmenter(*, rank: int = 0, seed: int = 0) -> Segmenter:
    """Random weights, on the CPU, in float32."""
    return Segmenter.from_spec(SMALL, rank=rank, seed=seed, device="cpu", precision="float32")


def train_a_little(segmenter: Segmenter, *, seed: int = 1) -> None:
    """Stand in for a training: fill the LoRA matrices and shift the decoder's mask tokens."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in lora_modules(segmenter.sam):
            for matrix in (module.q_a, module.q_b, module.v_a, module.v_b):
                matrix.copy_(0.5 * torch.randn(matrix.shape, generator=generator))
        tokens = segmenter.sam.mask_decoder.mask_tokens.weight
        tokens.add_(torch.randn(tokens.shape, generator=generator))
    segmenter.changed()


def noise(count: int, height: int = 64, width: int = 64, *, seed: int = 0) -> np.ndarray:
    """Random images (count, H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def render(count: int, *, style: str = "harbour", seed: int = 0, size: int = 64) -> list[RenderedCell]:
    """Cells of every class in turn."""
    rng = np.random.default_rng(seed)
    names = list(CELL_CLASSES)
    return [render_cell(names[i % len(names)], STYLES[style], rng, size=size) for i in range(count)]


def assert_agree(out: torch.Tensor, expected: torch.Tensor, share: float = 1e-3) -> None:
    """No element differs by more than `share` of the spread: a fresh decoder's logits are tiny."""
    assert out.shape == expected.shape
    assert (out - expected).abs().max() <= share * expected.std()


class RenderedSet:
    """Rendered cells as a set of images with masks, which fine-tuning reads by index."""

    def __init__(self, cells: list[RenderedCell]) -> None:
        self.cells = cells

    def __len__(self) -> int:
        return len(self.cells)

    def load(self, index: int) -> np.ndarray:
        return self.cells[index].image

    def load_mask(self, index: int) -> np.ndarray | None:
        return self.cells[index].mask
