"""Reading of single images and masks: every depth and mode, and every way in which a file can be bad."""

from __future__ import annotations

import contextlib
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from dorl.domains import opening, read_image, read_mask
from dorl.domains.images import decode_image, probe_image
from dorl.errors import BadImageError

RNG = np.random.default_rng(0)


def picture(height: int = 20, width: int = 30) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims width × height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff"])
def test_lossless_formats(tmp_path, suffix):
    rgb = picture()
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rgb).save(path)
    out = read_image(path)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, rgb)
    assert probe_image(str(path)) == (30, 20)
    out[:] = 0  # the caller may paint on it


def test_jpg(tmp_path):
    Image.new("RGB", (30, 20), (200, 100, 50)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - (200, 100, 50)).max() <= 3


def test_the_content_counts_not_the_ending(tmp_path):
    rgb = picture()
    Image.fromarray(rgb).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), rgb)


def test_phone_jpg_with_two_pictures(tmp_path):
    first, second = Image.new("RGB", (30, 20), "red"), Image.new("RGB", (30, 20), "blue")
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    assert read_image(tmp_path / "a.jpg")[0, 0].argmax() == 0
    assert probe_image(tmp_path / "a.jpg") == (30, 20)


def test_first_page_of_a_tiff(tmp_path):
    pages = [Image.fromarray(picture()) for _ in range(2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.asarray(pages[0]))


def test_grey(tmp_path):
    grey = picture()[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.dstack([grey] * 3))


def test_one_bit(tmp_path):
    Image.fromarray(np.eye(20, dtype=bool)).save(tmp_path / "a.png")
    assert set(read_image(tmp_path / "a.png").ravel()) == {0, 255}


def test_palette(tmp_path):
    image = Image.new("RGB", (30, 20), (10, 200, 30))
    image.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == (10, 200, 30)).all()


def test_cmyk(tmp_path):
    Image.new("CMYK", (30, 20), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    assert (read_image(tmp_path / "a.tif") == (255, 0, 0)).all()


@pytest.mark.parametrize(("alpha", "expected"), [(255, (200, 0, 0)), (0, (255, 255, 255))])
def test_transparency_shows_white(tmp_path, alpha, expected):
    Image.new("RGBA", (30, 20), (200, 0, 0, alpha)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == expected).all()


def test_transparent_palette_shows_white(tmp_path):
    image = Image.new("P", (30, 20), 0)
    image.putpalette([9, 9, 9])
    image.save(tmp_path / "a.png", transparency=0)
    assert (read_image(tmp_path / "a.png") == 255).all()


@pytest.mark.parametrize("full", [1023, 4095, 16383, 65535])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_of_more_than_8_bits(tmp_path, full, suffix):
    values = np.linspace(0, full, 400).reshape(20, 20).astype(np.uint16)
    if suffix == "png":
        Image.fromarray(values).save(tmp_path / "a.png")
    else:
        tifffile.imwrite(tmp_path / "a.tif", values)
    out = read_image(tmp_path / f"a.{suffix}")
    assert out.shape == (20, 20, 3)
    np.testing.assert_allclose(out[..., 0], values * (255 / full), atol=0.51)


def test_16_bits_that_hold_8(tmp_path):
    values = np.arange(100, 200, dtype=np.uint16).reshape(10, 10)
    tifffile.imwrite(tmp_path / "a.tif", values)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], values)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_tiff_of_12_bits(tmp_path, planar):
    values = RNG.integers(0, 4096, (20, 30, 3), dtype=np.uint16)
    values[0, 0] = 4095
    stored = values if planar == "contig" else np.moveaxis(values, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif"), values * (255 / 4095), atol=0.51)
    assert probe_image(tmp_path / "a.tif") == (30, 20)


def test_float_from_0_to_1(tmp_path):
    values = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    tifffile.imwrite(tmp_path / "a.tif", values)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif")[..., 0], values * 255, atol=0.51)


@pytest.mark.parametrize("bad", [np.nan, -1.0, 1e6])
def test_float_without_a_scale(tmp_path, bad):
    tifffile.imwrite(tmp_path / "a.tif", np.full((20, 20), bad, dtype=np.float32))
    with pytest.raises(BadImageError, match="pixel values"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation(tmp_path, suffix, orientation):
    image = Image.new("RGB", (32, 16), "black")
    image.paste("white", (0, 0, 16, 16))  # left half
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif)
    out = read_image(tmp_path / f"a.{suffix}")[..., 0] > 127
    upright = np.asarray(image)[..., 0] > 127
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]  # counter-clockwise quarter turns that set it upright
    np.testing.assert_array_equal(out, np.rot90(upright, turns))
    assert probe_image(tmp_path / f"a.{suffix}") == out.shape[::-1]


