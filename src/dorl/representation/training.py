"""Training the cross-domain autoencoder on stored cells, without a class label."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch

from dorl.errors import InputError
from dorl.progress import say, track
from dorl.representation.autoencoder import AutoencoderConfig, CrossDomainAutoencoder, Reconstruction
from dorl.representation.losses import mmd_loss, ssim, token_loss, total_loss
from dorl.training import (
    default_device,
    has_bf16,
    load_progress,
    prefetch,
    save_progress,
    seeded,
    set_learning_rate,
    warmup_cosine,
)

#: seconds between two checkpoints
CHECKPOINT_EVERY = 60.0
#: iterations that one row of the loss curve averages
CURVE_EVERY = 10


@dataclass(frozen=True)
class TrainingSettings:
    """How a CAE is trained; the defaults are the published ones.

    Parameters
    ----------
    epochs : int
        An epoch draws as many cells as there are.
    max_iterations : int, optional
        Ends the training, and the cosine, earlier where that is fewer iterations.
    batch_size, warmup : int
        Warm-up in iterations.
    learning_rate, weight_decay : float
        Of AdamW.
    """

    epochs: int = 300
    max_iterations: int | None = None
    batch_size: int = 64
    warmup: int = 500
    learning_rate: float = 1e-4
    weight_decay: float = 0.05

    def iterations(self, cells: int) -> tuple[int, int]:
        """Iterations of an epoch and of the whole training over `cells` cells."""
        per_epoch = math.ceil(cells / self.batch_size)
        total = per_epoch * self.epochs
        return per_epoch, total if self.max_iterations is None else min(total, self.max_iterations)


class Cells(Protocol):
    """What training needs of a `dorl.cells.CellStore`."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int] | np.ndarray, *names: str) -> tuple[np.ndarray, ...]: ...


