"""What the page asks of a model; `dorl.serving.model` answers it with a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

#: pictures of a cell, JPEG: the image, the same with its outline, the cell cut out, and what the autoencoder draws
PICTURES = ("image", "outlined", "segmented", "reconstruction")
#: pictures of a smear field, JPEG, reduced: as it is, and with the outlines of its white cells
FIELD_PICTURES = ("image", "outlined")


@dataclass(frozen=True)
class Neighbour:
    """A training cell that is near a cell.

    Attributes
    ----------
    row : int
        Of the run's cell store.
    label, lab : str
        Its class and its laboratory.
    distance : float
        Euclidean, in the standardised features that the classifier takes.
    """

    row: int
    label: str
    lab: str
    distance: float


@dataclass(frozen=True)
class SeenCell:
    """What there is to say of one cell by itself.

    Attributes
    ----------
    probabilities : list of float or None
        In the order of the recogniser's `classes`; None where no white cell was found, which has no class.
    found : bool
        Whether a white cell was found.
    confidence : float
        Of the outline, 0-1; 0 where no white cell was found.
    distance : float
        How unlike the training cells it is; 1 is the threshold, more is unlike all of them.
    neighbours : list of Neighbour
        The nearest first.
    pictures : dict of str to bytes
        A JPEG for each of `PICTURES`.
    inputs : bytes
        What the classifier takes of it, for `Recogniser.together`.
    """

    probabilities: list[float] | None
    found: bool
    confidence: float
    distance: float
    neighbours: list[Neighbour]
    pictures: dict[str, bytes]
    inputs: bytes


@dataclass(frozen=True)
class CellOfField:
    """A white cell that was found in a smear field.

    Attributes
    ----------
    box : tuple of 4 int
        xmin, ymin, xmax, ymax in pixels of the field; the last two are exclusive.
    touches_border : bool
        Whether the field's edge cuts the cell.
    image : bytes
        PNG of the square around it, as an image of this one cell.
    seen : SeenCell
    """

    box: tuple[int, int, int, int]
    touches_border: bool
    image: bytes
    seen: SeenCell


@dataclass(frozen=True)
class SeenField:
    """What was found in one smear field.

    Attributes
    ----------
    size : (int, int)
        Width and height in pixels.
    red_cell : float or None
        Diameter of a red cell in pixels; None where it couldn't be measured.
    cells : list of CellOfField
        From top to bottom.
    pictures : dict of str to bytes
        A JPEG for each of `FIELD_PICTURES`.
    """

    size: tuple[int, int]
    red_cell: float | None
    cells: list[CellOfField]
    pictures: dict[str, bytes]


@dataclass(frozen=True)
class SampleResult:
    """What all cells of a sample say together.

    Attributes
    ----------
    adapted : bool
        Whether the classifier adapted to them, so that `probabilities` differ from those of each by itself.
    accuracy : (float, float, float) or None
        Share that is likely to be right, and its 95 % interval; None where the run has no calibration.
    probabilities : float array of shape (N, C)
    distances : float array of shape (N,)
        As `SeenCell.distance`, but for what all of them have in common as another lab's.
    mix : dict of str to float or None
        Estimated share of each class, by which `probabilities` are corrected; None where they aren't.
    confusion : int array of shape (C, C) or None
        Held-out training cells by true class and by what is said of them in that mix; None where none are known.
    another_lab : bool
        Whether the cells are another lab's.
    each_unlike : bool
        Whether `distances` tell the single cell, so that unlike ones stand apart in a differential.
    """

    adapted: bool
    accuracy: tuple[float, float, float] | None
    probabilities: np.ndarray
    distances: np.ndarray
    mix: dict[str, float] | None = None
    confusion: np.ndarray | None = None
    another_lab: bool = False
    each_unlike: bool = True


class Recogniser(Protocol):
    """A run that looks at cells.

    Attributes
    ----------
    name, version : str
        Of the run's folder, and a digest of all that decides what it says.
    classes : list of str
        Of `dorl.taxonomy`.
    facts : dict
        More about it that JSON can hold.
    """

    name: str
    version: str
    classes: list[str]
    facts: dict[str, Any]

    def look(self, images: Sequence[np.ndarray]) -> list[SeenCell]:
        """Look at uint8 images (H, W, 3), RGB, 0-255, each of its own size."""

    def search(self, image: np.ndarray) -> SeenField:
        """Find every white cell of a smear field, uint8 (H, W, 3), RGB, 0-255, and look at each.

        Raises BadImageError for a field in which no cell can be found, whatever it shows.
        """

    def together(self, inputs: Sequence[bytes]) -> SampleResult:
        """Look once more at all cells that were found in a sample, by the `inputs` of each."""

    def training_picture(self, row: int) -> bytes:
        """Training cell of a row of the cell store, cut out, as JPEG. Raises InputError for a row that isn't there."""
