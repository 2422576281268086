"""Fine-tuning LoRA-SAM on images with masks: the published loss, schedule and augmentation (DoRL, stage 1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional as F

from dorl.errors import InputError
from dorl.files import atomic
from dorl.runtime.progress import say, track
from dorl.runtime.training import (
    has_bf16,
    load_progress,
    prefetch,
    save_progress,
    seeded,
    set_learning_rate,
    warmup_cosine,
)
from dorl.segmentation.augment import augment
from dorl.segmentation.checkpoints import save_base
from dorl.segmentation.lora import base_digest
from dorl.segmentation.losses import overlap_scores, segmentation_loss
from dorl.segmentation.pixels import prepare
from dorl.segmentation.segmenter import Segmenter
from dorl.tensorfiles import load_into, load_tensors


@dataclass(frozen=True)
class FinetuneSettings:
    """How LoRA-SAM is fine-tuned; the defaults are the published ones.

    Parameters
    ----------
    rank : int
        Of LoRA on query and value; 0 trains every weight instead, which the published method doesn't.
    epochs, warmup_epochs, batch_size : int
    learning_rate, weight_decay : float
        Of AdamW with β 0.9, 0.999.
    """

    rank: int = 4
    epochs: int = 150
    warmup_epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 0.1


class MaskedImages(Protocol):
    """Images with masks; a `dorl.domains.Domain` is one."""

    def __len__(self) -> int: ...

    def load(self, index: int) -> np.ndarray: ...

    def load_mask(self, index: int) -> np.ndarray | None: ...


#: one image of one set
Sample = tuple[MaskedImages, int]


def load_pair(sample: Sample, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 (S, S, 3) and mask bool (S, S), both resized to the network's input."""
    images, index = sample
    image, mask = images.load(index), images.load_mask(index)
    if mask is None:
        raise InputError("an image without a mask can't be trained on: give a lab whose manifest has a mask column")
    small = Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)
    return prepare(image, size), np.asarray(small)


