"""The square around a cell in a field of many."""

from __future__ import annotations

#: side of the image of a single cell, in sides of its box
CUT_OUT = 2.0


def window_around(centre: tuple[float, float], side: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a square around a place, moved where it would leave the picture, and cut if that is smaller.

    It is a square, since the segmenter squeezes into one whatever it is given.
    """
    length = max(1, min(round(side), *shape))
    starts = [min(max(0, round(at - length / 2)), whole - length) for at, whole in zip(centre, shape, strict=True)]
    return slice(starts[0], starts[0] + length), slice(starts[1], starts[1] + length)
