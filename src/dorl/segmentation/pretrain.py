"""Train the bundled backbone `tiny` on rendered cells: ``python -m dorl.segmentation.pretrain --out DIR``.

No real image and no class label is used: the network learns to tell cell from background (the published loss), nucleus
from cytoplasm, and to keep the picture in its tokens. Every cell is rendered in a laboratory style of its own, and its
colours, sharpness, noise, scale and position are varied again at each step. Both training and rendering go on where an
interrupted run stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.domains.rendered import CELL_CLASSES, STYLES, random_style, render_cell
from dorl.files import atomic, write_json
from dorl.progress import say, track
from dorl.segmentation.checkpoints import save_base
from dorl.segmentation.finetune import low_resolution
from dorl.segmentation.losses import overlap_scores, segmentation_loss
from dorl.segmentation.sam import SamSpec, build_sam
from dorl.segmentation.segmenter import Segmenter
from dorl.training import (
    has_bf16,
    load_progress,
    prefetch,
    save_progress,
    seeded,
    set_learning_rate,
    warmup_cosine,
)

#: the shape of `tiny`
TINY = SamSpec(width=192, depth=6, heads=6, global_blocks=(), neck=128, decoder_mlp=512)
#: input mean and standard deviation, RGB, 0-255; fixed, so that no data set sets them
MEAN, STD = (200.0, 175.0, 185.0), (50.0, 55.0, 45.0)
#: side of a rendered picture, in pixels, before it is cut to the network's input
RENDERED_SIZE = 256
CHUNK = 250
#: seconds between two checkpoints
CHECKPOINT_EVERY = 120.0


@dataclass(frozen=True)
class PretrainSettings:
    """How `tiny` is trained."""

    cells: int = 6000
    steps: int = 1200
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 100
    averaging: float = 0.998
    seed: int = 2024


class Pretraining(nn.Module):
    """SAM with two linear heads on its tokens, which are thrown away after training."""

    def __init__(self, spec: SamSpec) -> None:
        super().__init__()
        self.sam = build_sam(spec)
        self.parts = nn.Linear(spec.width, 3 * 16)
        self.picture = nn.Linear(spec.width, 3 * 64)

    def heads(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Part logits (B, 3, 4·G, 4·G) and the normalised picture (B, 3, 8·G, 8·G) from tokens (B, G, G, D)."""
        parts = F.pixel_shuffle(self.parts(hidden).permute(0, 3, 1, 2), 4)
        return parts, F.pixel_shuffle(self.picture(hidden).permute(0, 3, 1, 2), 8)


def render_chunk(job: tuple[Path, int, int]) -> Path:
    """Render `CHUNK` cells, each in a style of its own: uint8 (CHUNK, S, S, 4), RGB and part (0, 1, 2)."""
    path, number, seed = job
    if not path.exists():
        rng = seeded(seed, number)
        cells = np.empty((CHUNK, RENDERED_SIZE, RENDERED_SIZE, 4), np.uint8)
        for cell in cells:
            label = list(CELL_CLASSES)[rng.integers(len(CELL_CLASSES))]
            made = render_cell(label, random_style(rng), rng, size=RENDERED_SIZE)
            cell[..., :3] = made.image
            cell[..., 3] = made.mask.astype(np.uint8) + (made.mask & made.nucleus)
        with atomic(path) as temporary:
            np.save(temporary, cells)
    return path