def test_decode_image_agrees_with_read_image(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    np.testing.assert_array_equal(decode_image(data), read_image(tmp_path / "a.png"))
    with pytest.raises(BadImageError, match=r"upload 3: .*empty"):
        decode_image(b"", "upload 3")


def assert_bad(path, match: str, *, header: bool = True) -> None:
    """The error is one line that begins with the path, and nothing is warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (read_image, probe_image) if header else (read_image,):
            with pytest.raises(BadImageError, match=match) as caught:
                read(path)
            assert str(caught.value).startswith(f"{path}: ")
            assert "\n" not in str(caught.value)


def test_missing(tmp_path):
    assert_bad(tmp_path / "a.png", "No such file")


def test_folder(tmp_path):
    assert_bad(tmp_path, "directory")


def test_empty(tmp_path):
    (tmp_path / "a.png").touch()
    assert_bad(tmp_path / "a.png", "empty")


@pytest.mark.parametrize("data", [b"<html>not found</html>", b"\x00" * 500, b"GIF89a" + b"\x00" * 50])
def test_no_image(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    assert_bad(tmp_path / "a.png", "not a readable")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture(100, 100)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert_bad(path, "truncated|not a readable", header=False)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_damaged_files_raise_nothing_else(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture(24, 24)).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(60):
        broken = bytearray(whole)
        for at in rng.integers(0, min(len(whole), 400), 6):
            broken[at] = rng.integers(0, 256)
        path.write_bytes(broken)
        with contextlib.suppress(BadImageError):  # anything else fails the test
            assert read_image(path).ndim == 3


@pytest.mark.parametrize(("width", "height"), [(7, 30), (30, 7)])
def test_too_small(tmp_path, width, height):
    Image.new("RGB", (width, height)).save(tmp_path / "a.png")
    assert_bad(tmp_path / "a.png", f"{width}×{height} pixels, below 8")


def test_smallest_allowed(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (8, 8, 3)


@pytest.mark.parametrize("side", [8_001, 12_000, 60_000])  # above ours, Pillow's warning, Pillow's error
def test_decompression_bomb(tmp_path, side):
    (tmp_path / "a.png").write_bytes(bomb(side, side))
    assert_bad(tmp_path / "a.png", "over 64 megapixels")


def test_too_many_bytes(tmp_path, monkeypatch):
    Image.fromarray(picture(64, 64)).save(tmp_path / "a.png")
    monkeypatch.setattr(opening, "MAX_BYTES", 2048)
    assert_bad(tmp_path / "a.png", "MB")


def test_16_bit_colour_png_of_12_bits(tmp_path):
    values = RNG.integers(1, 4096, (20, 20, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    data = bomb(20, 20)
    header = struct.pack(">IIBBBBB", 20, 20, 16, 2, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    path = tmp_path / "a.png"
    path.write_bytes(data[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    np.testing.assert_allclose(read_image(path), values * (255 / 4095), atol=0.51)
    assert probe_image(path) == (20, 20)


def test_mask_levels_are_all_cell(tmp_path):
    levels = np.zeros((20, 30), dtype=np.uint8)
    levels[5:15, 5:15], levels[8:12, 8:12] = 128, 255
    Image.fromarray(levels).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", (20, 30))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, levels > 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_mask_modes(tmp_path, mode):
    cell = np.zeros((20, 30), dtype=bool)
    cell[4:9, 3:20] = True
    if mode == "P":
        image = Image.fromarray(cell.astype(np.uint8)).convert("P")
        image.putpalette([255, 255, 255, 0, 0, 0])  # the background is painted white: the index counts
    elif mode == "I;16":
        image = Image.fromarray(cell.astype(np.uint16))
    else:
        image = Image.fromarray(cell.astype(np.uint8) * 255).convert(mode)
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (20, 30)), cell)


def test_noise_of_a_jpeg_mask_is_no_cell(tmp_path):
    levels = np.zeros((64, 64), dtype=np.uint8)
    levels[16:48, 16:48] = 255
    Image.fromarray(levels).save(tmp_path / "m.jpg", quality=40)
    assert np.mean(read_mask(tmp_path / "m.jpg", (64, 64)) == (levels > 0)) > 0.98


def test_mask_of_another_size(tmp_path):
    Image.new("L", (30, 20)).save(tmp_path / "m.png")
    with pytest.raises(BadImageError, match="30×20 pixels, its image 20×30"):
        read_mask(tmp_path / "m.png", (30, 20))


def test_bad_mask(tmp_path):
    (tmp_path / "m.png").write_bytes(b"nothing")
    with pytest.raises(BadImageError, match="not a readable"):
        read_mask(tmp_path / "m.png", (20, 20))
    with pytest.raises(BadImageError, match="No such file"):
        read_mask(tmp_path / "none.png", (20, 20))
