"""Slides: which files are some, what is read of them, and what is said of those that can't be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from dorl.domains import read_domain
from dorl.domains.slides import is_slide, open_slide, opening, slides_among, without_slides
from dorl.domains.slides.by_tifffile import TiffSlide
from dorl.errors import BadImageError

pytest.importorskip("zarr", reason="the extra zarr is not installed")


def pyramid(path: Path, whole: np.ndarray, levels: int = 2, **options: object) -> Path:
    """A small tiled pyramid; `options` are of its first level."""
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(whole, tile=(64, 64), photometric="rgb", subifds=levels - 1, **options)
        for level in range(1, levels):
            tiff.write(whole[:: 4**level, :: 4**level], tile=(64, 64), photometric="rgb", subfiletype=1)
    return path


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (512, 640, 3), np.uint8)


@pytest.mark.parametrize("name", ["slide.svs", "slide.ome.tif"])
def test_levels_and_pixel_size_are_those_that_were_written(slides: Path, name: str) -> None:
    with TiffSlide.open(slides / name) as slide:
        assert slide.size == (4000, 3000)
        assert [level.size for level in slide.levels] == [(4000, 3000), (1000, 750), (250, 188)]
        assert slide.levels[1].downsample == 4
        assert slide.pixel_size == 0.25
        assert [slide.level_of(by) for by in (1, 3.9, 4, 100)] == [0, 0, 1, 2]
        part = slide.read(0, 1500, 1200, 300, 200)
        assert part.shape == (200, 300, 3)
        assert (part == slide.read(0, 1400, 1100, 500, 400)[100:300, 100:400]).all()


def test_openslide_and_tifffile_read_the_same_pixels(slides: Path) -> None:
    pytest.importorskip("openslide", reason="the extra openslide is not installed")
    with open_slide(slides / "slide.svs") as one, TiffSlide.open(slides / "slide.svs") as other:
        assert type(one) is not type(other)
        assert one.levels == other.levels
        assert one.pixel_size == other.pixel_size
        for level, place in ((0, (1500, 1200, 300, 200)), (1, (300, 250, 400, 300)), (2, (0, 0, 250, 188))):
            assert (one.read(level, *place) == other.read(level, *place)).all()


def test_pixels_are_those_of_the_array(noise: np.ndarray, tmp_path: Path) -> None:
    with open_slide(pyramid(tmp_path / "a.tif", noise)) as slide:
        assert (slide.read(0, 100, 50, 300, 200) == noise[50:250, 100:400]).all()
        assert (slide.read(1, 0, 0, 160, 128) == noise[::4, ::4]).all()
        halved = slide.read_reduced(0, 0, 0, 640, 512, 2)
        assert (halved == np.asarray(Image.fromarray(noise).reduce(2))).all()


def test_colours_on_planes_are_read_by_their_names(noise: np.ndarray, tmp_path: Path) -> None:
    path, swapped = tmp_path / "a.ome.tif", np.moveaxis(noise[..., ::-1], -1, 0)
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(
            swapped,
            tile=(64, 64),
            photometric="minisblack",
            subifds=1,
            metadata={"axes": "CYX", "Channel": {"Name": ["Blue", "Green", "Red"]}},
        )
        tiff.write(swapped[:, ::4, ::4], tile=(64, 64), photometric="minisblack", subfiletype=1)
    with open_slide(path) as slide:
        assert (slide.read(0, 64, 32, 200, 100) == noise[32:132, 64:264]).all()


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}, 0.25),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({}, None),
        ({"description": "Aperio Image Library|AppMag = 40|MPP = 0.2498"}, 0.2498),
    ],
)
def test_the_pixel_size_is_read_where_it_is_told(
    noise: np.ndarray, tmp_path: Path, options: dict[str, object], size: float | None
) -> None:
    with open_slide(pyramid(tmp_path / "a.tif", noise, metadata=None, **options)) as slide:
        assert slide.pixel_size == (None if size is None else pytest.approx(size))


def test_ome_units_are_taken_into_account(noise: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    sides = {"PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.00025, "PhysicalSizeYUnit": "mm"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(noise, tile=(64, 64), photometric="rgb", subifds=1, metadata={"axes": "YXS", **sides})
        tiff.write(noise[::4, ::4], tile=(64, 64), photometric="rgb", subfiletype=1)
    with open_slide(path) as slide:
        assert slide.pixel_size == pytest.approx(0.25)


def test_a_tiff_is_a_slide_if_it_is_a_pyramid(noise: np.ndarray, slides: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", noise, photometric="rgb")
    Image.fromarray(noise).save(tmp_path / "plain.png")
    pyramid(tmp_path / "pyramid.tif", noise)
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    told = {path.name: is_slide(path) for path in tmp_path.iterdir()}
    assert told == {"plain.tif": False, "plain.png": False, "pyramid.tif": True, "broken.tif": False}
    assert is_slide(slides / "slide.svs")
    assert not is_slide(tmp_path / "missing.svs")


def truncated(path: Path, noise: np.ndarray) -> None:
    pyramid(path, noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overlong(path: Path, noise: np.ndarray) -> None:
    """The header says 600,000 pixels a side; the tiles are those of 512 × 640."""
    pyramid(path, noise)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for name in ("ImageWidth", "ImageLength"):
            tag = tiff.pages.first.tags[name]
            tag.overwrite(600_000, dtype="I")


def lying(path: Path, noise: np.ndarray) -> None:
    """The header says 100,000 pixels a side."""
    pyramid(path, noise)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for name in ("ImageWidth", "ImageLength"):
            tag = tiff.pages.first.tags[name]
            tag.overwrite(100_000, dtype="I")


def flat(path: Path, noise: np.ndarray) -> None:
    """One level of over 64 megapixels, all glass."""
    tifffile.imwrite(
        path, np.full((8100, 8100, 3), 240, np.uint8), tile=(512, 512), photometric="rgb", compression="deflate"
    )


def stripped(path: Path, noise: np.ndarray) -> None:
    tifffile.imwrite(path, np.full((8100, 8100, 3), 240, np.uint8), photometric="rgb", compression="deflate")


def deep(path: Path, noise: np.ndarray) -> None:
    pyramid(path, noise.astype(np.uint16))


def grey(path: Path, noise: np.ndarray) -> None:
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(noise[..., 0], tile=(64, 64), photometric="minisblack", subifds=1)
        tiff.write(noise[::4, ::4, 0], tile=(64, 64), photometric="minisblack", subfiletype=1)


def no_tiff(path: Path, noise: np.ndarray) -> None:
    path.write_text("a slide")


def empty(path: Path, noise: np.ndarray) -> None:
    path.touch()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (truncated, "truncated"),
        (overlong, "claims 600000×600000 pixels"),
        (lying, "claims 100000×100000 pixels and holds 80 tiles: damaged"),
        (flat, "has no level of 64 megapixels or fewer: save it as a pyramid"),
        (stripped, "isn't stored in small tiles"),
        (deep, "has 16 bits a colour: save it with 8"),
        (grey, "isn't in colour"),
        (no_tiff, "damaged or truncated"),
        (empty, "damaged or truncated"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(make: object, why: str, noise: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    make(path, noise)  # type: ignore[operator]
    with pytest.raises(BadImageError) as told:
        open_slide(path)
    assert str(told.value).startswith(f"{path}: ")
    assert why in str(told.value)
    assert "\n" not in str(told.value)


def test_a_slide_that_openslide_cannot_read_is_said_in_one_line(slides: Path, tmp_path: Path) -> None:
    pytest.importorskip("openslide", reason="the extra openslide is not installed")
    whole, path = (slides / "slide.svs").read_bytes(), tmp_path / "a.svs"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadImageError, match=r"truncated|no slide that OpenSlide reads"):
        open_slide(path)
    for ending in (".mrxs", ".czi", ".dcm", ".ndpi"):
        path = tmp_path / f"a{ending}"
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(BadImageError, match="no slide that OpenSlide reads"):
            open_slide(path)


def test_a_missing_package_is_named_with_its_extra(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    (tmp_path / "a.mrxs").write_bytes(b"x")
    with pytest.raises(BadImageError, match=r"\.mrxs is read with OpenSlide: pip install 'dorl\[openslide\]'"):
        open_slide(tmp_path / "a.mrxs")
    with pytest.raises(BadImageError, match=r"pip install 'dorl\[zarr\]'"):
        open_slide(slides / "slide.ome.tif")
    monkeypatch.setattr(opening, "find_spec", lambda name: None if name == "openslide" else object())
    with open_slide(slides / "slide.svs") as slide:
        assert isinstance(slide, TiffSlide)


def test_a_digest_changes_with_the_file(noise: np.ndarray, tmp_path: Path) -> None:
    path = pyramid(tmp_path / "a.tif", noise)
    with open_slide(path) as slide:
        first, again = slide.digest(), slide.digest()
    shutil.copy(path, tmp_path / "b.tif")
    with open_slide(tmp_path / "b.tif") as slide:
        copied = slide.digest()
    with open_slide(pyramid(path, 255 - noise)) as slide:
        other = slide.digest()
    assert first == again == copied != other


def test_slides_are_parted_from_images(noise: np.ndarray, tmp_path: Path) -> None:
    mixed, alone = tmp_path / "mixed", tmp_path / "alone"
    for folder in (mixed, alone, mixed / "two", mixed / "two" / "inner", alone / "dicom"):
        folder.mkdir()
    pyramid(mixed / "slide.tif", noise)
    Image.fromarray(noise).save(mixed / "field.png")
    (mixed / "two.mrxs").write_bytes(b"x")
    (mixed / "two" / "Data0000.dat").write_bytes(b"\0x")
    Image.fromarray(noise).save(mixed / "two" / "inner" / "part.png")
    for number in range(2):
        (alone / "dicom" / f"{number}.dcm").write_bytes(b"x")
    found, rest = slides_among([mixed, alone, mixed / "slide.tif", mixed / "field.png"])
    assert [path for _, path in found] == [mixed / "slide.tif", mixed / "two.mrxs", alone / "dicom" / "0.dcm"]
    assert found[0][0] == (mixed / "slide.tif").as_posix()
    assert rest == [mixed, mixed / "field.png"]
    lab = without_slides(read_domain(mixed, layout="flat"), [path for _, path in found])
    assert lab.table["path"].tolist() == ["field.png"]
    assert not len(lab.left_out)
