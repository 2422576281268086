"""The decoder of an autoencoder of cells learns to draw them, alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.cells.pool import Pool
from dorl.representation.autoencoder import CrossDomainAutoencoder
from dorl.representation.losses import ssim
from dorl.representation.pooled import PLAIN, LearningSettings, cell_tokens, draw_rows
from dorl.runtime.progress import track
from dorl.runtime.training import prefetch, seeded, set_learning_rate, warmup_cosine

#: steps of the learning rate's warm-up
WARMUP = 20


def learn_to_draw(
    model: CrossDomainAutoencoder, pool: Pool, settings: LearningSettings, *, seed: int = 0, what: str = "drawing"
) -> None:
    """Let the decoder of an autoencoder go on alone: draw cells at common references, whatever their stain.

    With hidden tokens it learns to draw what is likely; here it sees all, and learns to draw what is there. The
    encoder, and so the feature s, stays as it is. It takes minutes, and begins anew where it was interrupted.
    """
    place = next(model.parameters()).device
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.decoder.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    model.train()

    def read(step: int) -> tuple[Tensor, Tensor]:
        rng = seeded(seed, 2, step)
        rows = draw_rows(pool.lab, settings.drawing_batch, rng)
        tokens, pictures = pool.batch(rows)
        # half of them as they are
        view = np.where(rng.random(len(rows)) < PLAIN, 0, rng.integers(0, pool.views.total, len(rows)))
        shown = torch.from_numpy(tokens[np.arange(len(rows)), view]).float()
        return shown, torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255

    total = settings.drawing_steps
    for step, (tokens, pictures) in enumerate(track(prefetch(read, range(total), workers=1), total=total, what=what)):
        set_learning_rate(
            optimizer, settings.learning_rate * warmup_cosine(step, warmup=min(WARMUP, total), total=total)
        )
        flat, wanted = tokens.to(place).flatten(2).transpose(1, 2), pictures.to(place)
        with torch.no_grad():
            keep = model.looked_at(flat)
            encoded = model.encoder(flat, keep)
        drawn = model.decoder(encoded, keep)
        loss = 1 - ssim(drawn.image, wanted) + settings.colour * F.l1_loss(drawn.image, wanted)
        loss = loss + settings.tokens * F.mse_loss(
            drawn.tokens.flatten(2).transpose(1, 2), cell_tokens(model).standardised(flat)
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.decoder.parameters(), 1.0)
        optimizer.step()
