"""How the autoencoder of cells learns what labs share, without a class label.

The published losses (hidden tokens, L_rec, L_ssim, a discrepancy between labs) and what makes them bite: two restained
views of a cell agree and differ from other cells of its lab; what the blocks make of a cell tells how it is without
restaining, and is compared between labs by several kernels; what is drawn is the cell at common references.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.cells.pool import Pool
from dorl.cells.views import MARKS
from dorl.errors import InputError
from dorl.representation.autoencoder import CrossDomainAutoencoder
from dorl.representation.celltokens import CellTokens
from dorl.representation.config import AutoencoderConfig
from dorl.representation.description import Describer
from dorl.representation.drawing import learn_to_draw
from dorl.representation.losses import Past, agreement_loss, kernel_discrepancy, ssim
from dorl.representation.pooled import Batch, LearningSettings, cell_tokens, make_batch
from dorl.runtime.progress import say, track
from dorl.runtime.training import (
    default_device,
    load_progress,
    prefetch,
    save_progress,
    set_learning_rate,
    warmup_cosine,
)

#: seconds between two checkpoints
CHECKPOINT_EVERY = 60.0
#: steps that one row of the curve averages
CURVE_EVERY = 10
#: cells that are read at once, and that tell mean and deviation of the tokens
READ, SCALED_BY = 64, 256
#: numbers of the code by which a cell is told from others, and earlier cells of each lab that it is told from
CODE, PAST = 128, 128


class _Network(nn.Module):
    """The autoencoder and what is thrown away afterwards."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.autoencoder = CrossDomainAutoencoder(config)
        described = 4 * (config.channels - MARKS)
        self.describe = Describer(config.learnt_width, described)
        self.project = nn.Sequential(nn.Linear(config.learnt_width, 512), nn.GELU(), nn.Linear(512, CODE))


def learn(
    pool: Pool,
    *,
    out: Path,
    config: AutoencoderConfig,
    settings: LearningSettings | None = None,
    start: CrossDomainAutoencoder | None = None,
    seed: int = 0,
    device: str | None = None,
    notes: dict[str, Any] | None = None,
    half: bool = False,
    what: str = "training the autoencoder",
) -> tuple[CrossDomainAutoencoder, pd.DataFrame]:
    """Let an autoencoder of cells learn from a pool, and write it to `out`; an interrupted learning goes on.

    Parameters
    ----------
    pool : Pool
    out : Path
        The file to write. Until then a checkpoint lies beside it.
    config : AutoencoderConfig
        Its `channels` are those of the pool.
    settings : LearningSettings, optional
    start : CrossDomainAutoencoder, optional
        One of the same shape to go on from.
    seed : int
    device : str, optional
    notes : dict, optional
        For the header of the file.
    half : bool
        Write the weights in half precision.
    what : str
        Said while it lasts.

    Returns
    -------
    model : CrossDomainAutoencoder
        In eval mode.
    history : DataFrame
        Columns iteration, total, and one for each loss; means over 10 steps.
    """
    settings = settings or LearningSettings()
    if not len(pool):
        raise InputError("there is no cell to train the autoencoder on")
    if config.channels != pool.channels:
        raise InputError(
            f"this autoencoder takes tokens of {config.channels or 'whole images'}"
            f"{' channels' if config.channels else ''}, the pool holds {pool.channels} channels of cells: give another"
        )
    place = default_device(device)
    torch.manual_seed(seed)
    network = _Network(config)
    if start is None:
        _standardise(network.autoencoder, pool)
    else:
        network.autoencoder.load_state_dict(start.state_dict())
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
    )
    checkpoint = out.with_name(f"{out.stem}.unfinished.safetensors")
    identity = {
        "settings": repr(settings),
        "config": repr(config),
        "cells": len(pool),
        "labs": list(pool.labs),
        "seed": seed,
    }
    identity["start"] = "" if start is None else start.digest()
    rows: list[dict[str, float]] = []
    done = 0
    if checkpoint.exists():
        header = load_progress(checkpoint, network, optimizer)
        if header["identity"] != identity:
            raise InputError(f"{checkpoint}: an unfinished training with other settings or cells: remove it first")
        done, rows = header["iteration"], header["history"]
        say(f"{what}: going on at iteration {done} of {settings.steps}")
    else:
        cell = cell_tokens(network.autoencoder)
        begun = _over_views(pool, lambda tokens: cell.begun(tokens.flatten(2).transpose(1, 2)))
        network.describe.fit(begun, pool.views.plain)
    network.to(place).train()
    past = Past(len(pool.labs), PAST, CODE, place)

    def save(iteration: int) -> None:
        save_progress(checkpoint, network, optimizer, {"identity": identity, "iteration": iteration, "history": rows})

    recent: list[dict[str, float]] = []
    saved = time.monotonic()
    cell = cell_tokens(network.autoencoder)
    still = CellTokens(config)  # on the processor, for the thread that reads
    still.load_state_dict(cell.state_dict())

    @torch.no_grad()
    def read(step: int) -> Batch:
        return make_batch(pool, still, config, settings.batch_size, settings.drawn, step, seed)

    batches = prefetch(read, range(done, settings.steps), workers=1, ahead=2)
    steps = track(batches, total=settings.steps, what=what, done=done)
    iteration = done
    try:
        for iteration, batch in enumerate(steps, start=done):
            share = warmup_cosine(iteration, warmup=min(settings.warmup, settings.steps), total=settings.steps)
            set_learning_rate(optimizer, settings.learning_rate * share)
            terms = _losses(network, batch.to(place), settings, past)
            total = sum(terms.values())
            optimizer.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[union-attr]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            recent.append({name: float(term.detach()) for name, term in terms.items()})
            if not all(map(math.isfinite, recent[-1].values())):
                raise InputError("the autoencoder's loss is no longer a number: lower the learning rate")
            if (iteration + 1) % CURVE_EVERY == 0 or iteration + 1 == settings.steps:
                means = pd.DataFrame(recent).mean().to_dict()
                rows.append({"iteration": iteration + 1, "total": sum(means.values()), **means})
                recent.clear()
                if time.monotonic() - saved > CHECKPOINT_EVERY:
                    save(iteration + 1)
                    saved = time.monotonic()
    except KeyboardInterrupt:
        say(f"stopped at iteration {iteration}; the same command goes on from the last checkpoint")
        raise
    if settings.drawing_steps:
        learn_to_draw(network.autoencoder, pool, settings, seed=seed, what=f"{what}: drawing")
    model = network.autoencoder.eval()
    about = {"seed": seed, "iterations": settings.steps, "cells": len(pool), "settings": asdict(settings)}
    if half:  # and compute with what was written
        model = model.half().float()
    model.save(out, half=half, **{**about, **(notes or {})})
    checkpoint.unlink(missing_ok=True)
    return model, pd.DataFrame(rows)


