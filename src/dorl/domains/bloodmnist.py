"""BloodMNIST: Acevedo-20 at 28 to 224 pixels in one NumPy archive, with eight joined classes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from dorl.domains.domain import Domain
from dorl.domains.sources import ArraySource
from dorl.errors import InputError
from dorl.taxonomy import BLOODMNIST_CODES, BLOODMNIST_LEFT_OUT

SPLITS = ("train", "val", "test")


def is_bloodmnist(path: str | Path) -> bool:
    """Whether `path` is the word ``bloodmnist`` (where no such folder is), or names a ``bloodmnist*.npz`` file."""
    path = Path(path)
    return path.name.startswith("bloodmnist") and (
        path.suffix == ".npz" or (str(path) == "bloodmnist" and not path.exists())
    )


def read_bloodmnist(path: str | Path, name: str) -> Domain:
    """Read BloodMNIST.

    Parameters
    ----------
    path : str or Path
        The archive; or ``bloodmnist``: the largest one in the folder that the package medmnist keeps its files in.
    name : str

    Returns
    -------
    Domain
        Its splits in the column `split`. The archive is compressed, so its images are held in memory.

    Raises
    ------
    InputError
        If the archive is missing or damaged.
    """
    file = _newest() if str(path) == "bloodmnist" else Path(path)
    if not file.is_file():
        raise InputError(f"{file}: no such file; download bloodmnist_224.npz from the MedMNIST site and give its path")
    images: dict[str, np.ndarray] = {}
    rows, left_out = [], []
    try:
        with np.load(file, allow_pickle=False) as archive:
            for split in SPLITS:
                pixels, labels = archive[f"{split}_images"], archive[f"{split}_labels"].ravel()
                if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3 or len(pixels) != len(labels):
                    raise ValueError(f"{split} images have shape {pixels.shape} and type {pixels.dtype}")
                for i, (image, number) in enumerate(zip(pixels, labels.tolist(), strict=True)):
                    key = f"{split}/{i:05d}"
                    if number in BLOODMNIST_CODES:
                        images[key] = image
                        label = BLOODMNIST_CODES[number]
                        rows.append({"path": key, "label": label, "raw_label": str(number), "split": split})
                    elif number in BLOODMNIST_LEFT_OUT:
                        left_out.append((key, f"left out by the method: {BLOODMNIST_LEFT_OUT[number]}"))
                    else:
                        left_out.append((key, f"unknown class '{number}'"))
    except Exception as error:  # zip, zlib, struct and NumPy each have errors of their own for a damaged file
        why = (str(error).splitlines() or [""])[0]
        raise InputError(f"{file}: not a whole BloodMNIST archive ({why}); download it again") from error
    table = pd.DataFrame(rows, columns=["path", "label", "raw_label", "split"])
    outside = pd.DataFrame(left_out, columns=["path", "reason"])
    return Domain(name, file.parent, "bloodmnist", table, outside, ArraySource(images))


def _newest() -> Path:
    """The archive of the largest images in medmnist's folder."""
    if find_spec("medmnist") is None:
        raise InputError("bloodmnist: the package medmnist is not installed; pip install 'dorl[medmnist]'")
    from medmnist.info import DEFAULT_ROOT

    folder = Path(DEFAULT_ROOT)
    for size in ("_224", "_128", "_64", ""):
        if (folder / f"bloodmnist{size}.npz").is_file():
            return folder / f"bloodmnist{size}.npz"
    return folder / "bloodmnist_224.npz"
