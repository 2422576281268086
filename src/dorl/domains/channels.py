"""Which of three channels is red, which green and which blue, by what ImageJ and OME write of them."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np

_PRIMARIES = {(1, 0, 0): 0, (0, 1, 0): 1, (0, 0, 1): 2}
_WORDS = {"r": 0, "red": 0, "g": 1, "green": 1, "b": 2, "blue": 2}


def colour_order(tiff: Any) -> tuple[int, int, int] | None:
    """Numbers of the red, the green and the blue channel of a `tifffile.TiffFile` of three channels.

    Channels that say nothing of their colours lie in this order.

    Returns
    -------
    (red, green, blue), or None
        None where the file says that the channels are other colours, or dyes.
    """
    colours: list[tuple[int, int, int] | None] = []
    names: list[str] = []
    if tiff.is_imagej:
        note = tiff.imagej_metadata or {}
        colours = [_of_table(table) for table in note.get("LUTs") or []]
        names = [str(name) for name in _as_list(note.get("Labels"))][:3]
    elif tiff.is_ome:
        names, colours = _of_ome(tiff.ome_metadata or "")
    if len(colours) == 3 and len(set(colours)) > 1:  # three alike are no colours: grey tables, the default white
        return _sorted([_PRIMARIES.get(colour) if colour else None for colour in colours])
    words = [_WORDS.get(name.strip().lower()) for name in names if name]
    if len(words) == 3 and any(word is not None for word in words):
        return _sorted(words)
    if len(words) == 3 and not all(re.fullmatch(r"(?i)(c|ch|channel)?([\s:_#-]*\d+)+", name) for name in names):
        return None  # DAPI, FITC, TRITC
    return 0, 1, 2


def named_planes(tiff: Any) -> tuple[int, int, int] | None:
    """Pages of red, green and blue by ImageJ's labels, as its "RGB Stack" has them; None where these say otherwise."""
    labels = _as_list((tiff.imagej_metadata or {}).get("Labels")) if tiff.is_imagej else []
    words = [_WORDS.get(str(label).strip().lower()) for label in labels]
    return _sorted(words) if len(words) == 3 else None


def _sorted(found: list[int | None]) -> tuple[int, int, int] | None:
    if sorted(one for one in found if one is not None) != [0, 1, 2]:
        return None
    red, green, blue = (found.index(colour) for colour in range(3))
    return red, green, blue


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _of_table(table: np.ndarray) -> tuple[int, int, int] | None:
    """Whether red, green and blue grow along a look-up table, (3, 256)."""
    try:
        red, green, blue = (int(np.max(row) > 0) for row in np.asarray(table))
    except (ValueError, TypeError):
        return None
    return red, green, blue


def _of_ome(text: str) -> tuple[list[str], list[tuple[int, int, int] | None]]:
    """Names and colours of the channels of the first picture."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities can blow a small file up
        return [], []
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return [], []
    pixels = next((one for one in root.iter() if one.tag.endswith("}Pixels") or one.tag == "Pixels"), None)
    channels = [] if pixels is None else [one for one in pixels if one.tag.endswith("Channel")]
    names = [one.get("Name", "") for one in channels]
    colours: list[tuple[int, int, int] | None] = []
    for one in channels:
        try:
            number = int(one.get("Color", "")) & 0xFFFFFFFF
        except ValueError:
            colours.append(None)
            continue
        red, green, blue = (int((number >> shift & 255) > 0) for shift in (24, 16, 8))
        colours.append((red, green, blue))
    return names, colours