def _losses(network: _Network, batch: Batch, settings: LearningSettings, past: Past) -> dict[str, Tensor]:
    model = network.autoencoder
    first, second = model.encoder.see(*batch.first), model.encoder.see(*batch.second)
    seen = ((first, batch.first[0]), (second, batch.second[0]))
    features = torch.cat([model.learnt(encoded, tokens[..., -MARKS:]) for encoded, tokens in seen])
    target = network.describe.target(batch.described)
    drawn = len(batch.pictures)
    drawings = model.decoder(first[:drawn], batch.first[1][:drawn])
    one, other = network.project(features).chunk(2)
    agreement = agreement_loss(one, other, batch.lab, batch.number, temperature=settings.temperature, past=past)
    return {
        "agreement": settings.agreement * agreement,
        "description": settings.description * network.describe(features, target.repeat(2, 1)),
        "discrepancy": settings.discrepancy * kernel_discrepancy(features, batch.lab.repeat(2)),
        "tokens": settings.tokens * F.mse_loss(drawings.tokens.flatten(2).transpose(1, 2), batch.tokens),
        "picture": settings.picture * (1 - ssim(drawings.image, batch.pictures)),
        "colour": settings.colour * F.l1_loss(drawings.image, batch.pictures),
    }


def _standardise(model: CrossDomainAutoencoder, pool: Pool) -> None:
    """Let mean and deviation of the tokens be those of `SCALED_BY` cells, evenly drawn, as they are."""
    cell = cell_tokens(model)
    rows = np.unique(np.linspace(0, len(pool) - 1, SCALED_BY).astype(int))
    tokens = pool.batch(rows)[0][:, 0, :-MARKS].astype(np.float32)
    cell.shift.copy_(torch.from_numpy(tokens.mean((0, 2, 3))))
    cell.scale.copy_(torch.from_numpy(tokens.std((0, 2, 3)) + 1e-3))


def align_pool(model: CrossDomainAutoencoder, pool: Pool, *, seed: int = 0) -> None:
    """Let `model` learn what the labs of a pool share (`CrossDomainAutoencoder.align`)."""
    described = _over_views(pool, lambda tokens: model.describe(tokens).cpu())
    labs = [described[pool.lab == number] for number in range(len(pool.labs))]
    model.align(labs, plain=pool.views.plain, seed=seed, keep=True)


@torch.inference_mode()
def _over_views(pool: Pool, described: Callable[[Tensor], Tensor]) -> np.ndarray:
    """What is told of the tokens (B, C, G, G) of every view of every cell: float32 (N, V, F)."""
    parts = []
    for rows in _slices(len(pool)):
        tokens = torch.from_numpy(pool.batch(rows)[0]).float()
        parts.append(described(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2]).numpy())
    return np.concatenate(parts)


def _slices(count: int) -> Iterator[np.ndarray]:
    for start in range(0, count, READ):
        yield np.arange(start, min(count, start + READ))
