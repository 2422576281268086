"""What is written opens in the tools themselves, and is read back the same."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dorl.domains import read_domain, read_image
from dorl.domains.annotations import AnnotatedImage, Cell, read_annotations
from dorl.domains.annotations.coco import coco_document, read_coco
from dorl.domains.annotations.geojson import geojson_document, read_geojson
from dorl.domains.annotations.shapes import Pixels
from dorl.domains.annotations.tables import yolo_lines
from dorl.domains.annotations.writing import NO_CLASS, WRITERS, write_annotations
from dorl.domains.boxes import read_fields
from dorl.errors import InputError

from .drawn import CLASSES, cell, disc, field, masks, picture


def written(folder: Path, kind: str, **settings: Any) -> tuple[AnnotatedImage, list[Path]]:
    image = field(folder / "given")
    return image, write_annotations([image], kind, folder / "out", **settings)


def whole(one: Cell) -> np.ndarray:
    """A cell's pixels in the field."""
    assert one.shape is not None
    return one.shape.pixels((0, 0, 64, 48))


def same_cells(found: tuple[Cell, ...], given: tuple[Cell, ...]) -> None:
    assert [one.label for one in found] == [one.label for one in given]
    for one, other in zip(found, given, strict=True):
        assert one.box == other.box
        assert (one.shape is None) == (other.shape is None)
        if other.shape is not None:
            np.testing.assert_array_equal(whole(one), whole(other))


def test_coco_opens_in_pycocotools(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    image, (path,) = written(tmp_path, "coco")
    found = coco.COCO(str(path))
    assert {one["name"] for one in found.cats.values()} == set(CLASSES)
    assert (tmp_path / "out" / found.imgs[1]["file_name"]).is_file()
    for one, other in zip(found.loadAnns(found.getAnnIds(imgIds=[1])), image.cells, strict=True):
        if other.shape is not None:
            np.testing.assert_array_equal(found.annToMask(one).astype(bool), whole(other))
            assert one["area"] == whole(other).sum()
    assert found.anns[1]["score"] == 0.75


@settings(max_examples=60, deadline=None)
@given(masks(), st.integers(0, 9), st.integers(0, 9), st.sampled_from([*CLASSES, NO_CLASS]), st.floats(0, 1))
def test_coco_is_read_back_the_same(mask: np.ndarray, left: int, top: int, label: str, p: float) -> None:
    image = AnnotatedImage("a.png", (cell(mask, left, top, label, p),), (64, 48))
    document = json.loads(json.dumps(coco_document([image], [label])))
    (found,) = read_coco(Path("a.json"), document)
    assert (found.path, found.size) == ("a.png", (64, 48))
    same_cells(found.cells, image.cells)
    assert found.cells[0].probability == p


@settings(max_examples=40, deadline=None)
@given(masks(), st.integers(0, 9))
def test_packed_runs_of_pycocotools_are_read(mask: np.ndarray, left: int) -> None:
    tool = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    (one,) = AnnotatedImage("a.png", (cell(mask, left, 3),)).cells
    packed = tool.encode(np.asfortranarray(whole(one).astype(np.uint8)))
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "segmentation": {**packed, "counts": packed["counts"].decode()},
    }
    image = {"id": 1, "file_name": "a.png", "width": 64, "height": 48}
    document = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "monocyte"}]}
    (found,) = read_coco(Path("a.json"), document)
    same_cells(found.cells, (one,))


@settings(max_examples=60, deadline=None)
@given(masks(), st.integers(0, 9), st.sampled_from([*CLASSES, NO_CLASS]), st.none() | st.floats(0, 1))
def test_geojson_is_read_back_the_same(mask: np.ndarray, left: int, label: str, p: float | None) -> None:
    image = AnnotatedImage("a.png", (cell(mask, left, 2, label, p),), (64, 48))
    document = json.loads(json.dumps(geojson_document(image)))
    (found,) = read_geojson(Path("a.geojson"), document)
    same_cells(found.cells, image.cells)
    assert found.cells[0].probability == p


