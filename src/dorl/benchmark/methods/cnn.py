"""A convolutional network fine-tuned on the source lab's crops, without and with strong augmentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dorl.benchmark.methods.cells import Cells, Source
from dorl.benchmark.methods.method import FIXED, SOURCE_VALIDATION, Fitted
from dorl.benchmark.methods.networks import build
from dorl.benchmark.methods.selection import choose_on_source, split_source
from dorl.cells.restain import restain
from dorl.pretraining.train import normalised as by_imagenet
from dorl.pretraining.views import look, nearby_geometry
from dorl.runtime.progress import track
from dorl.runtime.training import default_device, drawing_threads, prefetch, seeded, set_learning_rate, warmup_cosine

#: crops that are classified at once
BATCH = 32


def schedule(kind: str, *, quick: bool) -> dict[str, Any]:
    """Settings of a profile: side of the crops in pixels, images drawn, learning rates compared.

    In the quick profile a network sees few images at half the side, and its learning rate is fixed beforehand.
    """
    large = kind.startswith("resnext")
    if quick:
        return {"side": 112 if large else 128, "draws": 1600 if large else 9600, "rates": (5e-4,)}
    return {"side": 224, "draws": 40_000, "rates": (1e-4, 5e-4)}


def plain(crops: Tensor, generator: torch.Generator, side: int) -> Tensor:
    """Flipped and turned by right angles at random: uint8 (B, S, S, 3) to float32 (B, 3, side, side), 0-1."""
    views = resized(crops, side)
    turns = torch.randint(0, 4, (len(views),), generator=generator)
    flips = torch.rand(len(views), generator=generator) < 0.5
    turned = [torch.rot90(view, int(count), (1, 2)) for view, count in zip(views, turns, strict=True)]
    return torch.stack([view.flip(2) if flip else view for view, flip in zip(turned, flips, strict=True)])


def strong(crops: Tensor, generator: torch.Generator, side: int) -> Tensor:
    """Turned at will, scaled, shifted, stained, lit, blurred and photographed anew; shapes as for `plain`."""
    matrices = nearby_geometry(torch.eye(3).repeat(len(crops), 1, 1), generator)
    marks = torch.zeros(crops.shape[:3], dtype=torch.uint8)
    return restain(look(crops, marks, matrices, side)[0], generator)


def resized(crops: Tensor, side: int) -> Tensor:
    """From uint8 (B, S, S, 3), 0-255, to float32 (B, 3, side, side), 0-1."""
    pixels = crops.permute(0, 3, 1, 2).float() / 255
    return F.interpolate(pixels, (side, side), mode="bilinear", antialias=True, align_corners=False)


def normalised(views: Tensor) -> Tensor:
    """0-1 to ImageNet's mean and deviation, (B, 3, S, S), channels last in memory."""
    return by_imagenet(views).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class FineTuned:
    """All weights tuned with cross-entropy on class-balanced draws of the source's crops.

    Parameters
    ----------
    kind : str
        As for `dorl.benchmark.methods.networks.build`.
    strong : bool
        With stain, blur and geometry augmentation; otherwise right-angle turns and flips.
    side : int
        Of the crops, in pixels.
    draws : int
        Crops drawn in all.
    rates : tuple of float
        Learning rates; of several, the best on held-out source cells is taken.
    batch_size : int
    weights : str, optional
        File of ImageNet weights; from scratch without, and the variant says so.
    digest : str
        Of that file: results are cached by it.
    device : str, optional

    References
    ----------
    Xie et al., *Aggregated Residual Transformations*, arXiv 1611.05431; Tan & Le, *EfficientNet*, arXiv 1905.11946;
    Tsutsui et al., arXiv 2303.01777, on batch norm and group norm between labs.
    """

    kind: str
    strong: bool = False
    side: int = 224
    draws: int = 40_000
    rates: tuple[float, ...] = (5e-4,)
    batch_size: int = 16
    weights: str | None = None
    digest: str = ""
    device: str | None = None

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        """See `Method.fit`; `targets` are not looked at."""
        rate, chosen_by = self.rates[0], FIXED
        if len(self.rates) > 1:
            learn, held = split_source(source.numbers, seed)
            part, rest = source.take(learn), source.take(held)
            names = np.array(part.classes, object)

            def held_out(candidate: float) -> NDArray[np.object_]:
                return names[self._predict(self._trained(part, candidate, seed), rest.cells)]

            rate, _ = choose_on_source(self.rates, held_out, rest.labels.astype(str))
            chosen_by = SOURCE_VALIDATION
        network = self._trained(source, rate, seed)
        classes = np.array(source.classes, object)
        setting = f"{self.side} px, {self.draws} crops drawn, learning rate {rate:g}"

        def predict(cells: Cells) -> NDArray[np.object_]:
            return classes[self._predict(network, cells)]

        remark = "" if self.weights else "from scratch"
        return [Fitted(predict, variant=remark, setting=setting, chosen_by=chosen_by)]

    def _trained(self, source: Source, rate: float, seed: int) -> nn.Module:
        place = default_device(self.device)
        network = build(self.kind, len(source.classes), self.weights, seed)
        network.to(place, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
        steps = math.ceil(self.draws / self.batch_size)
        numbers = source.numbers
        members = [np.flatnonzero(numbers == number) for number in range(len(source.classes))]
        change = strong if self.strong else plain

        def read(step: int) -> tuple[int, Tensor, Tensor]:
            rng = seeded(seed, step)
            wanted = rng.integers(len(members), size=self.batch_size)
            picked = np.array([rng.choice(members[number]) for number in wanted])
            (crops,) = source.cells.batch(picked, "crops")
            generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
            return step, normalised(change(torch.from_numpy(crops), generator, self.side)), torch.from_numpy(wanted)

        what = f"fine-tuning {self.kind}"
        for step, pixels, labels in track(
            prefetch(read, range(steps), workers=drawing_threads(place)), total=steps, what=what
        ):
            set_learning_rate(optimizer, rate * warmup_cosine(step, warmup=max(1, steps // 20), total=steps))
            loss = F.cross_entropy(network(pixels.to(place)), labels.to(place), label_smoothing=0.05)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return network.eval()

    @torch.inference_mode()
    def _predict(self, network: nn.Module, cells: Cells) -> NDArray[np.intp]:
        """Numbers of classes (N,)."""
        place = default_device(self.device)
        found = []
        for start in range(0, len(cells), BATCH):
            (crops,) = cells.batch(np.arange(start, min(start + BATCH, len(cells))), "crops")
            logits = network(normalised(resized(torch.from_numpy(crops), self.side)).to(place))
            found.append(logits.argmax(1).cpu().numpy())
        return np.concatenate(found)
