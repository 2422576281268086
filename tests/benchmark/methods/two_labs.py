"""A source lab and a target lab, as the tests of this folder use them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dorl.benchmark.methods import Cells, Source


@dataclass(frozen=True)
class TwoLabs:
    """A source with labels, a target without, and the target's labels for the tests' own use."""

    source: Source
    target: Cells
    truth: np.ndarray

    def right(self, predicted: np.ndarray) -> float:
        return float((predicted == self.truth).mean())
