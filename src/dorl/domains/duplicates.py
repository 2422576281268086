"""Pictures that show the same thing, up to size, a crop at the border, turns, mirroring and JPEG.

A perceptual hash (imagehash) finds candidates; a correlation of the pictures, one laid over the other, decides.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from dorl.domains.alignment import FINE, agreement
from dorl.domains.domain import Domain
from dorl.domains.images import read_image
from dorl.domains.sources import FileSource
from dorl.errors import BadImageError

#: columns of a table of copies, one row a pair
COLUMNS = ("lab", "path", "other_lab", "other_path", "correlation")
#: details of two pictures correlate at least so much if they are copies
MIN_CORRELATION = 0.96
#: where a picture that may be a copy is better dropped than kept
CAUTIOUS = 0.9
#: their grey levels correlate at least so much
LEAST_WHOLE = 0.9
#: a crop takes off about so much of a side; where the parts of a picture lie that are hashed, too
CUT = 0.06
TILES = (
    (0.0, 0.0, 1.0, 1.0),
    *((CUT * x, CUT * y, 1 - CUT * (2 - x), 1 - CUT * (2 - y)) for y in range(3) for x in range(3)),
)
#: bits of 64 in which the hashes of a copy differ at most
BITS = 14
#: side of the pictures whose correlation sorts the candidates, and the least that a candidate has
ROUGH, LEAST_ROUGH = 16, 0.8
#: candidates of a picture that are looked at
MAX_PAIRS = 3
#: from so many pictures on, hashes are made in several processes
MIN_SHARED_PICTURES = 1500


def reduced(picture: Path | str | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as `find_copies` takes it: grey, squeezed to 64×64 pixels.

    Parameters
    ----------
    picture : path, or uint8 array of shape (H, W, 3)
        A JPEG is read at a reduced size, and its EXIF orientation is not looked at.

    Returns
    -------
    uint8 array of shape (64, 64)

    Raises
    ------
    BadImageError
        If a file can't be read.
    """
    if isinstance(picture, np.ndarray):
        return _squeezed(Image.fromarray(picture))
    path = Path(picture)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        try:
            with Image.open(path, formats=("JPEG",)) as image:
                image.draft("L", (2 * FINE, 2 * FINE))
                return _squeezed(image)
        except Exception:  # Pillow's decoders raise many kinds; the careful reader says what is wrong
            pass
    return _squeezed(Image.fromarray(read_image(path)))


def _squeezed(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("L").resize((FINE, FINE), Image.Resampling.BILINEAR, reducing_gap=3.0))


