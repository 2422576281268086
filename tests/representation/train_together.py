"""One of several processes that train a small autoencoder: ``python train_together.py STORE OUT ACCUMULATE [DIES_AT]``.

Started by tests/representation/test_together.py, with the environment that `dorl.runtime.processes.launch` would give.
The last process dies at the batch numbered DIES_AT.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dorl.cells import CellStore
from dorl.representation import AutoencoderConfig, TrainingSettings, encode_cells, train_autoencoder, training
from dorl.runtime.processes import count, rank

CONFIG = AutoencoderConfig(
    width=16, depth=1, heads=2, decoder_depth=1, grid=4, z_width=5, image_channels=(8, 8, 8, 8), image_size=16
)


class Mortal:
    """A store at one batch of which the process dies."""

    def __init__(self, store: CellStore, dies_at: int) -> None:
        self.store, self.left = store, dies_at

    def __len__(self) -> int:
        return len(self.store)

    def batch(self, *args: Any) -> tuple[np.ndarray, ...]:
        if self.left == 0:
            os._exit(9)
        self.left -= 1
        return self.store.batch(*args)


def main(place: str, out: str, accumulate: str, dies_at: str = "-1") -> None:
    torch.set_num_threads(1)
    training.has_bf16 = lambda device: False  # whose rounding would hide an error in what is added up
    training.CURVE_EVERY, training.CHECKPOINT_EVERY = 4, -1.0
    store = CellStore.open(place)
    cells = Mortal(store, int(dies_at) if rank() == count() - 1 else -1)
    settings = TrainingSettings(
        max_iterations=24, batch_size=9, warmup=3, learning_rate=3e-3, accumulate=int(accumulate)
    )
    domain = store.table["domain"].to_numpy(np.int64)
    model, history = train_autoencoder(cells, domain, out=Path(out), config=CONFIG, settings=settings, device="cpu")
    features = encode_cells(model, store, batch_size=4)
    if rank() == 0:
        history.to_csv(Path(out).with_suffix(".csv"), index=False)
        np.save(Path(out).with_suffix(".npy"), features)


if __name__ == "__main__":
    main(*sys.argv[1:])
