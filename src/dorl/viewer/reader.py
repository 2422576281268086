"""What napari opens with dorl: folders of results, labs, and other tools' annotations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dorl.domains.annotations.reading import ENDINGS, annotation_files, read_annotations
from dorl.domains.columns import names_images
from dorl.errors import DorlError
from dorl.run.outlined import CELLS, FIELDS, outlined_images
from dorl.viewer.layers import LayerData, layers_of


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """What reads a path; None where dorl doesn't.

    Parameters
    ----------
    path : str, or several
        A folder that `dorl count` wrote, a folder of labelme's or QuPath's files, an annotation file, or a manifest. Of
        several the first decides.
    """
    first = Path(path if isinstance(path, str) else path[0])
    return read if _is_read(first) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """The layers of one path, or of several; images that can't be used are left out.

    Raises
    ------
    InputError
        If nothing in a path can be used, or there is too much of it.
    """
    images = []
    for one in [path] if isinstance(path, str) else path:
        images += outlined_images(one)[0]
    return layers_of(images)


def _is_read(path: Path) -> bool:
    if path.is_dir():
        return ((path / CELLS).is_file() and (path / FIELDS).is_file()) or bool(annotation_files(path))
    if path.suffix.lower() == ".csv":
        return names_images(path)
    if path.suffix.lower() not in ENDINGS:
        return False
    try:
        read_annotations(path)
    except DorlError:
        return False
    return True
