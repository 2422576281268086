from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorl.domains.corrupted import KINDS, STRENGTHS, CorruptedSource, corrupt
from dorl.domains.rendered import STYLES, render_cell
from dorl.domains.sources import FileSource
from dorl.errors import InputError


@pytest.fixture(scope="module")
def cell() -> np.ndarray:
    return render_cell("neutrophil_segmented", STYLES["harbour"], np.random.default_rng(0), 128).image


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_keeps_the_shape_and_grows_with_its_strength(kind: str, cell: np.ndarray) -> None:
    far = []
    for strength in (0, *STRENGTHS):
        # over several draws, since some kinds draw which way they go
        worse = [corrupt(cell, kind, strength, seed) for seed in range(8)]
        assert all(one.shape == cell.shape and one.dtype == np.uint8 for one in worse)
        far.append(np.mean([np.abs(one.astype(int) - cell).mean() for one in worse]))
    assert far[0] == 0
    assert far[1] > 0.5
    assert far[5] > far[3] > far[1] or kind == "turn"  # a turn by half is no further than one by a quarter
    np.testing.assert_array_equal(corrupt(cell, kind, 3, 5), corrupt(cell, kind, 3, 5))


def test_noise_has_the_spread_of_imagenet_c() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    spread = corrupt(grey, "noise", 1).astype(float).std() / 255
    assert spread == pytest.approx(0.08, rel=0.02)


def test_a_source_makes_each_image_worse_in_its_own_way_and_has_another_digest(
    tmp_path: Path, cell: np.ndarray
) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(cell).save(tmp_path / name)
    clean = FileSource(tmp_path)
    worse = CorruptedSource(clean, "noise", 2)
    assert not np.array_equal(worse.read("a.png"), worse.read("b.png"))
    np.testing.assert_array_equal(worse.read("a.png"), CorruptedSource(clean, "noise", 2).read("a.png"))
    digests = {one.digest("a.png") for one in (clean, worse, CorruptedSource(clean, "noise", 3))}
    assert len(digests) == 3
    assert worse.size("a.png") == (128, 128)


@pytest.mark.parametrize(("kind", "strength"), [("fog", 1), ("noise", 6)])
def test_unknown_kinds_and_strengths_are_refused(kind: str, strength: int, cell: np.ndarray) -> None:
    with pytest.raises(InputError, match="give one of noise, blur"):
        corrupt(cell, kind, strength)
