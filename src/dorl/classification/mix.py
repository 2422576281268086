"""The mix of classes in a new lab's cells, estimated without labels, and probabilities corrected by it.

A classifier expects the classes as often as it has learnt them. Another sample holds them in other shares; these are
found by expectation maximisation on calibrated probabilities, with a Dirichlet prior around the mix that is expected.

References
----------
Saerens, Latinne and Decaestecker, *Adjusting the Outputs of a Classifier to New a Priori Probabilities*, Neural Comput.
14 (2002); Alexandari, Kundaje and Shrikumar, *Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at
Label Shift Adaptation*, ICML 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dorl import taxonomy
from dorl.classification.intervals import KNOWN
from dorl.errors import InputError

#: with fewer cells no mix is estimated
MIN_MIX_CELLS = 30
#: weight of the expected mix in cells, for each cell at hand: of the labs learnt from, and of another lab. There many
#: cells are wrong in the same way, so that many say no more than few. Chosen on Acevedo-20's held-out cells, restained,
#: in six mixes each (``tools/measure/mix.py``), and from JTSC and BCCD to it.
WEIGHT_OWN, WEIGHT_ANOTHER = 1 / 3, 3.0
#: no class is expected in a smaller share than this
MIN_SHARE = 1e-3
#: a mix that moves less than this from step to step is found
STILL, STEPS = 1e-7, 300
#: smallest probability that is told from nought
FLOOR = 1e-6


@dataclass(frozen=True)
class Expected:
    """What mix of classes is expected, beside what the classifier has learnt.

    Parameters
    ----------
    source : float array of shape (C,)
        Share of each class among the cells that the classifier learnt; sums to 1, each above 0.
    shares : float array of shape (C,)
        Of the classes in a new sample; likewise.
    """

    source: NDArray[np.float64]
    shares: NDArray[np.float64]

    def estimate(self, probabilities: ArrayLike, *, another_lab: bool) -> NDArray[np.float64]:
        """The mix of some cells.

        Parameters
        ----------
        probabilities : float array of shape (N, C)
            Calibrated, as the classifier gives them.
        another_lab : bool
            Whether the cells are another lab's (`dorl.classification.unlike.Unlike.of_another_lab`): then the expected
            mix weighs more.

        Returns
        -------
        float array of shape (C,)
            Sums to 1; none is 0.
        """
        chances = np.maximum(np.asarray(probabilities, np.float64), FLOOR) / self.source
        pseudo = (WEIGHT_ANOTHER if another_lab else WEIGHT_OWN) * len(chances) * self.shares
        mix = self.shares
        for _ in range(STEPS):
            belongs = chances * mix
            counts = (belongs / belongs.sum(1, keepdims=True)).sum(0) + pseudo
            before, mix = mix, counts / counts.sum()
            if np.abs(mix - before).max() < STILL:
                break
        return mix

    def correct(self, probabilities: ArrayLike, mix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (N, C) of cells that come in this mix (C,); each is above 0."""
        chances = np.maximum(np.asarray(probabilities, np.float64), FLOOR) * (mix / self.source)
        return chances / chances.sum(1, keepdims=True)

    def corrected(self, probabilities: ArrayLike, *, another_lab: bool) -> NDArray[np.float64]:
        """`correct` by what `estimate` gives of the same probabilities."""
        return self.correct(probabilities, self.estimate(probabilities, another_lab=another_lab))


def shares_of(given: str | Mapping[str, float], classes: Sequence[str], source: ArrayLike) -> NDArray[np.float64]:
    """The mix that is expected of some classes.

    Parameters
    ----------
    given : {"blood", "marrow", "source"} or mapping
        Intervals of `dorl.classification.intervals`, by their middle; what was learnt; or a number from 0 up for nodes
        of the tree, of which only the ratios count.
    classes : sequence of str, length C
        Nodes of the tree. A class takes what its node and those below it have; what a node has beyond those below it
        is parted evenly among the classes below. Each gets `MIN_SHARE` at least.
    source : float array of shape (C,)
        Cells learnt of each class, or their shares.

    Returns
    -------
    float array of shape (C,)
        Sums to 1.

    Raises
    ------
    InputError
        If a node isn't known, a number is below 0, or nothing is said of any of the classes.
    """
    if given == "source":
        shares = np.asarray(source, np.float64)
    else:
        if isinstance(given, str):
            if given not in KNOWN:
                raise InputError(f"no mix {given!r} is known: give {', '.join(KNOWN)}, source, none, or a CSV file")
            numbers = {node: (low + high) / 2 for node, (low, high) in KNOWN[given].items()}
        else:
            numbers = dict(given)
        shares = _parted(numbers, classes)
    shares = shares / shares.sum()
    shares = np.maximum(shares, MIN_SHARE)
    return shares / shares.sum()


def _parted(numbers: Mapping[str, float], classes: Sequence[str]) -> NDArray[np.float64]:
    """Numbers of nodes, parted among classes: (C,)."""
    for node, number in numbers.items():
        taxonomy.parent(node)
        if not 0 <= number < np.inf:
            raise InputError(f"{number} is expected of {node}: give a number from 0 up")
    found = np.zeros(len(classes))
    for node, number in numbers.items():
        finer = [name for name in numbers if taxonomy.parent(name) == node]
        above = [i for i, name in enumerate(classes) if taxonomy.is_a(node, name)]
        below = [i for i, name in enumerate(classes) if taxonomy.is_a(name, node)]
        unnamed = [i for i in below if not any(taxonomy.is_a(classes[i], name) for name in finer)]
        if places := above or unnamed or below:
            found[places] += max(0.0, number - sum(numbers[name] for name in finer)) / len(places)
    if not found.sum() > 0:
        raise InputError("nothing is expected of any class of the run: name some of them, with numbers above 0")
    return found
