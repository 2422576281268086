r"""How long it takes to find the copies among many images, and how many of them are found.

    python tools/measure/copies.py [--images 20000] [--seed 0]

Makes up JPEGs of 360×363 pixels in a temporary folder: a dark nucleus of lobes in a cell, red cells around it, each
with a texture of its own. Every tenth is a copy of one before it: turned, mirrored, cut by up to 5 % at each border,
scaled, saved anew. Prints one JSON line: seconds of the wall and of the processors, for reading (headers, and pixels to
64×64 grey) and for comparing; copies made and found, and pairs that weren't made.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from dorl.domains import read_domain
from dorl.domains.duplicates import find_copies, reduced_lab

WIDTH, HEIGHT, COARSE = 360, 363, 91
ROWS, COLUMNS = np.mgrid[:COARSE, :COARSE] / COARSE


def disc(rng: np.random.Generator, centre: tuple[float, float], radius: float) -> np.ndarray:
    """A disc of an uneven rim, 0-1, (91, 91)."""
    y, x = ROWS - centre[0], COLUMNS - centre[1]
    waves = sum(rng.normal(0, 0.06) * np.cos(k * np.arctan2(y, x) + rng.uniform(0, 6.3)) for k in range(2, 6))
    return np.clip((radius * (1 + waves) - np.hypot(y, x)) * COARSE, 0, 1)


def made_up(rng: np.random.Generator) -> Image.Image:
    """A cell, as it might look from afar."""
    picture = np.empty((COARSE, COARSE, 3))
    picture[:] = rng.normal((232, 214, 205), 4)
    for _ in range(rng.integers(3, 9)):
        red = disc(rng, tuple(rng.uniform(-0.1, 1.1, 2)), rng.uniform(0.12, 0.17))
        picture += red[..., None] * (rng.normal((205, 160, 150), 5) - picture)
    centre = rng.uniform(0.44, 0.56, 2)
    cell = disc(rng, tuple(centre), rng.uniform(0.2, 0.3))
    picture += cell[..., None] * (rng.normal((195, 175, 205), 8) - picture)
    for _ in range(rng.integers(1, 6)):
        lobe = disc(rng, tuple(centre + rng.normal(0, 0.07, 2)), rng.uniform(0.06, 0.13)) * cell
        picture += lobe[..., None] * (rng.normal((110, 70, 150), 10) - picture)
    grain = ndimage.gaussian_filter(rng.normal(0, 1, (COARSE, COARSE)), rng.uniform(1, 3))
    picture += 14 * (grain / grain.std())[..., None]
    whole = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    return whole.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def copied(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The same picture in another look."""
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(90 * int(rng.integers(4)), expand=True)
    left, top, right, bottom = rng.uniform(0, 0.05, 4)
    image = image.crop((left * image.width, top * image.height, (1 - right) * image.width, (1 - bottom) * image.height))
    scale = rng.uniform(0.5, 1.5)
    return image.resize((round(scale * image.width), round(scale * image.height)), Image.Resampling.BICUBIC)


def write_images(folder: Path, count: int, seed: int) -> list[int]:
    """Write the images; of each the number of the one that it shows."""
    rng, shown = np.random.default_rng(seed), list(range(count))
    for i in range(count):
        if i % 10 == 9:
            source = int(rng.integers(i // 10 + 1)) * 10 + int(rng.integers(9))
            shown[i] = source
            with Image.open(folder / f"{source:06d}.jpg") as opened:
                image = copied(opened.convert("RGB"), rng)
        else:
            image = made_up(rng)
        image.save(folder / f"{i:06d}.jpg", quality=int(rng.integers(75, 96)))
    return shown


def worked() -> float:
    """Seconds of the processors, of this process and of those that it started and that have ended."""
    told = os.times()
    return told.user + told.system + told.children_user + told.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shown = write_images(Path(folder), given.images, given.seed)
        clock = [(time.monotonic(), worked())]
        pictures = reduced_lab(read_domain(folder, name="made-up"))
        clock.append((time.monotonic(), worked()))
        found = find_copies(pictures)
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)  # so that the workers' seconds are counted
        clock.append((time.monotonic(), worked()))
    pairs = set(zip(found["first"].tolist(), found["second"].tolist(), strict=True))
    copies = [(source, i) for i, source in enumerate(shown) if source != i]
    (read, read_cpu), (compare, compare_cpu) = (
        (after[0] - before[0], after[1] - before[1]) for before, after in pairwise(clock)
    )
    result = {
        "images": given.images,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "seconds": round(read + compare, 1),
        "seconds_reading": round(read, 1),
        "seconds_comparing": round(compare, 1),
        "processor_seconds": round(read_cpu + compare_cpu, 1),
        "copies": len(copies),
        "found": sum(pair in pairs for pair in copies),
        "wrong_pairs": sum(shown[one] != shown[other] for one, other in pairs),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
