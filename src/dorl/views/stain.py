"""Stain, light and photograph a picture anew: at random, or brought to common references."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
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
#: optical density (natural logarithm) of each of the 256 values of a channel; 0 counts as 1
DENSITY = -np.log(np.maximum(np.arange(256), 1).astype(np.float32) / 255)


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
    # references are medians and shares: a half as large picture tells them as well
    small, inside = DENSITY[image[::2, ::2]], mask[::2, ::2]
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
    # what becomes of each of the 256 values of each channel
    density = np.clip((DENSITY[:, None] - white) * scale, -0.1, 3 * scale)
    table = np.clip(255 * np.exp(-density), 0, 255).round().astype(np.uint8)
    pixels = np.asarray(Image.fromarray(image).point(table.T.ravel().tolist()))
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

    same = batch > 1 and views.stride(0) == 0  # one picture expanded: what is alike is computed once
    density = (views[:1] if same else views).clamp_min(1 / 255).log_().neg_()
    other = torch.randperm(batch, generator=generator)
    amount = draw(1, 1, 1, high=1.2).clamp_max(1) * some(0.5)
    if not same:  # its own stain is the only one there is to move towards
        mean, std = density.mean((2, 3), keepdim=True), density.std((2, 3), keepdim=True) + 0.02
        moved = (density - mean) / std * std[other] + mean[other]
        density = torch.lerp(density, moved, amount)
    mixing = torch.eye(3) + 0.18 * torch.randn(batch, 3, 3, generator=generator) * some(0.6)[..., 0]
    scale = draw(3, 1, 1, low=0.65, high=1.4) * draw(1, 1, 1, low=0.65, high=1.35)
    density = torch.matmul(mixing * scale[..., 0], density.flatten(2)).view(views.shape)
    tint = draw(3, 1, 1, low=-0.04, high=0.22) * some(0.7) + draw(3, 1, 1, low=0.0, high=0.9) * some(0.08)
    slope = torch.linspace(-1, 1, views.shape[-1])
    uneven = draw(1, 1, 1, low=-0.2, high=0.2) * slope + draw(1, 1, 1, low=-0.2, high=0.2) * slope[:, None]
    pixels = density.add_(tint).add_(uneven * some(0.4)).clamp_min_(-0.05).neg_().exp_()
    grey = pixels.mean(1, keepdim=True)
    pixels = torch.lerp(grey, pixels, draw(1, 1, 1, low=0.25, high=1.5))
    pixels = pixels.clamp_(1e-3, 1).log_().mul_(torch.exp(draw(1, 1, 1, low=-0.35, high=0.35))).exp_()
    sigma = draw(low=0.3, high=2.2) * (draw() < 0.45).float()
    for number in sigma.nonzero()[:, 0].tolist():
        pixels[number] = _blur(pixels[number : number + 1], sigma[number : number + 1])[0]
    if torch.rand(1, generator=generator) < 0.35:  # lost resolution, for the whole batch at once
        low = int(views.shape[-1] * (0.25 + 0.5 * float(torch.rand(1, generator=generator))))
        small = F.interpolate(pixels, (low, low), mode="bilinear", antialias=True, align_corners=False)
        again = F.interpolate(small, views.shape[-2:], mode="bilinear", align_corners=False)
        pixels = torch.lerp(pixels, again, some(0.6))
    noise = torch.randn(pixels.shape, generator=generator)
    return noise.mul_(0.05 * draw(1, 1, 1) ** 2).add_(pixels).clamp_(0, 1)


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
