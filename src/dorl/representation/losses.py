"""The autoencoder's losses, each on its own (DoRL, stage 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def ssim(a: Tensor, b: Tensor, *, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Mean structural similarity (Wang et al. 2004) with a Gaussian window, zero padding and data range 1.

    Parameters
    ----------
    a, b : Tensor of shape (B, C, H, W)
        On the 0-1 scale.
    window, sigma : int, float
        In pixels.

    Returns
    -------
    Tensor, scalar
        1 for equal images.
    """
    channels = a.shape[1]
    offsets = torch.arange(window, dtype=a.dtype, device=a.device) - window // 2
    line = torch.exp(-(offsets**2) / (2 * sigma**2))
    line = line / line.sum()
    rows = line.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    columns = line.view(1, 1, 1, -1).expand(channels, 1, 1, -1)

    def smooth(x: Tensor) -> Tensor:
        x = F.conv2d(x, rows, padding=(window // 2, 0), groups=channels)
        return F.conv2d(x, columns, padding=(0, window // 2), groups=channels)

    mean_a, mean_b = smooth(a), smooth(b)
    variance_a = smooth(a * a) - mean_a**2
    variance_b = smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    similarity = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    )
    return similarity.mean()


def mmd_loss(
    z: Tensor, domain: Tensor, *, labs: int | None = None, summed: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Linear-kernel mean discrepancy between domain 0 and each other domain in the batch.

    Parameters
    ----------
    z : Tensor of shape (B, Z)
    domain : integer Tensor of shape (B,)
    labs : int, optional
        Number of domains; one more than the highest in `domain` by default.
    summed : callable, optional
        Adds up a tensor over the processes that hold parts of the batch; `labs` is needed then.

    Returns
    -------
    Tensor, scalar
        Sum over domains i ≥ 1 present of the mean squared difference of the domains' means; 0 where domain 0, or every
        other, is absent.
    """
    marks = F.one_hot(domain.long(), -1 if labs is None else labs).to(z.dtype)
    sums = torch.cat([marks.sum(0)[:, None], marks.T @ z], dim=1)
    if summed is not None:
        sums = summed(sums)
    counts = sums[:, :1]
    means = sums[:, 1:] / counts.clamp(min=1)
    present = (counts[1:, 0] > 0) & (counts[0, 0] > 0)
    return ((means[1:] - means[0]).square().mean(1) * present).sum()


def token_loss(tokens: Tensor, reconstructed: Tensor) -> Tensor:
    """Mean squared error of the reconstructed tokens, both of shape (B, D, G, G)."""
    return F.mse_loss(reconstructed, tokens)


def total_loss(image_term: Tensor, mmd_term: Tensor, token_term: Tensor) -> Tensor:
    """(1 − SSIM) + 2·(L_mmd + ½·MSE), from the three terms, the first already as 1 − SSIM."""
    return image_term + 2 * (mmd_term + 0.5 * token_term)
