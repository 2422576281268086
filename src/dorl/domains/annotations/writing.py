"""A folder of images and their cells for another tool."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from dorl.domains.annotations.cells import AnnotatedImage, Cell
from dorl.domains.annotations.coco import coco_document
from dorl.domains.annotations.geojson import geojson_document
from dorl.domains.annotations.pictures import label_picture, write_ome, write_rois
from dorl.domains.annotations.tables import voc_document, yolo_lines, yolo_settings
from dorl.domains.images import probe_image, read_image
from dorl.domains.opening import opened_file, orientation_of
from dorl.errors import BadImageError, InputError
from dorl.files import atomic, png, write_json, write_text
from dorl.names import shortened
from dorl.runtime.results import result_names

#: the label of a cell whose class isn't known
NO_CLASS = "cell"
#: kinds of images that every tool reads; others are written as PNG
_COMMON = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "BMP": (".bmp",)}

#: a file's path to write, below the folder; and the images of one folder, with the classes there are
Writer = Callable[[Path, Sequence[AnnotatedImage], Sequence[str], "float | None"], list[Path]]


def write_annotations(
    images: Sequence[AnnotatedImage], kind: str, out: Path, *, pixel_size: float | None = None
) -> list[Path]:
    """Write images and their cells as another tool reads them.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Each with its `file`; a cell without a label is called ``"cell"``.
    kind : str
        A key of `WRITERS`.
    out : Path
        An empty folder.
    pixel_size : float, optional
        Side of a pixel in µm, for OME's metadata.

    Returns
    -------
    list of Path
        The annotation files.

    Raises
    ------
    InputError
        If `kind` is unknown, or no image can be read.
    """
    if kind not in WRITERS:
        raise InputError(f"{kind!r} is no format that is written: give one of {', '.join(WRITERS)}")
    place, write = WRITERS[kind]
    files = [image.file for image in images if image.file is not None]
    names = result_names([file.as_posix().lstrip("/") for file in files])
    ready = []
    for image, file, name in zip(images, files, names, strict=True):
        written = copy_image(file, out / place, Path(name).stem)
        ready.append(AnnotatedImage(written.name, labelled(image.cells), probe_image(file), written))
    if not ready:
        raise InputError("no image to write: give a folder that holds cells")
    return write(out, ready, classes_of(ready), pixel_size)


def labelled(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Cells, those whose class isn't known by the label `NO_CLASS`."""
    return tuple(replace(cell, label=cell.label or NO_CLASS) for cell in cells)


def classes_of(images: Sequence[AnnotatedImage]) -> list[str]:
    """The labels of `labelled` cells, sorted; `NO_CLASS` where there is no cell."""
    return sorted({cell.label or NO_CLASS for image in images for cell in image.cells}) or [NO_CLASS]


def copy_image(file: Path, folder: Path, stem: str) -> Path:
    """Copy an image under another name: as it is where every tool shows it alike, else as PNG of what dorl reads."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = file.suffix.lower()
    if _shown_alike(file):
        target = folder / shortened(stem, suffix)
        with atomic(target) as temporary:
            shutil.copyfile(file, temporary)
        return target
    target = folder / shortened(stem, ".png")
    with atomic(target) as temporary:
        temporary.write_bytes(png(read_image(file)))
    return target


def _shown_alike(file: Path) -> bool:
    """Whether a file is of a kind that every tool reads, in 8 bits, upright and without transparency."""
    try:
        with opened_file(file) as stream, Image.open(stream) as image:
            common = file.suffix.lower() in _COMMON.get(image.format or "", ())
            deep = image.format == "PNG" and image.mode not in ("L", "RGB", "1")
            plain = image.mode in ("L", "RGB") and not deep and "transparency" not in image.info
            # of a PNG of 16 bits in colour Pillow says RGB
            if common and image.format == "PNG":
                stream.seek(24)
                plain &= stream.read(1) == b"\x08"
            return common and plain and orientation_of(image) == 1
    except (BadImageError, OSError, ValueError, SyntaxError):
        return False


def _coco(out: Path, images: Sequence[AnnotatedImage], classes: Sequence[str], pixel_size: float | None) -> list[Path]:
    named = [replace(image, path=f"images/{image.path}") for image in images]
    write_json(out / "annotations.json", coco_document(named, classes))
    return [out / "annotations.json"]


def _yolo(out: Path, images: Sequence[AnnotatedImage], classes: Sequence[str], pixel_size: float | None) -> list[Path]:
    return _yolo_files(out, images, classes, outlines=False)


def _yolo_outlines(
    out: Path, images: Sequence[AnnotatedImage], classes: Sequence[str], pixel_size: float | None
) -> list[Path]:
    return _yolo_files(out, images, classes, outlines=True)


def _yolo_files(out: Path, images: Sequence[AnnotatedImage], classes: Sequence[str], *, outlines: bool) -> list[Path]:
    write_text(out / "data.yaml", yolo_settings(classes))
    paths = [out / "data.yaml"]
    for image in images:
        paths.append(out / "labels" / f"{Path(image.path).stem}.txt")
        write_text(paths[-1], yolo_lines(image, classes, outlines=outlines))
    return paths


def _voc(out: Path, images: Sequence[AnnotatedImage], classes: Sequence[str], pixel_size: float | None) -> list[Path]:
    paths = []
    for image in images:
        stem = Path(image.path).stem
        paths.append(out / "Annotations" / f"{stem}.xml")
        write_text(paths[-1], voc_document(image, "JPEGImages"))
        if any(cell.shape is not None for cell in image.cells):
            with atomic(out / "SegmentationObject" / f"{stem}.png") as temporary:
                temporary.write_bytes(png(label_picture(image)))
    stems = "".join(f"{Path(image.path).stem}\n" for image in images)
    write_text(out / "ImageSets" / "Main" / "all.txt", stems)
    return paths


def _geojson(
    out: Path, images: Sequence[AnnotatedImage], classes: Sequence[str], pixel_size: float | None
) -> list[Path]:
    paths = []
    for image in images:
        paths.append(out / f"{Path(image.path).stem}.geojson")
        write_json(paths[-1], geojson_document(image))
    return paths


def _ome(out: Path, images: Sequence[AnnotatedImage], classes: Sequence[str], pixel_size: float | None) -> list[Path]:
    paths = []
    for image in images:
        paths.append(out / "labels" / f"{Path(image.path).stem}.ome.tif")
        with atomic(paths[-1]) as temporary:
            write_ome(temporary, image, pixel_size=pixel_size)
    return paths


def _imagej(
    out: Path, images: Sequence[AnnotatedImage], classes: Sequence[str], pixel_size: float | None
) -> list[Path]:
    paths = []
    for image in images:
        paths.append(out / "rois" / f"{Path(image.path).stem}.zip")
        with atomic(paths[-1]) as temporary:
            write_rois(temporary, image)
    return paths


#: by name, the folder of the images and what writes the annotations
WRITERS: dict[str, tuple[str, Writer]] = {
    "coco": ("images", _coco),
    "yolo": ("images", _yolo),
    "yolo-seg": ("images", _yolo_outlines),
    "voc": ("JPEGImages", _voc),
    "qupath": (".", _geojson),
    "ome-tiff": ("images", _ome),
    "imagej": ("images", _imagej),
}
