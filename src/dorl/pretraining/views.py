"""Random views of a picture: where it is looked at from."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dorl.pretraining.bank import BACKGROUND, UNKNOWN

#: how far a picture is zoomed: its side over the side of what is seen of it
ZOOM_OUT, ZOOM_IN = 0.35, 2.6
#: a cell is never zoomed to more than this share of the frame, on average over its sides
FILL = 1.1


def draw_geometry(targets: Tensor, generator: torch.Generator) -> Tensor:
    """Draw how each picture is turned, flipped, zoomed and shifted.

    Parameters
    ----------
    targets : uint8 Tensor of shape (B, S, S)
        The cell, or, where it isn't known yet, the region that may hold it, decides how far to zoom in.
    generator : torch.Generator

    Returns
    -------
    Tensor of shape (B, 3, 3)
        From places in the view to places in the picture, both -1…1 from edge to edge, homogeneous.
    """
    batch = len(targets)

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, generator=generator)

    marked = ((targets != BACKGROUND) & (targets != UNKNOWN)).float()
    share = marked.mean((1, 2)).sqrt().clamp_min(1e-6)
    has = share > 0.02
    position = torch.linspace(-1, 1, targets.shape[-1])
    total = marked.sum((1, 2)).clamp_min(1)
    centre = torch.stack([(marked.sum(1) * position).sum(1), (marked.sum(2) * position).sum(1)], 1) / total[:, None]
    # where the cell is known, half of the views look for it at a drawn size, so that small and large are as frequent
    size = torch.exp(draw(math.log(0.12), math.log(FILL)))
    near = has & (draw(0, 1) < 0.5)
    zoom = torch.exp(draw(math.log(0.7), math.log(1.6)))
    zoom = torch.where(near, size / share, zoom)
    zoom = zoom.clamp(ZOOM_OUT, ZOOM_IN).minimum(torch.where(has, FILL / share, ZOOM_IN * torch.ones(batch)))
    slack = 0.25 * torch.stack([draw(-1, 1), draw(-1, 1)], 1)
    room = (1 - 1 / zoom).clamp_min(0)[:, None] * torch.stack([draw(-1, 1), draw(-1, 1)], 1)
    shift = torch.where(near[:, None], centre + slack / zoom[:, None], torch.where(has[:, None], slack, 0.6 * room))
    return _matrices(zoom, draw(-math.pi, math.pi), draw(0.87, 1.15), draw(0, 1) < 0.5, shift)


def nearby_geometry(matrices: Tensor, generator: torch.Generator) -> Tensor:
    """Another view of the same place: turned at will, up to a quarter larger or smaller, shifted a little."""
    batch = len(matrices)

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, generator=generator)

    shift = torch.stack([draw(-0.12, 0.12), draw(-0.12, 0.12)], 1)
    change = _matrices(
        torch.exp(draw(-0.22, 0.22)), draw(-math.pi, math.pi), torch.ones(batch), draw(0, 1) < 0.5, shift
    )
    return matrices @ change


def _matrices(zoom: Tensor, angle: Tensor, stretch: Tensor, flip: Tensor, shift: Tensor) -> Tensor:
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    sign = torch.where(flip, -1.0, 1.0)
    zero, one = torch.zeros_like(zoom), torch.ones_like(zoom)
    rows = [
        torch.stack([cos * sign * stretch, -sin / stretch, shift[:, 0]], 1),
        torch.stack([sin * sign * stretch, cos / stretch, shift[:, 1]], 1),
        torch.stack([zero, zero, one], 1),
    ]
    return torch.stack(rows, 1)


def look(images: Tensor, targets: Tensor, matrices: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Resample pictures and targets; beyond its edges a picture goes on as in a mirror.

    Parameters
    ----------
    images : uint8 Tensor of shape (B, S, S, 3)
    targets : uint8 Tensor of shape (B, S, S)
    matrices : Tensor of shape (B, 3, 3)
        As `draw_geometry` gives them.
    size : int
        Side of the views, in pixels.

    Returns
    -------
    views : float32 Tensor of shape (B, 3, size, size)
        RGB, 0-1.
    targets : uint8 Tensor of shape (B, size, size)
    """
    grid = F.affine_grid(matrices[:, :2], [len(images), 3, size, size], align_corners=False)
    pixels = images.permute(0, 3, 1, 2).float() / 255
    views = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    marks = F.grid_sample(
        targets[:, None].float(), grid, mode="nearest", padding_mode="reflection", align_corners=False
    )
    return views, marks[:, 0].to(torch.uint8)


def token_places(first: Tensor, second: Tensor, grid: int) -> Tensor:
    """Where the tokens of the second view lie in the first: (B, grid, grid, 2), -1…1 from edge to edge."""
    relative = torch.linalg.inv(first) @ second
    return F.affine_grid(relative[:, :2], [len(first), 1, grid, grid], align_corners=False)
