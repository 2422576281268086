"""Where pixels come from: files below a folder, and arrays in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorl.domains.sources import ArraySource, FileSource
from dorl.errors import BadImageError

#: a mask
CELL = np.zeros((20, 30), bool)
CELL[5:15, 5:20] = True


@pytest.fixture
def files(tmp_path: Path) -> FileSource:
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (30, 20), (1, 2, 3)).save(tmp_path / "deep" / "a.png")
    Image.fromarray(CELL.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    return FileSource(tmp_path)


def test_files_are_found_below_the_folder(files: FileSource) -> None:
    assert files.size("deep/a.png") == (30, 20)
    assert files.read("deep/a.png").shape == (20, 30, 3)
    np.testing.assert_array_equal(files.read_mask("mask.png", (20, 30)), CELL)


def test_a_header_is_read_once(files: FileSource) -> None:
    files.size("deep/a.png")
    (files.root / "deep" / "a.png").unlink()
    assert files.size("deep/a.png") == (30, 20)
    with pytest.raises(BadImageError, match=r"deep/a\.png"):
        files.read("deep/a.png")


def test_a_file_that_is_not_there_is_named(files: FileSource) -> None:
    for read in (files.size, files.read, lambda path: files.read_mask(path, (20, 30))):
        with pytest.raises(BadImageError, match=r"gone\.png"):
            read("gone.png")


def test_files_and_arrays_agree(files: FileSource) -> None:
    arrays = ArraySource({"a": files.read("deep/a.png")}, {"m": CELL * 255})
    assert arrays.size("a") == files.size("deep/a.png")
    np.testing.assert_array_equal(arrays.read("a"), files.read("deep/a.png"))
    np.testing.assert_array_equal(arrays.read_mask("m", (20, 30)), files.read_mask("mask.png", (20, 30)))


def test_an_array_mask_of_another_size_says_both() -> None:
    arrays = ArraySource({}, {"m": np.ones((4, 5))})
    with pytest.raises(BadImageError, match=r"m: the mask has shape \(4, 5\), its image \(5, 4\)"):
        arrays.read_mask("m", (5, 4))


def test_a_digest_changes_with_image_and_mask(files: FileSource) -> None:
    one, both = files.digest("deep/a.png"), files.digest("deep/a.png", "mask.png")
    assert len({one, both, files.digest("mask.png")}) == 3
    assert files.digest("gone.png") == files.digest("deep/a.png", "gone.png") == ""
    (files.root / "mask.png").write_bytes(b"corrected")
    assert files.digest("deep/a.png") == one
    assert files.digest("deep/a.png", "mask.png") != both
    large = files.root / "large.tif"
    large.write_bytes(bytes(300_000))
    before = files.digest("large.tif")
    large.write_bytes(bytes(150_000) + b"1" + bytes(149_999))
    assert files.digest("large.tif") != before
    masks = {"m": np.ones((20, 30), bool)}
    arrays = [ArraySource({"a": np.full((20, 30, 3), value, np.uint8)}, masks) for value in (1, 2)]
    assert len({digest for source in arrays for digest in (source.digest("a"), source.digest("a", "m"))}) == 4
