"""What a run says of cells: probabilities, and beside them adaptation, mix of classes, expected accuracy, distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dorl.classification.nodes import SURE, finest_sure, probability_of
from dorl.errors import InputError
from dorl.run.mixes import tell_mix
from dorl.runtime.progress import say

if TYPE_CHECKING:
    from dorl.run.model import DoRL

#: cells that are classified at once
CHUNK = 1024
#: cells that a classifier adapts to at most, and that the mix of classes is estimated from
MAX_ADAPTED_CELLS = 5000


@dataclass(frozen=True)
class Assessment:
    """What a run says of M cells.

    Attributes
    ----------
    model : DoRL
        As it is suited to the cells.
    probabilities : float array of shape (M, C)
        Calibrated, and corrected by the mix.
    distances : float array of shape (M,)
        How unlike the cells learnt each is; above 1 unlike, NaN where the run can't say.
    adapted : bool
        Whether the classifier adapted to the cells.
    mix : dict of str to float
        Estimated share of each class, by which probabilities were corrected; empty where they weren't.
    accuracy : (float, float, float) or None
        Share that is likely to be right, and its 95 % interval, 0-1 (`dorl.classification.Calibration.estimate`); None
        where the run has no calibration.
    """

    model: DoRL
    probabilities: np.ndarray
    distances: np.ndarray
    adapted: bool
    mix: dict[str, float]
    accuracy: tuple[float, float, float] | None

    @property
    def unlike(self) -> np.ndarray:
        """Which cells are unlike all that were learnt: bool (M,)."""
        return self.distances > 1

    def table(self, *, sure: float | None = None, reject: bool = False) -> pd.DataFrame:
        """Class, probability, node, distance, unlike, a row a cell; None where nothing can be said.

        Parameters
        ----------
        sure : float, optional
            Least probability of ``node``, 0-1, `SURE` by default; where it is given, class and probability are the
            node's, too.
        reject : bool
            Leave the class of cells that are unlike empty.
        """
        classes = self.model.classes_
        node = finest_sure(self.probabilities, classes, sure=SURE if sure is None else sure)
        if sure is None:
            name, chance = np.array(classes, object)[self.probabilities.argmax(1)], self.probabilities.max(1)
        else:
            name, chance = node.copy(), probability_of(self.probabilities, classes, node)
        distance, unlike = self.distances.astype(object), self.unlike.astype(object)
        distance[np.isnan(self.distances)] = unlike[np.isnan(self.distances)] = None
        if reject:
            name[self.unlike] = None
        values = {"class": name, "probability": chance, "node": node, "distance": distance, "unlike": unlike}
        return pd.DataFrame({column: pd.Series(list(array), dtype=object) for column, array in values.items()})

    def tell(self, *, expect: str | None, reject: bool) -> None:
        """Say what was adapted and corrected, how many are likely to be right, and how many are unlike."""
        count = len(self.probabilities)
        if self.adapted:
            say(
                f"these {count} cells look unlike those learnt from: the classifier adapts to them, without "
                "labels (--no-adapt leaves it as it is)"
            )
        if self.model.mix is not None:
            tell_mix(self.model.expects(expect), self.model.classes_, self.model.mix, count)
        if self.accuracy is not None and self.model.calibration is not None:
            share, low, high = (100 * value for value in self.accuracy)
            say(
                f"by its confidence {share:.0f} % are right (95 % interval {low:.0f} to {high:.0f}); held-out cells of "
                f"the labs learnt from: {100 * self.model.calibration.accuracy:.0f} %. Cells of a lab unlike these may "
                "be wrong with confidence: check some by eye"
            )
        if self.model.unlike is None:
            say("this run can't tell which cells are unlike those learnt from: fit again for that")
        elif self.unlike.any():
            done = "their class is left empty" if reject else "check them by eye (--reject leaves their class empty)"
            many = int(self.unlike.sum())
            say(f"{many} of {count} cells {'is' if many == 1 else 'are'} unlike all that were learnt from: {done}")


def assess(
    model: DoRL, inputs: np.ndarray, rows: np.ndarray | None = None, *, expect: str | None = None, adapt: bool = True
) -> Assessment:
    """Suit a run to cells, and ask it about each; see `DoRL.assess`."""
    rows = np.arange(len(inputs)) if rows is None else rows
    chosen = evenly(len(rows), MAX_ADAPTED_CELLS)
    some = np.asarray(inputs[rows[chosen]])
    suited, said, before = model.suited_and_asked(some, expect=expect, adapt=adapt)
    found, distances, first = np.empty((len(rows), said.shape[1])), np.empty(len(rows)), np.empty(len(rows))
    found[chosen], distances[chosen] = said, suited.distances(some)
    if before is not None:
        first[chosen] = before.max(1)
    others = np.setdiff1d(np.arange(len(rows)), chosen)
    for start in range(0, len(others), CHUNK):
        which = others[start : start + CHUNK]
        part = np.asarray(inputs[rows[which]])
        found[which], distances[which] = suited.probabilities(part), suited.distances(part)
        if before is not None and (told := suited.first_probabilities(part)) is not None:
            first[which] = told.max(1)
    accuracy = None
    if suited.calibration is not None:
        confidence = [found.max(1)] if before is None else [first, found.max(1)]
        accuracy = suited.calibration.estimate(*confidence, agreement=suited.stays)
    mix = {} if suited.mix is None else dict(zip(suited.classes_, suited.mix.tolist(), strict=True))
    return Assessment(suited, found, distances, suited.adapted, mix, accuracy)


def evenly(count: int, most: int) -> np.ndarray:
    """Numbers of `most` of `count` things at most, evenly among them, ascending: int (M,)."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


def check_sure(sure: float | None) -> None:
    """Raise InputError unless it is a probability, or None."""
    if sure is not None and not 0 < sure <= 1:
        raise InputError(f"--sure {sure}: give a probability above 0, 1 at most")
