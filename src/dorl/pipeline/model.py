"""A fitted DoRL: images in, features and classes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dorl.classification import Calibration, load_calibration, load_classifier
from dorl.domains import read_image
from dorl.errors import InputError
from dorl.pipeline.embedding import prepared, segment_small
from dorl.pipeline.runfolder import AUTOENCODER, CLASSIFIERS, SEGMENTER, RunConfig, check_complete, slug
from dorl.representation import CrossDomainAutoencoder
from dorl.segmentation import Segmenter

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
    calibration : Calibration or None
        Of the classifier; None where the run had too few labels.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        autoencoder: CrossDomainAutoencoder,
        classifier: Any,
        config: RunConfig,
        calibration: Calibration | None = None,
    ) -> None:
        self.segmenter = segmenter
        self.autoencoder = autoencoder
        self.classifier = classifier
        self.config = config
        self.calibration = calibration

    @classmethod
    def load(cls, run: str | Path, *, classifier: str | None = None, device: str | None = None) -> DoRL:
        """Load a run folder.

        Parameters
        ----------
        run : str or Path
        classifier : str, optional
            One of the six names; the run's default otherwise.
        device : str, optional

        Raises
        ------
        InputError
            If the folder is no finished run, of another version, or a file is missing or damaged.
        """
        run = Path(run)
        config = check_complete(run)
        known = config.classifiers.names
        name = classifier or config.classifiers.default
        if known and name not in known:
            raise InputError(f"classifier {name!r} is not in {run}: give one of {', '.join(known)}")
        place = run / CLASSIFIERS / f"{slug(name)}.skops"
        fitted = load_classifier(place) if known else None
        return cls(
            Segmenter.load(run / SEGMENTER, device=device),
            CrossDomainAutoencoder.load(run / AUTOENCODER, device=device),
            fitted,
            config,
            load_calibration(place.with_suffix(".json")) if known else None,
        )

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
        parts = [self._features(batch)[0] for batch in self._batches(images)]
        return np.concatenate(parts) if parts else np.empty((0, self.autoencoder.config.width), np.float32)

    def predict_proba(self, images: np.ndarray | Sequence[Image]) -> np.ndarray:
        """Probabilities (N, number of classes), in the order of `classes_`; input as for `transform`.

        Calibrated on held-out cells of the source labs, where there were enough.
        """
        self._fitted()
        features = self.transform(images)
        return self.probabilities(features) if len(features) else np.empty((0, len(self.classes_)))

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, number of classes) of features s (N, D)."""
        said = self._fitted().predict_proba(features)
        return said if self.calibration is None else self.calibration.apply(said)

    def predict(self, images: np.ndarray | Sequence[Image]) -> np.ndarray:
        """The likeliest class of each image: object array (N,) of str; input as for `transform`."""
        return np.array(self.classes_, object)[self.predict_proba(images).argmax(1)]

    def classify(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (B, C), and whether a cell was found, bool (B,), of one batch of uint8 images."""
        features, found = self._features(images)
        return self.probabilities(features), found

    def _features(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        tokens, masks, _ = segment_small(self.segmenter, prepared(images, self.segmenter.image_size))
        features = self.autoencoder.encode(torch.from_numpy(tokens)).cpu().numpy()
        return features, np.asarray(masks.any(axis=(1, 2)))

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
