"""Stain, light and photograph a picture anew, at random, as other laboratories and cameras would."""

from __future__ import annotations

import io
import math
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

#: share of the pictures that each step of `restain_harder` changes
MIXED, MOVED, TINTED, LIT, LIT_IN_COLOUR, STRAY = 0.6, 0.5, 0.7, 0.5, 0.4, 0.4
BLURRED, SHIFTED, SMALL, SHARPENED, COMPRESSED = 0.5, 0.25, 0.5, 0.25, 0.3


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
    draw = partial(_drawn, batch, generator)
    some = partial(_some, batch, generator)
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
        pixels[number] = _blur(pixels[number : number + 1], float(sigma[number]))[0]
    if torch.rand(1, generator=generator) < 0.35:  # lost resolution, for the whole batch at once
        low = int(views.shape[-1] * (0.25 + 0.5 * float(torch.rand(1, generator=generator))))
        small = F.interpolate(pixels, (low, low), mode="bilinear", antialias=True, align_corners=False)
        again = F.interpolate(small, views.shape[-2:], mode="bilinear", align_corners=False)
        pixels = torch.lerp(pixels, again, some(0.6))
    noise = torch.randn(pixels.shape, generator=generator)
    return noise.mul_(0.05 * draw(1, 1, 1) ** 2).add_(pixels).clamp_(0, 1)


def restain_harder(views: Tensor, generator: torch.Generator) -> Tensor:
    """Stain, light and photograph anew as cheap optics do, some views a little, some much.

    The stain: optical density is mixed between channels and scaled, and for half of the views moved towards that of
    another picture of the batch, as if stained in its lab. The light: its colour, a smooth surface over the field in
    each channel, and stray light, which takes contrast. The camera: saturation, gamma, focus, channels that don't
    meet, resolution (colour at half of it, as analogue cameras have it), sharpening, noise and JPEG.

    Parameters
    ----------
    views : float32 Tensor of shape (B, 3, S, S)
        RGB, 0-1.
    generator : torch.Generator

    Returns
    -------
    float32 Tensor of the same shape, 0-1
    """
    batch, _, _, side = views.shape
    draw = partial(_drawn, batch, generator)
    some = partial(_some, batch, generator)
    # how far each view goes, of the way to the hardest, 0-1
    much = draw(1, 1, 1, low=0.1)
    density = views.clamp_min(1 / 255).log().neg()
    other = torch.randperm(batch, generator=generator)
    amount = (1.2 * much * draw(1, 1, 1)).clamp_max(1) * some(MOVED)
    if batch > 1 and views.stride(0):  # copies of one picture have no other stain to move towards
        mean, std = density.mean((2, 3), keepdim=True), density.std((2, 3), keepdim=True) + 0.02
        density = torch.lerp(density, (density - mean) / std * std[other] + mean[other], amount)
    mixing = torch.eye(3) + 0.2 * much[..., 0] * torch.randn(batch, 3, 3, generator=generator) * some(MIXED)[..., 0]
    scale = torch.exp(much * (draw(3, 1, 1, low=-0.5, high=0.4) + draw(1, 1, 1, low=-0.6, high=0.35)))
    density = torch.matmul(mixing * scale[..., 0], density.flatten(2)).view(views.shape)

    tint = draw(3, 1, 1, low=-0.04, high=0.25) * some(TINTED) + draw(3, 1, 1, high=0.9) * some(0.1)
    light = draw(1, 5, low=-0.22, high=0.22) * some(LIT)[..., 0]
    light = light + draw(3, 5, low=-0.12, high=0.12) * some(LIT_IN_COLOUR)[..., 0]
    density = density + much * (tint + torch.einsum("bck,kij->bcij", light, _surfaces(side)))
    pixels = density.clamp_min(-0.05).neg().exp()
    stray = 0.5 * much * draw(1, 1, 1) * some(STRAY)
    colour = 1 - draw(3, 1, 1, high=0.35)
    pixels = pixels * (1 - stray) + stray * colour * pixels.amax((1, 2, 3), keepdim=True)

    grey = pixels.mean(1, keepdim=True)
    pixels = torch.lerp(grey, pixels, 1 + much * draw(1, 1, 1, low=-0.7, high=0.5))
    pixels = pixels.clamp(1e-3, 1).log().mul(torch.exp(0.35 * much * draw(1, 1, 1, low=-1))).exp()
    pixels = torch.cat(
        [_photographed(pixels[number : number + 1], generator, float(much[number])) for number in range(batch)]
    )
    grain = 0.06 * much * draw(1, 1, 1) ** 2
    pixels = (pixels + grain * torch.randn(pixels.shape, generator=generator)).clamp(0, 1)
    chances = torch.rand(batch, 2, generator=generator).tolist()
    for number, (chance, quality) in enumerate(chances):
        if chance < COMPRESSED:
            pixels[number] = _compressed(pixels[number], int(90 - 75 * float(much[number]) * quality))
    return pixels


