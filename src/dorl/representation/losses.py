"""The autoencoder's losses, each on its own (DoRL, stage 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

#: a similarity that no pair of cells has
NEVER = -1e4


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


def agreement_loss(
    first: Tensor, second: Tensor, lab: Tensor, cell: Tensor, *, temperature: float = 0.15, past: Past | None = None
) -> Tensor:
    """Tell each cell, in two views, from the other cells of its lab (InfoNCE).

    Other labs' cells are no help and no hindrance, so that what tells labs apart isn't learnt.

    Parameters
    ----------
    first, second : Tensor of shape (B, P)
        Of the same cells in two views; scaled to length 1 here.
    lab, cell : int Tensor of shape (B,)
        Number of each cell's lab, and of the cell.
    temperature : float
        Of the softmax.
    past : Past, optional
        Earlier cells, which these are told from, too.

    Returns
    -------
    Tensor, scalar

    References
    ----------
    van den Oord et al. 2018, arXiv 1807.03748; Chen et al. 2020, arXiv 2002.05709 (two views of each picture).
    """
    first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    own = torch.arange(len(lab), device=lab.device)
    # a cell that is drawn twice is no other cell
    others = (lab[:, None] == lab[None]) & (
        (cell[:, None] != cell[None]) | torch.eye(len(lab), device=lab.device).bool()
    )
    total = first.new_zeros(())
    for query, key in ((first, second), (second, first)):
        near = (query @ key.T).masked_fill(~others, NEVER)
        if past is not None:
            near = torch.cat([near, past.similarity(query, lab, cell)], 1)
        total = total + 0.5 * F.cross_entropy(near / temperature, own)
    if past is not None:
        past.remember(second, lab, cell)
    return total


class Past:
    """Codes of the cells seen last, lab by lab.

    Parameters
    ----------
    labs, size, width : int
        Labs, cells kept of each, numbers of a code.
    device : torch.device
    """

    def __init__(self, labs: int, size: int, width: int, device: torch.device) -> None:
        self.codes = torch.zeros(labs, size, width, device=device)
        self.cells = torch.full((labs, size), -1, device=device)
        self.seen = [0] * labs

    def similarity(self, codes: Tensor, lab: Tensor, cell: Tensor) -> Tensor:
        """Cosine of codes (B, P) with those kept of their labs, (B, size); `NEVER` where that is the cell itself."""
        near = torch.einsum("bp,bkp->bk", codes, self.codes[lab].to(codes.dtype))
        return near.masked_fill((self.cells[lab] == -1) | (self.cells[lab] == cell[:, None]), NEVER)

    def remember(self, codes: Tensor, lab: Tensor, cell: Tensor) -> None:
        """Put codes (B, P) in place of the oldest of their labs."""
        for code, number, of in zip(codes.detach().float(), cell.tolist(), lab.tolist(), strict=True):
            place = self.seen[of] % self.codes.shape[1]
            self.codes[of, place], self.cells[of, place] = code, number
            self.seen[of] += 1


def kernel_discrepancy(features: Tensor, lab: Tensor, *, widths: tuple[float, ...] = (0.25, 0.5, 1, 2, 4)) -> Tensor:
    """How far apart labs lie, by Gaussian kernels of several widths: the mean over pairs of labs.

    Parameters
    ----------
    features : Tensor of shape (B, D)
    lab : int Tensor of shape (B,)
        Labs with fewer than four cells are passed over.
    widths : tuple of float
        Of the kernels, in medians of the squared distance.

    Returns
    -------
    Tensor, scalar
        0 for equal distributions.

    References
    ----------
    Gretton et al. 2012, JMLR 13; Long et al. 2015, arXiv 1502.02791 (several kernels).
    """
    squared = torch.cdist(features, features).square()
    median = squared.detach().median().clamp_min(1e-6)
    kernel = torch.stack([torch.exp(-squared / (median * width)) for width in widths]).mean(0)
    marks = F.one_hot(lab.long()).to(kernel.dtype)
    counts = marks.sum(0)
    between = (marks.T @ kernel @ marks) / (counts[:, None] * counts[None]).clamp_min(1)
    enough = torch.nonzero(counts >= 4)[:, 0]
    first, second = torch.combinations(enough).unbind(1)
    apart = between[first, first] + between[second, second] - 2 * between[first, second]
    return apart.mean() if len(apart) else features.sum() * 0
