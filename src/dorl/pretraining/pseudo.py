"""Masks for real images that have none: made by the network in training, kept only where checks hold."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import regionprops
from torch import Tensor
from torch.nn import functional as F

from dorl.pretraining.bank import BACKGROUND, CELL, SIDE, UNKNOWN, Bank
from dorl.pretraining.views import look
from dorl.runtime.progress import say, track
from dorl.segmentation.overlap import box_iou

#: side of the grid that views are compared on
COMPARED = 128
#: of the median area of a lab's cells: what is smaller is a platelet or a fragment (2-4 µm across, white cells 8-20)
PLATELET = 0.2
#: quarter turns, mirrored, zoom, recoloured: the views of a picture
VIEWS = ((0, False, 1.0, 0), (1, False, 1.0, 1), (2, True, 1.2, 0), (3, False, 0.8, 2), (1, True, 1.0, 3))


@dataclass(frozen=True)
class Checks:
    """What a mask must satisfy to be learnt from.

    Parameters
    ----------
    least_agreement, mean_agreement : float
        IoU of the views' masks with that of their mean: the least and the mean over the views.
    solidity : float
        Least area of the mask over that of its convex hull.
    area : (float, float)
        Least and largest share of the picture.
    border : float
        Largest share of the picture's border that it covers.
    off_centre : float
        Largest distance from the picture's centre to the mask, in sides.
    box : float
        Least IoU of the mask's bounding box with the annotated one, where there is one.
    nucleus : float
        Least share inside the mask of the dark parts that Otsu's threshold finds and that overlap it.
    """

    least_agreement: float = 0.8
    mean_agreement: float = 0.9
    solidity: float = 0.88
    area: tuple[float, float] = (0.006, 0.9)
    border: float = 0.3
    off_centre: float = 0.1
    box: float = 0.7
    nucleus: float = 0.93


#: mask logits (B, 2, h, w) of views (B, 3, S, S), RGB, 0-1
Predict = Callable[[Tensor], Tensor]


def pseudo_masks(
    bank: Bank, rows: np.ndarray, predict: Predict, *, size: int, checks: Checks | None = None, batch: int = 8
) -> tuple[dict[int, np.ndarray], dict[str, dict[str, int]]]:
    """Make and check masks.

    Parameters
    ----------
    bank : Bank
    rows : int array of shape (M,)
        Pictures to make masks for.
    predict : callable
        The network: views (B, 3, size, size), 0-1, to logits (B, 2, h, w).
    size : int
        Side of the network's input, in pixels.
    checks : Checks, optional
    batch : int

    Returns
    -------
    targets : dict of int to uint8 array of shape (SIDE, SIDE)
        For the rows kept: `CELL` and `BACKGROUND` where the views are sure, else `UNKNOWN`. What is much smaller than
        its lab's other cells is kept as background, so that platelets aren't learnt as cells.
    counts : dict of str to dict of str to int
        By lab: ``kept``, ``platelet``, and how often each check was the first to fail.
    """
    checks = checks or Checks()
    kept: dict[int, np.ndarray] = {}
    counts: dict[str, Counter[str]] = {}
    areas: dict[str, dict[int, int]] = {}
    starts = range(0, len(rows), batch)
    for start in track(starts, total=len(starts), what=f"pseudo-masks, {batch} pictures each"):
        some = rows[start : start + batch]
        images = bank.images[some]
        means, every, seen = probabilities(torch.from_numpy(images), predict, size)
        for row, image, mean, views, valid in zip(some, images, means, every, seen, strict=True):
            entry = bank.table.iloc[row]
            box = np.array(json.loads(entry["box"])) if entry["box"] else None
            reason, mask = check(mean, views, valid, image, box, checks)
            counts.setdefault(entry["lab"], Counter())[reason or "kept"] += 1
            if reason is None:
                kept[int(row)] = as_target(mean, mask, bank.targets[row])
                if box is None:
                    areas.setdefault(entry["lab"], {})[int(row)] = int(mask.sum())
    for lab, sizes in areas.items():
        for row in platelets(sizes):
            kept[row] = np.where(kept[row] == CELL, BACKGROUND, kept[row]).astype(np.uint8)
            counts[lab].update({"kept": -1, "platelet": 1})
    for lab, count in counts.items():
        say(f"pseudo-masks of {lab}: {dict(count)}")
    return kept, {lab: dict(count) for lab, count in counts.items()}


def platelets(areas: dict[int, int]) -> list[int]:
    """Rows whose area is less than `PLATELET` of the median of all."""
    least = PLATELET * float(np.median(list(areas.values())))
    return [row for row, area in areas.items() if area < least]


@torch.inference_mode()
def probabilities(images: Tensor, predict: Predict, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability of cell in every view, brought back to the picture.

    Parameters
    ----------
    images : uint8 Tensor of shape (B, S, S, 3)

    Returns
    -------
    mean : float32 array of shape (B, C, C), with C = `COMPARED`
    views : float32 array of shape (B, V, C, C)
    valid : bool array of shape (B, V, C, C)
        Where a view shows the picture at all.
    """
    found, valid = [], []
    nothing = torch.zeros(images.shape[:3], dtype=torch.uint8)
    for turns, mirrored, zoom, colour in VIEWS:
        matrix = view_matrix(turns, mirrored, zoom)
        views, _ = look(images, nothing, matrix.expand(len(images), 3, 3), size)
        chance = predict(recolour(views, colour)).float().softmax(1)[:, 1:]
        back = torch.linalg.inv(matrix)[:2].expand(len(images), 2, 3)
        grid = F.affine_grid(back, [len(images), 1, COMPARED, COMPARED], align_corners=False)
        found.append(F.grid_sample(chance, grid, padding_mode="border", align_corners=False)[:, 0])
        valid.append((grid.abs() <= 1).all(-1))
    every, seen = torch.stack(found, 1), torch.stack(valid, 1)
    mean = (every * seen).sum(1) / seen.sum(1).clamp_min(1)
    return mean.numpy(), every.numpy(), seen.numpy()


