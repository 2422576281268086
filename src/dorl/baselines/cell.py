"""DoRL as `dorl fit` and `dorl predict` use it by default: s of each cell at common references, any classifier."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from dorl.baselines.cells import Cells, Source
from dorl.baselines.method import Fitted
from dorl.cells.pool import Picture, fill_pool
from dorl.cells.views import Views, token_channels
from dorl.classification import VIEWS, calibrate, expected_accuracy, make_classifier
from dorl.inference import over_batches
from dorl.pipeline.autoencoders import POOL, POOL_VIEWS, bundled
from dorl.pipeline.presets import ANEW, TUNED
from dorl.progress import track
from dorl.representation.autoencoder import DESCRIPTION, PARTS, AutoencoderConfig, CrossDomainAutoencoder
from dorl.representation.features import see_crops
from dorl.representation.learning import learn
from dorl.training import seeded

#: features that are made already: store → what made them → row → (V, F)
_MADE: WeakKeyDictionary[Any, dict[Any, dict[int, NDArray[np.float16]]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class OfCells:
    """Classifiers over views of cells at common references.

    The autoencoder goes on from the bundled one, on the source's cells and those of labs that may be looked at. Without
    a lab to look at, in the protocol "unseen", nothing is tuned or adapted.

    Parameters
    ----------
    classifiers : tuple of str
        `VIEWS`, which adapts to labs that may be looked at, or some of the paper's.
    plain, restained : int
        Views of a cell; a cell is classified by the plain ones.
    references : bool
        Whether a view is brought to common references.
    adapt : bool
        Whether `VIEWS` adapts at all.
    iterations : int
        Of the tuning, where that changes s.
    features : {"s", "learnt"}
        The autoencoder's feature; or in its place what its blocks make of the cell: class token, nucleus, cytoplasm.
    device : str, optional
    """

    classifiers: tuple[str, ...] = (VIEWS,)
    plain: int = 2
    restained: int = 4
    references: bool = True
    adapt: bool = True
    iterations: int = TUNED.steps
    features: Literal["s", "learnt"] = "s"
    device: str | None = None

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        """See `Method.fit`."""
        model = self._autoencoder([source.cells, *targets], seed)
        learnt = self._features(source.cells, Views(self.plain, self.restained), model)
        plain = Views(self.plain, 0)

        def seen(cells: Cells) -> NDArray[np.float16]:
            return self._features(cells, plain, model)

        return [self._fitted(name, learnt, source, targets, seen, seed) for name in self.classifiers]

    def _fitted(
        self, name: str, learnt: NDArray[Any], source: Source, targets: Sequence[Cells], seen: Any, seed: int
    ) -> Fitted:
        labels = source.labels.astype(str)
        model = make_classifier(name, seed, views=True).fit(learnt, labels)
        suited: dict[str, Any] = {}
        if name == VIEWS and self.adapt:
            suited = {lab.lab: model[-1].suited(seen(lab)) for lab in targets}
        calibration = calibrate(model, learnt, labels, seed=seed) if name == VIEWS else None

        def predict(cells: Cells) -> NDArray[np.object_]:
            return suited.get(cells.lab, model).predict(seen(cells)).astype(object)

        def estimate(cells: Cells) -> tuple[float, float, float]:
            assert calibration is not None
            return expected_accuracy(calibration, suited.get(cells.lab, model[-1]), seen(cells))

        done = ", ".join(lab for lab, adapted in suited.items() if adapted is not model[-1])
        setting = f"{self.plain} + {self.restained} views" + (f", adapted to {done}" if done else "")
        variant = "" if self.classifiers == (VIEWS,) else name
        return Fitted(predict, variant=variant, setting=setting, estimate=None if calibration is None else estimate)

    def _autoencoder(self, labs: Sequence[Cells], seed: int) -> CrossDomainAutoencoder:
        """The bundled one, tuned on the labs where there are several."""
        segmenter = labs[0].backbone
        start = bundled(segmenter, device=self.device)
        if start is not None and self.features == "learnt":
            start.config = replace(start.config, feature=PARTS)
        settings = replace(TUNED, steps=self.iterations) if start is not None else ANEW
        fixed = start is not None and start.config.feature == DESCRIPTION
        if start is not None and (fixed or len(labs) == 1 or not self.iterations):
            return start
        shape = AutoencoderConfig.of_cells(token_channels(segmenter), segmenter.grid) if start is None else start.config
        pictures = [
            Picture(f"{cells.lab}/{cells.rows[i]}", cells.lab, partial(_cut, cells, int(i)))
            for number, cells in enumerate(labs)
            for i in seeded(seed, 5, number).permutation(len(cells))[: POOL // len(labs)]
        ]
        with tempfile.TemporaryDirectory() as folder:
            pool = fill_pool(
                Path(folder) / "pool", segmenter, pictures, POOL_VIEWS, seed=seed, what="embedding cells to tune on"
            )
            out = Path(folder) / "autoencoder.safetensors"
            model, _ = learn(pool, out=out, config=shape, settings=settings, start=start, seed=seed, device=self.device)
        return model

    def _features(self, cells: Cells, views: Views, model: CrossDomainAutoencoder) -> NDArray[np.float16]:
        """Features of views of cells, (N, V, D); each cell is seen once, whatever it is asked for."""
        kind = (model.digest(), views, self.references)
        kept = _MADE.setdefault(cells.square, {}).setdefault(kind, {})
        todo = [place for place, row in enumerate(cells.rows.tolist()) if row not in kept]

        def made(some: Sequence[int]) -> list[NDArray[np.float32]]:
            crops, masks = (list(array) for array in cells.batch(some, "crops", "masks"))
            keys = [str(row) for row in cells.rows[some]]
            counts = [views] * len(keys)
            return see_crops(cells.backbone, model, crops, masks, counts, keys, references=self.references).features

        batches = over_batches(made, todo, device=cells.backbone.device)
        what = f"looking at cells of {cells.lab}"
        for some, found in track(batches, total=len(todo), what=what, size=lambda pair: len(pair[0])):
            kept.update(zip(cells.rows[some].tolist(), (one.astype(np.float16) for one in found), strict=True))
        return np.stack([kept[row] for row in cells.rows.tolist()])


def _cut(cells: Cells, number: int) -> tuple[np.ndarray, np.ndarray]:
    crops, masks = cells.batch([number], "crops", "masks")
    return crops[0], masks[0]
