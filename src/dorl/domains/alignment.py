"""How far two small grey pictures show the same thing, once one is laid over the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: sides of the pictures that are laid over each other, in pixels: first the coarse one
COARSE, FINE = 32, 64
#: Gauss-Newton steps at either size
COARSE_STEPS, FINE_STEPS = 10, 5
#: coarse pictures whose details correlate less are not looked at more closely
HOPEFUL = 0.8
#: pairs that are laid over each other at once
BATCH = 128
#: details between these two blurs (standard deviations in pixels of the fine picture) are compared by themselves
NARROW, BROAD = 1.0, 4.0
#: a picture's share that must lie on the other one
LEAST_OVERLAP = 0.6


def agreement(
    first: NDArray[np.uint8], second: NDArray[np.uint8], boxes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lay pictures over each other, and correlate them.

    Each second picture is moved and stretched, along the sides only, to where it fits the first one best.

    Parameters
    ----------
    first, second : uint8 arrays of shape (P, 64, 64)
        Grey levels, 0-255; a pair a row, turned and mirrored alike.
    boxes : float array of shape (P, 4)
        Where the second picture roughly lies on the first: left, top, right, bottom, as shares of its sides.

    Returns
    -------
    whole, details : float64 arrays of shape (P,)
        Correlation of the grey levels, and of their details alone, where both pictures lie, -1 to 1. Both are 0 where
        they hardly lie on each other.
    """
    whole, details = np.zeros(len(first)), np.zeros(len(first))
    for start in range(0, len(first), BATCH):
        rows = slice(start, start + BATCH)
        a, b = first[rows].astype(np.float32), second[rows].astype(np.float32)
        at = _placed(boxes[rows])
        small_a, small_b = _halved(a), _halved(b)
        at = _fitted(small_a, small_b, at, COARSE_STEPS)
        whole[rows], details[rows] = _correlated(small_a, small_b, at)
        near = np.flatnonzero(details[rows] >= HOPEFUL)
        if len(near):
            at = _fitted(a[near], b[near], at[near], FINE_STEPS)
            whole[start + near], details[start + near] = _correlated(a[near], b[near], at)
    return whole, details


def _halved(pictures: np.ndarray) -> np.ndarray:
    count, side, _ = pictures.shape
    return pictures.reshape(count, side // 2, 2, side // 2, 2).mean(axis=(2, 4))


def _placed(boxes: np.ndarray) -> np.ndarray:
    """Centre and stretch along x, then y, (P, 4), of boxes; the first picture's centre is 0, its side 1."""
    left, top, right, bottom = boxes.T
    return np.stack([(left + right - 1) / 2, right - left, (top + bottom - 1) / 2, bottom - top], 1).astype(np.float32)


def _weights(centre: np.ndarray, stretch: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Linear interpolation along one side: matrices (P, S, S), and which pixels lie inside, bool (P, S)."""
    own = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    at = (centre[:, None] + stretch[:, None] * own + 0.5) * side - 0.5
    inside = (at >= -0.5) & (at <= side - 0.5)
    at = np.clip(at, 0, side - 1)
    return np.maximum(0, 1 - np.abs(at[:, :, None] - np.arange(side, dtype=np.float32))), inside


def _warped(pictures: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first pictures as the second ones would show them (P, S, S), and which pixels are known."""
    side = pictures.shape[1]
    across, in_x = _weights(at[:, 0], at[:, 1], side)
    down, in_y = _weights(at[:, 2], at[:, 3], side)
    return down @ pictures @ across.transpose(0, 2, 1), in_y[:, :, None] & in_x[:, None, :]


def _fitted(a: np.ndarray, b: np.ndarray, at: np.ndarray, steps: int) -> np.ndarray:
    """Gauss-Newton: place, stretch, contrast and brightness with the least squares between the pictures."""
    count, side, _ = a.shape
    own = ((np.arange(side, dtype=np.float32) + 0.5) / side - 0.5).astype(np.float32)
    target = b.reshape(count, -1, 1)
    started = at
    for _ in range(steps):
        shown, inside = _warped(a, at)
        slope_y, slope_x = np.gradient(shown, axis=(1, 2))
        # slopes along the second picture's sides; along the first one's they are as much smaller as it is stretched
        slope_x, slope_y = slope_x * side, slope_y * side
        parts = [slope_x, slope_x * own, slope_y, slope_y * own[:, None], shown, np.ones_like(shown)]
        rows = np.stack([part.reshape(count, -1) for part in parts], 2)
        scale = np.sqrt(np.einsum("pkc,pkc->pc", rows, rows)) + 1e-6
        rows /= scale[:, None]
        known = rows * inside.reshape(count, -1, 1)
        square = known.transpose(0, 2, 1) @ rows + 1e-4 * np.eye(6, dtype=np.float32)
        found = np.linalg.solve(square, known.transpose(0, 2, 1) @ target)[:, :, 0] / scale
        contrast = np.where(np.abs(found[:, 4]) < 0.1, 0.1, found[:, 4])
        change = found[:, :4] / contrast[:, None] * at[:, [1, 1, 3, 3]]
        at = at + np.clip(change, -0.05, 0.05)
        at = np.clip(at, started - 0.2, started + 0.2).astype(np.float32)
    return at


def _correlated(a: np.ndarray, b: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.ndimage import gaussian_filter

    shown, inside = _warped(a, at)
    share = inside.mean(axis=(1, 2))
    enough = (share >= LEAST_OVERLAP) & (share * at[:, 1] * at[:, 3] >= LEAST_OVERLAP)
    filled = np.where(inside, shown, b)
    narrow, broad = NARROW * a.shape[1] / FINE, BROAD * a.shape[1] / FINE
    bands = [
        gaussian_filter(picture, (0, narrow, narrow)) - gaussian_filter(picture, (0, broad, broad))
        for picture in (filled, b)
    ]
    return _correlation(shown, b, inside) * enough, _correlation(bands[0], bands[1], inside) * enough


def _correlation(a: np.ndarray, b: np.ndarray, inside: np.ndarray) -> np.ndarray:
    count = np.maximum(1, inside.sum(axis=(1, 2)))[:, None, None]
    a, b = (np.where(inside, x - np.where(inside, x, 0).sum(axis=(1, 2), keepdims=True) / count, 0) for x in (a, b))
    both = np.sqrt((a**2).sum(axis=(1, 2), dtype=float) * (b**2).sum(axis=(1, 2), dtype=float))
    return (a * b).sum(axis=(1, 2), dtype=float) / np.maximum(both, 1e-6)
