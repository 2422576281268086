"""What the autoencoder's feature has to tell of a cell: how its tokens are, on average, in the cell and its parts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from dorl.representation.clusters import within_cells
from dorl.representation.discriminant import shrunk, whitening

#: shrinkage of the covariance of what restaining changes, towards a multiple of the identity
SHRINKAGE = 0.1


class Describer(nn.Module):
    """From the feature s to a cell's description, as it is before any restaining.

    A description is that of `CellTokens.begun`: means in cell, nucleus and cytoplasm, and spread. It is turned into
    the basis in which what restaining changes has the same spread in all directions, and its principal components
    there are predicted: what tells cells from each other more than stain and light do. So s must tell it of a restained
    view, too. The basis is that of linear discriminant analysis with each cell as a class of its own; no label enters.

    Parameters
    ----------
    width : int
        Of s.
    components : int
    """

    middle: Tensor
    basis: Tensor
    weight: Tensor

    def __init__(self, width: int, described: int, components: int = 128) -> None:
        super().__init__()
        self.register_buffer("middle", torch.zeros(described))
        self.register_buffer("basis", torch.zeros(described, components))
        self.register_buffer("weight", torch.zeros(components))
        self.predict = nn.Linear(width, components)

    def fit(self, descriptions: np.ndarray, plain: int) -> None:
        """Find the basis from descriptions (N, V, F) of views of many cells, of which the first `plain` are plain."""
        own, scale, within = within_cells(descriptions, plain)
        turn = whitening(shrunk(within, SHRINKAGE), scale)
        middle = own.mean(0)
        _, sizes, axes = np.linalg.svd((own - middle) @ turn, full_matrices=False)
        kept = min(len(self.weight), len(sizes))
        sizes = sizes[:kept] / np.sqrt(len(own))
        self.middle.copy_(torch.from_numpy(middle))
        self.basis[:, :kept] = torch.from_numpy(turn @ axes[:kept].T / np.maximum(sizes, 1e-6)).float()
        self.weight[:kept] = torch.from_numpy(sizes / sizes[0]).float()

    def target(self, description: Tensor) -> Tensor:
        """Components (B, K) of descriptions (B, F), each with deviation 1 over cells."""
        return (description - self.middle) @ self.basis

    def forward(self, feature: Tensor, target: Tensor) -> Tensor:
        """Mean squared error of what s (B, D) tells of `target` (B, K), the components weighted by their spread."""
        weight = self.weight.square()
        return (((self.predict(feature) - target).square() * weight).sum(1) / weight.sum()).mean()
