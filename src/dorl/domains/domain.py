"""One laboratory's images with what is known of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dorl.domains.sources import FileSource, ImageSource
from dorl.domains.urls import file_at
from dorl.errors import BadImageError, InputError
from dorl.taxonomy import NODES
from dorl.words import counted

COLUMNS = ("path", "label", "raw_label", "mask", "patient", "split")

_NAME = re.compile(r"[^\W_][\w.-]*")


def is_name(text: str) -> bool:
    """Whether `text` can name a lab: letters, digits, ``.``, ``_`` and ``-``, a letter or digit first."""
    return _NAME.fullmatch(text) is not None


def _no_left_out() -> pd.DataFrame:
    return pd.DataFrame({"path": [], "reason": []}, dtype=object)


@dataclass(frozen=True, eq=False)
class Domain:
    """One laboratory's images.

    Parameters
    ----------
    name : str
        Letters, digits, ``.``, ``_``, ``-``.
    root : Path
        The folder that `path` and `mask` of the table are relative to.
    layout : str
        How the labels were found; as `dorl.read_domain` takes it, or another word for made-up images.
    table : DataFrame, one row an image
        ``path`` (str, POSIX, text as `dorl.names` has it), ``label`` (a class of `dorl.taxonomy` or None),
        ``raw_label`` (what the lab called it), ``mask`` (as ``path``), ``patient``, ``split``; None where unknown.
        Columns other than ``path`` may be missing.
    left_out : DataFrame, optional
        ``path`` and ``reason`` of what lies there but is not in the table.
    source : ImageSource, optional
        Where the pixels come from; files below `root` unless given.
    remarks : tuple of str
        What was concluded while reading, and how to change it; a sentence each.

    Raises
    ------
    InputError
        For a name with other characters, a table without ``path`` or a label that is no class.
    """

    name: str
    root: Path
    layout: str
    table: pd.DataFrame = field(repr=False)
    left_out: pd.DataFrame = field(default_factory=_no_left_out, repr=False)
    source: ImageSource = field(default=None, repr=False)  # type: ignore[assignment]
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise InputError(f"{self.name!r} can't name a lab; use letters, digits, '.', '_' and '-'")
        if "path" not in self.table:
            raise InputError(f"the table of lab {self.name!r} has no column 'path'")
        table = self.table.reindex(columns=list(COLUMNS)).astype(object)
        table = table.where(table.notna(), None).reset_index(drop=True)
        unknown = sorted({str(label) for label in table["label"] if label is not None} - set(NODES))
        if unknown:
            raise InputError(f"{unknown[0]!r} in lab {self.name!r} is no class; known are {', '.join(NODES)}")
        object.__setattr__(self, "root", Path(self.root))
        object.__setattr__(self, "table", table)
        if self.source is None:
            object.__setattr__(self, "source", FileSource(self.root))

    def __len__(self) -> int:
        return len(self.table)

    def load(self, i: int) -> np.ndarray:
        """Image `i`, uint8 (H, W, 3), RGB, 0–255. Raises BadImageError."""
        return self.source.read(self.table["path"].iat[i])

    def load_mask(self, i: int) -> np.ndarray | None:
        """Mask of image `i`, bool (H, W), True on the cell; None where it has none. Raises BadImageError."""
        mask = self.table["mask"].iat[i]
        if mask is None:
            return None
        width, height = self.source.size(self.table["path"].iat[i])
        return self.source.read_mask(mask, (height, width))

    def read(self, i: int) -> np.ndarray | str:
        """Image number `i` as `load` gives it, or the reason why it can't be read."""
        try:
            return self.load(i)
        except BadImageError as error:
            return self.reason(i, error)

    def reason(self, i: int, error: BadImageError) -> str:
        """Why image `i` can't be used, without the folder and the path that stand beside it anyway."""
        return error.without(self.file(i)).removeprefix(f"{self.root}/")

    def file(self, i: int) -> Path:
        """The file of image `i`, where its pixels come from files."""
        return self.root / file_at(self.table["path"].iat[i])

    def key(self, i: int) -> str:
        """``"name/path"`` of image `i`, unique among labs of different names."""
        return f"{self.name}/{self.table['path'].iat[i]}"

    def take(self, indices: Iterable[int] | np.ndarray) -> Domain:
        """The same lab with some of its images.

        Parameters
        ----------
        indices : ints, or bools of shape (len(self),)

        Returns
        -------
        Domain
            Rows in the order asked for, numbered anew; `left_out` stays as it is.
        """
        wanted = np.asarray(list(indices))
        wanted = np.flatnonzero(wanted) if wanted.dtype == bool else wanted.astype(int)
        return replace(self, table=self.table.iloc[wanted].reset_index(drop=True))

    @property
    def labels(self) -> np.ndarray:
        """Class of each image, None where unknown; ndarray of object, shape (N,)."""
        return self.table["label"].to_numpy(dtype=object)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes present, sorted."""
        return tuple(sorted(self.table["label"].dropna().unique()))

    @property
    def has_masks(self) -> bool:
        """Whether any image has a mask."""
        return bool(self.table["mask"].notna().any())

    def describe(self) -> dict[str, Any]:
        """What was read, as plain numbers and text that JSON can hold.

        Returns
        -------
        dict
            ``name``, ``layout``, ``images``, ``labelled``, ``with_mask`` (counts), ``classes`` (count by
            class), ``width`` and ``height`` (``min``, ``median``, ``max`` in pixels, by the files' headers),
            ``left_out`` (count by reason) and ``notes`` (sentences worth a look).
        """
        counts = self.table["label"].value_counts().sort_index()
        left_out = self.left_out["reason"].value_counts(sort=False).sort_index()
        sizes = self._sizes()
        return {
            "name": self.name,
            "layout": self.layout,
            "images": len(self),
            "labelled": int(counts.sum()),
            "with_mask": int(self.table["mask"].notna().sum()),
            "classes": {str(label): int(count) for label, count in counts.items()},
            "width": _spread(sizes[:, 0]),
            "height": _spread(sizes[:, 1]),
            "left_out": {str(reason): int(count) for reason, count in left_out.items()},
            "notes": self._notes(counts, len(sizes)),
        }

    def to_dataset(self, kind: str = "torch") -> Any:
        """The lab as a data set for training elsewhere.

        Parameters
        ----------
        kind : {"torch", "huggingface"}

        Returns
        -------
        dorl.domains.datasets.TorchDataset or datasets.Dataset
            That of torch reads images when they are asked for. That of Hugging Face (``pip install 'dorl[exchange]'``)
            has image, mask, label (a ``ClassLabel``), path, patient and split, and holds images as PNG in memory.

        Raises
        ------
        InputError
            For another kind, or where the package datasets is missing.
        BadImageError
            If an image can't be read; `dorl.domains.gathering.decodable` takes these out.
        """
        from dorl.domains.datasets import to_dataset

        return to_dataset(self, kind)

    def summary(self) -> str:
        """`describe` as text for people, several lines."""
        facts = self.describe()
        lines = [f"{self.name}: {counted(facts['images'], 'image')}, layout {self.layout}"]
        if facts["images"] and facts["width"]:
            size = [f"{side} {v['min']}–{v['max']} (median {v['median']:g})" for side, v in _sides(facts)]
            lines.append(f"  size in pixels: {', '.join(size)}")
        lines.append(f"  labelled: {facts['labelled']}, with mask: {facts['with_mask']}")
        lines += [f"  {count:6d}  {label}" for label, count in facts["classes"].items()]
        if facts["left_out"]:
            lines.append(f"  left out: {len(self.left_out)}")
            lines += [f"  {count:6d}  {reason}" for reason, count in facts["left_out"].items()]
        lines += [f"  note: {note}" for note in facts["notes"]]
        return "\n".join(lines)

    def _sizes(self) -> np.ndarray:
        """(width, height) of every image whose header can be read, int (N, 2)."""
        sizes = []
        for path in self.table["path"]:
            try:
                sizes.append(self.source.size(path))
            except BadImageError:  # gone or overwritten since the lab was read; `_notes` counts them
                continue
        return np.array(sizes, dtype=int).reshape(-1, 2)

    def _notes(self, counts: pd.Series, readable: int) -> list[str]:
        notes = list(self.remarks)
        notes += [f"class {label} has a single image (kept)" for label, n in counts.items() if n == 1]
        unlabelled = len(self) - int(counts.sum())
        if unlabelled == len(self):
            notes.append("no image has a label: usable for training without labels and for prediction")
        elif unlabelled:
            notes.append(f"{unlabelled} of {len(self)} images {'has' if unlabelled == 1 else 'have'} no label (kept)")
        masked = int(self.table["mask"].notna().sum())
        if 0 < masked < len(self):
            notes.append(f"{masked} of {len(self)} images {'has' if masked == 1 else 'have'} a mask")
        if readable < len(self):
            notes.append(f"{counted(len(self) - readable, 'image')} can no longer be read")
        return notes


def _spread(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    return {"min": int(values.min()), "median": float(np.median(values)), "max": int(values.max())}


def _sides(facts: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    return [(side, facts[side]) for side in ("width", "height")]
