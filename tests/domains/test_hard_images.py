"""Made-up hard images: bit depth × channels × container × compression × transparency × orientation, each read right."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dorl.domains.brightness import turned
from dorl.domains.images import decode_image, probe_image, read_image

#: how a brightness of 0 to 1 is stored: the type, and the number that stands for full brightness
DEPTHS: dict[str, tuple[type, float]] = {
    "8": (np.uint8, 255),
    "10 in 16": (np.uint16, 1023),
    "12 in 16": (np.uint16, 4095),
    "14 in 16": (np.uint16, 16383),
    "16": (np.uint16, 65535),
    "15, signed": (np.int16, 32767),
    "12, signed": (np.int16, 4095),
    "16 in 32": (np.uint32, 65535),
    "32": (np.uint32, 2**32 - 1),
    "half float": (np.float16, 1),
    "float": (np.float32, 1),
    "float to 255": (np.float32, 255),
    "float to 65535": (np.float32, 65535),
    "double": (np.float64, 1),
}
COMPRESSIONS = [None, "lzw", "zlib", "zstd", "lzma", "packbits"]
PAGES = ["imagej", "ome", "shaped"]


@dataclass(frozen=True)
class Hard:
    """A drawn file: its bytes, and the picture that it shows, float (H, W, 3), 0–255."""

    data: bytes
    shown: np.ndarray
    what: str


def brightness(draw: st.DrawFn, channels: int) -> np.ndarray:
    """A picture of every brightness, 0 to 1, (H, W, channels)."""
    height, width = draw(st.integers(8, 40)), draw(st.integers(8, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    values = rng.random((height, width, channels))
    values[0, :4], values[-1, :4] = 0, 1
    return values


def stored(values: np.ndarray, depth: str) -> np.ndarray:
    kind, full = DEPTHS[depth]
    scaled = values * full
    return np.rint(scaled).astype(kind) if np.dtype(kind).kind in "iu" else scaled.astype(kind)


def shown_of(colours: np.ndarray, alpha: np.ndarray | None, orientation: int = 1) -> np.ndarray:
    rgb = np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else colours
    if alpha is not None:
        rgb = rgb * alpha + (1 - alpha)
    return turned(255 * rgb, orientation)


@st.composite
def tiffs(draw: st.DrawFn) -> Hard:
    depth = draw(st.sampled_from(list(DEPTHS)))
    channels, transparent = draw(st.sampled_from([1, 3])), draw(st.booleans())
    values = brightness(draw, channels)
    alpha = brightness(draw, 1) if transparent else None
    if alpha is not None:
        alpha = np.resize(alpha, (*values.shape[:2], 1))
    planar = draw(st.sampled_from(["contig", "separate"])) if channels == 3 or transparent else "contig"
    white = channels == 1 and alpha is None and depth in ("8", "16", "float", "15, signed") and draw(st.booleans())
    orientation = draw(st.integers(1, 8))
    options: dict[str, Any] = {
        "photometric": "rgb" if channels == 3 else "miniswhite" if white else "minisblack",
        "compression": draw(st.sampled_from(COMPRESSIONS)),
        "bigtiff": draw(st.booleans()),
        "byteorder": draw(st.sampled_from("<>")),
        "extratags": [(274, 3, 1, orientation, False)],
        "metadata": None,
    }
    if draw(st.booleans()):
        options["tile"] = (16, 32)
    if options["compression"] in ("lzw", "zlib") and np.dtype(DEPTHS[depth][0]).kind in "iu":
        options["predictor"] = draw(st.booleans())
    numbers = stored(1 - values if white else values, depth)
    if alpha is not None:
        multiplied = draw(st.booleans())
        numbers = stored(values * alpha if multiplied else values, depth)
        numbers = np.concatenate([numbers, stored(alpha, depth)], axis=2)
        options["extrasamples"] = ["assocalpha" if multiplied else "unassalpha"]
    if numbers.shape[2] == 1:
        numbers = numbers[..., 0]
    elif planar == "separate":
        numbers = np.moveaxis(numbers, -1, 0)
        options["planarconfig"] = "separate"
    else:
        options["planarconfig"] = "contig"
    stream = io.BytesIO()
    bigtiff, byteorder = options.pop("bigtiff"), options.pop("byteorder")
    with tifffile.TiffWriter(stream, bigtiff=bigtiff, byteorder=byteorder) as writer:
        writer.write(numbers, **options)
    what = f"tiff {depth}, {channels} channels, alpha {transparent}, white {white}, {options}"
    return Hard(stream.getvalue(), shown_of(values, alpha, orientation), what)


@st.composite
def pages(draw: st.DrawFn) -> Hard:
    """A TIFF with red, green and blue on a page each."""
    kind = draw(st.sampled_from(PAGES))
    depth = draw(st.sampled_from(["8", "12 in 16", "16"] + ([] if kind == "imagej" else ["float", "15, signed"])))
    values = brightness(draw, 3)
    planes = np.moveaxis(stored(values, depth), -1, 0)
    compression = None if kind == "imagej" else draw(st.sampled_from(COMPRESSIONS))
    stream = io.BytesIO()
    if kind == "imagej":
        tifffile.imwrite(stream, planes, imagej=True, metadata={"axes": "CYX", "mode": "composite"})
    elif kind == "ome":
        tifffile.imwrite(stream, planes, ome=True, photometric="minisblack", compression=compression)
        stream = io.BytesIO()
        tifffile.imwrite(
            stream, planes, ome=True, photometric="minisblack", compression=compression, metadata={"axes": "CYX"}
        )
    else:
        options = {"photometric": "minisblack", "compression": compression, "metadata": {"axes": "CYX"}}
        tifffile.imwrite(stream, planes, **options)
    return Hard(stream.getvalue(), shown_of(values, None), f"pages {kind}, {depth}, {compression}")


@st.composite
def pngs(draw: st.DrawFn) -> Hard:
    depth = draw(st.sampled_from(["8", "12 in 16", "16"]))
    channels, transparent = draw(st.sampled_from([1, 3])), draw(st.booleans())
    values = brightness(draw, channels)
    alpha = None
    numbers = stored(values, depth)
    if transparent:
        alpha = np.resize(brightness(draw, 1), (*values.shape[:2], 1))
        numbers = np.concatenate([numbers, stored(alpha, depth)], axis=2)
    data = imagecodecs.png_encode(np.squeeze(numbers), level=draw(st.integers(0, 9)))
    return Hard(data, shown_of(values, alpha), f"png {depth}, {channels} channels, alpha {transparent}")


@st.composite
def others(draw: st.DrawFn) -> Hard:
    """Eight bits, written by Pillow, without loss."""
    kind = draw(st.sampled_from(["WEBP", "BMP", "TGA", "PPM", "GIF", "JPEG2000"]))
    channels = draw(st.sampled_from([1, 3])) if kind != "GIF" else 1
    values = brightness(draw, channels)
    alpha = None
    numbers = stored(values, "8")
    if kind in ("WEBP", "TGA") and channels == 3 and draw(st.booleans()):
        alpha = np.resize(brightness(draw, 1), (*values.shape[:2], 1))
        numbers = np.concatenate([numbers, stored(alpha, "8")], axis=2)
    stream = io.BytesIO()
    options: dict[str, Any] = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    Image.fromarray(numbers.squeeze(-1) if channels == 1 else numbers).save(stream, kind, **options)
    return Hard(stream.getvalue(), shown_of(values, alpha), f"{kind}, {channels} channels")


@st.composite
def deep_jpeg2000(draw: st.DrawFn) -> Hard:
    """JPEG 2000 of 8 to 16 bits, without loss."""
    bits, channels = draw(st.sampled_from([8, 10, 12, 14, 16])), draw(st.sampled_from([1, 3]))
    values = brightness(draw, channels)
    numbers = np.rint(values * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    kind = draw(st.sampled_from(["j2k", "jp2"]))
    data = imagecodecs.jpeg2k_encode(np.squeeze(numbers), level=0, bitspersample=bits, codecformat=kind)
    return Hard(data, shown_of(values, None), f"{kind}, {bits} bits, {channels} channels")


@st.composite
def turned_by_exif(draw: st.DrawFn) -> Hard:
    """Eight bits with an EXIF orientation; blocks of one colour, which JPEG keeps."""
    kind, channels = draw(st.sampled_from(["PNG", "WEBP", "JPEG"])), draw(st.sampled_from([1, 3]))
    values = brightness(draw, channels)[:5, :6].repeat(8, axis=0).repeat(8, axis=1)
    orientation = draw(st.integers(1, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    numbers = stored(values, "8")
    stream = io.BytesIO()
    Image.fromarray(numbers.squeeze(-1) if channels == 1 else numbers).save(stream, kind, exif=exif, **options)
    return Hard(stream.getvalue(), shown_of(values, None, orientation), f"{kind}, {channels}, turned {orientation}")


@st.composite
def palettes(draw: st.DrawFn) -> Hard:
    """A palette of 2 to 256 colours, one of them perhaps transparent, in as few bits as hold it; or black and white."""
    kind = draw(st.sampled_from(["PNG", "GIF", "TIFF", "BMP", "1 bit"]))
    size = draw(st.integers(8, 40)), draw(st.integers(8, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    if kind == "1 bit":
        kind, bits = draw(st.sampled_from(["PNG", "TIFF", "BMP"])), rng.integers(0, 2, size).astype(bool)
        stream = io.BytesIO()
        Image.fromarray(bits).save(stream, kind)
        return Hard(stream.getvalue(), shown_of(bits[..., None].astype(float), None), f"{kind}, 1 bit")
    depth = draw(st.sampled_from([1, 2, 4, 8]))
    colours = rng.integers(0, 256, (2**depth, 3))
    numbers = rng.integers(0, len(colours), size).astype(np.uint8)
    image = Image.fromarray(numbers, "P")
    image.putpalette(colours.astype(np.uint8).tobytes())
    options: dict[str, Any] = {"bits": depth} if kind == "PNG" else {}
    alpha = None
    if kind in ("PNG", "GIF") and draw(st.booleans()):
        options["transparency"] = clear = draw(st.integers(0, len(colours) - 1))
        alpha = (numbers != clear)[..., None].astype(float)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return Hard(stream.getvalue(), shown_of(colours[numbers] / 255, alpha), f"{kind}, palette of {2**depth}, {options}")


hard_images = st.one_of(tiffs(), tiffs(), pages(), pngs(), others(), deep_jpeg2000(), turned_by_exif(), palettes())


def check(hard: Hard) -> None:
    found = decode_image(hard.data, hard.what)
    assert found.shape == hard.shown.shape, hard.what
    assert found.dtype == np.uint8
    assert np.abs(found - hard.shown).max() <= 2, hard.what
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"  # the content counts
        path.write_bytes(hard.data)
        assert probe_image(path) == found.shape[1::-1], hard.what
        np.testing.assert_array_equal(read_image(path), found)


quiet = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(quiet, max_examples=40)
@given(hard_images)
def test_hard_images(hard: Hard) -> None:
    check(hard)


@pytest.mark.slow
@settings(quiet, max_examples=300)
@given(hard_images)
def test_many_hard_images(hard: Hard) -> None:
    check(hard)