def test_geojson_is_valid_and_has_the_cells_areas(tmp_path: Path) -> None:
    geojson = pytest.importorskip("geojson", reason="geojson is not installed")
    shapely = pytest.importorskip("shapely.geometry", reason="shapely is not installed")
    image, (path,) = written(tmp_path, "qupath")
    found = geojson.loads(path.read_text())
    assert found.is_valid, found.errors()
    areas = [shapely.shape(one["geometry"]).area for one in found["features"]]
    assert areas == [whole(image.cells[0]).sum(), whole(image.cells[1]).sum(), 12 * 13]
    assert [one["properties"]["classification"]["name"] for one in found["features"]] == [
        one.label for one in image.cells
    ]
    assert {one["properties"]["objectType"] for one in found["features"]} == {"annotation"}


def test_ome_tiff_has_numbers_classes_and_pixel_size(tmp_path: Path) -> None:
    import tifffile

    image, (path,) = written(tmp_path, "ome-tiff", pixel_size=0.1)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        labels, text = file.asarray(), file.ome_metadata
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels == 1, whole(image.cells[0]))
    assert (labels == 3).sum() == 12 * 13
    ome = pytest.importorskip("ome_types", reason="ome-types is not installed").from_xml(text)
    assert (ome.images[0].pixels.size_x, ome.images[0].pixels.size_y) == (64, 48)
    assert ome.images[0].pixels.physical_size_x == 0.1
    (notes,) = ome.structured_annotations.map_annotations
    assert {one.k: one.value for one in notes.value.ms} == {
        str(number): one.label for number, one in enumerate(image.cells, start=1)
    }


def test_rois_open_in_roifile(tmp_path: Path) -> None:
    roifile = pytest.importorskip("roifile", reason="roifile is not installed")
    image, (path,) = written(tmp_path, "imagej")
    rois = roifile.roiread(path)
    assert [roi.name for roi in rois] == [f"{i:04d} {one.label}" for i, one in enumerate(image.cells, start=1)]
    for roi, one in zip(rois, image.cells, strict=True):
        assert one.box is not None
        assert (roi.left, roi.top, roi.right, roi.bottom) == one.box
    found = read_geojson(Path("a"), _as_geojson(rois[0].coordinates()))[0].cells[0]
    np.testing.assert_array_equal(whole(found), whole(image.cells[0]))


def _as_geojson(points: np.ndarray) -> dict[str, Any]:
    closed = [*points.tolist(), points[0].tolist()]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [closed]}, "properties": {}}


def test_yolo_has_a_line_a_cell(tmp_path: Path) -> None:
    image, (settings_file, labels) = written(tmp_path, "yolo")
    names = [line.split(": ")[1] for line in settings_file.read_text().splitlines()[4:]]
    assert names == sorted(CLASSES)
    assert (tmp_path / "out" / "images" / "field.png").is_file()
    for line, one in zip(labels.read_text().splitlines(), image.cells, strict=True):
        number, *values = line.split()
        assert names[int(number)] == one.label
        x, y, width, height = (float(value) for value in values)
        box = (x - width / 2) * 64, (y - height / 2) * 48, (x + width / 2) * 64, (y + height / 2) * 48
        assert box == pytest.approx(one.box, abs=1e-3)
    # dorl's own reader of fields takes the numbers 0, 1 and 2 for kinds of cells
    (found,) = read_fields(tmp_path / "out")
    np.testing.assert_allclose(found.boxes, [one.box for one in image.cells], atol=1e-3)


def test_an_outline_of_yolo_encloses_the_cell(tmp_path: Path) -> None:
    image, (_, labels) = written(tmp_path, "yolo-seg")
    values = np.array(labels.read_text().splitlines()[0].split()[1:], float).reshape(-1, 2) * (64, 48)
    found = read_geojson(Path("a"), _as_geojson(values))[0].cells[0]
    np.testing.assert_array_equal(whole(found), whole(image.cells[0]))


@settings(max_examples=40, deadline=None)
@given(masks())
def test_yolo_keeps_within_the_image(mask: np.ndarray) -> None:
    size = mask.shape[1], mask.shape[0]
    image = AnnotatedImage("a.png", (cell(mask, 0, 0),), size)
    for outlines in (False, True):
        values = np.array(yolo_lines(image, ["monocyte"], outlines=outlines).split()[1:], float)
        assert ((values >= 0) & (values <= 1)).all()