def view_matrix(turns: int, mirrored: bool, zoom: float) -> Tensor:
    """From places in a view to places in the picture, (3, 3), as in `dorl.pretraining.views`."""
    angle = turns * math.pi / 2
    cos, sin, sign = math.cos(angle) / zoom, math.sin(angle) / zoom, -1.0 if mirrored else 1.0
    return torch.tensor([[cos * sign, -sin, 0.0], [sin * sign, cos, 0.0], [0.0, 0.0, 1.0]])


def recolour(views: Tensor, how: int) -> Tensor:
    """Recolour views (B, 3, S, S), 0-1: 0 not at all, 1 white light, 2 darker and bluer, 3 pale and grey."""
    if how == 1:
        white = torch.quantile(F.avg_pool2d(views, 8).flatten(2), 0.95, dim=2)[:, :, None, None]
        return (views / white.clamp_min(0.2)).clamp(0, 1)
    if how == 2:
        return (views * torch.tensor([0.8, 0.85, 1.0])[None, :, None, None]).clamp(0, 1) ** 1.15
    if how == 3:
        grey = views.mean(1, keepdim=True)
        return 0.15 + 0.85 * (grey + 0.6 * (views - grey))
    return views


def check(
    mean: np.ndarray,
    views: np.ndarray,
    valid: np.ndarray,
    image: np.ndarray,
    box: np.ndarray | None,
    checks: Checks,
) -> tuple[str | None, np.ndarray]:
    """The first check that fails, or None, and the mask, bool (C, C): one part, the nearest to the centre, no holes."""
    parts, count = ndimage.label(mean > 0.5)
    if not count:
        return "nothing found", parts > 0
    middle = (COMPARED - 1) / 2
    away = np.hypot(*(np.indices(mean.shape) - middle)) / COMPARED
    # of what isn't a speck, the part nearest to the centre
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    large = 1 + np.flatnonzero(sizes >= 0.1 * sizes.max())
    filled = {int(number): ndimage.binary_fill_holes(parts == number) for number in large}
    distances = {number: float(away[part].min()) for number, part in filled.items()}
    chosen = min(distances, key=lambda n: (distances[n], -sizes[n - 1]))
    mask = filled[chosen]
    near = ndimage.binary_dilation(mask, iterations=4)
    agreement = [
        _iou(ndimage.binary_fill_holes(view > 0.5) & near & seen, mask & seen)
        for view, seen in zip(views, valid, strict=True)
    ]
    if min(agreement) < checks.least_agreement or float(np.mean(agreement)) < checks.mean_agreement:
        return "views disagree", mask
    shape = regionprops(mask.astype(np.uint8))[0]
    if not checks.area[0] <= mask.mean() <= checks.area[1]:
        return "area", mask
    if shape.solidity < checks.solidity:
        return "shape", mask
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if edge.mean() > checks.border:
        return "border", mask
    if box is None and distances[chosen] > checks.off_centre:
        return "position", mask
    if box is not None:
        top, left, bottom, right = (value * SIDE / COMPARED for value in shape.bbox)
        if box_iou(np.array([left, top, right, bottom]), np.clip(box, 0, SIDE)) < checks.box:
            return "box", mask
    if dark_share(image, mask) < checks.nucleus:
        return "nucleus", mask
    return None, mask


def dark_share(image: np.ndarray, mask: np.ndarray) -> float:
    """How much of the dark parts that overlap a mask (C, C) lies inside it; dark by Otsu's threshold on green."""
    step = image.shape[0] // mask.shape[0]
    green = ndimage.uniform_filter(image[..., 1].astype(np.float32), step)[::step, ::step]
    near = ndimage.binary_dilation(mask, iterations=10)
    inside = green[mask]
    if np.ptp(inside) < 8:
        return 1.0
    dark = (green < threshold_otsu(inside)) & near
    parts, _ = ndimage.label(ndimage.binary_opening(dark, iterations=2))
    total = np.bincount(parts.ravel())
    within = np.bincount(parts[mask], minlength=len(total))
    # parts that lie mostly elsewhere are other cells
    own = [number for number in range(1, len(total)) if within[number] > 0.5 * total[number]]
    return float(within[own].sum() / total[own].sum()) if own else 1.0


def as_target(mean: np.ndarray, mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The checked mask as a target, uint8 (SIDE, SIDE).

    The cell's border is where the mean crosses one half; elsewhere what the views aren't sure of, and other parts that
    they took for cells, stay unknown. What was known before stays, too.
    """
    factor = SIDE // len(mean)
    chance = np.asarray(Image.fromarray(mean.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    cell = np.kron(mask, np.ones((factor, factor), bool))
    target = np.where(chance < 0.3, BACKGROUND, UNKNOWN).astype(np.uint8)
    near = ndimage.binary_dilation(cell, iterations=3 * factor)
    target[near] = BACKGROUND
    target[ndimage.binary_dilation(cell, iterations=factor) & (chance > 0.5)] = CELL
    target[ndimage.binary_erosion(cell, iterations=factor)] = CELL
    return np.where(known == UNKNOWN, target, known)


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))
