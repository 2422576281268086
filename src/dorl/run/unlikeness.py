"""How unlike the cells that a run's classifiers learnt a cell is: learnt, asked, and kept as ``unlike.safetensors``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from dorl.classification.unlike import Unlike
from dorl.errors import InputError
from dorl.run.assess import MAX_ADAPTED_CELLS, evenly
from dorl.tensorfiles import load_tensors, save_tensors

if TYPE_CHECKING:
    from dorl.run.features import Represented

_TENSORS = ("middle", "whiten", "means")


def learnt_unlike(represented: Represented, rows: np.ndarray, labels: np.ndarray) -> Unlike | None:
    """`Unlike.fit` to some cells of labs, rows (N,), with their labels (N,)."""
    return Unlike.fit(
        represented.described(rows),
        labels,
        groups=represented.groups[rows],
        patients=represented.patients[rows],
        seed=represented.config.seed,
    )


def are_another_lab(unlike: Unlike | None, represented: Represented, rows: np.ndarray) -> bool:
    """`Unlike.of_another_lab` of the cells in `rows` (N,), of `MAX_ADAPTED_CELLS` of them at most; False without it."""
    some = rows[evenly(len(rows), MAX_ADAPTED_CELLS)]
    return unlike is not None and len(some) > 0 and unlike.of_another_lab(represented.described(some))


def save_unlike(unlike: Unlike, path: Path) -> None:
    """Write it, without another lab's shift."""
    tensors = {name: torch.from_numpy(getattr(unlike, name)) for name in _TENSORS}
    numbers = {"threshold": unlike.threshold, "quartiles": list(unlike.quartiles)}
    save_tensors(path, tensors, {"classes": list(unlike.classes), **numbers})


def load_unlike(path: Path) -> Unlike | None:
    """Read what `save_unlike` wrote; None where there is no such file, InputError where it is damaged."""
    if not path.is_file():
        return None
    try:
        tensors, header = load_tensors(path)
        middle, whiten, means = (tensors[name].float().numpy() for name in _TENSORS)
        classes = tuple(str(name) for name in header["classes"])
        width = len(middle)
        if whiten.shape != (width, width) or means.shape != (len(classes), width):
            raise ValueError("shapes differ")
        threshold = float(header["threshold"])
        low, median, high = (float(value) for value in header["quartiles"])
        if not threshold > 0 or not low <= median <= high:
            raise ValueError("the threshold is above 0, and the quartiles are in order")
        return Unlike(classes, middle, whiten, means, threshold, (low, median, high), torch.zeros(width).numpy())
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged; fit again") from error
