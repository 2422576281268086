"""What a method sees of a lab: cells, and of the source lab their classes. A target's labels are in neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Store(Protocol):
    """What is asked of a `dorl.cells.CellStore`; the benchmark's hold no label and no path."""

    @property
    def table(self) -> pd.DataFrame: ...

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int] | np.ndarray, *names: str) -> tuple[np.ndarray, ...]: ...


@dataclass(frozen=True)
class Cells:
    """Cells of one lab, without labels, read from disk when asked for.

    Parameters
    ----------
    lab : str
        The lab's name.
    square : Store
        Square crops around the cells, of the backbone's own size: ``crops`` uint8 (B, S, S, 3), ``masks`` bool
        (B, S, S) and ``tokens`` float16 (B, D, G, G) of these crops. Its table's ``size`` is the logarithm of the
        cell's diameter in its image, in pixels (`dorl.cells.size.log_diameter`).
    whole : Store, optional
        The published road, for methods that ask for it: ``tokens`` and ``masks`` of the whole image, ``crops`` uint8
        (B, 128, 128, 3), the cell alone on grey.
    rows : int array of shape (N,)
        Which of the stored cells.
    domain : int
        Number of the lab, the source's is 0.
    backbone : Segmenter, optional
        What made the tokens, for methods that embed crops anew, for example restained ones.
    """

    lab: str
    square: Store = field(repr=False)
    whole: Store | None = field(repr=False)
    rows: NDArray[np.intp] = field(repr=False)
    domain: int = 0
    backbone: Any = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sizes(self) -> NDArray[np.float64]:
        """The logarithm of each cell's diameter in its image, in pixels: (N,)."""
        return self.square.table["size"].to_numpy(np.float64)[self.rows]

    def take(self, indices: Sequence[int] | np.ndarray) -> Cells:
        """Some of the cells, by number (K,)."""
        return replace(self, rows=self.rows[np.asarray(indices, np.intp)])

    def batch(self, indices: Sequence[int] | np.ndarray, *names: str) -> tuple[np.ndarray, ...]:
        """Copy ``tokens``, ``masks`` or ``crops`` of the square crops of some cells into memory."""
        return self.square.batch(self.rows[np.asarray(indices, np.intp)], *names)

    def published(self, indices: Sequence[int] | np.ndarray, *names: str) -> tuple[np.ndarray, ...]:
        """Likewise of the published road (`whole`)."""
        if self.whole is None:
            raise ValueError("these cells come without the published road: set Row.whole where the row is registered")
        return self.whole.batch(self.rows[np.asarray(indices, np.intp)], *names)


class PublishedCells:
    """Labs one after another, as the autoencoder's training reads them.

    Parameters
    ----------
    labs : sequence of Cells
    """

    def __init__(self, labs: Sequence[Cells]) -> None:
        self.labs = labs
        self.starts = np.cumsum([0, *(len(lab) for lab in labs)])
        self.domain: NDArray[np.int64] = np.repeat(np.arange(len(labs), dtype=np.int64), np.diff(self.starts))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def batch(self, indices: Sequence[int] | np.ndarray, *names: str) -> tuple[np.ndarray, ...]:
        """Tokens and crops of the published road, in the order of `indices`."""
        indices = np.asarray(indices, np.intp)
        numbers = self.domain[indices]
        order = np.argsort(numbers, kind="stable")
        parts = [
            self.labs[number].published(indices[numbers == number] - self.starts[number], *names)
            for number in np.unique(numbers)
        ]
        back = np.argsort(order)
        return tuple(np.concatenate(arrays)[back] for arrays in zip(*parts, strict=True))


@dataclass(frozen=True)
class Source:
    """Cells of the source lab with their classes.

    Parameters
    ----------
    cells : Cells of N
    labels : array of str, shape (N,)
    unseen : bool
        What is tested may not have been seen: what is bundled with the backbone is not gone on from.
    """

    cells: Cells
    labels: NDArray[np.object_] = field(repr=False)
    unseen: bool = False

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def classes(self) -> list[str]:
        """Sorted."""
        return sorted(set(self.labels.tolist()))

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Place of each cell's class in `classes`, (N,)."""
        place = {name: number for number, name in enumerate(self.classes)}
        return np.array([place[name] for name in self.labels], np.int64)

    def take(self, indices: Sequence[int] | np.ndarray) -> Source:
        """Some of the cells, by number (K,)."""
        return replace(self, cells=self.cells.take(indices), labels=self.labels[np.asarray(indices, np.intp)])
