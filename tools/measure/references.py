"""How far common references take out of a picture what made it worse: of cells whose masks are known.

    python tools/measure/references.py jtsc=JTSC_zheng2018/labels.csv --cells 40

Each picture is brought to references as it is, and made worse at one strength, inside the same mask. Printed is a table
of how far the mean colours of background, cytoplasm and nucleus lie from those of the good picture, in grey levels of
255, and of the IoU of the nucleus found. ``untouched``: of the pictures before references. Measured beside the
package's own way is a median filter before it where a picture is noisy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from dorl.cells import references
from dorl.domains import read_domains
from dorl.domains.corrupted import KINDS, STRENGTHS, corrupt
from dorl.runtime.training import seeded

#: noise, grey levels, above which a picture is filtered; and the filter's side, pixels
NOISY, SIDE = 12, 5

Brought = tuple[np.ndarray, np.ndarray]


def noise(image: np.ndarray) -> float:
    """Standard deviation of the noise of each channel, grey levels, by Immerkær's mask (CVIU 64, 1996)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    found = [np.abs(ndimage.convolve(image[..., channel].astype(float), kernel))[1:-1, 1:-1] for channel in range(3)]
    return float(np.sqrt(np.pi / 2) * np.mean(found) / 6)


def filtered(image: np.ndarray, mask: np.ndarray) -> Brought:
    """References of a picture that is filtered where it is noisy."""
    if noise(image) > NOISY:
        image = np.stack([ndimage.median_filter(image[..., channel], SIDE) for channel in range(3)], -1)
    return references.to_references(image, mask)


WAYS: dict[str, Callable[[np.ndarray, np.ndarray], Brought]] = {
    "references": references.to_references,
    "median filter where noisy": filtered,
}


def regions(mask: np.ndarray, nucleus: np.ndarray) -> list[np.ndarray]:
    """Background, cytoplasm and nucleus, where they hold a pixel."""
    found = [~ndimage.binary_dilation(mask, iterations=3), mask & ~nucleus, nucleus]
    return [region for region in found if region.any()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lab", help="name=path, with masks")
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--strength", type=int, default=3, choices=STRENGTHS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    (lab,) = read_domains([given.lab])
    with_mask = np.flatnonzero(lab.table["mask"].notna())
    kinds = [kind for kind in KINDS if kind != "turn"]  # its mask would have to be turned, too
    moved: dict[tuple[str, str], list[float]] = {}
    overlap: dict[tuple[str, str], list[float]] = {}
    levels = []
    for row in seeded(given.seed).permutation(with_mask)[: given.cells].tolist():
        image, mask = lab.load(row), lab.load_mask(row)
        assert mask is not None
        good, nucleus = references.to_references(image, mask)
        parts = regions(mask, nucleus)
        levels.append(noise(image))
        for kind in ("as it is", *kinds):
            bad = image if kind == "as it is" else corrupt(image, kind, given.strength, row)
            gap = np.mean([np.abs(bad[part].mean(0) - image[part].mean(0)).mean() for part in parts])
            moved.setdefault((kind, "untouched"), []).append(float(gap))
            for way, bring in WAYS.items():
                brought, found = bring(bad, mask)
                gap = np.mean([np.abs(brought[part].mean(0) - good[part].mean(0)).mean() for part in parts])
                moved.setdefault((kind, way), []).append(float(gap))
                overlap.setdefault((kind, way), []).append(float((found & nucleus).sum() / (found | nucleus).sum()))
    print(f"noise of the pictures as they are, grey levels: {np.median(levels):.1f}, at most {max(levels):.1f}\n")
    print(f"| {lab.name}, {given.cells} cells, strength {given.strength} | untouched | {' | '.join(WAYS)} |")
    print(f"|---|---:|{'---:|' * len(WAYS)}")
    for kind in ("as it is", *kinds):
        told = [f"{np.mean(moved[kind, way]):.1f}, {np.mean(overlap[kind, way]):.2f}" for way in WAYS]
        print(f"| {kind} | {np.mean(moved[kind, 'untouched']):.1f} | {' | '.join(told)} |")


if __name__ == "__main__":
    main()
