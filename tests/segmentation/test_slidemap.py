"""What a slide's small levels show, on a rendered slide whose layout is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dorl.domains.rendered.slide import GLASS, MONOLAYER, PATCH, THICK
from dorl.domains.slides import Slide, open_slide
from dorl.segmentation import slidemap
from dorl.segmentation.slidemap import SlideMap, blocks_of, chunks_of, look, map_of, measure_slide, overview_of

pytest.importorskip("zarr", reason="the extra zarr is not installed")
UNIT = 26.0


@pytest.fixture(scope="module")
def slide(slides: Path) -> Iterator[Slide]:
    with open_slide(slides / "slide.ome.tif") as opened:
        yield opened


def mapped(slide: Slide) -> tuple[SlideMap, int]:
    """The map, and of how many chunks it was put together."""
    overview = overview_of(slide)
    chunks = chunks_of(slide, overview, UNIT)
    looks = [(chunk, look(slide, chunk, overview.light, UNIT)) for chunk in chunks]
    return map_of(slide, UNIT, looks), len(chunks)


@pytest.fixture(scope="module")
def whole(slide: Slide) -> SlideMap:
    return mapped(slide)[0]


def of_patches(map_: SlideMap, layout: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """The monolayer of all blocks that lie wholly in patches of some kinds."""
    rows, columns = (np.arange(many) * map_.block for many in map_.covered.shape)
    inside = [
        (first // PATCH == (first + map_.block) // PATCH) & (first // PATCH < many)
        for first, many in zip((rows, columns), layout.shape, strict=True)
    ]
    numbers = [np.minimum(first // PATCH, many - 1) for first, many in zip((rows, columns), layout.shape, strict=True)]
    chosen = kinds[np.ix_(*numbers)] & inside[0][:, None] & inside[1]
    return map_.monolayer[chosen]


def test_a_monolayer_is_told_from_glass_and_heaps(whole: SlideMap, slides: Path) -> None:
    layout = np.load(slides / "layout.npy")
    side_by_side, heaped, bare = (
        of_patches(whole, layout, kinds) for kinds in (layout >= MONOLAYER, layout == THICK, layout == GLASS)
    )
    assert len(side_by_side) > 50
    assert len(heaped) > 20
    assert np.median(side_by_side) > 0.8
    assert np.median(heaped) < 0.2
    assert bare.max() < 0.2


def test_a_candidate_lies_in_every_white_cell(whole: SlideMap, slides: Path) -> None:
    for left, top, right, bottom in np.load(slides / "cells.npy"):
        assert ((whole.places >= (top, left)) & (whole.places < (bottom, right))).all(axis=1).any()
    assert whole.per_block(whole.places).sum() == len(whole.places)


def test_chunks_of_another_size_show_the_same(whole: SlideMap, slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slidemap, "CHUNK", 200)
    other, chunks = mapped(slide)
    assert chunks > 4
    assert np.abs(other.covered - whole.covered).max() < 0.02
    assert np.abs(other.depth - whole.depth).max() < 0.02


def test_glass_is_not_looked_through(slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    overview = overview_of(slide)
    monkeypatch.setattr(slidemap, "CHUNK", 100)
    chunks = chunks_of(slide, overview, UNIT)
    looked = sum(chunk.rows * chunk.columns for chunk in chunks)
    assert 0.2 < looked / np.prod(blocks_of(slide, UNIT)) < 0.8


def test_red_cells_are_measured_in_windows_of_the_first_level(slide: Slide) -> None:
    ruler = measure_slide(slide, overview_of(slide))
    assert ruler.sure
    assert ruler.diameter == pytest.approx(0.9 * 7.2 / 0.25, rel=0.15)


def test_a_block_is_a_monolayer_by_what_it_covers_and_how_deep() -> None:
    covered = np.array([[0.0, 0.4, 0.4, 0.99]], np.float32)
    depth = np.array([[0.0, 0.3, 0.9, 0.3]], np.float32)
    usual = np.full((1, 4), 0.4, np.float32), np.full((1, 4), 0.3, np.float32)
    map_ = SlideMap(100, np.vstack([covered, usual[0]]), np.vstack([depth, usual[1]]), np.empty((0, 2)))
    assert map_.monolayer[0].tolist() == [0, 1, 0, 0]
    assert map_.per_block(np.array([[50, 150], [199.9, 399.9], [50, 101]])).tolist() == [[0, 2, 0, 0], [0, 0, 0, 1]]
