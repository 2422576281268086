"""Probabilities that can be taken at their word, and how well a classifier is likely to do where no label is known.

Both are learnt from cells of the source labs that a classifier was asked about without having learnt them.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from dorl.classification.heldout import HeldOut, ask_held_out
from dorl.classification.mix import MIN_MIX_CELLS, Expected
from dorl.errors import InputError
from dorl.files import write_json

#: of held-out cells, with fewer wrong ones than this the fit is held back
LEAST_WRONG = 10
#: probabilities below this count as this much: a forest may say nought
FLOOR = 1e-4
#: standard deviation, from lab to lab, of what a classifier that has adapted is worth around what it expects. Chosen so
#: that an interval of 300 cells is 25 points wide; ``tools/measure/mix.py`` shows how often it holds.
LAB_SPREAD = 0.057
#: of the standard normal distribution, for an interval of 95 %
Z95 = 1.959964


@dataclass(frozen=True)
class Calibration:
    """What held-out cells of the source labs say of a classifier.

    Parameters
    ----------
    slope, offset : float
        The probability of the likeliest class becomes ``expit(slope · logit(probability) + offset)`` (Platt 1999); the
        other classes share the rest as before. Slope is 0 or more.
    threshold : float
        As large a share of the held-out cells is less confident than this as was classified wrongly.
    accuracy : float
        Of the held-out cells, 0-1.
    cells : int
        How many there were.
    error_before, error_after : float
        Expected calibration error of the held-out cells without and with it.
    shares : dict of str to float
        Of each class among the cells learnt; empty in runs of earlier versions.
    """

    slope: float
    offset: float
    threshold: float
    accuracy: float
    cells: int
    error_before: float
    error_after: float
    shares: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = (self.slope, self.offset, self.threshold, self.accuracy, self.error_before, self.error_after)
        if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in numbers):
            raise ValueError("a calibration is made of numbers")
        if self.slope < 0 or not 0 <= self.accuracy <= 1 or not isinstance(self.cells, int) or self.cells < 1:
            raise ValueError("slope is 0 or more, accuracy from 0 to 1, and cells a count")
        if not isinstance(self.shares, dict) or not all(
            isinstance(share, (int, float)) and 0 < share <= 1 for share in self.shares.values()
        ):
            raise ValueError("shares are above 0, 1 at most")

    def apply(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities (N, C) of probabilities (N, C), C at least 2; the likeliest class stays so."""
        rest = np.maximum(np.asarray(probabilities, np.float64), FLOOR)
        rows, best = np.arange(len(rest)), rest.argmax(axis=1)
        rest[rows, best] = 0
        rest /= rest.sum(axis=1, keepdims=True)
        second = rest.max(axis=1)
        sure = expit(self.slope * _logit(probabilities) + self.offset)
        sure = np.clip(sure, second / (1 + second) + FLOOR, 1 - FLOOR)  # lower, and another class would be likelier
        rest *= 1 - sure[:, None]
        rest[rows, best] = sure
        return rest

    def estimate(
        self, confidence: ArrayLike, adapted: ArrayLike | None = None, *, agreement: float | None = None
    ) -> tuple[float, float, float]:
        """How many of some cells without labels are likely to be classified rightly.

        The share of cells that are more confident than `threshold` (average thresholded confidence, Garg et al. 2022,
        arXiv 2201.04234). The interval covers what comes from the number of cells, here and held out. Where the
        classifier has adapted it covers that labs differ, too (`LAB_SPREAD`); else it doesn't cover that another lab's
        cells may be wrong with confidence.

        Parameters
        ----------
        confidence : array of shape (N,)
            Calibrated probability of each cell's likeliest class; N at least 1.
        adapted : array of shape (N,), optional
            The same of the classifier after it has adapted to these cells. What it said before knows nothing of what
            adapting brings, and what it says now it has taught itself: the middle is taken.
        agreement : float, optional
            Share of the cells, 0-1, to which the classifier gives the same class before and after adapting; it may be
            known where it could adapt but hasn't. That, too, tells how many are right (Jiang et al. 2022, arXiv
            2106.13799): the middle of all is taken. Unless the classifier has adapted, and this is known, the interval
            holds those of each.

        Returns
        -------
        (estimate, low, high) : tuple of float
            0-1; low and high are the limits of a 95 % interval.
        """
        count = len(np.atleast_1d(confidence))
        found = [self._reach(self._share(confidence), count)]
        if adapted is not None:
            found.append(self._reach(self._share(adapted), count))
        if agreement is not None:
            found.append(self._reach(agreement, count))
        shares, low, high = zip(*found, strict=True)
        middle = sum(shares) / len(shares)
        if adapted is not None and agreement is not None:
            return self._reach(middle, count, between=LAB_SPREAD)
        return middle, min(low), max(high)

    def _share(self, confidence: ArrayLike) -> float:
        return float((np.asarray(confidence, np.float64) >= self.threshold).mean())

    def _reach(self, share: float, count: int, *, between: float = 0.0) -> tuple[float, float, float]:
        """A share of so many cells, and its interval; `between` is a deviation that no number of cells takes away."""
        # a cell of each kind is added, so that no interval is empty
        spread = sum(
            (right + 1) / (cells + 2) * (1 - (right + 1) / (cells + 2)) / (cells + 2)
            for right, cells in ((share * count, count), (self.accuracy * self.cells, self.cells))
        )
        reach = Z95 * math.sqrt(spread + between**2)
        return share, max(0.0, share - reach), min(1.0, share + reach)