def test_voc_is_as_torchvision_and_others_read_it(tmp_path: Path) -> None:
    image, (path,) = written(tmp_path, "voc")
    tree = ElementTree.parse(path).getroot()
    assert (tmp_path / "out" / str(tree.findtext("folder")) / str(tree.findtext("filename"))).is_file()
    for one, other in zip(tree.iter("object"), image.cells, strict=True):
        assert one.findtext("name") == other.label
        corners = [float(one.findtext(f"bndbox/{key}") or "") for key in ("xmin", "ymin", "xmax", "ymax")]
        assert tuple(corners) == other.box
    labels = np.asarray(Image.open(tmp_path / "out" / "SegmentationObject" / "field.png"))
    np.testing.assert_array_equal(labels == 2, whole(image.cells[1]))
    parse = pytest.importorskip("torchvision.datasets", reason="torchvision is not installed").VOCDetection
    parsed = parse.parse_voc_xml(tree)["annotation"]
    assert parsed["size"] == {"width": "64", "height": "48", "depth": "3"}
    assert len(parsed["object"]) == 3


@pytest.mark.parametrize("kind", ["coco", "qupath"])
def test_a_lab_is_read_out_of_what_was_written(tmp_path: Path, kind: str) -> None:
    image, (path,) = written(tmp_path, kind)
    lab = read_domain(path, name="back")
    assert lab.layout == kind
    assert lab.table["label"].tolist() == [one.label for one in image.cells]
    # the box of the third cell is its outline in QuPath
    assert lab.table["mask"].notna().tolist() == [True, True, kind == "qupath"]
    pixels = read_image(tmp_path / "given" / "field.png")
    mask = lab.load_mask(0)
    assert mask is not None
    assert mask.sum() == whole(image.cells[0]).sum()
    assert lab.load(0).shape == (*mask.shape, 3) == (22, 22, 3)
    np.testing.assert_array_equal(lab.load(0), pixels[0:22, 0:22])


def test_images_that_tools_show_otherwise_are_written_as_png(tmp_path: Path) -> None:
    turned = Image.new("RGB", (30, 20), (200, 10, 10))
    exif = turned.getexif()
    exif[0x0112] = 6
    (tmp_path / "given").mkdir()
    turned.save(tmp_path / "given" / "turned.jpg", exif=exif)
    images = [
        AnnotatedImage("turned.jpg", (cell(disc(4), 2, 2),), (20, 30), tmp_path / "given" / "turned.jpg"),
        AnnotatedImage("plain.png", (), (64, 48), picture(tmp_path / "given", "plain.png")),
    ]
    write_annotations(images, "coco", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == ["plain.png", "turned.png"]
    assert Image.open(tmp_path / "out" / "images" / "turned.png").size == (20, 30)
    assert (tmp_path / "out" / "images" / "plain.png").read_bytes() == images[1].file.read_bytes()  # type: ignore[union-attr]


def test_images_of_one_name_stay_apart(tmp_path: Path) -> None:
    images = [field(tmp_path / "a"), field(tmp_path / "b")]
    (path,) = write_annotations(images, "coco", tmp_path / "out")
    _, found = read_annotations(path)
    assert len({image.path for image in found}) == 2
    assert len(read_domain(path)) == 6


def test_a_cell_without_a_class_is_read_back_without_one(tmp_path: Path) -> None:
    one = AnnotatedImage("field.png", (cell(disc(5), 3, 3, None), cell(disc(4), 30, 20, "monocyte")))
    image = AnnotatedImage(one.path, one.cells, (64, 48), picture(tmp_path / "given"))
    (path,) = write_annotations([image], "coco", tmp_path / "out")
    assert read_domain(path).table["label"].tolist() == [None, "monocyte"]


def test_a_format_that_is_not_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"give one of {', '.join(WRITERS)}"):
        write_annotations([field(tmp_path)], "docx", tmp_path / "out")


def test_a_field_without_cells_is_written_too(tmp_path: Path) -> None:
    image = AnnotatedImage("empty.png", (), (64, 48), picture(tmp_path / "given", "empty.png"))
    for kind in WRITERS:
        if kind == "imagej":
            pytest.importorskip("roifile", reason="roifile is not installed")
        assert write_annotations([image], kind, tmp_path / kind)


def test_more_cells_than_16_bits_hold_keep_their_numbers() -> None:
    from dorl.domains.annotations.pictures import label_picture

    cells = tuple(Cell(None, None, Pixels(np.ones((1, 1), bool), (i % 300, i // 300))) for i in range(70_000))
    labels = label_picture(AnnotatedImage("a", cells, (300, 300)))
    assert labels.dtype == np.uint32
    assert labels.max() == 70_000
