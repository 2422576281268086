"""Peak memory of embedding, of training the autoencoder and of all that `fit` does after embedding, by number of cells.

    python tools/measure/memory.py [--cells 2000 20000] [--stages embed train fit]

Each stage and each number of cells runs in a process of its own; the peak is the operating system's (`VmHWM`: all
resident pages, those of the memory map included). Images are one rendered cell, shown many times under many names. The
stage "fit" makes up the cells, at `tiny`'s width, 11 classes in two labs, and writes them straight into the store; from
there on it is `dorl.fit` with few iterations of the autoencoder and two folds: features, seven
classifiers and their calibration, the protocol, figures and the report.
Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dorl import taxonomy

if TYPE_CHECKING:
    from dorl.domains import Domain
    from dorl.representation import CrossDomainAutoencoder
    from dorl.run.embedding import Embedded
    from dorl.segmentation import Segmenter

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

    def digest(self, path: str, mask: str | None = None) -> str:
        return "made up"


def embed_stage(folder: Path, cells: int) -> None:
    """Embed `cells` images into a store."""
    from dorl.domains import Domain
    from dorl.domains.rendered import STYLES, render_cell
    from dorl.run.embedding import embed
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


CLASSES = taxonomy.CLASSES[:11]


def made_up_cells(
    labs: list[Domain], segmenter: Segmenter, path: Path, *, autoencoder: CrossDomainAutoencoder, **given: object
) -> Embedded:
    """In place of `dorl.run.embedding.embed`: each class has its own features, and each cell its noise."""
    from dorl.cells import CellStore
    from dorl.cells.views import Views
    from dorl.run.embedding import KEPT, Embedded

    shape = (Views().total, autoencoder.config.described_width)
    rng = np.random.default_rng(0)
    means = rng.normal(size=(len(CLASSES), *shape)).astype(np.float32)
    noise = rng.normal(size=(257, *shape)).astype(np.float32)
    store = CellStore.create(path, crop_size=KEPT, views=shape)
    masks, crops = np.ones((100, 224, 224), bool), np.full((100, KEPT, KEPT, 3), 128, np.uint8)
    crops[:, 22:66, 22:66] = 90
    for lab in labs:
        for start in range(0, len(lab), 100):
            told = lab.table.iloc[start : start + 100]
            index = np.array([CLASSES.index(label) for label in told["label"]])
            pick = rng.integers(0, 257, (2, len(told)))
            views = 0.1 * means[index] + noise[pick[0]] - 0.7 * noise[pick[1]]
            rows = [
                {
                    "key": lab.key(start + i),
                    "domain": lab.name,
                    **{name: row[name] for name in ("path", "label", "patient", "split")},
                    "height": SIZE,
                    "width": SIZE,
                    "cell_found": True,
                }
                for i, row in enumerate(told.to_dict("records"))
            ]
            part = slice(0, len(told))
            store.append(None, masks[part], crops[part], rows, views)
    return Embedded(store)


def fit_stage(folder: Path, cells: int) -> None:
    """`dorl.fit` on made-up cells."""
    from unittest import mock

    import dorl
    from dorl.domains import Domain
    from dorl.domains.rendered import STYLES, render_cell

    image = render_cell("monocyte", STYLES["harbour"], np.random.default_rng(0), SIZE).image
    count = cells // 2
    labels = np.array(CLASSES, dtype=object)[np.random.default_rng(1).integers(0, len(CLASSES), count)]
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(count)], "label": labels})
    labs = [Domain(name, folder, "made-up", table.copy(), source=OneImage(image)) for name in ("a", "b")]
    with mock.patch("dorl.run.features.embed", made_up_cells):
        dorl.fit(labs, out=folder / "run", iterations=20, folds=2)


STAGES = {"embed": embed_stage, "train": train_stage, "fit": fit_stage}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--stage", choices=list(STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        STAGES[given.stage](given.folder, given.cells[0])
        print(json.dumps({"stage": given.stage, "cells": given.cells[0], "peak_mb": round(peak_mb())}))
        return
    rows = []
    stages = [name for name in STAGES if name in given.stages or (name == "embed" and "train" in given.stages)]
    for cells in given.cells:
        with tempfile.TemporaryDirectory() as folder:
            for stage in stages:
                words = [sys.executable, __file__, "--stage", stage, "--folder", folder, "--cells", str(cells)]
                done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]))
    peaks = pd.DataFrame(rows).pivot(index="stage", columns="cells", values="peak_mb")
    print(peaks.to_string())
    grown = (peaks[max(given.cells)] - peaks[min(given.cells)]).to_dict()
    print(json.dumps({"cells": given.cells, "peaks": rows, "grown_mb": {name: int(mb) for name, mb in grown.items()}}))


if __name__ == "__main__":
    main()
