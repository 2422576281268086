"""Training the cross-domain autoencoder on stored cells, without a class label."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dorl.errors import InputError
from dorl.representation.autoencoder import CrossDomainAutoencoder, Reconstruction
from dorl.representation.batches import Cells, training_jobs
from dorl.representation.config import AutoencoderConfig
from dorl.representation.losses import mmd_loss, ssim, token_loss, total_loss
from dorl.runtime.processes import count, is_main, rank, several, wait
from dorl.runtime.progress import say, track
from dorl.runtime.training import (
    default_device,
    has_bf16,
    load_progress,
    prefetch,
    save_progress,
    set_learning_rate,
    warmup_cosine,
)

#: seconds between two checkpoints
CHECKPOINT_EVERY = 60.0
#: iterations that one row of the loss curve averages
CURVE_EVERY = 10
#: cells whose tokens tell the scale of all
SCALED_BY = 256


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
    accumulate : int
        Parts that a batch is computed in, one after the other, for as much less memory. Labs are compared within each
        part, so that the discrepancy L_mmd is that of fewer cells; all else is as for the whole batch.
    normalise : bool
        Give the autoencoder a `token_scale`, the standard deviation of the tokens trained on, so that their loss weighs
        like that of the image whatever the backbone's numbers are. The published training doesn't.
    """

    epochs: int = 300
    max_iterations: int | None = None
    batch_size: int = 64
    warmup: int = 500
    learning_rate: float = 1e-4
    weight_decay: float = 0.05
    accumulate: int = 1
    normalise: bool = False

    def check_parts(self) -> None:
        """Refuse a batch that can't be divided among the processes, and by each into its parts."""
        if not 1 <= self.accumulate * count() <= self.batch_size:
            raise InputError(
                f"a batch of {self.batch_size} can't be divided into {self.accumulate} parts for each of {count()} "
                "processes: give a larger batch size, or fewer of them"
            )

    def iterations(self, cells: int) -> tuple[int, int]:
        """Iterations of an epoch and of the whole training over `cells` cells."""
        per_epoch = math.ceil(cells / self.batch_size)
        total = per_epoch * self.epochs
        return per_epoch, total if self.max_iterations is None else min(total, self.max_iterations)


def loss_terms(
    model: nn.Module,
    tokens: torch.Tensor,
    crops: torch.Tensor,
    domain: torch.Tensor,
    keep: torch.Tensor | None,
    *,
    bf16: bool = False,
    labs: int | None = None,
) -> tuple[dict[str, torch.Tensor], Reconstruction]:
    """One pass and its losses.

    Parameters
    ----------
    model : CrossDomainAutoencoder, or what spreads one over processes
    tokens : float Tensor of shape (B, D, G, G)
    crops : float Tensor of shape (B, 3, S, S)
        0-1.
    domain : int Tensor of shape (B,)
    keep : int64 Tensor of shape (B, K) or None
        Visible tokens.
    bf16 : bool
        Compute in bfloat16 where it is safe to; weights and losses stay float32.
    labs : int, optional
        Number of labs; needed where several processes each have a part of the batch.

    Returns
    -------
    terms : dict
        Scalars ``image`` (1 − SSIM), ``mmd``, ``tokens`` (MSE of what was divided by `token_scale`) and ``total``.
    reconstruction : Reconstruction
    """
    alone: Any = getattr(model, "module", model)
    scale = alone.config.token_scale
    with torch.autocast(tokens.device.type, dtype=torch.bfloat16, enabled=bf16):
        out = model(tokens, keep)
    terms = {
        "image": 1 - ssim(out.image.float(), crops),
        "mmd": mmd_loss(out.z.float(), domain, labs=labs, summed=_over_processes if several() else None),
        "tokens": token_loss(tokens, out.tokens.float()) / scale**2,
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

    Several processes divide each batch, and come to what one process comes to.

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
    settings.check_parts()
    members = np.arange(len(cells)) if members is None else np.asarray(members)
    if not len(members):
        raise InputError("there is no cell to train the autoencoder on")
    # numbered anew: where lab 0 is left out, the others are drawn to the next
    lab = np.unique(np.asarray(domain)[members], return_inverse=True)[1]
    if settings.normalise:
        config = replace(config, token_scale=_token_scale(cells, members))
    place = default_device(device)
    torch.manual_seed(seed)
    model = CrossDomainAutoencoder(config).to(place)
    network = nn.parallel.DistributedDataParallel(model) if several() else model
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
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

    def read(job: tuple[int, np.ndarray]) -> tuple[int, Tensor, Tensor, Tensor]:
        iteration, picked = job
        picked = picked[rank() :: count()]
        tokens, crops = cells.batch(members[picked], "tokens", "crops")
        return (
            iteration,
            torch.from_numpy(tokens).float(),
            torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255,
            torch.from_numpy(lab[picked]),
        )

    bf16 = has_bf16(place)
    jobs = training_jobs(lab, settings.batch_size, per_epoch, done, total, seed)
    recent: list[dict[str, float]] = []
    saved = time.monotonic()

    def save(iteration: int) -> None:
        if not is_main():
            return
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
            keep = model.draw_keep(settings.batch_size, torch.Generator().manual_seed(seed * 1_000_003 + iteration))
            batch = [part.to(place) for part in (tokens, crops, labs, keep[rank() :: count()])]
            optimizer.zero_grad(set_to_none=True)
            recent.append(_learn(network, batch, settings, bf16=bf16, labs=int(lab.max()) + 1))
            optimizer.step()
            iteration += 1
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
    if is_main():
        model.save(out, **notes)
        checkpoint.unlink(missing_ok=True)
    wait()
    return model, history


def _token_scale(cells: Cells, members: np.ndarray) -> float:
    """Standard deviation of the tokens of `SCALED_BY` cells, evenly drawn."""
    picked = np.unique(np.linspace(0, len(members) - 1, SCALED_BY).astype(int))
    spread = float(cells.batch(members[picked], "tokens")[0].astype(np.float32).std())
    return round(spread, 4) or 1.0


def _learn(
    network: nn.Module, batch: Sequence[Tensor], settings: TrainingSettings, *, bf16: bool, labs: int
) -> dict[str, float]:
    """Add up the gradients of this process's part of a batch; the loss terms are those of the whole batch."""
    parts = settings.accumulate
    terms: dict[str, Tensor] = {}
    for number in range(parts):
        part = [values[number::parts] for values in batch]
        found, _ = loss_terms(network, *part, bf16=bf16, labs=labs)
        share = len(part[0]) / settings.batch_size
        # the processes' gradients are averaged, and each knows the discrepancy of all
        own = total_loss(share * count() * found["image"], found["mmd"] / parts, share * count() * found["tokens"])
        last = number == parts - 1
        with network.no_sync() if several() and not last else nullcontext():  # type: ignore[operator]
            own.backward()
        for name, weight in (("image", share), ("mmd", 1 / parts / count()), ("tokens", share)):
            terms[name] = terms.get(name, 0) + weight * found[name].detach()
    whole = torch.stack([terms[name] for name in ("image", "mmd", "tokens")])
    image, mmd, tokens = (_over_processes(whole) if several() else whole).unbind()
    terms = {"image": image, "mmd": mmd, "tokens": tokens, "total": total_loss(image, mmd, tokens)}
    return {name: float(term) for name, term in terms.items()}


class _Sum(torch.autograd.Function):
    """Sum over the processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total


def _over_processes(values: Tensor) -> Tensor:
    """Sum over the processes; gradients flow back to each."""
    return _Sum.apply(values)
