"""DoRL as published: the cross-domain autoencoder's features, six classifiers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dorl.baselines.bcsam import classified
from dorl.baselines.cells import Cells, Source
from dorl.baselines.method import Fitted
from dorl.classification import CLASSIFIERS
from dorl.representation import AutoencoderConfig, TrainingSettings, encode_cells, train_autoencoder
from dorl.representation.autoencoder import heads_for

#: backbones narrower than this get the small autoencoder, as in `dorl fit`
WIDE = 384


class PublishedCells:
    """Labs one after another, as the autoencoder's training reads them.

    Parameters
    ----------
    labs : sequence of Cells
    """

    def __init__(self, labs: Sequence[Cells]) -> None:
        self.labs = labs
        self.starts = np.cumsum([0, *(len(lab) for lab in labs)])
        self.domain: NDArray[np.int64] = np.repeat(np.arange(len(labs), dtype=np.int64), np.diff(self.starts))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def batch(self, indices: Sequence[int] | np.ndarray, *names: str) -> tuple[np.ndarray, ...]:
        """Tokens and crops of the published road, in the order of `indices`."""
        indices = np.asarray(indices, np.intp)
        numbers = self.domain[indices]
        order = np.argsort(numbers, kind="stable")
        parts = [
            self.labs[number].published(indices[numbers == number] - self.starts[number], *names)
            for number in np.unique(numbers)
        ]
        back = np.argsort(order)
        return tuple(np.concatenate(arrays)[back] for arrays in zip(*parts, strict=True))


@dataclass(frozen=True)
class Published:
    """What `dorl fit` does with the labs: autoencoder over tokens of whole images, class token, six classifiers.

    Its shape and training are those of `dorl.pipeline.presets`: the published ones for a backbone of 384 channels or
    more, else the small preset. Without another lab, in the protocol "unseen", the autoencoder sees the source alone.

    Parameters
    ----------
    quick : bool
        The small preset for any backbone.
    iterations : int, optional
        Limit on the autoencoder's, in place of the preset's.
    classifiers : tuple of str
    device : str, optional

    References
    ----------
    Li et al., arXiv 2408.07467.
    """

    quick: bool = False
    iterations: int | None = None
    classifiers: tuple[str, ...] = tuple(CLASSIFIERS)
    device: str | None = None

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        """See `Method.fit`; `targets` are all other labs, or none."""
        cells = PublishedCells([source.cells, *targets])
        _, width, grid, _ = source.cells.published([0], "tokens")[0].shape
        small = self.quick or width < WIDE
        if small:
            shape = AutoencoderConfig.scaled(width, grid, depth=4, decoder_depth=1)
            training = TrainingSettings(
                max_iterations=self.iterations or 500, batch_size=16, warmup=50, learning_rate=5e-4
            )
        else:
            shape = AutoencoderConfig(width=width, heads=heads_for(width), grid=grid)
            training = TrainingSettings(max_iterations=self.iterations)
        with tempfile.TemporaryDirectory() as folder:
            model, history = train_autoencoder(
                cells,
                cells.domain,
                out=Path(folder) / "autoencoder.safetensors",
                config=shape,
                settings=training,
                seed=seed,
                device=self.device,
            )

        def extract(asked: Cells) -> NDArray[np.float32]:
            return encode_cells(model, PublishedCells([asked]))

        setting = f"{'small' if small else 'published'} autoencoder, {int(history['iteration'].iloc[-1])} iterations"
        return classified(self.classifiers, extract(source.cells), source, extract, seed, setting)
