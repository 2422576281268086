"""DoRL as `dorl fit` and `dorl predict` use it by default: views of each cell, and a classifier that adapts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from dorl.baselines.cells import Cells, Source
from dorl.baselines.method import Fitted
from dorl.classification import calibrate, expected_accuracy
from dorl.classification.views import ViewsClassifier
from dorl.inference import over_batches
from dorl.progress import track
from dorl.views import Views, crop_views
from dorl.views.describe import PARTS, grid_widths

#: views that are described already: store → kind of views → row → (V, F)
_DESCRIBED: WeakKeyDictionary[Any, dict[Any, dict[int, NDArray[np.float16]]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Improved:
    """The classifier over views (`dorl.views`, `dorl.classification.views`), adapted to labs that may be looked at.

    Without a lab to look at, in the protocol "unseen", nothing is adapted.

    Parameters
    ----------
    plain, restained : int
        Views of a cell; a cell is classified by the plain ones.
    references : bool
        Whether a view is brought to common references.
    parts : bool
        Whether deviation, nucleus and cytoplasm are pooled, too, beside the mean in the cell.
    adapt : bool
        Whether to adapt at all.
    """

    plain: int = 2
    restained: int = 4
    references: bool = True
    parts: bool = True
    adapt: bool = True

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        """See `Method.fit`."""
        learnt = self._views(source.cells, Views(self.plain, self.restained))
        model = ViewsClassifier(plain=self.plain, random_state=seed).fit(learnt, source.labels.astype(str))
        plain = Views(self.plain, 0)

        def seen(cells: Cells) -> NDArray[np.float16]:
            return self._views(cells, plain)

        suited = {lab.lab: model.suited(seen(lab)) for lab in targets} if self.adapt else {}

        def predict(cells: Cells) -> NDArray[np.object_]:
            return suited.get(cells.lab, model).predict(seen(cells)).astype(object)

        calibration = calibrate(model, learnt, source.labels.astype(str), seed=seed)

        def estimate(cells: Cells) -> tuple[float, float, float]:
            assert calibration is not None
            return expected_accuracy(calibration, suited.get(cells.lab, model), seen(cells))

        done = ", ".join(name for name, adapted in suited.items() if adapted is not model)
        setting = f"{self.plain} + {self.restained} views" + (f", adapted to {done}" if done else "")
        return [Fitted(predict, setting=setting, estimate=None if calibration is None else estimate)]

    def _views(self, cells: Cells, views: Views) -> NDArray[np.float16]:
        """Described views of cells, (N, V, F); each cell is described once, whatever it is asked for."""
        kept = _DESCRIBED.setdefault(cells.square, {}).setdefault((views, self.references), {})
        todo = [place for place, row in enumerate(cells.rows.tolist()) if row not in kept]

        def made(some: Sequence[int]) -> list[NDArray[np.float32]]:
            crops, masks = (list(array) for array in cells.batch(some, "crops", "masks"))
            keys = [str(row) for row in cells.rows[some]]
            return crop_views(cells.backbone, crops, masks, [views] * len(keys), keys, references=self.references)

        batches = over_batches(made, todo, device=cells.backbone.device)
        what = f"describing views of {cells.lab}"
        for some, described in track(batches, total=len(todo), what=what, size=lambda pair: len(pair[0])):
            kept.update(zip(cells.rows[some].tolist(), (one.astype(np.float16) for one in described), strict=True))
        found = np.stack([kept[row] for row in cells.rows.tolist()])
        if self.parts:
            return found
        widths = grid_widths(cells.backbone)
        starts = PARTS * np.cumsum([0, *widths[:-1]])
        return found[
            ..., np.concatenate([start + np.arange(width) for start, width in zip(starts, widths, strict=True)])
        ]
