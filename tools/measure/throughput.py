"""How many images a second are read from disk, segmented, embedded and stored.

    python tools/measure/throughput.py PBC_dataset_normal_DIB [--segmenter tiny] [--images 400] [--rounds 3]

Prints the median over the rounds, each over the same images into a new store, and one JSON line. The segmenter is
loaded, and has seen one batch, before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from dorl.domains import parse_lab, read_domain
from dorl.run.embedding import embed, segment_small
from dorl.runtime.memory import keep_memory
from dorl.runtime.training import seeded
from dorl.segmentation import Segmenter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lab")
    parser.add_argument("--segmenter", default="tiny")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    keep_memory()  # as the command line does
    name, path = parse_lab(given.lab)
    lab = read_domain(path, name=name)
    lab = lab.take(np.sort(seeded(0).permutation(len(lab))[: given.images]))
    segmenter = Segmenter.load(given.segmenter)
    segment_small(segmenter, np.zeros((32, segmenter.image_size, segmenter.image_size, 3), np.uint8))
    rates = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            embed([lab], segmenter, Path(folder) / "cells", source={})
            rates.append(len(lab) / (time.monotonic() - began))
    found = {
        "segmenter": given.segmenter,
        "images": len(lab),
        "images_per_second": round(statistics.median(rates), 1),
        "rounds": [round(rate, 1) for rate in rates],
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }
    print(f"{found['images_per_second']} images/s ({len(lab)} images, rounds {found['rounds']})")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
