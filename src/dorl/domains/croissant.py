"""A lab as a folder that anyone can read: images, masks, a manifest, and Croissant's description of them.

Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html) is JSON-LD that data sets are found and
loaded by. The manifest is one that `dorl.read_domain` reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dorl.domains.annotations.cells import AnnotatedImage
from dorl.domains.annotations.writing import copy_image
from dorl.errors import InputError
from dorl.files import atomic, png, write_json
from dorl.runtime.results import result_names
from dorl.sheets import write_sheet

#: the format's name, and its file
CROISSANT, METADATA, MANIFEST = "croissant", "croissant.json", "manifest.csv"

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_COLUMNS = {
    "image": "Path of the cell's image, relative to this file.",
    "mask": "Path of the cell's mask: a picture of the same size, 255 on the cell; empty where there is none.",
    "label": "Class of the cell, by dorl's tree of classes; empty where it isn't known.",
}


def write_croissant(images: Sequence[AnnotatedImage], out: Path, *, name: str) -> list[Path]:
    """Write a lab of one cell an image, with its description.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Each with its `file`, its size and one cell at most.
    out : Path
        An empty folder.
    name : str
        Of the data set.

    Returns
    -------
    list of Path
        ``croissant.json`` and ``manifest.csv``.

    Raises
    ------
    InputError
        If an image has several cells.
    """
    several = next((image.path for image in images if len(image.cells) > 1), None)
    if several is not None:
        raise InputError(f"{several}: has several cells, and croissant has one an image: write --to coco")
    rows = []
    files = [image.file for image in images if image.file is not None]
    for image, file, short in zip(images, files, result_names([file.as_posix() for file in files]), strict=True):
        written = copy_image(file, out / "images", Path(short).stem)
        cell = image.cells[0] if image.cells else None
        mask = ""
        if cell is not None and cell.shape is not None:
            assert image.size is not None
            mask = f"masks/{Path(short).stem}.png"
            pixels = cell.shape.pixels((0, 0, *image.size))
            with atomic(out / mask) as temporary:
                temporary.write_bytes(png(pixels.astype(np.uint8) * 255))
        rows.append((f"images/{written.name}", mask, cell.label or "" if cell is not None else ""))
    manifest = out / MANIFEST
    write_sheet(manifest, pd.DataFrame(rows, columns=list(_COLUMNS)))
    write_json(out / METADATA, described(name, manifest))
    return [out / METADATA, manifest]


def described(name: str, manifest: Path) -> dict[str, Any]:
    """Croissant's description of a manifest and the images that it lists."""
    digest = sha256(manifest.read_bytes()).hexdigest()
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"cells/{column}",
            "name": column,
            "description": text,
            "dataType": "sc:Text",
            "source": {"fileObject": {"@id": "manifest"}, "extract": {"column": column}},
        }
        for column, text in _COLUMNS.items()
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": f"White blood cells of the lab {name}: one cell an image, with masks and classes where known.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "manifest",
                "name": "manifest",
                "contentUrl": manifest.name,
                "encodingFormat": "text/csv",
                "sha256": digest,
            },
        ],
        "recordSet": [
            {"@type": "cr:RecordSet", "@id": "cells", "name": "cells", "description": "One cell each.", "field": fields}
        ],
    }
