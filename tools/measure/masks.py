"""Dice of a segmenter on a lab with masks: as it is, and fine-tuned in 5-fold cross-validation.

    python tools/measure/masks.py jtsc=JTSC_zheng2018/labels.csv [--segmenter tiny] [--mode frozen lora] [--epochs 12]

Dice is of the mask that ``dorl segment`` writes, at the image's own size. In each fold the weights are tuned on four
folds, a tenth of which chooses the epoch; the fifth is only measured on. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from dorl.domains import Domain, parse_lab, read_domain
from dorl.runtime.memory import keep_memory
from dorl.runtime.training import seeded
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import find_central_cells
from dorl.segmentation.finetune import FinetuneSettings, finetune


def dice(segmenter: Segmenter, lab: Domain, rows: np.ndarray) -> np.ndarray:
    """Dice of each image of `rows`, float (N,)."""
    scores = []
    for start in range(0, len(rows), 16):
        some = rows[start : start + 16]
        found = find_central_cells(segmenter, [lab.load(int(i)) for i in some])
        for i, cell in zip(some, found, strict=True):
            truth = lab.load_mask(int(i))
            assert truth is not None
            scores.append(2 * (cell.mask & truth).sum() / max(1, cell.mask.sum() + truth.sum()))
    return np.array(scores)


def folds(count: int, number: int, seed: int) -> list[np.ndarray]:
    """Rows of each fold."""
    return [np.sort(part) for part in np.array_split(seeded(seed).permutation(count), number)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lab")
    parser.add_argument("--segmenter", default="tiny")
    parser.add_argument("--mode", nargs="+", choices=("frozen", "lora", "full"), default=["frozen", "lora", "full"])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    keep_memory()
    name, path = parse_lab(given.lab)
    lab = read_domain(path, name=name)
    lab = lab.take(lab.table["mask"].notna().to_numpy())
    results: dict[str, object] = {"lab": lab.name, "images": len(lab), "segmenter": given.segmenter}
    for mode in given.mode:
        began, scores = time.monotonic(), np.zeros(len(lab))
        if mode == "frozen":
            scores = dice(Segmenter.load(given.segmenter), lab, np.arange(len(lab)))
        else:
            settings = FinetuneSettings(
                rank=4 if mode == "lora" else 0, epochs=given.epochs, warmup_epochs=1, learning_rate=given.lr
            )
            for fold in folds(len(lab), given.folds, given.seed):
                rest = seeded(given.seed, 1).permutation(np.setdiff1d(np.arange(len(lab)), fold))
                chooses = len(rest) // 10
                segmenter = Segmenter.load(given.segmenter)
                with tempfile.TemporaryDirectory() as folder:
                    finetune(
                        segmenter,
                        [(lab, int(i)) for i in rest[chooses:]],
                        [(lab, int(i)) for i in rest[:chooses]],
                        out=Path(folder),
                        settings=settings,
                        seed=given.seed,
                    )
                scores[fold] = dice(segmenter, lab, fold)
                print(f"{mode}: fold of {len(fold)}, Dice {scores[fold].mean():.4f}", flush=True)
        minutes = (time.monotonic() - began) / 60
        results[mode] = {
            "dice": round(float(scores.mean()), 4),
            "below_0.9": int((scores < 0.9).sum()),
            "least": round(float(scores.min()), 4),
            "minutes": round(minutes, 1),
        }
        print(
            f"| {mode} | {scores.mean():.4f} | {(scores < 0.9).sum()} of {len(lab)} below 0.9 | {minutes:.1f} min |",
            flush=True,
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
