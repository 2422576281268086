"""Peak memory of embedding and of training the autoencoder against the number of cells.

    python benchmarks/memory.py [--cells 1000 10000]

Each stage and each number of cells runs in a process of its own; the peak is the operating system's (`VmHWM`: all
resident pages, those of the memory map included). Images are one rendered cell, shown many times under many names.
Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

SIZE = 224


def peak_mb() -> float:
    """Peak resident memory of this process, in MB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc/self/status has no VmHWM: this needs Linux")


class OneImage:
    """A source that gives the same picture under every name."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image

    def size(self, path: str) -> tuple[int, int]:
        return self.image.shape[1], self.image.shape[0]

    def read(self, path: str) -> np.ndarray:
        return self.image.copy()

    def read_mask(self, mask: str, shape: tuple[int, int]) -> np.ndarray:
        raise NotImplementedError


def embed_stage(folder: Path, cells: int) -> None:
    """Embed `cells` images into a store."""
    from dorl.domains import Domain
    from dorl.domains.rendered import STYLES, render_cell
    from dorl.pipeline.embedding import embed
    from dorl.segmentation import Segmenter

    image = render_cell("monocyte", STYLES["harbour"], np.random.default_rng(0), SIZE).image
    labs = [
        Domain(
            name,
            folder,
            "made-up",
            pd.DataFrame({"path": [f"{i}.png" for i in range(cells // 2)]}),
            source=OneImage(image),
        )
        for name in ("a", "b")
    ]
    embed(labs, Segmenter.load("tiny"), folder / "cells", source={})


def train_stage(folder: Path, cells: int) -> None:
    """Train for as many batches as read every cell about once, at most 120, then extract all features."""
    from dorl.cells import CellStore
    from dorl.representation import AutoencoderConfig, TrainingSettings, encode_cells, train_autoencoder

    store = CellStore.open(folder / "cells")
    domain = (store.table["domain"] == "b").to_numpy(np.int64)
    settings = TrainingSettings(epochs=1, max_iterations=120, batch_size=32, warmup=5)
    config = AutoencoderConfig.scaled(192, 14, depth=4, decoder_depth=1)
    model, _ = train_autoencoder(store, domain, out=folder / "cae.safetensors", config=config, settings=settings)
    encode_cells(model, store)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--stage", choices=["embed", "train"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        {"embed": embed_stage, "train": train_stage}[given.stage](given.folder, given.cells[0])
        print(json.dumps({"stage": given.stage, "cells": given.cells[0], "peak_mb": round(peak_mb())}))
        return
    rows = []
    for cells in given.cells:
        with tempfile.TemporaryDirectory() as folder:
            for stage in ("embed", "train"):
                words = [sys.executable, __file__, "--stage", stage, "--folder", folder, "--cells", str(cells)]
                done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]))
    print(pd.DataFrame(rows).pivot(index="stage", columns="cells", values="peak_mb").to_string())
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