def vary_geometry(cell: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Turn, flip, shift and scale a rendered cell (S, S, 4) to (size, size, 4); at times the cell fills it."""
    cell = np.rot90(cell, int(rng.integers(4)))
    if rng.random() < 0.5:
        cell = cell[::-1]
    side = cell.shape[0]
    rows, columns = np.nonzero(cell[..., 3])
    if rng.random() < 0.3 and len(rows):  # close to the cell
        reach = max(np.ptp(rows), np.ptp(columns)) * rng.uniform(1.0, 1.5)
        centre = np.array([rows.mean(), columns.mean()]) + rng.normal(0, 0.04 * reach, 2)
    else:
        reach = side * rng.uniform(0.7, 1.0)
        centre = side / 2 + rng.uniform(-0.5, 0.5, 2) * (side - reach)
    top, left = centre - reach / 2
    stretch = rng.uniform(0.9, 1.1)
    box = (left, top, left + reach * stretch, top + reach)
    cell = np.ascontiguousarray(cell)
    # outside the picture it goes on as in a mirror, and so do the parts: a mirrored cell is a cell
    pad = max(0, *(math.ceil(-value) for value in box[:2]), *(math.ceil(value - side) for value in box[2:]))
    padded = np.pad(cell, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    shifted = tuple(value + pad for value in box)
    picture = Image.fromarray(padded[..., :3]).resize((size, size), Image.Resampling.BILINEAR, box=shifted)
    parts = Image.fromarray(padded[..., 3]).resize((size, size), Image.Resampling.NEAREST, box=shifted)
    return np.dstack([np.asarray(picture), np.asarray(parts)])


def vary_colours(images: Tensor, generator: torch.Generator) -> Tensor:
    """Vary stain, light, sharpness and noise of uint8 images (B, S, S, 3); returns uint8 of the same shape."""
    batch = len(images)

    def draw(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator)

    pixels = images.permute(0, 3, 1, 2).float() / 255
    density = -torch.log(pixels.clamp_min(1 / 255))
    density = density * (0.6 + 0.8 * draw(3, 1, 1)) * (0.7 + 0.6 * draw(1, 1, 1)) + 0.12 * draw(3, 1, 1)
    pixels = torch.exp(-density)
    small = F.avg_pool2d(F.pad(pixels, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    pixels = torch.lerp(pixels, small, draw(1, 1, 1) * (draw(1, 1, 1) < 0.4))
    grey = pixels.mean(1, keepdim=True)
    pixels = grey + (pixels - grey) * (0.3 + 1.2 * draw(1, 1, 1))
    pixels = pixels + 0.05 * draw(1, 1, 1) ** 2 * torch.randn(pixels.shape, generator=generator)
    return (pixels.clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1)


def pretrain(out: Path, settings: PretrainSettings, *, spec: SamSpec = TINY) -> Path:
    """Train and write ``tiny.safetensors``, ``curve.csv`` and ``card.json`` into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    chunks = _render(out, settings)
    torch.manual_seed(settings.seed)
    model = Pretraining(spec)
    segmenter = Segmenter(model.sam, spec, base="tiny", mean=MEAN, std=STD, device="cpu")
    optimizer = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    # the average is a module of its own, so that both are saved as one checkpoint
    average = Pretraining(spec)
    average.load_state_dict(model.state_dict())
    both = nn.ModuleDict({"model": model, "average": average})
    checkpoint = out / "unfinished.safetensors"
    identity, rows, done = {"settings": asdict(settings), "spec": spec.to_dict()}, [], 0
    identity = json.loads(json.dumps(identity))
    if checkpoint.exists():
        header = load_progress(checkpoint, both, optimizer)
        if header["identity"] != identity:
            raise SystemExit(f"{checkpoint}: of other settings: remove it, or choose another folder")
        rows, done = header["curve"], header["step"]
    saved, started = time.monotonic(), time.monotonic()
    bf16 = has_bf16(segmenter.device)
    batches = prefetch(lambda step: _batch(chunks, spec.image_size, settings, step), range(done, settings.steps))
    for step, (clean, varied, parts) in enumerate(
        track(batches, total=settings.steps, what="training tiny", done=done), start=done
    ):
        set_learning_rate(
            optimizer,
            settings.learning_rate * warmup_cosine(step, warmup=settings.warmup, total=settings.steps),
        )
        model.train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            hidden, logits = segmenter.forward(varied)
            part_logits, picture = model.heads(hidden)
        low = low_resolution(parts > 0, logits.shape[-1])
        nearest = F.interpolate(parts[:, None].float(), logits.shape[-2:], mode="nearest")[:, 0].long()
        target = F.adaptive_avg_pool2d(segmenter.normalise(clean), picture.shape[-1])
        terms = {
            "mask": segmentation_loss(logits, low),
            "parts": F.cross_entropy(part_logits.float(), nearest),
            "picture": F.l1_loss(picture.float(), target),
        }
        optimizer.zero_grad(set_to_none=True)
        sum(terms.values()).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        keep = min(settings.averaging, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, value in zip(average.parameters(), model.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)
        if (step + 1) % 10 == 0 or step + 1 == settings.steps:
            rows.append({"step": step + 1, **{name: float(term.detach()) for name, term in terms.items()}})
        if time.monotonic() - saved > CHECKPOINT_EVERY:
            header = {"identity": identity, "curve": rows, "step": step + 1}
            save_progress(checkpoint, both, optimizer, header)
            saved = time.monotonic()
    best = Segmenter(average.sam, spec, base="tiny", mean=MEAN, std=STD, device="cpu")
    card = {
        "settings": asdict(settings),
        "data": "rendered cells only; no real image, no class label",
        "dice_unseen_rendered_labs": unseen_dice(best, settings.seed + 1),
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    save_base(best, out / "tiny.safetensors", card=card)
    with atomic(out / "curve.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
    write_json(out / "card.json", card)
    checkpoint.unlink(missing_ok=True)
    say(json.dumps(card["dice_unseen_rendered_labs"]))
    return out / "tiny.safetensors"


def unseen_dice(segmenter: Segmenter, seed: int, *, cells: int = 52) -> dict[str, float]:
    """Mean Dice on labs whose styles training never drew: the named presets, `cells` cells of each."""
    found: dict[str, float] = {}
    for name, style in STYLES.items():
        rng = seeded(seed, len(found))
        made = [render_cell(list(CELL_CLASSES)[i % len(CELL_CLASSES)], style, rng) for i in range(cells)]
        masks = segmenter(np.stack([cell.image for cell in made])).masks
        truth = torch.from_numpy(np.stack([cell.mask for cell in made]))
        found[name] = round(float(overlap_scores(masks, truth)[0].mean()), 4)
    return found


def _render(out: Path, settings: PretrainSettings) -> list[np.ndarray]:
    folder = out / "rendered"
    folder.mkdir(exist_ok=True)
    count = -(-settings.cells // CHUNK)
    jobs = [(folder / f"{settings.seed}-{number:04d}.npy", number, settings.seed) for number in range(count)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        paths = list(track(pool.map(render_chunk, jobs), total=count, what=f"rendering, {CHUNK} cells each"))
    return [np.load(path, mmap_mode="r") for path in paths]


def _batch(chunks: list[np.ndarray], size: int, settings: PretrainSettings, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Clean images, varied images (both uint8 (B, S, S, 3)) and parts (B, S, S) of one step."""
    rng = seeded(settings.seed, 1, step)
    cells = np.stack(
        [
            vary_geometry(chunks[rng.integers(len(chunks))][rng.integers(CHUNK)], size, rng)
            for _ in range(settings.batch_size)
        ]
    )
    clean = torch.from_numpy(cells[..., :3].copy())
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    return clean, vary_colours(clean, generator), torch.from_numpy(cells[..., 3].astype(np.int64))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights, the curve and the card")
    for name, default in asdict(PretrainSettings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    given = vars(parser.parse_args())
    pretrain(given.pop("out"), PretrainSettings(**given))


if __name__ == "__main__":
    main()
