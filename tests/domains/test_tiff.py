"""A test a row of docs/reading.md's table: what a TIFF of any kind shows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from dorl.domains.images import probe_image, read_image
from dorl.errors import BadImageError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
RGB[0, :2], RGB[1, :2] = 0, 255
GREY = RGB[..., 1]
PLANES = np.moveaxis(RGB, -1, 0)


def shown(path: Path, values: np.ndarray, **options: Any) -> np.ndarray:
    """A written TIFF as it is read."""
    tifffile.imwrite(path / "a.tif", values, **options)
    found = read_image(path / "a.tif")
    assert probe_image(path / "a.tif") == found.shape[1::-1]
    return found


def alike(found: np.ndarray, expected: np.ndarray, by: float = 1) -> None:
    expected = np.repeat(expected[..., None], 3, axis=2) if expected.ndim == 2 else expected
    assert np.abs(found.astype(float) - expected).max() <= by


def refused(path: Path, values: np.ndarray, why: str, **options: Any) -> None:
    with pytest.raises(BadImageError, match=why):
        shown(path, values, **options)


@pytest.mark.parametrize("scale", [1, 255, 65535])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_float(tmp_path, scale, kind):
    alike(shown(tmp_path, (RGB / 255 * scale).astype(kind), photometric="rgb"), RGB)
    alike(shown(tmp_path, (GREY / 255 * scale).astype(kind)), GREY)


def test_signed(tmp_path):
    alike(shown(tmp_path, GREY.astype(np.int16) * 128), GREY)
    alike(shown(tmp_path, (RGB // 2).astype(np.int8), photometric="rgb"), RGB, 2)
    refused(tmp_path, GREY.astype(np.int16) - 128, "negative pixel values")


def test_white_is_zero(tmp_path):
    alike(shown(tmp_path, 65535 - GREY.astype(np.uint16) * 257, photometric="miniswhite"), GREY)
    alike(shown(tmp_path, 255 - GREY, photometric="miniswhite"), GREY)
    alike(shown(tmp_path, GREY < 128, photometric="miniswhite"), np.where(GREY < 128, 0, 255))


def test_bool(tmp_path):
    alike(shown(tmp_path, GREY < 128, photometric="minisblack"), np.where(GREY < 128, 255, 0))


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_transparency_is_laid_on_white(tmp_path, kind):
    full = 1 if kind == np.float32 else 65535
    values = np.dstack([RGB, np.full_like(GREY, 255)]) / 255 * full
    values[:, 15:, 3] = 0
    expected = RGB.copy()
    expected[:, 15:] = 255
    values = values.astype(kind)
    alike(shown(tmp_path, values, photometric="rgb", extrasamples=["unassalpha"]), expected)
    values[:, 15:] = 0
    alike(shown(tmp_path, values, photometric="rgb", extrasamples=["assocalpha"]), expected)


def test_a_fourth_channel_that_is_no_transparency_is_passed_over(tmp_path):
    values = np.dstack([RGB, GREY]).astype(np.uint16) * 257
    alike(shown(tmp_path, values, photometric="rgb", extrasamples=["unspecified"]), RGB)


def test_hot_and_dead_pixels(tmp_path):
    values = np.tile(GREY, (4, 4)).astype(np.uint16) * 16
    values[3, 4] = 65535
    alike(np.delete(shown(tmp_path, values), 3, 0), np.delete(np.tile(GREY, (4, 4)), 3, 0))
    signed = np.tile(GREY, (4, 4)).astype(np.float32) / 255
    signed[3, 4] = -7
    alike(np.delete(shown(tmp_path, signed), 3, 0), np.delete(np.tile(GREY, (4, 4)), 3, 0))


def test_a_dark_picture_whose_file_says_its_bits(tmp_path):
    dark = (GREY // 8).astype(np.uint16)  # 12 bits, of which 5 are used
    tag = [(281, 3, 1, 4095, False)]
    alike(shown(tmp_path, dark, extratags=tag, metadata=None), dark / 16)
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, ome=True) as writer:
        writer.write(dark, metadata={"axes": "YX", "SignificantBits": 12}, photometric="minisblack")
    (tmp_path / "b.tif").write_bytes(stream.getvalue())
    alike(read_image(tmp_path / "b.tif"), dark / 16)


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}, {}])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_red_green_and_blue_on_a_page_each(tmp_path, options, kind):
    planes = PLANES.astype(kind) * (257 if kind == np.uint16 else 1)
    alike(shown(tmp_path, planes, metadata={"axes": "CYX"}, photometric="minisblack", **options), RGB)
    two = np.stack([planes, planes[::-1]])  # of a stack the first
    axes = "ZCYX" if "imagej" in options else "TCYX"
    alike(shown(tmp_path, two, metadata={"axes": axes}, photometric="minisblack", **options), RGB)


def test_channels_that_say_another_order(tmp_path):
    note = {"axes": "CYX", "Channel": {"Name": ["Blue", "Green", "Red"]}}
    alike(shown(tmp_path, PLANES[::-1], ome=True, photometric="minisblack", metadata=note), RGB)
    # OME's colours are red, green, blue and opacity, a byte each, as a signed number
    colours = [
        int.from_bytes(bytes([*rgb, 255]), "big", signed=True) for rgb in ((0, 0, 255), (0, 255, 0), (255, 0, 0))
    ]
    note = {"axes": "CYX", "Channel": {"Name": ["a", "b", "c"], "Color": colours}}
    alike(shown(tmp_path, PLANES[::-1], ome=True, photometric="minisblack", metadata=note), RGB)
    ramp, none = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8)
    tables = [np.stack([none, none, ramp]), np.stack([none, ramp, none]), np.stack([ramp, none, none])]
    note = {"axes": "CYX", "LUTs": tables}
    alike(shown(tmp_path, PLANES[::-1].copy(), imagej=True, metadata=note), RGB)


def test_channels_that_are_not_red_green_and_blue_are_refused(tmp_path):
    dyes = {"axes": "CYX", "Channel": {"Name": ["DAPI", "FITC", "TRITC"]}}
    refused(tmp_path, PLANES, "aren't red, green and blue", ome=True, photometric="minisblack", metadata=dyes)
    two = {"axes": "CYX"}
    refused(tmp_path, PLANES[:2].copy(), "has 2 channels", imagej=True, metadata=two)
    refused(tmp_path, PLANES, "has 3 grey pages", photometric="minisblack", metadata=None)
    refused(tmp_path, np.dstack([RGB, GREY, GREY]), "5 channels", photometric="minisblack", planarconfig="contig")


def test_colours_whose_writer_calls_them_grey(tmp_path):
    options = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unspecified"] * 2}
    alike(shown(tmp_path, RGB.astype(np.uint16) * 257, **options), RGB)


def test_the_first_of_several_grey_pages(tmp_path):
    stack = np.stack([GREY, GREY[::-1], GREY, GREY, GREY])
    alike(shown(tmp_path, stack, imagej=True, metadata={"axes": "ZYX"}), GREY)
    alike(shown(tmp_path, stack[:2], photometric="minisblack", metadata=None), GREY)


def test_palette(tmp_path):
    table = RNG.integers(0, 65536, (3, 256), dtype=np.uint16)
    expected = np.moveaxis(np.rint(table / 257)[:, GREY], 0, -1)
    alike(shown(tmp_path, GREY, photometric="palette", colormap=table), expected)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_inks(tmp_path, kind):
    ink = np.dstack([255 - RGB, np.zeros_like(GREY)]).astype(kind) * (257 if kind == np.uint16 else 1)
    alike(shown(tmp_path, ink, photometric="separated"), RGB)


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "lzma", "packbits", "jpeg2000", "jpegxl", "webp"])
def test_compressions(tmp_path, compression):
    lossless = {"level": 0} if compression == "jpeg2000" else {"level": 100, "lossless": True}
    args = {"compressionargs": lossless} if compression in ("jpeg2000", "webp", "jpegxl") else {}
    if compression == "jpegxl":
        args = {"compressionargs": {"lossless": True}}
    alike(shown(tmp_path, RGB, photometric="rgb", compression=compression, **args), RGB)
    if compression not in ("webp",):
        deep = RGB.astype(np.uint16) * 257
        alike(shown(tmp_path, deep, photometric="rgb", compression=compression, **args), RGB)


def test_jpeg_in_a_tiff(tmp_path):
    flat = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    alike(shown(tmp_path, flat, photometric="rgb", compression="jpeg"), flat, 4)
    Image.fromarray(flat).convert("YCbCr").save(tmp_path / "b.tif")
    alike(read_image(tmp_path / "b.tif"), flat, 4)


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
def test_fewer_bits_than_a_byte_holds(tmp_path, bits):
    """Packed as the TIFF standard packs them; brightness by the file's bits, and not by its brightest pixel."""
    top = 2**bits - 1
    values = RNG.integers(0, max(2, top // 2), (16, 16))
    digits = "".join(f"{value:0{bits}b}" for value in values.ravel())
    data = int(digits, 2).to_bytes(len(digits) // 8, "big")
    header = tifffile.TiffWriter(stream := io.BytesIO(), byteorder=">")
    header.write(np.zeros((16, 16), np.uint8), photometric="minisblack", metadata=None)
    header.close()
    whole = bytearray(stream.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(whole))) as tiff:
        tags = tiff.pages.first.tags
        for tag, value, size in ((258, bits, 2), (279, len(data), 4), (273, len(whole), 4)):
            at = tags[tag].valueoffset
            size = {3: 2, 4: 4}[int(tags[tag].dtype)]
            whole[at : at + size] = value.to_bytes(size, "big")
    (tmp_path / "a.tif").write_bytes(bytes(whole) + data)
    alike(read_image(tmp_path / "a.tif"), values * 255 / top)


def test_floats_that_overshoot(tmp_path):
    values = (RGB / 255 * 1.1 - 0.05).astype(np.float32)  # as resizing makes them
    alike(shown(tmp_path, values, photometric="rgb"), np.clip(values * 255, 0, 255))
    refused(tmp_path, GREY.astype(np.float32) / 128 - 1, "negative pixel values")


def test_the_rgb_stack_of_imagej(tmp_path):
    note = {"axes": "ZYX", "Labels": ["Red", "Green", "Blue"]}
    alike(shown(tmp_path, PLANES.copy(), imagej=True, metadata=note), RGB)
    refused(tmp_path, PLANES.copy(), "has 3 grey pages", imagej=True, metadata={"axes": "ZYX"})


@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_a_preview_that_comes_first_is_passed_over(tmp_path: Path, photometric: str) -> None:
    whole = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    values = whole if photometric == "rgb" else whole[..., 0]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(values[::4, ::4], photometric=photometric, subfiletype=1)
        writer.write(values, photometric=photometric)
    assert probe_image(tmp_path / "a.tif") == (96, 64)
    expected = whole if photometric == "rgb" else whole[..., :1].repeat(3, axis=2)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected)
