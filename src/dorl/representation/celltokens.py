"""A cell's tokens on their way into the autoencoder, and what they say of the cell as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dorl.cells.views import MARKS
from dorl.representation.alignment import PARTS, TIMES, WIDTH, Alignment
from dorl.representation.clusters import KEPT
from dorl.representation.config import AutoencoderConfig

#: weight of every token beside that of those in question, so that an empty part has a mean
LITTLE = 1e-4


class CellTokens(nn.Module):
    """A cell's tokens, standardised, on their way into the encoder; and the cell as a whole, for the class token.

    Parameters
    ----------
    config : AutoencoderConfig
        Its `channels` aren't 0.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        features = config.channels - MARKS
        self.finer = config.finer
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.embed = nn.Linear(config.channels, config.width)
        self.whole = nn.Linear(4 * features, config.width)

    def standardised(self, tokens: Tensor) -> Tensor:
        """Features (B, N, C − 2) of tokens (B, N, C), with mean 0 and deviation 1 over the cells learnt from."""
        return (tokens[..., :-MARKS] - self.shift) / self.scale

    def begun(self, tokens: Tensor) -> Tensor:
        """What the class token starts from: (B, 4·(C − 2)).

        Of all standardised features, means in cell, nucleus and cytoplasm, and spread in the cell.
        """
        features, weight = self.standardised(tokens), _weights(tokens)
        means = torch.einsum("bnk,bnc->bkc", weight, features)
        spread = torch.einsum("bn,bnc->bc", weight[..., 0], (features - means[:, :1]).square())
        return torch.cat([means.flatten(1), spread.clamp_min(1e-6).sqrt()], 1)

    def described(self, tokens: Tensor) -> Tensor:
        """A cell's description: (B, 4·(C − 2 − F)) of tokens (B, N, C), where finer grids have F channels.

        Of each channel of the encoder's grids, as wide as it spreads over the cells learnt from: its mean in the cell,
        its deviation there, its means in nucleus and cytoplasm. In finer grids the deviation is that of all places,
        since tokens hold their deviation in each patch.
        """
        features, weight = tokens[..., :-MARKS], _weights(tokens)
        start = features.shape[2] - 2 * sum(self.finer)
        means, squares, kept = [features[..., :start]], [features[..., :start].square()], [torch.arange(start)]
        for channels in self.finer:
            mean, deviation = features[..., start : start + 2 * channels].split(channels, 2)
            means.append(mean)
            squares.append(mean.square() + deviation.square())
            kept.append(torch.arange(start, start + channels))
            start += 2 * channels
        places = torch.cat(kept).to(tokens.device)
        shift, scale = self.shift[places], self.scale[places]
        in_parts = torch.einsum("bnk,bnc->bkc", weight, torch.cat(means, 2))
        square = torch.einsum("bn,bnc->bc", weight[..., 0], torch.cat(squares, 2))
        spread = (square - in_parts[:, 0].square()).clamp_min(1e-6).sqrt() / scale
        in_cell, in_nucleus, in_cytoplasm = ((in_parts - shift) / scale).unbind(1)
        return torch.cat([in_cell, spread, in_nucleus, in_cytoplasm], 1)

    def forward(self, tokens: Tensor, description: Tensor) -> tuple[Tensor, Tensor]:
        """From tokens (B, N, C) and the cell's description to (B, N, D) and (B, 1, D)."""
        features = torch.cat([self.standardised(tokens), 4 * tokens[..., -MARKS:] - 1], 2)
        return self.embed(features), self.whole(description)[:, None]


def _weights(tokens: Tensor) -> Tensor:
    """How much each token (B, N, C) counts in cell, nucleus and cytoplasm: (B, N, 3), each adding up to 1."""
    marks = tokens[..., -MARKS:]
    weight = torch.cat([marks, (marks[..., :1] - marks[..., 1:]).clamp_min(0)], 2) + LITTLE
    return weight / weight.sum(1, keepdim=True)


class Shared(nn.Module):
    """What labs share, as buffers that are saved with the network: see `dorl.representation.alignment.Alignment`."""

    basis: Tensor
    counts: Tensor
    means: Tensor
    mean: Tensor
    covariance: Tensor
    space: Tensor
    others: Tensor

    def __init__(self, described: int) -> None:
        super().__init__()
        shapes: dict[str, tuple[int, ...]] = {"basis": (described, WIDTH), "counts": (0,), "means": (0, described)}
        shapes |= {"mean": (described,), "covariance": (described, described)}
        shapes |= {"space": (described, min(KEPT, described))}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("others", torch.zeros(0, 0, described, dtype=torch.float16))
        self.hold(TIMES * sum(PARTS), (0, 0))

    def hold(self, clusters: int, others: Sequence[int]) -> None:
        """Make room for so many clusters, and for so many other labs of so many cells: files differ in both."""
        if clusters != len(self.counts):
            self.counts, self.means = self.counts.new_zeros(clusters), self.means.new_zeros(clusters, len(self.mean))
        self.others = self.others.new_zeros(*others, len(self.mean))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Make room for what another one learnt, and take it over."""
        if (counts := state_dict.get(f"{prefix}counts")) is not None:
            self.hold(len(counts), state_dict[f"{prefix}others"].shape[:2])
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forget(self) -> None:
        """Forget all."""
        for buffer in self.buffers():
            buffer.zero_()
        self.hold(len(self.counts), (0, 0))

    @property
    def alignment(self) -> Alignment | None:
        """The alignment; None where none was learnt yet."""
        if not self.counts.any():
            return None
        return Alignment(**{name: buffer.cpu().double().numpy() for name, buffer in self.named_buffers()})

    @alignment.setter
    def alignment(self, learnt: Alignment) -> None:
        self.hold(len(learnt.counts), learnt.others.shape[:2])
        for name, buffer in self.named_buffers():
            buffer.zero_()
            values = torch.from_numpy(np.asarray(getattr(learnt, name), np.float32))
            buffer[tuple(slice(size) for size in values.shape)] = values.to(buffer.device)

    def forward(self, description: Tensor) -> Tensor:
        """From descriptions (B, F) to s (B, D)."""
        return (description - self.mean) @ self.basis
