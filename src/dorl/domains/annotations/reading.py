"""Labs that come as the annotations of another tool: COCO, CVAT, Label Studio, labelme or QuPath."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from dorl.domains.annotations.cells import MAX_CELLS, AnnotatedImage, Cell
from dorl.domains.annotations.coco import is_coco, read_coco
from dorl.domains.annotations.cvat import is_cvat, read_cvat
from dorl.domains.annotations.documents import read_json, read_xml
from dorl.domains.annotations.geojson import is_geojson, read_geojson
from dorl.domains.annotations.labelme import is_labelme, read_labelme
from dorl.domains.annotations.labelstudio import is_labelstudio, read_labelstudio
from dorl.domains.annotations.shapes import Window, whole
from dorl.domains.annotations.source import AnnotatedSource, Cutting
from dorl.domains.domain import Domain
from dorl.domains.formats import SUFFIXES
from dorl.domains.images import probe_image
from dorl.domains.labels import class_of, doubtful
from dorl.domains.opening import MIN_SIDE
from dorl.domains.windows import CUT_OUT, window_around
from dorl.errors import BadImageError, InputError
from dorl.names import file_of, find_below, text_of

#: layouts of one JSON document, and what tells and reads each
JSON_LAYOUTS = {
    "coco": (is_coco, read_coco),
    "labelstudio": (is_labelstudio, read_labelstudio),
    "labelme": (is_labelme, read_labelme),
    "qupath": (is_geojson, read_geojson),
}
ANNOTATIONS = (*JSON_LAYOUTS, "cvat")
#: these have a file an image, so that a folder of them is a lab
OF_FOLDERS = ("labelme", "qupath")
#: endings of annotation files
ENDINGS = (".json", ".geojson", ".xml")
#: share of a folder's images with annotations beside them, from which on these are its labels
ANNOTATED = 0.5
#: an image with one cell that is at least this share of its shorter side is a picture of that cell
PICTURE = 0.25
#: what tools call a cell whose class isn't known
_NO_CLASS = frozenset({"cell", "cells", "wbc", "wbcs", "white blood cell", "white blood cells", "object"})
#: what Label Studio puts before the name of an uploaded file
_UPLOADED = re.compile(r"[0-9a-f]{8}-")
_NOT_READ = "holds no annotations that are read: give COCO, Label Studio, labelme or QuPath's JSON, or CVAT's XML"


def annotation_files(folder: Path) -> list[Path]:
    """Files of single images, of labelme or QuPath, in a folder and those in it, sorted."""
    found = [path for pattern in ("*", "*/*") for path in folder.glob(pattern)]
    near = sorted(path for path in found if path.suffix.lower() in (".json", ".geojson") and path.is_file())
    return [path for path in near if not path.name.startswith(".") and _beside(path) is not None]


def holds_annotations(folder: Path, images: int) -> bool:
    """Whether a folder of so many images is one of labelme's or QuPath's: half of them have such a file."""
    files = annotation_files(folder)
    if not files or len(files) < ANNOTATED * images:
        return False
    try:
        found = read_json(files[0])
    except InputError:
        return False
    return any(JSON_LAYOUTS[name][0](found) for name in OF_FOLDERS)


def read_annotations(path: Path, layout: str = "auto") -> tuple[str, list[AnnotatedImage]]:
    """The layout of an annotation file, and its images.

    Parameters
    ----------
    path : Path
    layout : str
        One of `ANNOTATIONS`, or ``"auto"``.

    Raises
    ------
    InputError
        If it is none of these, or damaged.
    """
    if path.suffix.lower() == ".xml":
        document = read_xml(path)
        if layout not in ("auto", "cvat") or not is_cvat(document):
            raise InputError(f"{path}: {_NOT_READ}")
        return "cvat", _bounded(path, read_cvat(path, document))
    found: Any = read_json(path)
    for name, (is_one, read) in JSON_LAYOUTS.items():
        if layout in ("auto", name) and is_one(found):
            return name, _bounded(path, read(path, found))
    raise InputError(f"{path}: {_NOT_READ}")


def read_annotated(path: Path, name: str, layout: str = "auto", *, any_class: bool = False) -> Domain:
    """Read a lab out of an annotation file, or a folder of them.

    Each cell is cut out of its image, twice as wide as its box; its path is the image's with ``#`` and its number. An
    image with one cell that fills it is a picture of that cell, and keeps its path.

    Parameters
    ----------
    path : Path
        A file, or a folder of labelme's or QuPath's. Images lie in its folder or below; they are looked for by the path
        that the tool wrote, and by its last part.
    name, layout
        As for `dorl.domains.read_domain`.
    any_class : bool
        Keep cells of an unknown class, as unlabelled.

    Raises
    ------
    InputError
        If a file can't be read, or nothing in it can be used.
    """
    root = path if path.is_dir() else path.parent
    found, images, left_out = annotated_images(path, layout)
    rows: list[dict[str, Any]] = []
    cuttings: dict[str, Cutting] = {}
    for image in images:
        assert image.size is not None
        for key, cell, cutting, reason in _cut(image.path, image.cells, image.size):
            label, why = _class(cell.label, any_class=any_class)
            if cutting is None or why is not None:
                left_out.append((key, reason or why or ""))
                continue
            cuttings[key] = cutting
            mask = key if cutting.shape is not None else None
            rows.append({"path": key, "label": label, "raw_label": cell.label, "mask": mask})
    if not rows:
        common = f", most since: {pd.Series([why for _, why in left_out]).mode()[0]}" if left_out else ""
        raise InputError(f"{path}: none of {len(left_out)} cells can be used{common}")
    table = pd.DataFrame(rows, columns=["path", "label", "raw_label", "mask"])
    outside = pd.DataFrame(left_out, columns=["path", "reason"])
    return Domain(name, root, found, table, outside, AnnotatedSource(root, cuttings))


def annotated_images(path: Path, layout: str = "auto") -> tuple[str, list[AnnotatedImage], list[tuple[str, str]]]:
    """Images of an annotation file, or of a folder of them, each once, with its file and its size.

    Parameters
    ----------
    path, layout
        As for `read_annotated`.

    Returns
    -------
    layout : str
    images : list of AnnotatedImage
        By their paths, which are text (`dorl.names`) and relative to the file's folder; of one cell or more.
    left_out : list of (str, str)
        Path and reason of the others.

    Raises
    ------
    InputError
        If a file can't be read, or there is none.
    """
    root = path if path.is_dir() else path.parent
    files = annotation_files(path) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: holds no labelme or QuPath file beside an image; give the folder that does")
    images: list[AnnotatedImage] = []
    found = layout
    for file in files:
        found, some = read_annotations(file, found)
        images += [_placed(image, file, root) for image in some]
    left_out: list[tuple[str, str]] = []
    return found, _joined(root, images, left_out), left_out


def _bounded(path: Path, images: list[AnnotatedImage]) -> list[AnnotatedImage]:
    if (count := sum(len(image.cells) for image in images)) > MAX_CELLS:
        raise InputError(f"{path}: has {count} cells, over {MAX_CELLS}: give it in parts")
    return images


def _placed(image: AnnotatedImage, file: Path, root: Path) -> AnnotatedImage:
    """The same image with the file that lies beside its annotations, where these are of one image."""
    beside = _beside(file)
    if beside is None or PurePosixPath(image.path.replace("\\", "/")).stem not in (beside.stem, beside.name):
        return image
    return AnnotatedImage(beside.relative_to(root).as_posix(), image.cells, image.size, beside)


def _beside(file: Path) -> Path | None:
    """The image of an annotation file's name: ``a.png`` or ``a.tif`` for ``a.json`` and for ``a.png.geojson``."""
    stem = file.with_suffix("")
    named = [stem] if stem.suffix.lower() in SUFFIXES else []
    return next(
        (path for path in (*named, *(_with(file, ending) for ending in sorted(SUFFIXES))) if path.is_file()), None
    )


