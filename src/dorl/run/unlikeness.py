"""``unlike.safetensors`` of a run: how unlike the cells that its classifiers learnt a cell is."""

from __future__ import annotations

from pathlib import Path

import torch

from dorl.classification.unlike import Unlike
from dorl.errors import InputError
from dorl.tensorfiles import load_tensors, save_tensors

_TENSORS = ("middle", "whiten", "means")


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