def balanced_batches(
    domain: np.ndarray, batch_size: int, batches: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Draw batches that hold every lab, in shares as equal as they can be.

    Parameters
    ----------
    domain : int array of shape (N,)
        Lab of each cell.
    batch_size, batches : int
    rng : numpy Generator

    Yields
    ------
    int array of shape (batch_size,)
        Each lab's cells are drawn without repeats until all were drawn, then anew: a small lab is seen more often.
    """
    labs = np.unique(domain)
    members = [np.flatnonzero(domain == lab) for lab in labs]
    queues = [np.empty(0, int) for _ in labs]
    for number in range(batches):
        picked = []
        for lab in range(len(labs)):
            # what doesn't divide evenly goes to another lab in each batch
            share = batch_size // len(labs) + ((lab + number) % len(labs) < batch_size % len(labs))
            while len(queues[lab]) < share:
                queues[lab] = np.concatenate([queues[lab], rng.permutation(members[lab])])
            picked.append(queues[lab][:share])
            queues[lab] = queues[lab][share:]
        yield np.concatenate(picked)


def loss_terms(
    model: CrossDomainAutoencoder,
    tokens: torch.Tensor,
    crops: torch.Tensor,
    domain: torch.Tensor,
    keep: torch.Tensor | None,
    *,
    bf16: bool = False,
) -> tuple[dict[str, torch.Tensor], Reconstruction]:
    """One pass and its losses.

    Parameters
    ----------
    tokens : float Tensor of shape (B, D, G, G)
    crops : float Tensor of shape (B, 3, S, S)
        0-1.
    domain : int Tensor of shape (B,)
    keep : int64 Tensor of shape (B, K) or None
        Visible tokens.

    Returns
    -------
    terms : dict
        Scalars ``image`` (1 − SSIM), ``mmd``, ``tokens`` (MSE) and ``total``.
    reconstruction : Reconstruction
    """
    with torch.autocast(tokens.device.type, dtype=torch.bfloat16, enabled=bf16):
        out = model(tokens, keep)
    terms = {
        "image": 1 - ssim(out.image.float(), crops),
        "mmd": mmd_loss(out.z.float(), domain),
        "tokens": token_loss(tokens, out.tokens.float()),
    }
    terms["total"] = total_loss(terms["image"], terms["mmd"], terms["tokens"])
    return terms, out


def train_autoencoder(
    cells: Cells,
    domain: np.ndarray,
    *,
    out: Path,
    config: AutoencoderConfig,
    settings: TrainingSettings | None = None,
    members: np.ndarray | None = None,
    seed: int = 0,
    device: str | None = None,
    what: str = "training the autoencoder",
) -> tuple[CrossDomainAutoencoder, pd.DataFrame]:
    """Train a CAE and write it to `out`; a training that was interrupted goes on.

    Parameters
    ----------
    cells : CellStore
        Read in batches; never held in memory as a whole.
    domain : int array of shape (N,)
        Lab of each cell of the store; of those trained on, the lowest is the one that the others are drawn to.
    out : Path
        The file to write, for example ``autoencoder.safetensors``. While training, a checkpoint lies beside it.
    config : AutoencoderConfig
    settings : TrainingSettings, optional
    members : int array, optional
        The cells to train on; all by default.
    seed : int
    device : str, optional

    Returns
    -------
    model : CrossDomainAutoencoder
        In eval mode.
    history : DataFrame
        Columns iteration, total, image, mmd, tokens: means over 10 iterations.
    """
    settings = settings or TrainingSettings()
    members = np.arange(len(cells)) if members is None else np.asarray(members)
    if not len(members):
        raise InputError("there is no cell to train the autoencoder on")
    # numbered anew: where lab 0 is left out, the others are drawn to the next
    lab = np.unique(np.asarray(domain)[members], return_inverse=True)[1]
    place = default_device(device)
    torch.manual_seed(seed)
    model = CrossDomainAutoencoder(config).to(place)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    per_epoch, total = settings.iterations(len(members))
    checkpoint = out.with_name(f"{out.stem}.unfinished.safetensors")
    # the members are part of what a checkpoint belongs to: labs added since make another training
    cells_digest = hashlib.sha256(members.astype(np.int64).tobytes() + lab.astype(np.int64).tobytes()).hexdigest()
    identity = {"settings": repr(settings), "config": repr(config), "cells": cells_digest, "seed": seed}
    rows: list[dict[str, float]] = []
    done = 0
    if checkpoint.exists():
        header = load_progress(checkpoint, model, optimizer)
        if header["identity"] != identity:
            raise InputError(f"{checkpoint}: an unfinished training with other settings or cells: remove it first")
        done, rows = header["iteration"], header["history"]
        say(f"{what}: going on at iteration {done} of {total}")

    def read(job: tuple[int, np.ndarray]) -> tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]:
        iteration, picked = job
        tokens, crops = cells.batch(members[picked], "tokens", "crops")
        return (
            iteration,
            torch.from_numpy(tokens).float(),
            torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255,
            torch.from_numpy(lab[picked]),
        )

    bf16 = has_bf16(place)
    jobs = _jobs(lab, settings.batch_size, per_epoch, done, total, seed)
    recent: list[dict[str, float]] = []
    saved = time.monotonic()

    def save(iteration: int) -> None:
        header = {"identity": identity, "iteration": iteration, "history": rows}
        save_progress(checkpoint, model, optimizer, header)

    model.train()
    iteration = done
    try:
        for iteration, tokens, crops, labs in track(prefetch(read, jobs), total=total, what=what, done=done):
            rate = settings.learning_rate * warmup_cosine(
                iteration, warmup=min(settings.warmup, max(1, total // 10)), total=total
            )
            set_learning_rate(optimizer, rate)
            keep = model.draw_keep(len(tokens), torch.Generator().manual_seed(seed * 1_000_003 + iteration))
            batch = (part.to(place) for part in (tokens, crops, labs, keep))
            terms, _ = loss_terms(model, *batch, bf16=bf16)
            optimizer.zero_grad(set_to_none=True)
            terms["total"].backward()
            optimizer.step()
            iteration += 1
            recent.append({name: float(term.detach()) for name, term in terms.items()})
            if not math.isfinite(recent[-1]["total"]):
                raise InputError("the autoencoder's loss is no longer a number: lower the learning rate")
            if iteration % CURVE_EVERY == 0 or iteration == total:
                rows.append({"iteration": iteration, **pd.DataFrame(recent).mean().to_dict()})
                recent.clear()
                if time.monotonic() - saved > CHECKPOINT_EVERY:
                    save(iteration)
                    saved = time.monotonic()
    except KeyboardInterrupt:
        say(f"stopped at iteration {iteration} of {total}; the same command goes on from the last checkpoint")
        raise
    model.eval()
    history = pd.DataFrame(rows, columns=["iteration", "total", "image", "mmd", "tokens"])
    notes: dict[str, Any] = {"seed": seed, "iterations": total, "cells": len(members)}
    model.save(out, **notes)
    checkpoint.unlink(missing_ok=True)
    return model, history


def _jobs(
    domain: np.ndarray, batch_size: int, per_epoch: int, done: int, total: int, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Number and cells of every iteration from `done` on, the same however often the training was interrupted."""
    for epoch in range(done // per_epoch, math.ceil(total / per_epoch)):
        batches = balanced_batches(domain, batch_size, per_epoch, seeded(seed, epoch))
        for offset, picked in enumerate(batches):
            iteration = epoch * per_epoch + offset
            if done <= iteration < total:
                yield iteration, picked


def encode_cells(
    model: CrossDomainAutoencoder, cells: Cells, *, batch_size: int = 128, members: np.ndarray | None = None
) -> np.ndarray:
    """Features s of stored cells: float32 array (N, D)."""
    members = np.arange(len(cells)) if members is None else np.asarray(members)
    features = np.empty((len(members), model.config.width), np.float32)
    for start in track(
        range(0, len(members), batch_size),
        total=math.ceil(len(members) / batch_size),
        what="extracting features",
    ):
        part = slice(start, start + batch_size)
        (tokens,) = cells.batch(members[part], "tokens")
        features[part] = model.encode(torch.from_numpy(tokens)).cpu().numpy()
    return features
