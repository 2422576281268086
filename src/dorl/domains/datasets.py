"""A lab as a data set of torch or of Hugging Face."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dorl.errors import InputError
from dorl.files import png

if TYPE_CHECKING:
    from dorl.domains.domain import Domain

#: kinds of data sets
KINDS = ("torch", "huggingface")
#: the number of a class that isn't known
UNKNOWN = -1


class TorchDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """The cells of a lab, read when they are asked for.

    An item has ``image`` (uint8 Tensor (3, H, W), RGB, 0-255), ``label`` (the class's number in `classes`, -1 where it
    isn't known), ``path``, and where the lab has masks ``mask`` (bool Tensor (H, W), all False where a cell has none).

    Parameters
    ----------
    lab : Domain
    transform : callable, optional
        Is given an item, and gives what is taken in its place.

    Attributes
    ----------
    classes : tuple of str
        Sorted.
    """

    def __init__(self, lab: Domain, transform: Callable[[dict[str, Any]], Any] | None = None) -> None:
        self.lab, self.transform, self.classes = lab, transform, lab.classes
        self._numbers = {name: number for number, name in enumerate(self.classes)}
        self._masked = lab.has_masks

    def __len__(self) -> int:
        return len(self.lab)

    def __getitem__(self, i: int) -> Any:
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        image = self.lab.load(i)
        item: dict[str, Any] = {
            "image": torch.from_numpy(image).permute(2, 0, 1).contiguous(),
            "label": self._numbers.get(self.lab.table["label"].iat[i], UNKNOWN),
            "path": self.lab.table["path"].iat[i],
        }
        if self._masked:
            mask = self.lab.load_mask(i)
            item["mask"] = torch.from_numpy(np.zeros(image.shape[:2], bool) if mask is None else mask)
        return item if self.transform is None else self.transform(item)


def to_dataset(lab: Domain, kind: str = "torch") -> Any:
    """See `Domain.to_dataset`."""
    if kind not in KINDS:
        raise InputError(f"{kind!r} is no kind of data set: give one of {', '.join(KINDS)}")
    return TorchDataset(lab) if kind == "torch" else _huggingface(lab)


def _huggingface(lab: Domain) -> Any:
    try:
        from datasets import ClassLabel, Dataset, Features, Image, Value
    except ImportError as error:
        raise InputError("this needs the package datasets: pip install 'dorl[exchange]'") from error
    columns: dict[str, list[Any]] = {name: [] for name in ("image", "mask", "label", "path", "patient", "split")}
    for i, row in enumerate(lab.table.to_dict("records")):
        mask = lab.load_mask(i)
        columns["image"].append({"bytes": png(lab.load(i)), "path": None})
        columns["mask"].append(None if mask is None else {"bytes": png(mask.astype(np.uint8) * 255), "path": None})
        for name in ("label", "path", "patient", "split"):
            columns[name].append(row[name])
    text = Value("string")
    label = ClassLabel(names=list(lab.classes)) if lab.classes else text
    features = {"image": Image(), "mask": Image(), "label": label, "path": text, "patient": text, "split": text}
    return Dataset.from_dict(columns, features=Features(features))
