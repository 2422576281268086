"""How fast images are segmented and embedded, against the plain way: one image at a time, in float32.

    python tools/measure/embedding.py [--network sam-vit-b tiny] [--precision float32 bfloat16 int8]
        [--lab BCCD_cropped] [--images 16] [--rounds 5]

The plain way is what the published code does: LoRA beside the projections, attention with its table of biases written
out, batches of one. Ours is what `dorl fit` does: batches in threads, over the network for inference. All take turns in
one process, over the same images; medians over the rounds. Times are of all cores by the clock and by the processor's
time; where other work shares the cores, only the second means much. `sam-vit-b` has random weights, positions and LoRA
included. Tokens are compared by their cosine, masks by IoU, with the plain way's. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dorl.domains import read_domain
from dorl.domains.rendered import CELL_CLASSES, STYLES, render_cell
from dorl.runtime.inference import over_batches
from dorl.runtime.memory import keep_memory
from dorl.runtime.training import seeded
from dorl.segmentation import SamSpec, Segmenter
from dorl.segmentation.lora import lora_modules
from dorl.segmentation.pixels import prepare

Way = Callable[[np.ndarray], tuple[Tensor, Tensor]]


def segmenter(network: str, precision: str) -> Segmenter:
    """A network; of the same weights at every call."""
    if network == "tiny":
        return Segmenter.load("tiny", device="cpu", precision=precision)
    made = Segmenter.from_spec(SamSpec(), rank=4, device="cpu", precision=precision)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weights in made.sam.named_parameters():
            if "rel_pos" in name:
                weights.copy_(0.1 * torch.randn(weights.shape, generator=generator))
        for module in lora_modules(made.sam):
            for matrix in (module.q_b, module.v_b):
                matrix.copy_(0.02 * torch.randn(matrix.shape, generator=generator))
    return made


def plain(network: str) -> Way:
    """One image at a time, in float32, over the network as it is trained."""
    from transformers.models.sam.modeling_sam import SamVisionAttention, SamVisionSdpaAttention

    made = segmenter(network, "float32")
    for part in made.sam.modules():
        if type(part) is SamVisionSdpaAttention:
            part.__class__ = SamVisionAttention  # the same weights, every step written out

    def run(images: np.ndarray) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            found = [made.forward(torch.from_numpy(image[None])) for image in images]
        return torch.cat([made.spec.tokens(hidden) for hidden, _ in found]), torch.cat([said for _, said in found])

    return run


def ours(network: str, precision: str) -> Way:
    """As `dorl fit` and `dorl embed` do it."""
    made = segmenter(network, precision)

    def run(images: np.ndarray) -> tuple[Tensor, Tensor]:
        batches = over_batches(lambda some: made(np.stack(some)), list(images), device=made.device)
        found = [out for _, out in batches]
        return torch.cat([out.tokens for out in found]), torch.cat([out.mask_logits for out in found])

    return run


def alike(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Cosine of tokens and IoU of masks: the mean, and the worst of them."""
    cosine = torch.cosine_similarity(found[0], expected[0], dim=1)
    one, other = (logits[:, 1] > logits[:, 0] for _, logits in (found, expected))
    iou = (one & other).sum((1, 2)) / (one | other).sum((1, 2)).clamp_min(1)
    return {
        "cosine": round(float(cosine.mean()), 5),
        "worst_cosine": round(float(cosine.min()), 5),
        "iou": round(float(iou.mean()), 4),
        "worst_iou": round(float(iou.min()), 4),
    }


def cells(lab: str | None, count: int) -> np.ndarray:
    """Images of a lab, or rendered ones, at the networks' size."""
    if lab is None:
        rng = np.random.default_rng(7)
        names, styles = list(CELL_CLASSES), list(STYLES)
        pictures = [render_cell(names[i % len(names)], STYLES[styles[i % len(styles)]], rng, 224) for i in range(count)]
        return np.stack([picture.image for picture in pictures])
    domain = read_domain(Path(lab))
    rows = np.sort(seeded(0).permutation(len(domain))[:count])
    return np.stack([prepare(domain.load(int(i))) for i in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=["sam-vit-b", "tiny"], choices=["sam-vit-b", "tiny"])
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16", "int8"])
    parser.add_argument("--lab")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    keep_memory()  # as the command line does
    images = cells(given.lab, given.images)
    rows = []
    for network in given.network:
        ways = {"plain": plain(network), **{name: ours(network, name) for name in given.precision}}
        said = {name: way(images) for name, way in ways.items()}  # and warm
        clocks: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, way in ways.items():
                wall, processor = time.perf_counter(), time.process_time()
                way(images)
                clocks[name].append((time.perf_counter() - wall, time.process_time() - processor))
        for name, pairs in clocks.items():
            wall, processor = (statistics.median(values) / len(images) for values in zip(*pairs, strict=True))
            against = [
                statistics.median(p[i] / o[i] for p, o in zip(clocks["plain"], pairs, strict=True)) for i in (0, 1)
            ]
            rows.append(
                {
                    "network": network,
                    "way": name,
                    "ms": round(1000 * wall, 1),
                    "processor_ms": round(1000 * processor, 1),
                    "times": round(against[0], 2),
                    "processor_times": round(against[1], 2),
                    **alike(said[name], said["plain"]),
                }
            )
    names = list(rows[0])
    print(" | ".join(names))
    for row in rows:
        print(" | ".join(str(row[name]) for name in names))
    about = {"images": len(images), "rounds": given.rounds, "threads": torch.get_num_threads(), "cores": os.cpu_count()}
    print(json.dumps({**about, "lab": given.lab and Path(given.lab).name, "torch": torch.__version__, "rows": rows}))


if __name__ == "__main__":
    main()
