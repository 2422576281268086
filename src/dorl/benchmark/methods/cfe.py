"""AE-CFE: a convolutional autoencoder over embeddings, aligned across labs, then a random forest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.benchmark.methods.bcsam import classified
from dorl.benchmark.methods.cells import Cells, PublishedCells, Source
from dorl.benchmark.methods.features import in_batches
from dorl.benchmark.methods.method import Fitted
from dorl.representation.batches import balanced_batches
from dorl.representation.losses import mmd_loss, ssim
from dorl.runtime.progress import track
from dorl.runtime.training import default_device, prefetch, seeded

#: of the picture that is drawn, in pixels
SIDE = 128


class ConvolutionalAutoencoder(nn.Module):
    """Tokens to 50 numbers, and back to the tokens and to the cell's picture.

    Parameters
    ----------
    width, grid : int
        Tokens are (width, grid, grid).
    hidden : int
        Channels inside.
    code : int
        Numbers in the middle.
    """

    def __init__(self, width: int, grid: int, *, hidden: int = 128, code: int = 50) -> None:
        super().__init__()
        self.grid, self.hidden = grid, hidden
        self.small = math.ceil(math.ceil(grid / 2) / 2)

        def down(inputs: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, hidden, 3, stride, padding=1), nn.GroupNorm(8, hidden), nn.ReLU(inplace=True)
            )

        self.encoder = nn.Sequential(down(width, 1), down(hidden, 2), down(hidden, 2), nn.Flatten())
        self.to_code = nn.Linear(hidden * self.small**2, code)
        self.from_code = nn.Linear(code, hidden * self.small**2)
        self.tokens = nn.Sequential(down(hidden, 1), nn.Conv2d(hidden, width, 1))
        channels = [hidden, hidden // 2, hidden // 4, hidden // 8]
        steps: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            steps += [nn.ConvTranspose2d(inputs, outputs, 4, 2, padding=1), nn.ReLU(inplace=True)]
        self.picture = nn.Sequential(*steps, nn.Conv2d(channels[-1], 3, 3, padding=1), nn.Sigmoid())

    def encode(self, tokens: Tensor) -> Tensor:
        """From (B, D, G, G) to (B, code)."""
        return self.to_code(self.encoder(tokens))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Code (B, code), tokens (B, D, G, G) and picture (B, 3, 128, 128), 0-1, of tokens (B, D, G, G)."""
        code = self.encode(tokens)
        small = F.relu(self.from_code(code)).reshape(-1, self.hidden, self.small, self.small)
        wide = F.interpolate(small, (self.grid, self.grid), mode="bilinear", align_corners=False)
        start = F.interpolate(small, (SIDE // 8, SIDE // 8), mode="bilinear", align_corners=False)
        return code, self.tokens(wide), self.picture(start)


@dataclass(frozen=True)
class AECFE:
    """A convolutional autoencoder without labels, with random forest over its 50 numbers.

    The published one embeds cells with a Mask R-CNN; here the embedding is the tokens of the benchmark's segmenter, as
    in DoRL's paper. The losses: the tokens' squared error, 1 − SSIM of the cell alone on grey, and the mean discrepancy
    between the labs' codes, which weighs 5 (as BC-SAM, which shares these losses, publishes it). The segmenter's masks
    stand for the R-CNN's. Without another lab, in the protocol "unseen", the discrepancy is absent.

    Parameters
    ----------
    iterations, batch_size : int
    learning_rate, mmd_weight : float
    device : str, optional

    References
    ----------
    Salehi et al., *Unsupervised Cross-Domain Feature Extraction for Single Blood Cell Image Classification*,
    arXiv 2207.00501.
    """

    iterations: int = 3000
    batch_size: int = 32
    learning_rate: float = 1e-3
    mmd_weight: float = 5.0
    device: str | None = None

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        """See `Method.fit`; `targets` are all other labs, or none."""
        place = default_device(self.device)
        labs = PublishedCells([source.cells, *targets])
        first = source.cells.published([0], "tokens")[0]
        torch.manual_seed(seed)
        model = ConvolutionalAutoencoder(*first.shape[1:3]).to(place)
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.iterations)
        batches = balanced_batches(labs.domain, self.batch_size, self.iterations, seeded(seed))

        def read(picked: NDArray[np.intp]) -> tuple[Tensor, Tensor, Tensor]:
            tokens, crops = labs.batch(picked, "tokens", "crops")
            pictures = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
            return torch.from_numpy(tokens).float(), pictures, torch.from_numpy(labs.domain[picked])

        model.train()
        jobs = track(prefetch(read, batches), total=self.iterations, what="training AE-CFE's autoencoder")
        for tokens, pictures, numbers in jobs:
            tokens, pictures = tokens.to(place), pictures.to(place)
            code, drawn_tokens, drawn = model(tokens)
            loss = F.mse_loss(drawn_tokens, tokens) + 1 - ssim(drawn, pictures)
            loss = loss + self.mmd_weight * mmd_loss(code, numbers.to(place))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()

        @torch.inference_mode()
        def codes(rows: NDArray[np.intp], cells: Cells) -> np.ndarray:
            (tokens,) = cells.published(rows, "tokens")
            return model.encode(torch.from_numpy(tokens).float().to(place)).cpu().numpy()

        def extract(cells: Cells) -> NDArray[np.float32]:
            return in_batches(cells, lambda rows: codes(rows, cells))

        setting = f"{self.iterations} iterations, mean discrepancy × {self.mmd_weight:g}"
        return classified(["RF"], extract(source.cells), source, extract, seed, setting)
