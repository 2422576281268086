"""Corrections made in napari, as a file that `dorl fit` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dorl.domains.annotations import AnnotatedImage
from dorl.domains.annotations.coco import coco_document
from dorl.domains.annotations.writing import classes_of, copy_image, labelled
from dorl.files import write_json
from dorl.runtime.results import result_names
from dorl.viewer.layers import LayerData, images_of


def write_corrections(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write cells of layers as COCO; images that don't lie below the file's folder are copied beside it.

    Parameters
    ----------
    path : str
        Ends in ``.json``.
    layers : sequence of LayerData
        The labels, and the points for their classes.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    InputError
        If no layer of labels is among them.
    """
    place = Path(path)
    images = images_of(layers)
    files = [Path(image.file or "").resolve() for image in images]
    names = result_names([file.as_posix().lstrip("/") for file in files])
    ready = []
    for image, file, name in zip(images, files, names, strict=True):
        above = place.parent.resolve()
        if not file.is_relative_to(above):
            file = copy_image(file, above / f"{place.stem}-images", Path(name).stem)
        ready.append(AnnotatedImage(file.relative_to(above).as_posix(), labelled(image.cells), image.size, file))
    write_json(place, coco_document(ready, classes_of(ready)))
    return [str(place)]
