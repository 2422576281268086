"""What a run keeps of the cells that its classifiers were asked about without having learnt them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dorl.classification.heldout import HeldOut
from dorl.errors import InputError
from dorl.tensorfiles import load_tensors, save_tensors

#: added to the name of a classifier's file
ENDING = ".held-out.safetensors"


def save_held_out(held: HeldOut, path: Path) -> None:
    """Write held-out cells; probabilities as float16."""
    tensors = {"probabilities": held.probabilities.astype(np.float16), "labels": held.labels, "counts": held.counts}
    save_tensors(path, {name: torch.from_numpy(array) for name, array in tensors.items()}, {"classes": held.classes})


def load_held_out(path: Path) -> HeldOut | None:
    """Read what `save_held_out` wrote; None where there is no such file, InputError where it is damaged."""
    if not path.is_file():
        return None
    try:
        tensors, header = load_tensors(path)
        classes = tuple(str(name) for name in header["classes"])
        probabilities = tensors["probabilities"].float().numpy()
        labels, counts = (tensors[name].long().numpy() for name in ("labels", "counts"))
        if probabilities.shape != (len(labels), len(classes)) or counts.shape != (len(classes),):
            raise ValueError("shapes differ")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise ValueError("a label is no class")
        return HeldOut(classes, probabilities, labels, counts)
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged; fit again") from error