def expected_accuracy(
    calibration: Calibration, model: Any, X: ArrayLike, expected: Expected | None = None, *, another_lab: bool
) -> tuple[float, float, float]:
    """`Calibration.estimate` of what a classifier says of cells, and said before it adapted or would say after it.

    Parameters
    ----------
    calibration : Calibration
        Of the classifier before it adapted.
    model : scikit-learn classifier
        Fitted; a `ViewsClassifier` may have adapted.
    X : array of N cells, as `model` takes it
    expected : Expected, optional
        The classes' shares that are expected of these cells, to which it has adapted with that in mind: what it says is
        corrected by the mix that is estimated, before adapting and after.
    another_lab : bool
        What `dorl.classification.unlike.Unlike.of_another_lab` says of these cells.
    """
    if not hasattr(model, "agreement"):
        return calibration.estimate(calibration.apply(model.predict_proba(X)).max(1))
    model = model.elsewhere(another_lab)
    probabilities = calibration.apply(model.predict_proba(X))
    if not model.adapted_:
        return calibration.estimate(probabilities.max(1), agreement=model.agreement(X, another_lab=another_lab))
    first = calibration.apply(model.first_proba(X))
    if expected is None or len(first) < MIN_MIX_CELLS:
        return calibration.estimate(first.max(1), probabilities.max(1))
    before, after = (expected.corrected(one, another_lab=another_lab) for one in (first, probabilities))
    stays = float((before.argmax(1) == after.argmax(1)).mean())
    return calibration.estimate(first.max(1), after.max(1), agreement=stays)


def _logit(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Of the likeliest class of each cell (N,)."""
    return logit(np.clip(np.asarray(probabilities, np.float64).max(axis=1), FLOOR, 1 - FLOOR))


def calibration_error(probabilities: ArrayLike, right: ArrayLike, *, bins: int = 15) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart, on average over bins of confidence.

    Parameters
    ----------
    probabilities : array of shape (N, C)
    right : bool array of shape (N,)
        Whether the likeliest class is the true one.
    bins : int
        Of equal width.

    References
    ----------
    Guo et al., *On Calibration of Modern Neural Networks*, arXiv 1706.04599.
    """
    confidence, right = np.asarray(probabilities, np.float64).max(axis=1), np.asarray(right, np.float64)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / max(1, len(right)))


def calibrate(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    groups: NDArray[np.int64] | None = None,
    patients: NDArray[np.object_] | None = None,
    seed: int = 0,
) -> Calibration | None:
    """Ask a classifier about cells that it hasn't learnt, and fit what it says to what was right.

    Parameters are those of `ask_held_out`; None where there are too few cells to say anything.
    """
    held = ask_held_out(model, X, y, groups=groups, patients=patients, seed=seed)
    return None if held is None else calibrated(held)


def calibrated(held: HeldOut) -> Calibration:
    """Fit what a classifier says of held-out cells to what was right."""
    probabilities, right = held.probabilities, held.probabilities.argmax(axis=1) == held.labels
    slope, offset = _platt(_logit(probabilities), right)
    found = Calibration(
        slope, offset, 0.0, float(right.mean()), len(right), calibration_error(probabilities, right), 0.0
    )
    corrected = found.apply(probabilities)
    threshold = float(np.quantile(corrected.max(axis=1), 1 - right.mean()))
    return replace(found, threshold=threshold, error_after=calibration_error(corrected, right), shares=held.shares)


def _platt(values: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope, 0 or more, and offset of a logistic regression of `right` on `values`, both (N,).

    Its targets are short of 0 and 1, as Platt's: cells that are all right are no proof that all would be. Where fewer
    than `LEAST_WRONG` are wrong they can't tell doubt from certainty: the offset is 0 and the slope 1 or more then, so
    that what was in doubt stays so.
    """
    hits, misses = right.sum(), (~right).sum()
    target = np.where(right, (hits + 1) / (hits + 2), 1 / (misses + 2))

    def surprise(parameters: NDArray[np.float64]) -> float:
        at = parameters[0] * values + parameters[1]
        return -float((target * log_expit(at) + (1 - target) * log_expit(-at)).mean())

    limits = ((1, 50), (0, 0)) if misses < LEAST_WRONG else ((0, 50), (-50, 50))
    slope, offset = minimize(surprise, x0=(1.0, 0.0), bounds=limits).x
    return float(slope), float(offset)


def save_calibration(calibration: Calibration, path: str | Path) -> None:
    """Write a calibration as JSON."""
    write_json(Path(path), asdict(calibration))


def load_calibration(path: str | Path) -> Calibration | None:
    """Read what `save_calibration` wrote; None where there is no such file, InputError where it is damaged."""
    path = Path(path)
    if not path.is_file():
        return None
    try:
        return Calibration(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged; fit again") from error
