"""DoRL as published: the cross-domain autoencoder's features, six classifiers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dorl.benchmark.methods.bcsam import classified
from dorl.benchmark.methods.cells import Cells, PublishedCells, Source
from dorl.benchmark.methods.method import Fitted
from dorl.classification import CLASSIFIERS
from dorl.representation import encode_cells, train_autoencoder
from dorl.representation.presets import preset


@dataclass(frozen=True)
class Published:
    """What `dorl fit` does with the labs: autoencoder over tokens of whole images, class token, six classifiers.

    Its shape and training are those of `dorl.representation.presets`, chosen by the backbone's width. Without another
    lab, in the protocol "unseen", the autoencoder sees the source alone.

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
        name, shape, training = preset("small" if self.quick else "auto", width, grid)
        training = replace(training, max_iterations=self.iterations or training.max_iterations)
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

        setting = f"{name} autoencoder, {int(history['iteration'].iloc[-1])} iterations"
        return classified(self.classifiers, extract(source.cells), source, extract, seed, setting)