def move(crop: np.ndarray, mask: np.ndarray, generator: torch.Generator) -> tuple[Tensor, np.ndarray]:
    """Turn, mirror, stretch, zoom and shift a cell a little, as another cut around it would show it.

    Parameters
    ----------
    crop : uint8 array of shape (S, S, 3)
        RGB, 0-255; beyond its edges it goes on as in a mirror.
    mask : bool array of shape (S, S)
    generator : torch.Generator

    Returns
    -------
    picture : float32 Tensor of shape (3, S, S)
        RGB, 0-1.
    mask : bool array of shape (S, S)
    """
    chance = torch.rand(6, generator=generator).tolist()
    zoom, angle = math.exp(0.32 * chance[0] - 0.16), 2 * math.pi * chance[1]
    stretch, mirror = 0.93 + 0.14 * chance[2], 1.0 if chance[3] < 0.5 else -1.0
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    x, y = (0.1 * value - 0.05 for value in chance[4:])
    matrix = torch.tensor([[[cos * mirror * stretch, -sin / stretch, x], [sin * mirror * stretch, cos / stretch, y]]])
    side = len(mask)
    grid = F.affine_grid(matrix, [1, 3, side, side], align_corners=False)
    pixels = torch.from_numpy(crop.astype(np.float32)).permute(2, 0, 1)[None] / 255
    marks = torch.from_numpy(mask.astype(np.float32))[None, None]
    picture = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)[0]
    cell = F.grid_sample(marks, grid, mode="nearest", padding_mode="zeros", align_corners=False)[0, 0].numpy() > 0.5
    return picture, cell if cell.any() else np.ones_like(mask)


def _drawn(batch: int, generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Evenly drawn numbers, (batch, *shape)."""
    return low + (high - low) * torch.rand(batch, *shape, generator=generator)


def _some(batch: int, generator: torch.Generator, share: float) -> Tensor:
    """1 for this share of the pictures, else 0: (batch, 1, 1, 1)."""
    return (_drawn(batch, generator, 1, 1, 1) < share).float()


def _surfaces(side: int) -> Tensor:
    """Smooth surfaces whose mean is about 0: (5, side, side), -1 to 1."""
    line = torch.linspace(-1, 1, side)
    x, y = line.expand(side, side), line[:, None].expand(side, side)
    return torch.stack([x, y, x * y, x * x - 1 / 3, y * y - 1 / 3])


def _photographed(pixels: Tensor, generator: torch.Generator, much: float) -> Tensor:
    """One picture (1, 3, S, S) through another lens and camera; `much` is how far it goes, 0-1."""
    side = pixels.shape[-1]
    chance = torch.rand(9, generator=generator).tolist()
    if chance[0] < BLURRED:
        pixels = _blur(pixels, 0.4 + 3.4 * much * chance[1])
    if chance[2] < SHIFTED:
        red, blue = (2.5 * much * torch.randn(2, 2, generator=generator)).round().int().tolist()
        pixels = torch.stack([pixels[:, 0].roll(red, (1, 2)), pixels[:, 1], pixels[:, 2].roll(blue, (1, 2))], 1)
    if chance[3] < SMALL:
        low = max(4, int(side * (1 - 0.86 * (much * chance[4]) ** 0.5)))
        small = F.interpolate(pixels, (low, low), mode="bilinear", antialias=True, align_corners=False)
        if chance[5] < 0.5:
            grey = small.mean(1, keepdim=True)
            colour = F.avg_pool2d(small - grey, 2, ceil_mode=True)
            small = grey + F.interpolate(colour, (low, low), mode="bilinear", align_corners=False)
        kind = "bicubic" if chance[6] < 0.5 else "bilinear"
        pixels = F.interpolate(small, (side, side), mode=kind, align_corners=False)
    if chance[7] < SHARPENED:
        pixels = pixels + (0.2 + 1.2 * much * chance[8]) * (pixels - _blur(pixels, 1.5))
    return pixels


def _blur(pixels: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of pixels (1, C, S, S), `sigma` in pixels."""
    reach = torch.arange(-5, 6, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (reach / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(pixels.shape[1], 1, 11)
    channels = pixels.shape[1]
    across = F.conv2d(F.pad(pixels, (5, 5, 0, 0), mode="replicate"), kernel[:, :, None], groups=channels)
    return F.conv2d(F.pad(across, (0, 0, 5, 5), mode="replicate"), kernel[..., None], groups=channels)


def _compressed(pixels: Tensor, quality: int) -> Tensor:
    """A picture (3, S, S), 0-1, saved as JPEG and read again."""
    file = io.BytesIO()
    Image.fromarray((pixels.permute(1, 2, 0) * 255).round().byte().numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float() / 255
