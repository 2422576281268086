"""Fields of a smear with a box around each cell, in the YOLO or the Pascal-VOC layout."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dorl.domains.images import SUFFIXES, probe_image
from dorl.errors import InputError

#: kinds of cell that a box can hold
KINDS = ("WBC", "RBC", "platelet")
#: YOLO's class numbers, in the order of TXL-PBC and others
YOLO = dict(enumerate(KINDS))
#: Pascal-VOC's names, in lower case
VOC = {"wbc": "WBC", "rbc": "RBC", "platelets": "platelet", "platelet": "platelet"}
#: an annotation file above this many bytes is refused
MAX_BYTES = 2**20


@dataclass(frozen=True)
class Field:
    """One field of a smear.

    Attributes
    ----------
    path : Path
        Of the image.
    boxes : float64 array of shape (N, 4)
        xmin, ymin, xmax, ymax, in pixels of the image.
    kinds : tuple of N str
        Of `KINDS`.
    """

    path: Path
    boxes: np.ndarray
    kinds: tuple[str, ...]

    def of(self, kind: str) -> np.ndarray:
        """Boxes of one kind, float64 (M, 4)."""
        return self.boxes[[own == kind for own in self.kinds]].reshape(-1, 4)


def read_fields(root: str | Path) -> list[Field]:
    """Read a folder of annotated fields, sorted by file name.

    Parameters
    ----------
    root : str or Path
        ``images/`` and ``labels/*.txt`` (YOLO), or ``JPEGImages/`` and ``Annotations/*.xml`` (Pascal VOC). An image
        without an annotation file is passed over.

    Raises
    ------
    InputError
        If the folder has neither layout or an annotation can't be read.
    """
    root = Path(root)
    for images, notes_folder, ending, read in (
        ("images", "labels", ".txt", _yolo),
        ("JPEGImages", "Annotations", ".xml", _voc),
    ):
        if (root / images).is_dir() and (root / notes_folder).is_dir():
            found = []
            for path in sorted((root / images).iterdir()):
                notes = root / notes_folder / f"{path.stem}{ending}"
                if path.suffix.lower() in SUFFIXES and notes.is_file():
                    pairs = list(read(_text(notes), notes, path))
                    boxes = np.array([box for _, box in pairs], dtype=float).reshape(-1, 4)
                    found.append(Field(path, boxes, tuple(kind for kind, _ in pairs)))
            if found:
                return found
    raise InputError(
        f"{root}: no annotated fields: give a folder with images/ and labels/ (YOLO) or "
        "JPEGImages/ and Annotations/ (VOC)"
    )


def without_copies(fields: Sequence[Field], others: Sequence[Field]) -> list[Field]:
    """The fields that show none of the other fields, up to size, crop at the border, turn, mirror and JPEG.

    In doubt a field is left out (`dorl.domains.duplicates.CAUTIOUS`).
    """
    from dorl.domains.duplicates import CAUTIOUS, find_copies, reduced_all

    pairs = find_copies(reduced_all([field.path for field in [*fields, *others]]), least=CAUTIOUS)
    copies = set(pairs.loc[pairs["second"] >= len(fields), "first"])
    return [field for i, field in enumerate(fields) if i not in copies]


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: over {MAX_BYTES // 2**20} MB, no annotation of one field is as large")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read as text: {error}") from error


def _yolo(text: str, notes: Path, image: Path) -> Iterator[tuple[str, list[float]]]:
    """Kind and box of each line ``class x y width height``, centre and size as shares of the image's sides."""
    width, height = probe_image(image)
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            kind, *numbers = line.split()
            x, y, w, h = (float(value) for value in numbers)
            name = YOLO[int(kind)]
        except (ValueError, KeyError) as error:
            raise InputError(f"{notes}, line {number}: not 'class x y width height' with class 0, 1 or 2") from error
        yield name, [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]


def _voc(text: str, notes: Path, image: Path) -> Iterator[tuple[str, list[float]]]:
    """Kind and box of each object."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities can blow a small file up
        raise InputError(f"{notes}: has a document type; an annotation needs none")
    try:
        tree = ElementTree.fromstring(text)
        for item in tree.iter("object"):
            name = (item.findtext("name") or "").strip().lower()
            corners = [float(item.findtext(f"bndbox/{key}") or "") for key in ("xmin", "ymin", "xmax", "ymax")]
            yield VOC[name], corners
    except (ElementTree.ParseError, ValueError, KeyError) as error:
        raise InputError(f"{notes}: not a Pascal-VOC annotation of WBC, RBC and Platelets") from error