def reduced_all(pictures: Sequence[Path | str | NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """`reduced` of many, uint8 (N, 64, 64); what can't be read is black, which is no copy of anything."""
    return _gathered(reduced, pictures)


def reduced_lab(lab: Domain) -> NDArray[np.uint8]:
    """`reduced` of a lab's images, uint8 (N, 64, 64); what can't be read is black, which is no copy of anything."""

    def one(i: int) -> NDArray[np.uint8]:
        if isinstance(lab.source, FileSource):
            return reduced(lab.source.root / lab.table["path"].iat[i])
        return reduced(lab.load(i))

    return _gathered(one, range(len(lab)))


def _gathered(read: object, items: Iterable[object]) -> NDArray[np.uint8]:
    def careful(item: object) -> NDArray[np.uint8]:
        try:
            return read(item)  # type: ignore[operator, no-any-return]
        except BadImageError:
            return np.zeros((FINE, FINE), np.uint8)

    with ThreadPoolExecutor(_workers()) as pool:
        found = list(pool.map(careful, items))
    return np.stack(found) if found else np.zeros((0, FINE, FINE), np.uint8)


def find_copies(pictures: NDArray[np.uint8], *, least: float = MIN_CORRELATION) -> pd.DataFrame:
    """Find pairs of pictures that show the same thing.

    Parameters
    ----------
    pictures : uint8 array of shape (N, 64, 64)
        As of `reduced`.
    least : float
        Correlation of the details, -1 to 1, that a pair has at least; `MIN_CORRELATION` or `CAUTIOUS`.

    Returns
    -------
    DataFrame, a row a pair
        ``first`` and ``second`` (numbers of the pictures, the first smaller; sorted) and ``correlation``.

    Raises
    ------
    ValueError
        For an array of another shape or type.
    """
    if pictures.dtype != np.uint8 or pictures.shape[1:] != (FINE, FINE):
        raise ValueError(f"pictures are {pictures.dtype} {pictures.shape}: give uint8 (N, {FINE}, {FINE})")
    found = _candidates(pictures)
    whole, details = (
        np.concatenate(parts)
        for parts in zip(*_in_threads(lambda some: _agreement(pictures, some), _parts(found)), strict=True)
    )
    copies = (details >= least) & (whole >= LEAST_WHOLE)
    pairs = np.sort(found[copies, :2].astype(np.int64), axis=1)
    table = pd.DataFrame({"first": pairs[:, 0], "second": pairs[:, 1], "correlation": details[copies].round(4)})
    return table.groupby(["first", "second"], as_index=False)["correlation"].max()


def copies_in(labs: Sequence[Domain], *, least: float = MIN_CORRELATION) -> pd.DataFrame:
    """Find copies within labs and between them.

    Parameters
    ----------
    labs : sequence of Domain
        Of different names. Images that can't be read are no copies.
    least : float
        As for `find_copies`.

    Returns
    -------
    DataFrame, a row a pair
        `COLUMNS`, in the order of the labs and of their images.
    """
    pictures = [reduced_lab(lab) for lab in labs]
    pairs = find_copies(np.concatenate([np.zeros((0, FINE, FINE), np.uint8), *pictures]), least=least)
    places = [(lab.name, path) for lab in labs for path in lab.table["path"]]
    rows = [
        (*places[pair.first], *places[pair.second], pair.correlation)  # type: ignore[index]
        for pair in pairs.itertuples()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def copy_groups(count: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """A number for each of some pictures, the same for copies and copies of copies: int64 (count,).

    It is the smallest number of a picture in the group, so that without copies it is ``0 … count - 1``.
    """
    groups = np.arange(count, dtype=np.int64)

    def root(i: int) -> int:
        while groups[i] != i:
            i = int(groups[i])
        return i

    for first, second in pairs:
        low, high = sorted((root(first), root(second)))
        groups[high] = low
    return np.array([root(i) for i in range(count)], np.int64)


def _workers() -> int:
    return min(8, os.cpu_count() or 1)


def _in_threads(work: object, parts: Sequence[object]) -> Iterator[object]:
    with ThreadPoolExecutor(_workers()) as pool:
        yield from pool.map(work, parts)  # type: ignore[arg-type]


def _parts(rows: NDArray[np.float64], size: int = 512) -> list[NDArray[np.float64]]:
    return [rows[start : start + size] for start in range(0, max(1, len(rows)), size)]


def _turned(pictures: np.ndarray, way: int) -> np.ndarray:
    """Pictures (N, S, S) in one of eight ways: mirrored where it is odd, then turned by its half's right angles."""
    return np.rot90(pictures[:, :, ::-1] if way % 2 else pictures, way // 2, (1, 2))


def _hashes(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Hashes of the parts (N, T), and of the whole picture turned in all ways (N, 8)."""
    from imagehash import phash

    def packed(image: Image.Image) -> np.uint64:
        return np.packbits(phash(image).hash.ravel()).view(np.uint64)[0]

    def part(image: Image.Image, tile: tuple[float, ...]) -> Image.Image:
        box = tuple(share * FINE for share in tile)
        return image.resize((32, 32), Image.Resampling.BILINEAR, box=box)  # type: ignore[arg-type]

    images = [Image.fromarray(picture) for picture in pictures]
    tiles = [[packed(part(image, tile)) for tile in TILES] for image in images]
    halves = np.stack([np.asarray(part(image, TILES[0])) for image in images])
    ways = [
        [packed(Image.fromarray(picture)) for picture in np.ascontiguousarray(_turned(halves, w))] for w in range(8)
    ]
    return np.array(tiles, np.uint64), np.array(ways, np.uint64).T


def _rough(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """What sorts candidates: small pictures without their broad shades, of length 1: (N, T, 256) and (N, 8, 256)."""
    from scipy.ndimage import gaussian_filter

    def flat(values: np.ndarray) -> NDArray[np.float16]:
        values = gaussian_filter(values, (0, 0.5, 0.5)) - gaussian_filter(values, (0, 3, 3))
        values = values.reshape(len(values), -1) - values.mean(axis=(1, 2))[:, None]
        return (values / np.maximum(1e-3, np.linalg.norm(values, axis=1, keepdims=True))).astype(np.float16)

    def parts(tile: tuple[float, ...]) -> np.ndarray:
        box = tuple(share * FINE for share in tile)
        return np.stack(
            [
                np.asarray(Image.fromarray(one).resize((ROUGH, ROUGH), Image.Resampling.BILINEAR, box=box))  # type: ignore[arg-type]
                for one in pictures
            ]
        ).astype(np.float32)

    tiles = [parts(tile) for tile in TILES]
    ways = [np.ascontiguousarray(_turned(tiles[0], way)) for way in range(8)]
    return np.stack([flat(one) for one in tiles], 1), np.stack([flat(one) for one in ways], 1)


def _prepared(pictures: NDArray[np.uint8]) -> tuple[np.ndarray, ...]:
    return (*_hashes(pictures), *_rough(pictures))


def _candidates(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pairs worth a look, (P, 4): number of the whole picture, of the one it may be a part of, tile and way."""
    useful = np.flatnonzero(pictures.std(axis=(1, 2)) > 1)
    chunks = [pictures[useful[start : start + 250]] for start in range(0, len(useful), 250)]
    if not chunks:
        return np.zeros((0, 4))
    if len(useful) < MIN_SHARED_PICTURES:
        hashes = [_prepared(chunk) for chunk in chunks]
    else:
        from joblib import Parallel, delayed

        hashes = Parallel(n_jobs=_workers(), backend="loky")(delayed(_prepared)(chunk) for chunk in chunks)
    tiles, ways, rough, rough_ways = (np.concatenate(parts) for parts in zip(*hashes, strict=True))
    count = len(useful)
    flat = np.ascontiguousarray(ways.T).ravel()

    def near(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        found = []
        for i in rows:
            for tile in range(len(TILES)):
                hits = np.flatnonzero(np.bitwise_count(flat ^ tiles[i, tile]) <= BITS)
                way, other = np.divmod(hits, count)
                kept = other != i if tile else other > i
                way, other = way[kept], other[kept]
                score = rough_ways[other, way].astype(np.float32) @ rough[i, tile].astype(np.float32)
                good = score >= LEAST_ROUGH
                own = np.broadcast_to((i, tile), (good.sum(), 2))
                found.append(np.column_stack([other[good], own, way[good], score[good]]))
        return np.concatenate(found)

    blocks = np.array_split(np.arange(count), max(1, count // 64))
    table = pd.DataFrame(np.concatenate(list(_in_threads(near, blocks))), columns=["a", "b", "tile", "way", "score"])
    table["low"], table["high"] = table[["a", "b"]].min(axis=1), table[["a", "b"]].max(axis=1)
    table = table.sort_values(["score", "low", "high", "tile", "way"], ascending=[False, True, True, True, True])
    table = table.drop_duplicates(["low", "high", "way"])  # a round cell may look better in a wrong way at first
    kept = (table.groupby("low").cumcount() < MAX_PAIRS) | (table.groupby("high").cumcount() < MAX_PAIRS)
    chosen = table.loc[kept].sort_values(["low", "high"])
    return np.column_stack([useful[chosen["a"].astype(int)], useful[chosen["b"].astype(int)], chosen[["tile", "way"]]])


def _agreement(pictures: NDArray[np.uint8], found: NDArray[np.float64]) -> tuple[np.ndarray, np.ndarray]:
    a, b, tile, way = found.astype(int).T
    moved = np.zeros((len(found), FINE, FINE), np.uint8)
    for one in range(8):
        moved[way == one] = _turned(pictures[a[way == one]], one)
    return agreement(pictures[b], moved, np.array(TILES)[tile])
