"""DoRL as `dorl fit` and `dorl predict` use it by default: s of each cell at common references, any classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from dorl.benchmark.methods.cells import Cells, Source
from dorl.benchmark.methods.method import Fitted
from dorl.cells.rows import with_last
from dorl.cells.size import usual
from dorl.cells.views import Views
from dorl.classification import VIEWS, calibrate, expected_accuracy, make_classifier
from dorl.classification.unlike import Unlike, described
from dorl.representation.alignment import WIDTH
from dorl.representation.autoencoder import CrossDomainAutoencoder
from dorl.representation.config import PARTS
from dorl.representation.features import see_crops, shape_for
from dorl.run.autoencoders import bundled
from dorl.run.features import sizes_of_views
from dorl.run.folder import ViewsSettings
from dorl.runtime.inference import over_batches
from dorl.runtime.progress import track
from dorl.segmentation import Segmenter

#: features that are made already: store → what made them → row → (V, F)
_MADE: WeakKeyDictionary[Any, dict[Any, dict[int, NDArray[np.float16]]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class OfCells:
    """Classifiers over views of cells at common references.

    What labs share is learnt from the source's cells and those of labs that may be looked at, going on from the bundled
    autoencoder. In the protocol "unseen" it is learnt anew, since what is bundled may have seen the tested lab, and
    nothing is adapted. `VIEWS` learns how large a cell is among those of its lab; in "unseen" that isn't known.

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
    features : {"s", "description", "learnt"}
        The autoencoder's feature; or in its place the description that it is made of; or what the bundled one's blocks
        make of the cell: class token, nucleus, cytoplasm.
    device : str, optional
    """

    classifiers: tuple[str, ...] = (VIEWS,)
    plain: int = 2
    restained: int = 4
    references: bool = True
    adapt: bool = True
    features: Literal["s", "description", "learnt"] = "s"
    device: str | None = None

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        """See `Method.fit`."""
        model = self._autoencoder(source.cells.backbone, seed)
        described = self._described(source.cells, Views(self.plain, self.restained), model)
        plain = Views(self.plain, 0)
        if self.features == "s":
            if source.unseen:
                model.forget_labs()
            seen_labs = [described, *(self._described(cells, plain, model) for cells in targets)]
            model.align(seen_labs, plain=self.plain, seed=seed)

        middles = {lab.lab: usual(lab.sizes) for lab in ([] if source.unseen else targets)}
        middles[source.cells.lab] = usual(source.cells.sizes)

        def completed(views: NDArray[np.float16], cells: Cells) -> NDArray[np.float16]:
            if self.features != "s":
                return views
            sizes = np.nan_to_num(cells.sizes - middles.get(cells.lab, np.nan))
            counts = ViewsSettings(plain=self.plain, restained=views.shape[1] - self.plain)
            return with_last(model.completed(views), sizes_of_views(sizes, counts))

        def seen(cells: Cells) -> NDArray[np.float16]:
            return completed(self._described(cells, plain, model), cells)

        learnt = completed(described, source.cells)
        return [self._fitted(name, learnt, source, targets, seen, seed) for name in self.classifiers]

    def _fitted(
        self, name: str, learnt: NDArray[Any], source: Source, targets: Sequence[Cells], seen: Any, seed: int
    ) -> Fitted:
        labels = source.labels.astype(str)
        model = make_classifier(name, seed, shared=WIDTH if self.features == "s" else 0).fit(learnt, labels)
        unlike = Unlike.fit(self._compared(learnt), labels, seed=seed) if name == VIEWS else None

        def elsewhere(cells: Cells) -> bool:
            return unlike is not None and unlike.of_another_lab(self._compared(seen(cells)))

        suited: dict[str, Any] = {}
        if name == VIEWS and self.adapt and not source.unseen:
            suited = {lab.lab: model[-1].suited(seen(lab), another_lab=elsewhere(lab)) for lab in targets}
        calibration = calibrate(model, learnt, labels, seed=seed) if name == VIEWS else None

        def asked(cells: Cells) -> Any:
            if name != VIEWS:
                return model
            return suited.get(cells.lab, model[-1].elsewhere(cells.lab != source.cells.lab))

        def predict(cells: Cells) -> NDArray[np.object_]:
            return asked(cells).predict(seen(cells)).astype(object)

        def estimate(cells: Cells) -> tuple[float, float, float]:
            assert calibration is not None
            return expected_accuracy(calibration, asked(cells), seen(cells), another_lab=elsewhere(cells))

        done = ", ".join(lab for lab, over_views in suited.items() if over_views.adapted_)
        setting = f"{self.plain} + {self.restained} views" + (f", adapted to {done}" if done else "")
        variant = "" if self.classifiers == (VIEWS,) else name
        return Fitted(predict, variant=variant, setting=setting, estimate=None if calibration is None else estimate)

    def _compared(self, views: NDArray[Any]) -> NDArray[np.float32]:
        """What tells another lab's cells, of what classifiers take of views."""
        of_s = self.features == "s"
        return described(views, plain=self.plain, skip=WIDTH if of_s else 0, sized=of_s)

    def _autoencoder(self, segmenter: Segmenter, seed: int) -> CrossDomainAutoencoder:
        """The bundled one; where none comes with the segmenter, one that describes cells and draws none."""
        model = bundled(segmenter, device=self.device)
        if model is None:
            torch.manual_seed(seed)
            model = CrossDomainAutoencoder(shape_for(segmenter)).to(segmenter.device).eval()
        if self.features == "learnt":
            model.config, model.shared = replace(model.config, feature=PARTS), None
        return model

    def _described(self, cells: Cells, views: Views, model: CrossDomainAutoencoder) -> NDArray[np.float16]:
        """What features of views of cells are made of, (N, V, F); each cell is seen once, whatever it is asked for."""
        kind = (model.description_digest(), views, self.references)
        kept = _MADE.setdefault(cells.square, {}).setdefault(kind, {})
        todo = [place for place, row in enumerate(cells.rows.tolist()) if row not in kept]

        def made(some: Sequence[int]) -> list[NDArray[np.float32]]:
            crops, masks = (list(array) for array in cells.batch(some, "crops", "masks"))
            keys = [str(row) for row in cells.rows[some]]
            counts = [views] * len(keys)
            return see_crops(cells.backbone, model, crops, masks, counts, keys, references=self.references).descriptions

        batches = over_batches(made, todo, device=cells.backbone.device)
        what = f"looking at cells of {cells.lab}"
        for some, found in track(batches, total=len(todo), what=what, size=lambda pair: len(pair[0])):
            kept.update(zip(cells.rows[some].tolist(), (one.astype(np.float16) for one in found), strict=True))
        return np.stack([kept[row] for row in cells.rows.tolist()])
