"""The training of the bundled backbone: masks, tokens alike in two renderings, and rounds of checked pseudo-masks.

The network starts from ImageNet weights (the compact design) or from nothing (a ViT, after predicting hidden patches of
the unlabelled pictures). Then every step looks at a dozen pictures in two renderings each; the losses are those of
`dorl.pretraining.network`. At three points of the way the averaged network proposes masks for real images without any;
those that pass the checks of `dorl.pretraining.pseudo` are learnt from then on. No class label takes part.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.cells.restain import restain
from dorl.errors import InputError
from dorl.files import atomic, write_json
from dorl.pretraining.bank import Bank
from dorl.pretraining.network import (
    Pretraining,
    code_loss,
    mask_loss,
    parts_loss,
    pooled,
    soft_targets,
    token_loss,
)
from dorl.pretraining.pseudo import pseudo_masks
from dorl.pretraining.settings import DESIGNS, MEAN, STD, Settings
from dorl.pretraining.views import draw_geometry, look, nearby_geometry, token_places
from dorl.runtime.progress import say, track
from dorl.runtime.training import (
    default_device,
    drawing_threads,
    load_progress,
    prefetch,
    save_progress,
    seeded,
    set_learning_rate,
    warmup_cosine,
)
from dorl.segmentation.checkpoints import save_base
from dorl.segmentation.segmenter import Segmenter

#: seconds between two checkpoints
CHECKPOINT_EVERY = 180.0
#: stages of the compact encoder that keep their ImageNet weights: edges and colours, and most of the time
FROZEN = ("vision_encoder.stem.", "vision_encoder.stages.0.", "vision_encoder.stages.1.")


class Trainer:
    """State of one training.

    Parameters
    ----------
    bank : Bank
    settings : Settings
    out : Path
        Gets ``tiny.safetensors``, ``curve.csv``, ``card.json``, and what an interrupted training goes on from.
    encoder : dict of str to Tensor, optional
        Weights that the encoder starts from, under its own names.
    device : str, optional
        ``"cpu"``, ``"cuda"``; the GPU where there is one, by default. Pictures are drawn on the CPU in either case, by
        more threads for a GPU; the shipped weights were trained on a CPU.
    """

    def __init__(
        self,
        bank: Bank,
        settings: Settings,
        out: Path,
        *,
        encoder: dict[str, Tensor] | None = None,
        device: str | None = None,
    ) -> None:
        self.bank, self.settings, self.out = bank, settings, out
        self.device = default_device(device)
        self.labs = sorted(bank.table["lab"].unique())
        self.lab_of = torch.from_numpy(np.searchsorted(self.labs, bank.table["lab"].to_numpy(str)).astype(np.int64))
        spec = DESIGNS[settings.design]
        torch.manual_seed(settings.seed)
        self.model, self.average = Pretraining(spec, len(self.labs)), Pretraining(spec, len(self.labs))
        pretrained: set[str] = set()
        if encoder:
            self.model.sam.vision_encoder.load_state_dict(encoder, strict=False)
            pretrained = {f"sam.vision_encoder.{name}" for name in encoder}
            for name, parameter in self.model.sam.named_parameters():
                if name.startswith(FROZEN):
                    parameter.requires_grad_(False)
        self.average.load_state_dict(self.model.state_dict())
        for own, other in zip(self.model.parameters(), self.average.parameters(), strict=True):
            other.requires_grad_(own.requires_grad)
        for network in (self.model, self.average):
            network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.segmenter = self._segmenter(self.model)
        groups: list[dict[str, Any]] = [{"params": [], "share": 1.0}, {"params": [], "share": settings.pretrained_rate}]
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                groups[name in pretrained]["params"].append(parameter)
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self.curve: list[dict[str, float]] = []
        self.pseudo: dict[int, np.ndarray] = {}
        self.counts: list[dict[str, dict[str, int]]] = []

    def _segmenter(self, model: Pretraining) -> Segmenter:
        spec = DESIGNS[self.settings.design]
        return Segmenter(model.sam, spec, base="tiny", mean=MEAN, std=STD, device=str(self.device), precision="float32")

    def run(self) -> Path:
        """Train, from where an earlier run stopped."""
        settings, done, minutes = self.settings, 0, 0.0
        both = nn.ModuleDict({"model": self.model, "average": self.average})
        checkpoint = self.out / "unfinished.safetensors"
        identity = json.loads(json.dumps({**asdict(settings), "pictures": len(self.bank), "labs": self.labs}))
        if checkpoint.exists():
            header = load_progress(checkpoint, both, self.optimizer)
            if header["identity"] != identity:
                raise InputError(f"{checkpoint}: of other settings: remove it, or choose another folder")
            self.curve, done, minutes = header["curve"], header["step"], header["minutes"]
            say(f"goes on after step {done} of {settings.steps}")
        total = settings.masked_steps + settings.steps
        rounds = [settings.masked_steps + round(share * settings.steps) for share in settings.rounds]
        saved = started = time.monotonic()

        def save(step: int) -> None:
            spent = minutes + (time.monotonic() - started) / 60
            header = {"identity": identity, "curve": self.curve, "step": step, "minutes": spent}
            save_progress(checkpoint, both, self.optimizer, header)

        for number, (begin, end) in enumerate(zip([0, *rounds], [*rounds, total], strict=True)):
            if number and end > done:
                if done <= begin:
                    save(begin)
                self._round(number)
            todo = range(max(begin, done), end)
            workers = drawing_threads(self.device)
            batches = prefetch(self._batch, todo, workers=workers, ahead=2 * workers)
            for step, batch in zip(
                todo, track(batches, total=total, what="training tiny", done=todo.start), strict=True
            ):
                self._step(step, batch, total)
                if time.monotonic() - saved > CHECKPOINT_EVERY:
                    save(step + 1)
                    saved = time.monotonic()
        minutes += (time.monotonic() - started) / 60
        card = {"settings": asdict(settings), "pictures": self.bank.table["lab"].value_counts().to_dict()}
        card |= {"left_out": self.bank.left_out}
        card |= {"pseudo_masks": self.counts, "minutes": round(minutes, 1)}
        save_base(self._segmenter(self.average), self.out / "tiny.safetensors", card=card)
        with atomic(self.out / "curve.csv") as temporary:
            pd.DataFrame(self.curve).to_csv(temporary, index=False)
        write_json(self.out / "card.json", card)
        checkpoint.unlink(missing_ok=True)
        return self.out / "tiny.safetensors"

    def _round(self, number: int) -> None:
        """Make pseudo-masks with the averaged weights, or read those that this run made before it was interrupted."""
        place, note = self.out / f"pseudo-{number}.npz", self.out / f"pseudo-{number}.json"
        if not note.exists():
            rng = seeded(self.settings.seed, 3, number)
            table = self.bank.table
            rows = [
                rng.permutation(np.flatnonzero(table["lab"].eq(lab) & ~table["known"]))[: self.settings.most]
                for lab in self.labs
            ]
            network = self._segmenter(self.average)
            network.sam.eval()

            def predict(views: Tensor) -> Tensor:
                pixels = normalised(views.to(self.device))
                return network.spec.decode(network.sam, network.spec.encode(network.sam, pixels)).cpu()

            masks, counts = pseudo_masks(self.bank, np.sort(np.concatenate(rows)), predict, size=network.image_size)
            with atomic(place) as temporary:
                kept = np.array(sorted(masks), np.int64)
                stack = np.stack([masks[row] for row in kept]) if len(kept) else np.zeros((0, 1, 1), np.uint8)
                np.savez_compressed(temporary, rows=kept, targets=stack)
            write_json(note, counts)
        with np.load(place) as held:
            self.pseudo = dict(zip(held["rows"].tolist(), held["targets"], strict=True))
        self.counts.append(json.loads(note.read_text(encoding="utf-8")))

    def _batch(self, step: int) -> dict[str, Tensor]:
        """Pictures of one step, in two renderings."""
        rng = seeded(self.settings.seed, 1, step)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = self._draw(rng)
        images = torch.from_numpy(self.bank.images[rows])
        marks = torch.from_numpy(np.stack([self.pseudo.get(int(row), self.bank.targets[row]) for row in rows]))
        size = DESIGNS[self.settings.design].image_size
        place = draw_geometry(marks, generator)
        other = nearby_geometry(place, generator)
        first, first_marks = look(images, marks, place, size)
        second, second_marks = look(images, marks, other, size)
        views = torch.cat([restain(first, generator), restain(second, generator)])
        blank = torch.rand(len(rows), generator=generator) < 0.02  # an empty picture holds no cell
        for half in (0, len(rows)):
            views[half : half + len(rows)][blank] = views[half : half + len(rows)][blank].mean((2, 3), keepdim=True)
        first_marks[blank], second_marks[blank] = 0, 0
        return {
            "views": views,
            "marks": torch.cat([first_marks, second_marks]),
            "places": token_places(place, other, size // 16),
            "labs": self.lab_of[rows],
            "told": torch.from_numpy(self.bank.table["parts"].to_numpy(bool)[rows]) & ~blank,
        }

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        """Rows of one step: half with a mask of any kind, half any; the labs share each half evenly."""
        table = self.bank.table
        known = table["known"].to_numpy(bool).copy()
        known[list(self.pseudo)] = True
        rows = []
        for position in range(self.settings.batch_size):
            pool = known if position % 2 == 0 else np.ones(len(table), bool)
            labs = np.unique(self.lab_of[np.flatnonzero(pool)].numpy())
            lab = rng.choice(labs)
            rows.append(rng.choice(np.flatnonzero(pool & (self.lab_of.numpy() == lab))))
        return np.array(rows)

    def _step(self, step: int, batch: dict[str, Tensor], total: int) -> None:
        settings = self.settings
        rate = settings.learning_rate * warmup_cosine(step, warmup=settings.warmup, total=total)
        set_learning_rate(self.optimizer, rate)
        for group in self.optimizer.param_groups:
            group["lr"] *= group["share"]
        self.model.train()
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        views = normalised(batch["views"])
        terms = self._masked(views, step) if step < settings.masked_steps else self._losses(views, batch)
        self.optimizer.zero_grad(set_to_none=True)
        sum(terms.values()).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        keep = min(settings.averaging, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)
        if (step + 1) % 10 == 0 or step + 1 == total:
            self.curve.append(
                {"step": step + 1, **{name: round(float(term.detach()), 5) for name, term in terms.items()}}
            )

    def _losses(self, views: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        spec: Any = self.segmenter.spec
        settings = self.settings
        hidden = spec.encode(self.model.sam, views)
        logits, tokens = spec.decode(self.model.sam, hidden), spec.tokens(hidden)
        parts = F.pixel_shuffle(self.model.parts(tokens.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), 4)
        cell, weight = soft_targets(batch["marks"], logits.shape[-1])
        # where the cell isn't known, what the network says is good enough to average tokens by
        believed = torch.where(weight > 0.5, cell, logits.detach().softmax(1)[:, 1])
        inside = F.adaptive_avg_pool2d(believed[:, None], spec.grid)[:, 0]
        half = len(tokens) // 2
        codes = self.model.code(pooled(tokens, inside))
        usable = inside.mean((1, 2)) > 0.005
        return {
            "mask": mask_loss(logits, cell, weight),
            "parts": 0.3 * parts_loss(parts, batch["marks"], batch["told"].repeat(2)),
            "tokens": settings.token_weight * token_loss(tokens[:half], tokens[half:], batch["places"], inside[half:]),
            "codes": settings.code_weight
            * code_loss(self.model, codes[:half], codes[half:], batch["labs"], usable[:half] & usable[half:]),
        }

    def _masked(self, views: Tensor, step: int) -> dict[str, Tensor]:
        """Predict the pixels of hidden patches from the others (SimMIM, arXiv 2111.09886)."""
        spec: Any = self.segmenter.spec
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + step)
        hide = (torch.rand(len(views), 1, spec.grid, spec.grid, generator=generator) < 0.6).float()
        hide = F.interpolate(hide.to(views.device), scale_factor=16.0, mode="nearest")
        tokens = spec.encode(self.model.sam, views * (1 - hide))
        picture = F.pixel_shuffle(self.model.picture(tokens).permute(0, 3, 1, 2), 16)
        return {"picture": ((picture - views).abs() * hide).sum() / (3 * hide.sum())}


def normalised(views: Tensor) -> Tensor:
    """Views (B, 3, S, S), 0-1, as the network takes them."""
    mean, std = (torch.tensor(value, device=views.device).view(3, 1, 1) / 255 for value in (MEAN, STD))
    return (views - mean) / std