def input_statistics(samples: Sequence[Sample], size: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the fine-tuning images: RGB, 0-255, over all pixels."""
    total, squares = np.zeros(3), np.zeros(3)
    for image, _ in prefetch(lambda sample: load_pair(sample, size), samples):
        pixels = image.reshape(-1, 3).astype(np.float64)
        total += pixels.mean(0)
        squares += (pixels**2).mean(0)
    mean = total / len(samples)
    std = np.sqrt(np.maximum(squares / len(samples) - mean**2, 1.0))
    return tuple(mean.round(4).tolist()), tuple(std.round(4).tolist())


def low_resolution(mask: torch.Tensor, side: int) -> torch.Tensor:
    """Masks (B, S, S) at the decoder's own resolution, int64 (B, side, side): cell where it covers half a pixel."""
    return (F.adaptive_avg_pool2d(mask[:, None].float(), side)[:, 0] >= 0.5).long()


def finetune(
    segmenter: Segmenter,
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    *,
    out: Path,
    settings: FinetuneSettings | None = None,
    seed: int = 0,
    made_of: str = "",
) -> pd.DataFrame:
    """Tune LoRA, prompt encoder and mask decoder, or all; write the best weights by Dice on the held-out images.

    Parameters
    ----------
    segmenter : Segmenter
        Without an adapter. Holds the best weights afterwards.
    train, held_out : sequence of (set, index)
    out : Path
        Folder; gets ``segmenter.safetensors`` (the adapter, or with rank 0 the whole network) and ``history.csv``. A
        training that was interrupted goes on from its last whole epoch.
    settings : FinetuneSettings, optional
    seed : int
    made_of : str
        Changes with the images, the masks and which of them are held out: a training doesn't go on with others.

    Returns
    -------
    DataFrame
        A row an epoch: epoch, loss, dice, iou.
    """
    settings = settings or FinetuneSettings()
    if not train or not held_out:
        raise InputError("fine-tuning needs images with masks both to train on and to hold out: give more images")
    size = segmenter.image_size
    if segmenter.spec.family != "compact":
        # a convolutional encoder without norms is bound to the scale of the input that it learnt with
        segmenter.mean, segmenter.std = input_statistics(train, size)
    if settings.rank:
        segmenter.add_lora(settings.rank, seed=seed)
    trainable = [p for p in segmenter.sam.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trainable, lr=settings.learning_rate, betas=(0.9, 0.999), weight_decay=settings.weight_decay
    )
    checkpoint, adapter = out / "unfinished.safetensors", out / "segmenter.safetensors"
    identity = {
        "settings": repr(settings),
        "images": [len(train), len(held_out), made_of],
        "base": base_digest(segmenter.sam),
        "seed": seed,
    }
    rows: list[dict[str, float]] = []
    if checkpoint.exists():
        header = load_progress(checkpoint, segmenter.sam, optimizer)
        if header["identity"] != identity:
            raise InputError(f"{checkpoint}: an unfinished fine-tuning with other settings or images: remove it first")
        rows = header["history"]
        say(f"fine-tuning goes on after epoch {len(rows)} of {settings.epochs}")
    per_epoch = math.ceil(len(train) / settings.batch_size)
    epochs = range(len(rows), settings.epochs)
    for epoch in track(epochs, total=settings.epochs, what="fine-tuning (epochs)", done=len(rows)):
        losses = []
        for step, (images, masks) in enumerate(_batches(train, size, settings.batch_size, seed, epoch)):
            factor = warmup_cosine(
                epoch * per_epoch + step,
                warmup=min(settings.warmup_epochs, settings.epochs) * per_epoch,
                total=settings.epochs * per_epoch,
            )
            set_learning_rate(optimizer, settings.learning_rate * factor)
            losses.append(_step(segmenter, optimizer, images, masks))
        segmenter.changed()
        dice, iou = evaluate_masks(segmenter, held_out)
        best = max((row["dice"] for row in rows), default=-1.0)
        rows.append({"epoch": epoch + 1, "loss": float(np.mean(losses)), "dice": dice, "iou": iou})
        if dice > best:
            if settings.rank:
                segmenter.save(adapter)
            else:
                card = {"tuned_from": segmenter.base, "settings": asdict(settings), "images": len(train), "seed": seed}
                save_base(segmenter, adapter, card=card, half=False)
        save_progress(checkpoint, segmenter.sam, optimizer, {"identity": identity, "history": rows})
    history = pd.DataFrame(rows)
    with atomic(out / "history.csv") as temporary:
        history.to_csv(temporary, index=False)
    checkpoint.unlink(missing_ok=True)
    tensors, _ = load_tensors(adapter)
    load_into(segmenter.sam, tensors, path=adapter, names=tensors)
    segmenter.changed()
    best_epoch = history.loc[history["dice"].idxmax()]
    say(f"best epoch {best_epoch.epoch:.0f}: Dice {best_epoch.dice:.4f}, IoU {best_epoch.iou:.4f} on held-out images")
    return history


def evaluate_masks(segmenter: Segmenter, samples: Sequence[Sample], *, batch_size: int = 32) -> tuple[float, float]:
    """Mean Dice and IoU of the cell over `samples`, at the network's input size, inference as users get it."""
    dices, ious = [], []
    size = segmenter.image_size
    for images, masks in _batches(samples, size, batch_size, None, 0):
        dice, iou = overlap_scores(segmenter(images).masks.cpu(), masks)
        dices.append(dice)
        ious.append(iou)
    return float(torch.cat(dices).mean()), float(torch.cat(ious).mean())


def _step(segmenter: Segmenter, optimizer: torch.optim.Optimizer, images: torch.Tensor, masks: torch.Tensor) -> float:
    place = segmenter.device
    segmenter.sam.train()
    with torch.autocast(place.type, dtype=torch.bfloat16, enabled=has_bf16(place)):
        _, logits = segmenter.forward(images)
    loss = segmentation_loss(logits, low_resolution(masks.to(place), logits.shape[-1]))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    segmenter.sam.eval()
    return float(loss.detach())


def _batches(
    samples: Sequence[Sample], size: int, batch_size: int, seed: int | None, epoch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of images and masks: shuffled and augmented by seed and epoch, or in order without a seed."""
    order = np.arange(len(samples)) if seed is None else seeded(seed, epoch).permutation(len(samples))

    def read(position: int) -> tuple[np.ndarray, np.ndarray]:
        pair = load_pair(samples[position], size)
        return pair if seed is None else augment(*pair, seeded(seed, epoch, position))

    images: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    for number, (image, mask) in enumerate(prefetch(read, order.tolist(), ahead=2 * batch_size), start=1):
        images.append(image)
        masks.append(mask)
        if len(images) == batch_size or number == len(order):
            yield torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks))
            images, masks = [], []
