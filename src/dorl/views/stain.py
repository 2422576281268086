"""Stain, light and photograph a picture anew: at random, or brought to common references."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu
from torch import Tensor
from torch.nn import functional as F

#: optical density (natural logarithm) that a nucleus is brought to, in red, green and blue light
NUCLEUS = np.array([0.85, 1.15, 0.5], np.float32)
#: a nucleus of less density than this counts as having this much, so that noise isn't blown up
LEAST = np.array([0.25, 0.3, 0.2], np.float32)
#: share of red and green light in the grey that nucleus and cytoplasm are told apart by; nuclei are dark in both
GREY = np.array([0.4, 0.6, 0.0], np.float32)
#: of the pixels outside the cell, this share of the lightest is the empty background
LIGHTEST = 0.3
#: a cell of fewer pixels, of the half as large picture that references are read from, has none of its own
FEWEST = 12


def to_references(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring the empty background to white and the cell's nucleus to one density, so that labs look more alike.

    What is left is the shape, and every other density in relation to the nucleus'. Stains and lights that only scale
    densities, channel by channel, are taken out whole (Beer-Lambert).

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255: a cell and what lies around it.
    mask : bool array of shape (H, W)
        The cell; where it is empty, the whole picture counts as one.

    Returns
    -------
    image : uint8 array of shape (H, W, 3)
    nucleus : bool array of shape (H, W)
        The denser part of the cell, by Otsu's threshold.
    """
    density = -np.log(np.clip(image, 1, 255).astype(np.float32) / 255)
    # references are medians and shares: a half as large picture tells them as well
    small, inside = density[::2, ::2], mask[::2, ::2]
    if inside.sum() < FEWEST:
        inside = np.ones_like(inside)
    outside = ~ndimage.binary_dilation(inside, iterations=2)
    if outside.sum() < FEWEST:
        outside = ~inside
    if outside.any():
        lightest = outside & (small[..., 1] <= np.quantile(small[..., 1][outside], LIGHTEST))
        white = np.median(small[lightest], axis=0)
    else:
        white = small.reshape(-1, 3).min(axis=0)
    small = np.clip(small - white, -0.1, 3)
    grey = ndimage.gaussian_filter(small @ GREY, 0.75)
    nucleus = inside & (grey >= threshold_otsu(grey[inside]))
    scale = NUCLEUS / np.maximum(np.median(small[nucleus], axis=0), LEAST)
    density = np.clip((density - white) * scale, -0.1, 3 * scale)
    pixels = np.clip(255 * np.exp(-density), 0, 255).round().astype(np.uint8)
    full = np.repeat(np.repeat(nucleus, 2, axis=0), 2, axis=1)[: mask.shape[0], : mask.shape[1]]
    return pixels, full & mask if mask.any() else full


def restain(views: Tensor, generator: torch.Generator) -> Tensor:
    """Stain, light and photograph anew.

    Optical density is mixed between channels and scaled, and for half of the views moved towards that of another
    picture of the batch, as if stained in its lab; then come uneven light, the colour of the light, saturation, gamma,
    blur, lost resolution and noise.

    Parameters
    ----------
    views : float32 Tensor of shape (B, 3, S, S)
        RGB, 0-1.
    generator : torch.Generator

    Returns
    -------
    float32 Tensor of the same shape, 0-1
    """
    batch = len(views)

    def draw(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator)

    def some(share: float) -> Tensor:
        return (draw(1, 1, 1) < share).float()

    density = -torch.log(views.clamp_min(1 / 255))
    mean, std = density.mean((2, 3), keepdim=True), density.std((2, 3), keepdim=True) + 0.02
    other = torch.randperm(batch, generator=generator)
    amount = draw(1, 1, 1, high=1.2).clamp_max(1) * some(0.5)
    moved = (density - mean) / std * std[other] + mean[other]
    density = torch.lerp(density, moved, amount)
    mixing = torch.eye(3) + 0.18 * torch.randn(batch, 3, 3, generator=generator) * some(0.6)[..., 0]
    density = torch.einsum("bij,bjhw->bihw", mixing, density)
    density = density * draw(3, 1, 1, low=0.65, high=1.4) * draw(1, 1, 1, low=0.65, high=1.35)
    tint = draw(3, 1, 1, low=-0.04, high=0.22) * some(0.7) + draw(3, 1, 1, low=0.0, high=0.9) * some(0.08)
    slope = torch.linspace(-1, 1, views.shape[-1])
    uneven = draw(1, 1, 1, low=-0.2, high=0.2) * slope + draw(1, 1, 1, low=-0.2, high=0.2) * slope[:, None]
    pixels = torch.exp(-(density + tint + uneven * some(0.4)).clamp_min(-0.05))
    grey = pixels.mean(1, keepdim=True)
    pixels = grey + (pixels - grey) * draw(1, 1, 1, low=0.25, high=1.5)
    pixels = pixels.clamp(1e-3, 1) ** torch.exp(draw(1, 1, 1, low=-0.35, high=0.35))
    pixels = _blur(pixels, draw(low=0.3, high=2.2) * (draw() < 0.45).float())
    if torch.rand(1, generator=generator) < 0.35:  # lost resolution, for the whole batch at once
        low = int(views.shape[-1] * (0.25 + 0.5 * float(torch.rand(1, generator=generator))))
        small = F.interpolate(pixels, (low, low), mode="bilinear", antialias=True, align_corners=False)
        again = F.interpolate(small, views.shape[-2:], mode="bilinear", align_corners=False)
        pixels = torch.lerp(pixels, again, some(0.6))
    noise = torch.randn(pixels.shape, generator=generator)
    return (pixels + 0.05 * draw(1, 1, 1) ** 2 * noise).clamp(0, 1)


def _blur(pixels: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur, `sigma` (B,) in pixels; none where it is 0."""
    reach = torch.arange(-5, 6, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (reach / sigma.clamp_min(1e-3)[:, None]) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    batch, channels, height, width = pixels.shape
    stacked = kernel.repeat_interleave(channels, 0)
    flat = pixels.reshape(1, batch * channels, height, width)
    flat = F.conv2d(F.pad(flat, (5, 5, 0, 0), mode="replicate"), stacked[:, None, None], groups=batch * channels)
    flat = F.conv2d(F.pad(flat, (0, 0, 5, 5), mode="replicate"), stacked[:, None, :, None], groups=batch * channels)
    return flat.reshape(pixels.shape)
