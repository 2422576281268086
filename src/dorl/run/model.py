"""A fitted DoRL: images in, features and classes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.pipeline import make_pipeline

from dorl.cells.rows import with_last
from dorl.cells.size import log_diameter, usual
from dorl.cells.views import Views
from dorl.classification import Calibration, load_calibration, load_classifier
from dorl.classification.heldout import HeldOut
from dorl.classification.mix import MIN_MIX_CELLS, Expected
from dorl.classification.unlike import Unlike, described
from dorl.classification.views import ViewsClassifier
from dorl.domains import read_image
from dorl.errors import InputError
from dorl.representation import CrossDomainAutoencoder
from dorl.representation.features import SeenCells, see_cells
from dorl.representation.grids import described_views
from dorl.run.assess import Assessment, assess
from dorl.run.embedding import prepared, stored_form
from dorl.run.folder import (
    AUTOENCODER,
    CELL,
    CLASSIFIERS,
    PUBLISHED,
    SEGMENTER,
    UNLIKE,
    RunConfig,
    check_complete,
    slug,
)
from dorl.run.heldouts import ENDING, load_held_out
from dorl.run.mixes import expected_mix
from dorl.run.sharing import push, share
from dorl.run.unlikeness import load_unlike
from dorl.runtime.hub import PREFIX, is_on_hub, located
from dorl.runtime.inference import over_batches
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import find_central_cells

#: images that `DoRL` embeds at once
BATCH = 32

#: one image: uint8 (H, W, 3), or a file's path
Image = np.ndarray | str | Path


class DoRL:
    """A run's segmenter, autoencoder and one of its classifiers; `dorl.load` and `dorl.fit` make it.

    Attributes
    ----------
    segmenter : Segmenter
    autoencoder : CrossDomainAutoencoder
    classifier : scikit-learn estimator or None
        None where no lab of the run had labels.
    config : RunConfig
    classifier_name : str
        Of the classifier, for example ``"Views"``; empty without one.
    calibration : Calibration or None
        Of the classifier; None where the run had too few labels.
    unlike : Unlike or None
        Says how unlike the cells learnt a cell is; None in runs of earlier versions, or of too few labels.
    held_out : HeldOut or None
        What the classifier said of cells that it hadn't learnt; None in runs of earlier versions, or of too few labels.
    another_lab : bool
        Whether the cells that it was made to suit (`suited`) are another lab's
        (`dorl.classification.unlike.Unlike.of_another_lab`). False where `unlike` is None.
    adapted : bool
        Whether the classifier has adapted to these cells.
    each_unlike : bool
        Whether `unlike` holds for each of these cells. It doesn't for a few cells of another lab, whose common shift
        can't be learnt.
    usual_size : float
        The median of their `dorl.cells.size.log_diameter`; NaN where that isn't known, and each cell counts as usual.
    stays : float or None
        Share of these cells, 0-1, whose class is the same before and after the classifier adapted, each corrected by
        its mix. With adapting switched off, it is the share whose class would stay. None where there is nothing to
        adapt to.
    folder : Path or None
        Of the run; None for one that was put together in memory.
    mix : float array of shape (C,) or None
        Share of each class in the cells that it was made to suit (`suited`). Probabilities are corrected by it. None
        where they aren't corrected.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        autoencoder: CrossDomainAutoencoder,
        classifier: Any,
        config: RunConfig,
        classifier_name: str = "",
        calibration: Calibration | None = None,
        unlike: Unlike | None = None,
        held_out: HeldOut | None = None,
    ) -> None:
        self.segmenter = segmenter
        self.autoencoder = autoencoder
        self.classifier = classifier
        self.config = config
        self.classifier_name = classifier_name
        self.calibration = calibration
        self.unlike = unlike
        self.held_out = held_out
        self.another_lab, self.adapted, self.each_unlike = False, False, True
        self.usual_size = float("nan")
        self.stays: float | None = None
        self.mix: np.ndarray | None = None
        self._expected: Expected | None = None
        self.folder: Path | None = None

    @classmethod
    def load(cls, run: str | Path, *, classifier: str | None = None, device: str | None = None) -> DoRL:
        """Load a run folder.

        Parameters
        ----------
        run : str or Path
            Its folder, or ``hub:owner/name`` (`dorl.runtime.hub.located`).
        classifier : str, optional
            One of the run's classifiers; its default otherwise.
        device : str, optional

        Raises
        ------
        InputError
            If the folder is no finished run, of another version, a file is missing or damaged, or the hub can't be
            asked.
        """
        run = located(run)
        config = check_complete(run)
        known = config.classifiers.names
        name = classifier or config.classifiers.default
        if known and name not in known:
            raise InputError(f"classifier {name!r} is not in {run}: give one of {', '.join(known)}")
        place = run / CLASSIFIERS / f"{slug(name)}.skops"
        fitted = load_classifier(place) if known else None
        # features of 8-bit tokens are learnt as such; floating-point ones are alike
        integers = config.segmenter.precision == "int8"
        loaded = cls(
            Segmenter.load(run / SEGMENTER, device=device, precision="int8" if integers else "auto"),
            CrossDomainAutoencoder.load(run / AUTOENCODER, device=device),
            fitted,
            config,
            name if known else "",
            load_calibration(place.with_suffix(".json")) if known else None,
            load_unlike(run / UNLIKE) if known else None,
            load_held_out(place.with_suffix(ENDING)) if known else None,
        )
        loaded.folder = run
        return loaded

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        classifier: str | None = None,
        device: str | None = None,
    ) -> DoRL:
        """Load a run from the hub, or from a folder, as the hub's other models are loaded.

        Parameters
        ----------
        name : str or Path
            ``owner/name`` on the hub, or a folder; what is a folder is taken as one.
        revision : str, optional
            Branch, tag or commit; ``main`` by default.
        token : str or bool, optional
            As huggingface_hub takes it.
        local_files_only : bool
            Take what is in the hub's cache.
        classifier, device
            As for `load`.

        Raises
        ------
        InputError
            As `load` does.
        """
        if not Path(name).is_dir():
            place = str(name) if is_on_hub(name) else f"{PREFIX}{name}"
            place = place if revision is None else f"{place}@{revision}"
            name = located(place, token=token, local_files_only=local_files_only)
        return cls.load(name, classifier=classifier, device=device)

    def save_pretrained(self, folder: str | Path, *, cells: bool = False, licence: str = "") -> list[Path]:
        """Write what of the run others may have into a new folder, as `dorl.run.sharing.share` does."""
        return share(self._own_folder(), Path(folder), cells=cells, licence=licence)

    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool = True,
        cells: bool = False,
        licence: str = "",
        message: str = "A run of dorl",
        token: str | bool | None = None,
    ) -> str:
        """Put what of the run others may have on the hub.

        Parameters
        ----------
        repository : str
            ``owner/name``; made where it isn't there.
        private : bool
            Of a new repository: only its owners see it.
        cells, licence
            As for `dorl.run.sharing.share`.
        message : str
            Of the commit.
        token : str or bool, optional
            As huggingface_hub takes it.

        Returns
        -------
        str
            The revision, a commit: ``hub:owner/name@revision`` is this very run.

        Raises
        ------
        InputError
            If the run can't be used, or the hub doesn't take it.
        """
        return push(
            self._own_folder(), repository, private=private, cells=cells, licence=licence, message=message, token=token
        )

    def _own_folder(self) -> Path:
        if self.folder is None:
            raise InputError("this model was put together in memory: load it from the folder of its run")
        return self.folder

    @property
    def classes_(self) -> list[str]:
        """Classes, in the order of `predict_proba`'s columns."""
        return [str(name) for name in self._fitted().classes_]

    def transform(self, images: np.ndarray | Sequence[Image]) -> np.ndarray:
        """Features s.

        Parameters
        ----------
        images : uint8 array of shape (N, H, W, 3), or sequence of N images or paths
            RGB, 0-255; in a sequence each may have its own size.

        Returns
        -------
        float32 array of shape (N, D)

        Raises
        ------
        InputError
            If an array is no uint8 RGB image.
        BadImageError
            If a file can't be read.
        """
        parts = [self.features(self.inputs(batch)[0]) for batch in self._batches(images)]
        return np.concatenate(parts) if parts else np.empty((0, self.autoencoder.config.feature_width), np.float32)

    def features(self, inputs: np.ndarray) -> np.ndarray:
        """Features s, float32 (N, D), of what `inputs` gives: the mean over the views, where there are several."""
        width = inputs.shape[-1] if self.of_grids else self.autoencoder.config.feature_width
        return inputs if inputs.ndim == 2 else np.asarray(inputs[..., :width], np.float32).mean(1)

    def described(self, inputs: np.ndarray) -> np.ndarray:
        """The description that s is made of, float32 (N, F), likewise; as published s itself."""
        skip = 0 if self.autoencoder.shared is None else self.autoencoder.config.feature_width
        return described(inputs, plain=self.config.views.plain, skip=skip, sized=self.config.views.size)

    def predict_proba(self, images: np.ndarray | Sequence[Image]) -> np.ndarray:
        """Probabilities (N, number of classes), in the order of `classes_`; input as for `transform`.

        Calibrated on held-out cells of the source labs, where there were enough. The row of an image in which no cell
        was found is NaN.
        """
        self._fitted()
        parts = [self.inputs(batch) for batch in self._batches(images)]
        if not parts:
            return np.empty((0, len(self.classes_)))
        probabilities = self.probabilities(np.concatenate([inputs for inputs, _ in parts]))
        probabilities[np.concatenate([confidence for _, confidence in parts]) == 0] = np.nan
        return probabilities

    def inputs(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """What the classifier takes of one batch of uint8 images, and the confidence of each cell's outline.

        Of each plain view s and the description that it is made of, and `dorl.cells.size.log_diameter` where the run
        learns sizes, float16 (B, plain, D + F + 1); as published s of the whole image, float32 (B, D). The confidence
        is that of `dorl.segmentation.cell.FoundCell`: float64 (B,), 0 to 1, 0 where no cell was found.
        """
        looked = self._views if self.several else self._whole
        parts = [part for _, part in over_batches(looked, images, device=self.segmenter.device)]
        return np.concatenate([inputs for inputs, _ in parts]), np.concatenate([confidence for _, confidence in parts])

    @property
    def several(self) -> bool:
        """Whether classifiers take several views of a cell, and not the whole image, as published."""
        return self.config.method == CELL or self.of_grids

    @property
    def over_views(self) -> ViewsClassifier | None:
        """The classifier that takes all numbers of several views, and adapts; None where another one predicts."""
        last = None if self.classifier is None else self.classifier[-1]
        return last if isinstance(last, ViewsClassifier) else None

    @property
    def of_grids(self) -> bool:
        """Whether its classifier is that of a run of dorl 0.1 which takes views, but not s of these."""
        return self.config.method == PUBLISHED and self.over_views is not None

    def _views(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        out = self.segmenter(prepared(images, self.segmenter.image_size))
        cells = find_central_cells(self.segmenter, images, logits=out.mask_logits)
        return self.inputs_of(images, [cell.mask for cell in cells]), np.array([cell.confidence for cell in cells])

    def inputs_of(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> np.ndarray:
        """What the classifier takes of cells whose masks are known already, as `inputs` gives it.

        Parameters
        ----------
        images : sequence of uint8 arrays of shape (H, W, 3)
        masks : sequence of bool arrays of shape (H, W)
            As published the whole images are seen, whatever the masks.
        """
        if self.of_grids:
            return described_views(self.segmenter, images, masks, self.config.views.plain)
        if self.config.method == PUBLISHED:
            return self._encoded(prepared(images, self.segmenter.image_size))[0]
        return self.completed(self.seen(images, masks), masks)

    def completed(self, seen: SeenCells, masks: Sequence[np.ndarray]) -> np.ndarray:
        """What the classifier takes of cells that were seen already, as `inputs` gives it."""
        found = self.autoencoder.completed(np.stack(seen.descriptions))
        if not self.config.views.size:
            return found
        return with_last(found, np.array([[log_diameter(mask)] for mask in masks]))

    def _sized(self, inputs: np.ndarray, usual_size: float | None = None) -> np.ndarray:
        """`inputs` with each cell's size less `usual_size`, as the classifier learns it; 0 where that is unknown."""
        if not self.config.views.size:
            return inputs
        found = np.array(inputs, np.float32)
        found[..., -1] = np.nan_to_num(found[..., -1] - (self.usual_size if usual_size is None else usual_size))
        return found

    def _usual(self, inputs: np.ndarray) -> float:
        """The median size of some cells; NaN where there are too few, or sizes aren't learnt."""
        return usual(inputs[:, 0, -1]) if self.config.views.size else float("nan")

    def seen(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> SeenCells:
        """Cells whose masks are known already in their plain views; arguments as for `inputs_of`."""
        return see_cells(self.segmenter, self.autoencoder, images, masks, *self._plain(len(images)))

    def _plain(self, count: int) -> tuple[list[Views], list[str]]:
        """Views of so many cells, and their keys, which what isn't restained doesn't need."""
        return [Views(self.config.views.plain, 0)] * count, [""] * count

    def expects(self, expect: str | None = None) -> str:
        """The mix of classes that is expected: what is given, else the run's, in the words of ``--expect``."""
        return self.config.classifiers.expect if expect is None else expect

    def suited(self, inputs: np.ndarray, *, expect: str | None = None, adapt: bool = True) -> DoRL:
        """The same for other cells without labels: adapted to them, and to their mix of classes, where that is of use.

        Parameters
        ----------
        inputs : array of shape (N, V, F), or (N, F) as published
            As `inputs` gives them.
        expect : {"blood", "marrow", "source", "none"} or str, optional
            The mix that is expected, or a CSV file with the columns class and share
            (`dorl.run.mixes.expected_mix`); the run's by default. From 30 cells on, theirs is estimated, and
            probabilities are corrected by it; ``"none"`` leaves them.
        adapt : bool
            Let the classifier over views adapt where there is something to adapt to (`ViewsClassifier.suited`).

        Returns
        -------
        DoRL
            `classifier` is another one where it adapted, `mix` isn't None where probabilities are corrected, and
            `unlike` doesn't hold the cells' common shift against each of them where they are another lab's.

        Raises
        ------
        InputError
            If `expect` can't be used.
        """
        return self.suited_and_asked(inputs, expect=expect, adapt=adapt)[0]

    def suited_and_asked(
        self, inputs: np.ndarray, *, expect: str | None = None, adapt: bool = True
    ) -> tuple[DoRL, np.ndarray, np.ndarray | None]:
        """`suited`, and what it says of the same cells; the classifier is asked about each once.

        Returns
        -------
        suited : DoRL
        probabilities : float array of shape (N, C)
            As `suited.probabilities` gives them.
        first : float array of shape (N, C), or None
            As `suited.first_probabilities` gives them.
        """
        learnt = {} if self.calibration is None else self.calibration.shares
        own = self.config.classifiers.shares if expect is None else None
        expected = expected_mix(own or self.expects(expect), self.classes_, learnt)
        other = copy(self)
        other.mix, other._expected, other.adapted = None, None, False
        other.usual_size = self._usual(inputs)
        other.another_lab = self._of_another_lab(inputs)
        if self.over_views is not None:
            sized = other._sized(inputs)
            over_views = self.over_views.suited(sized, expected, another_lab=other.another_lab, adapt=adapt)
            other.classifier = make_pipeline(over_views)
            other.adapted = over_views.counts_ is not self.over_views.counts_
        if not len(inputs):
            other.each_unlike, other.stays = True, None
            return other, np.empty((0, len(self.classes_))), None
        said, first = other.probabilities(inputs), other.first_probabilities(inputs)
        if expected is not None and len(inputs) >= MIN_MIX_CELLS:
            other.mix, other._expected = expected.estimate(said, another_lab=other.another_lab), expected
            said = expected.correct(said, other.mix)
        if adapt and other.another_lab and self.unlike is not None:
            other.unlike = self.unlike.suited(self.described(inputs), said)
        other.each_unlike = not other.another_lab or other.unlike is not self.unlike
        other.stays = other._stays(said, first) if adapt else self._agreement(inputs, another_lab=other.another_lab)
        return other, said, first

    def _of_another_lab(self, inputs: np.ndarray) -> bool:
        return self.unlike is not None and len(inputs) > 0 and self.unlike.of_another_lab(self.described(inputs))

    def _stays(self, said: np.ndarray, first: np.ndarray | None) -> float | None:
        """Share of cells whose class stays as before the classifier adapted; None if it didn't.

        Of what it says of the cells that it is suited to (N, C), and said of them before.
        """
        if first is None or not len(first):
            return None
        if self.mix is not None and self._expected is not None:
            first = self._expected.corrected(first, another_lab=self.another_lab)
        return float((first.argmax(1) == said.argmax(1)).mean())

    def confusion(self) -> np.ndarray | None:
        """Held-out cells by true class and by what is said of them, int64 (C, C), in the mix that is corrected by.

        None where no held-out cells are known.
        """
        if self.held_out is None or list(self.held_out.classes) != self.classes_:
            return None
        return self.held_out.confusion(self._corrected(self.held_out.probabilities))

    def assess(
        self, inputs: np.ndarray, rows: np.ndarray | None = None, *, expect: str | None = None, adapt: bool = True
    ) -> Assessment:
        """What it says of cells, each by itself and all together.

        Parameters
        ----------
        inputs : array of shape (N, V, F), or (N, F) as published
            As `inputs` gives them; may be memory-mapped.
        rows : int array of shape (M,), optional
            Rows of `inputs` in which a cell was found, one or more; all by default.
        expect, adapt
            As for `suited`, which at most `dorl.run.assess.MAX_ADAPTED_CELLS` of the cells, evenly among them, are
            given to.
        """
        return assess(self, inputs, rows, expect=expect, adapt=adapt)

    def distances(self, inputs: np.ndarray) -> np.ndarray:
        """How unlike the cells learnt each cell is: (N,), above 1 unlike; NaN where the run can't say."""
        return np.full(len(inputs), np.nan) if self.unlike is None else self.unlike.distance(self.described(inputs))

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (N, C) of what `inputs` gives of N cells, calibrated, and corrected by `mix`."""
        return self._corrected(self._fitted().predict_proba(self._sized(features)))

    def _corrected(self, probabilities: np.ndarray) -> np.ndarray:
        """What the classifier says (N, C), calibrated, and corrected by `mix`."""
        probabilities = probabilities if self.calibration is None else self.calibration.apply(probabilities)
        return (
            probabilities
            if self.mix is None or self._expected is None
            else self._expected.correct(probabilities, self.mix)
        )

    def first_probabilities(self, inputs: np.ndarray) -> np.ndarray | None:
        """`probabilities` as they were before the classifier adapted to any lab; None where it hasn't."""
        if self.over_views is None or not self.over_views.adapted_:
            return None
        probabilities = self.over_views.first_proba(self._sized(inputs))
        return probabilities if self.calibration is None else self.calibration.apply(probabilities)

    def _agreement(self, inputs: np.ndarray, *, another_lab: bool) -> float | None:
        """Share of cells whose class would stay if the classifier adapted to them; None where it wouldn't adapt."""
        if self.over_views is None:
            return None
        sized = self._sized(inputs, self._usual(inputs))
        return self.over_views.agreement(sized, another_lab=another_lab)

    def predict(self, images: np.ndarray | Sequence[Image]) -> np.ndarray:
        """The likeliest class of each image, None where no cell was found: object array (N,) of str or None.

        Input as for `transform`.
        """
        probabilities = self.predict_proba(images)
        classes = np.array(self.classes_, object)[probabilities.argmax(1)]
        classes[np.isnan(probabilities).any(axis=1)] = None
        return classes

    def _whole(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        features, logits = self._encoded(prepared(images, self.segmenter.image_size))
        cells = find_central_cells(self.segmenter, images, logits=logits)
        return features, np.array([cell.confidence for cell in cells])

    def _encoded(self, small: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
        """Features s of prepared images as published, and what the segmenter says of their masks."""
        out = self.segmenter(small)
        tokens, _, _ = stored_form(out, small)
        return self.autoencoder.encode(torch.from_numpy(tokens)).cpu().numpy(), out.mask_logits

    def _batches(self, images: np.ndarray | Sequence[Image]) -> Iterator[list[np.ndarray]]:
        if isinstance(images, (str, Path)):
            raise InputError("give a list of images or paths, not a single path")
        for start in range(0, len(images), BATCH):
            yield [_as_array(image) for image in images[start : start + BATCH]]

    def _fitted(self) -> Any:
        if self.classifier is None:
            raise InputError("this run has no classifiers, since no lab of it had labels: fit again with labels")
        return self.classifier


def _as_array(image: Image) -> np.ndarray:
    if isinstance(image, (str, Path)):
        return read_image(Path(image))
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise InputError(f"an image must be uint8 of shape (H, W, 3), not {array.dtype} of shape {array.shape}")
    return array


load = DoRL.load
