"""Six classifiers over features that they share, and BC-SAM."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dorl.benchmark.methods.cells import Cells, Source
from dorl.benchmark.methods.features import whole_image
from dorl.benchmark.methods.method import PAPER, Fitted
from dorl.classification import CLASSIFIERS, make_classifier


def classified(
    names: Sequence[str],
    features: NDArray[np.float32],
    source: Source,
    extract: Callable[[Cells], NDArray[np.float32]],
    seed: int,
    setting: str = "",
) -> list[Fitted]:
    """Fit classifiers of the paper over features.

    Parameters
    ----------
    names : sequence of str
        Out of `dorl.classification.CLASSIFIERS`.
    features : float32 array of shape (N, D)
        Of the source cells.
    source : Source of N
    extract : callable
        From `Cells` of M to their features (M, D); the last answer is kept for the next classifier.
    seed : int
    setting : str
        Of the features, for people.

    Returns
    -------
    list of Fitted
        A variant a classifier.
    """
    known: dict[str, tuple[bytes, NDArray[np.float32]]] = {}

    def once(cells: Cells) -> NDArray[np.float32]:
        rows = cells.rows.tobytes()
        if cells.lab not in known or known[cells.lab][0] != rows:
            known[cells.lab] = (rows, extract(cells))
        return known[cells.lab][1]

    fitted = []
    for name in names:
        model = make_classifier(name, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the iteration limits are the paper's
            model.fit(features, source.labels.astype(str))

        def predict(cells: Cells, model: object = model) -> NDArray[np.object_]:
            return model.predict(once(cells)).astype(object)  # type: ignore[attr-defined]

        settings_used = "; ".join(part for part in (setting, "the paper's classifier settings") if part)
        fitted.append(Fitted(predict, variant=name, setting=settings_used, chosen_by=PAPER))
    return fitted


@dataclass(frozen=True)
class BCSAM:
    """Classifiers on SAM's image features.

    The published BC-SAM fine-tunes SAM with LoRA, passes its embedding through an autoencoder with SSIM and
    mean-discrepancy losses, and trains classical classifiers on the 50 numbers in its middle. Here it stands for what
    SAM's own features give: the benchmark's segmenter embeds the whole image, as published, the tokens are averaged
    over all positions, without an autoencoder, and the classifiers are DoRL's six. What such an autoencoder adds is
    the row "AE-CFE", which differs from BC-SAM's little.

    References
    ----------
    Li et al., *Towards Cross-Domain Single Blood Cell Image Classification via Large-Scale LoRA-based Segment Anything
    Model*, arXiv 2408.06716.
    """

    classifiers: tuple[str, ...] = tuple(CLASSIFIERS)

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        """See `Method.fit`; `targets` are not looked at."""
        return classified(self.classifiers, whole_image(source.cells), source, whole_image, seed)
