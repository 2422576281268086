"""The interface of every row of the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dorl.benchmark.methods.cells import Cells, Source

#: from cells to class names (N,), in the source lab's words
Predict = Callable[[Cells], NDArray[np.object_]]
#: from cells to an expected accuracy and the limits of its interval
Estimate = Callable[[Cells], tuple[float, float, float]]

#: who chose a setting
FIXED = "fixed beforehand"
SOURCE_VALIDATION = "source validation"
PAPER = "the paper"


@dataclass(frozen=True)
class Fitted:
    """A fitted method, or one of several classifiers that share its features.

    Parameters
    ----------
    predict : callable
        From `Cells` to class names (N,).
    variant : str
        Follows the row's title in tables, for example the classifier's name; may be empty.
    setting : str
        The setting that was used, for people.
    chosen_by : str
        Who chose it: `FIXED`, `PAPER`, `SOURCE_VALIDATION`, or a label-free scorer's name.
    estimate : callable, optional
        From `Cells` to the accuracy that the method expects on them, without their labels, and a 95 % interval, 0-1.
    """

    predict: Predict
    variant: str = ""
    setting: str = ""
    chosen_by: str = FIXED
    estimate: Estimate | None = None


@runtime_checkable
class Method(Protocol):
    """A way to learn from one lab's labels. A frozen dataclass whose fields, its settings, are JSON-able."""

    def fit(self, source: Source, targets: Sequence[Cells], seed: int) -> list[Fitted]:
        """Learn.

        Parameters
        ----------
        source : Source
            The only labels there are.
        targets : sequence of Cells
            Unlabelled cells of other labs that may be looked at; never of the tested one in the protocol "unseen". What
            they hold depends on `Row.sees`.
        seed : int
            The same seed and cells, the same predictions.

        Returns
        -------
        list of Fitted
            One, or one for each classifier over the same features.
        """
        ...


@dataclass(frozen=True)
class Options:
    """What a user may choose for all rows.

    Parameters
    ----------
    profile : {"quick", "full"}
        Quick is for two cores and an hour.
    scorer : str
        Label-free scorer, one of `dorl.benchmark.methods.selection.SCORERS`.
    device : str, optional
    efficientnet_weights, resnext_weights : Path, optional
        ImageNet weights in files, where the package or torchvision can't give them.
    """

    profile: str = "quick"
    scorer: str = "dev"
    device: str | None = None
    efficientnet_weights: Path | None = None
    resnext_weights: Path | None = None

    @property
    def quick(self) -> bool:
        """Whether the profile is "quick"."""
        return self.profile == "quick"


@dataclass(frozen=True)
class Row:
    """A row of the benchmark, before it is built.

    Parameters
    ----------
    name : str
        As ``--rows`` takes it.
    title : str
        As tables show it.
    build : callable
        From `Options` to the `Method`; imports what is heavy only then.
    sees : {"source", "target", "labs"}
        Which unlabelled cells `fit` is given in the protocol "transductive": none; those of the one lab that is tested
        (a fit a tested lab); those of all other labs (one fit for all). In "unseen" only rows that see all "labs" are
        given any, those of labs that are not tested; rows that see the "target" are left out.
    code : tuple of str
        Modules that the method is made of: results are cached under a digest of their text.
    needs : tuple of str
        Modules of the extra ``benchmark`` that must be installed.
    instead : str
        Field of `Options` whose file stands in for what is needed.
    whole : bool
        Whether the published road's tokens and crops are needed, too (`Cells.published`).
    slow : bool
        One seed only in the quick profile.
    asked : bool
        Measured only where it is asked for by name.
    tokens : bool
        Whether it reads the backbone's tokens; `dorl.benchmark.encoders` measures it on those of others, too.
    encoder : str
        Whose tokens it reads in place of the segmenter's own.
    remark : str
        Stands below the table.
    """

    name: str
    title: str
    build: Callable[[Options], Any]
    sees: Literal["source", "target", "labs"]
    code: tuple[str, ...]
    needs: tuple[str, ...] = ()
    instead: str = ""
    whole: bool = False
    slow: bool = False
    asked: bool = False
    tokens: bool = True
    encoder: str = ""
    remark: str = ""