def _with(file: Path, ending: str) -> Path:
    return file.with_name(file.stem + ending)


def _joined(root: Path, images: Sequence[AnnotatedImage], left_out: list[tuple[str, str]]) -> list[AnnotatedImage]:
    """Each image below the folder once; those that can't be used are left out."""
    cells: dict[str, list[Cell]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    by_name: dict[str, list[str]] | None = None
    for image in images:
        found = find_below(root, image.path)
        if found is None:
            by_name = _by_name(root) if by_name is None else by_name
            found = _by_last_part(image.path, by_name)
        told = text_of(image.path)
        if found is None:
            left_out.append((told, "no such file in the folder of its annotations"))
            continue
        file = root / found
        try:
            if not file.resolve().is_relative_to(root.resolve()):
                raise BadImageError("is a link that leads out of the folder: put the file itself there")
            size = probe_image(file)
        except BadImageError as error:
            left_out.append((told, error.without(file)))
            continue
        if image.size is not None and image.size != size:
            width, height = image.size
            left_out.append((told, f"was annotated at {width}×{height} pixels, and has {size[0]}×{size[1]}"))
            continue
        key = text_of(found)
        sizes[key] = size
        cells.setdefault(key, []).extend(image.cells)
    left_out += [(key, "no cell is annotated in it") for key in sorted(cells) if not cells[key]]
    return [
        AnnotatedImage(key, tuple(cells[key]), sizes[key], root / file_of(key)) for key in sorted(cells) if cells[key]
    ]


def _by_name(root: Path) -> dict[str, list[str]]:
    """Every image below a folder, by its name."""
    from dorl.domains.listing import image_files

    found: dict[str, list[str]] = {}
    for file in image_files(root)[0]:
        found.setdefault(PurePosixPath(file).name, []).append(file)
    return found


def _by_last_part(written: str, by_name: dict[str, list[str]]) -> str | None:
    """The one image of the name that a path ends in; None where there is none, or several."""
    name = PurePosixPath(written.replace("\\", "/")).name
    for one in dict.fromkeys((name, _UPLOADED.sub("", name, count=1))):
        if len(by_name.get(one, ())) == 1:
            return by_name[one][0]
    return None


def _cut(
    path: str, cells: Sequence[Cell], size: tuple[int, int]
) -> Iterator[tuple[str, Cell, Cutting | None, str | None]]:
    """Path, cell, what is cut out, and the reason where nothing can be."""
    width, height = size
    for number, cell in enumerate(cells, start=1):
        box = None if cell.box is None else _within(cell.box, size)
        if cell.box is not None and box is None:
            yield f"{path}#{number}", cell, None, "its box lies outside the image, or is empty"
            continue
        longest = min(size) if box is None else max(box[2] - box[0], box[3] - box[1])
        if len(cells) == 1 and longest >= PICTURE * min(size):
            yield path, cell, Cutting(path, (0, 0, width, height), cell.shape), None
            continue
        if box is None:
            yield f"{path}#{number}", cell, None, "is a class of a whole image that has cells of its own"
            continue
        middle = (box[1] + box[3]) / 2, (box[0] + box[2]) / 2
        rows, columns = window_around(middle, CUT_OUT * longest, (height, width))
        window = columns.start, rows.start, columns.stop, rows.stop
        if rows.stop - rows.start < MIN_SIDE:
            yield f"{path}#{number}", cell, None, f"its cell is below {MIN_SIDE / CUT_OUT:g} pixels"
            continue
        yield f"{path}#{number}", cell, Cutting(path, window, cell.shape), None


def _within(box: tuple[float, float, float, float], size: tuple[int, int]) -> Window | None:
    """The whole pixels of a box inside the image; None where there are none."""
    if not all(abs(number) < 2**31 for number in box):
        return None
    left, top, right, bottom = whole(box)
    left, top, right, bottom = max(0, left), max(0, top), min(size[0], right), min(size[1], bottom)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _class(label: str | None, *, any_class: bool) -> tuple[str | None, str | None]:
    """The class of a label, and why the cell is left out."""
    if label is None or label.casefold() in _NO_CLASS:
        return None, None
    found = class_of(label)
    if found is not None and found != "cell":
        return found, None
    return None, None if any_class else doubtful(label) or f"unknown class {label!r}"
