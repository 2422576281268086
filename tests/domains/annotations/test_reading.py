"""Annotations as the tools export them."""

from __future__ import annotations

import base64
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dorl.domains import read_domain
from dorl.domains.annotations import read_annotations
from dorl.domains.annotations.coco import unpacked
from dorl.domains.annotations.labelstudio import brush
from dorl.domains.gathering import gather
from dorl.errors import InputError

from .drawn import disc, field, picture


def put(folder: Path, name: str, document: Any) -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def coco(folder: Path, annotations: list[dict[str, Any]], image: str = "field.png", **sides: int) -> Path:
    """A file of annotations of one 64×48 image, whose classes are 1 monocyte, 2 RBC, 3 Lymphocytes."""
    categories = [{"id": i, "name": name} for i, name in enumerate(("monocyte", "RBC", "Lymphocytes"), start=1)]
    images = [{"id": 7, "file_name": image, "width": 64, "height": 48, **sides}]
    annotations = [{"id": i, "image_id": 7, **one} for i, one in enumerate(annotations)]
    return put(folder, "coco.json", {"images": images, "annotations": annotations, "categories": categories})


def test_coco_gives_each_cell_its_class_and_window(tmp_path: Path) -> None:
    picture(tmp_path / "images")
    boxes = [
        {"category_id": 1, "bbox": [10, 10, 8, 12]},
        {"category_id": 3, "bbox": [40, 20, 10, 10], "segmentation": [[40, 20, 50, 20, 50, 30, 40, 30]]},
        {"category_id": 2, "bbox": [0, 0, 9, 9]},
    ]
    lab = read_domain(coco(tmp_path, boxes, "images/field.png"), name="mine")
    assert lab.table["path"].tolist() == ["images/field.png#1", "images/field.png#2"]
    assert lab.table["label"].tolist() == ["monocyte", "lymphocyte"]
    assert lab.table["raw_label"].tolist() == ["monocyte", "Lymphocytes"]
    assert lab.left_out.to_numpy().tolist() == [["images/field.png#3", "unknown class 'RBC'"]]
    assert [lab.load(i).shape for i in range(2)] == [(24, 24, 3), (20, 20, 3)]
    mask = lab.load_mask(1)
    assert lab.load_mask(0) is None
    assert mask is not None
    assert mask.sum() == 100
    assert mask[5:15, 5:15].all()
    assert lab.describe()["width"]["max"] == 24


def test_digests_change_with_image_window_and_outline(tmp_path: Path) -> None:
    picture(tmp_path)
    one = {"category_id": 1, "bbox": [10, 10, 8, 12]}
    other = {"category_id": 1, "bbox": [30, 10, 8, 12], "segmentation": [[30, 10, 38, 10, 38, 22]]}
    lab = read_domain(coco(tmp_path, [one, other]))
    first, second = (lab.source.digest(path) for path in lab.table["path"])
    assert first != second
    assert lab.source.digest("field.png#2", "field.png#2") != second
    moved = read_domain(coco(tmp_path, [one, {**other, "segmentation": [[30, 10, 38, 10, 30, 22]]}]))
    assert moved.source.digest("field.png#2") == second
    assert moved.source.digest("field.png#2", "field.png#2") != lab.source.digest("field.png#2", "field.png#2")
    (tmp_path / "field.png").unlink()
    assert read_domain_error(tmp_path / "coco.json").startswith(f"{tmp_path}/coco.json: none of 1 cells can be used")


def test_a_lab_is_handed_to_other_processes(tmp_path: Path) -> None:
    picture(tmp_path)
    lab = read_domain(coco(tmp_path, [{"category_id": 1, "bbox": [10, 10, 8, 8]}]))
    again = pickle.loads(pickle.dumps(lab))
    np.testing.assert_array_equal(again.load(0), lab.load(0))
    assert again.source.digest("field.png#1") == lab.source.digest("field.png#1")


def read_domain_error(path: Path, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_domain(path, **settings)
    return str(caught.value)


def test_an_image_of_one_cell_is_taken_whole(tmp_path: Path) -> None:
    picture(tmp_path)
    lab = read_domain(coco(tmp_path, [{"category_id": 1, "bbox": [10, 10, 30, 30]}]))
    assert lab.table["path"].tolist() == ["field.png"]
    assert lab.load(0).shape == (48, 64, 3)
    lab = read_domain(coco(tmp_path, [{"category_id": 1, "bbox": [10, 10, 8, 8]}]))
    assert lab.table["path"].tolist() == ["field.png#1"]


def test_a_cell_beyond_the_image_is_cut_or_left_out(tmp_path: Path) -> None:
    picture(tmp_path)
    boxes = [[60, 40, 20, 20], [70, 10, 9, 9], [5, 5, 0, 4], [10, 10, 2, 2], [1e300, 0, 4, 4], [20, 20, 8, 8]]
    lab = read_domain(coco(tmp_path, [{"category_id": 1, "bbox": box} for box in boxes]))
    assert lab.table["path"].tolist() == ["field.png#1", "field.png#6"]
    assert lab.load(0).shape == (16, 16, 3)
    reasons = lab.left_out["reason"].tolist()
    assert reasons == [*["its box lies outside the image, or is empty"] * 2, "its cell is below 4 pixels", reasons[0]]


def test_an_image_of_another_size_is_left_out(tmp_path: Path) -> None:
    picture(tmp_path)
    error = read_domain_error(coco(tmp_path, [{"category_id": 1, "bbox": [1, 1, 9, 9]}], width=640, height=480))
    assert "was annotated at 640×480 pixels, and has 64×48" in error


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "C:\\images\\secret.png", "link.png"])
def test_nothing_outside_the_folder_is_read(tmp_path: Path, name: str) -> None:
    picture(tmp_path, "secret.png")
    picture(tmp_path / "lab", "field.png")
    (tmp_path / "lab" / "link.png").symlink_to(tmp_path / "secret.png")
    if name.startswith("/"):
        name = str(tmp_path / "secret.png")
    error = read_domain_error(coco(tmp_path / "lab", [{"category_id": 1, "bbox": [1, 1, 9, 9]}], name))
    assert "no such file in the folder" in error or "leads out of the folder" in error


def test_an_image_is_found_by_its_name_where_the_tool_wrote_another_folder(tmp_path: Path) -> None:
    picture(tmp_path / "deep" / "er")
    lab = read_domain(coco(tmp_path, [{"category_id": 1, "bbox": [1, 1, 30, 30]}], "C:\\Users\\me\\field.png"))
    assert lab.table["path"].tolist() == ["deep/er/field.png"]
    picture(tmp_path / "other")
    assert "no such file" in read_domain_error(tmp_path / "coco.json")


CVAT = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>
<image id="0" name="field.png" width="64" height="48">
<box label="Monocyte" xtl="4.0" ytl="4.0" xbr="14.0" ybr="14.0" occluded="0"></box>
<polygon label="lymphocyte" points="30.0,10.0;40.0,10.0;40.0,20.0;30.0,20.0"></polygon>
<mask label="eosinophil" rle="1, 2, 1, 4" left="20" top="30" width="4" height="2"></mask>
<ellipse label="basophil" cx="50" cy="35" rx="8" ry="6"></ellipse>
<points label="monocyte" points="1,1"></points>
</image><image id="1" name="cell.png" width="64" height="48"><tag label="monocyte"></tag></image></annotations>"""


def test_cvat_has_boxes_polygons_masks_ellipses_and_tags(tmp_path: Path) -> None:
    picture(tmp_path)
    picture(tmp_path, "cell.png")
    lab = read_domain(put(tmp_path, "annotations.xml", CVAT))
    assert lab.layout == "cvat"
    assert lab.table["label"].tolist() == ["monocyte", "monocyte", "lymphocyte", "eosinophil", "basophil"]
    assert lab.table["path"].tolist()[0] == "cell.png"
    assert lab.table["mask"].notna().tolist() == [False, False, True, True, True]
    areas = [mask.sum() for i in range(2, 5) if (mask := lab.load_mask(i)) is not None]
    assert areas[:2] == [100, 6]
    assert areas[2] == pytest.approx(np.pi * 48, rel=0.05)


def test_xml_with_a_document_type_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "a.xml", '<!DOCTYPE a [<!ENTITY x "y">]><annotations><image/></annotations>')
    assert "has a document type" in read_domain_error(path)


def labelstudio(results: list[dict[str, Any]], image: str = "/data/upload/3/0123abcd-field.png") -> list[Any]:
    sides = {"original_width": 64, "original_height": 48}
    annotations = [
        {"was_cancelled": True, "result": "not looked at"},
        {"result": [{**sides, "id": str(i), **one} for i, one in enumerate(results)]},
    ]
    return [{"id": 1, "data": {"image": image}, "annotations": annotations}]


def packed(pixels: np.ndarray) -> list[int]:
    """A brush as Label Studio packs it: the opacity of each pixel, as values that are repeated or not."""
    values = np.zeros((*pixels.shape, 4), np.uint8)
    values[..., 3] = pixels * 255
    flat = values.ravel().tolist()
    bits = f"{len(flat):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    at = 0
    while at < len(flat):
        end = at
        while end < len(flat) and flat[end] == flat[at] and end - at < 200:
            end += 1
        if end - at > 1:
            bits += f"1{2:02b}{end - at - 1:08b}{flat[at]:08b}"
        else:
            bits += f"0{0:02b}{0:03b}{flat[at]:08b}"
        at = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_label_studio_has_boxes_polygons_ellipses_and_brushes(tmp_path: Path) -> None:
    picture(tmp_path)
    painted = np.zeros((48, 64), bool)
    painted[30:40, 30:45] = True
    results = [
        {
            "type": "rectanglelabels",
            "value": {"x": 6.25, "y": 12.5, "width": 12.5, "height": 25, "rectanglelabels": ["Monocyte"]},
        },
        {
            "type": "polygonlabels",
            "value": {"points": [[50, 0], [75, 0], [75, 25], [50, 25]], "polygonlabels": ["lymphocyte"]},
        },
        {"type": "brushlabels", "value": {"format": "rle", "rle": packed(painted), "brushlabels": ["eosinophil"]}},
        {
            "type": "ellipselabels",
            "value": {"x": 20, "y": 70, "radiusX": 10, "radiusY": 10, "ellipselabels": ["basophil"]},
        },
        {"type": "rectangle", "value": {"x": 1, "y": 1, "width": 9, "height": 9}},
    ]
    lab = read_domain(put(tmp_path, "export.json", labelstudio(results)))
    assert lab.layout == "labelstudio"
    assert lab.table["label"].tolist() == ["monocyte", "lymphocyte", "eosinophil", "basophil"]
    assert lab.table["path"].tolist() == [f"field.png#{number}" for number in range(1, 5)]
    assert lab.source.size("field.png#1") == (24, 24)
    areas = [mask.sum() for i in range(1, 4) if (mask := lab.load_mask(i)) is not None]
    assert areas[:2] == [16 * 12, 150]
    assert areas[2] == pytest.approx(np.pi * 6.4 * 4.8, rel=0.06)


def test_a_choice_of_label_studio_is_the_class_of_the_image(tmp_path: Path) -> None:
    picture(tmp_path)
    chosen = [{"type": "choices", "value": {"choices": ["Monocyte"]}}]
    lab = read_domain(put(tmp_path, "a.json", labelstudio(chosen, "/data/local-files/?d=field.png")))
    assert lab.table[["path", "label"]].to_numpy().tolist() == [["field.png", "monocyte"]]


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=8, max_size=40))
def test_a_damaged_brush_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="brush"):
        brush(list(data), 3, 2)


def labelme(folder: Path, name: str, shapes: list[dict[str, Any]], **more: Any) -> Path:
    document = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imageData": None, **more}
    document |= {"imagePath": f"..\\elsewhere\\{name}.png", "imageWidth": 64, "imageHeight": 48}
    return put(folder, f"{name}.json", document)


def test_a_folder_of_labelme_is_a_lab(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(disc(4)).save(stream, format="PNG")
    mask = base64.b64encode(stream.getvalue()).decode()
    for name in ("one", "two", "three"):
        picture(tmp_path, f"{name}.png")
    shapes = [
        {"label": "mono", "shape_type": "polygon", "points": [[10, 10], [20, 10], [20, 20], [10, 20]]},
        {"label": "eos", "shape_type": "rectangle", "points": [[40, 30], [30, 20]]},
        {"label": "lymphocyte", "shape_type": "mask", "points": [[50, 5], [58, 13]], "mask": mask},
        {"label": "baso", "shape_type": "circle", "points": [[20, 35], [20, 40]]},
        {"label": "line", "shape_type": "line", "points": [[20, 35], [20, 40]]},
    ]
    labelme(tmp_path, "one", shapes)
    labelme(tmp_path, "two", [], flags={"monocyte": True, "eosinophil": False})
    lab = read_domain(tmp_path, name="mine")
    assert lab.layout == "labelme"
    assert lab.table["label"].tolist() == ["monocyte", "eosinophil", "lymphocyte", "basophil", "monocyte"]
    assert lab.table["path"].tolist() == [*(f"one.png#{number}" for number in range(1, 5)), "two.png"]
    found = lab.load_mask(2)
    assert found is not None
    assert found.sum() == disc(4).sum()


def test_a_folder_of_qupath_is_a_lab(tmp_path: Path) -> None:
    from dorl.domains.annotations.writing import write_annotations

    write_annotations([field(tmp_path / "given", name) for name in ("a.png", "b.png")], "qupath", tmp_path / "out")
    lab = read_domain(tmp_path / "out")
    assert (lab.layout, len(lab)) == ("qupath", 6)


def test_a_folder_with_a_note_in_json_stays_a_folder(tmp_path: Path) -> None:
    picture(tmp_path / "monocyte")
    put(tmp_path / "monocyte", "field.json", {"exposure": 3})
    assert read_domain(tmp_path).layout == "folders"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"),
        ("a.json", "[]"),
        ("a.json", '{"images": [{"id": 1}], "annotations": []}'),
        ("a.json", '{"images": [], "annotations": [{"image_id": 3, "bbox": [1, 2, 3, 4]}]}'),
        ("a.json", '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": [1, 2]}]}'),
        ("a.json", '{"shapes": [{"label": "a", "points": [[1]]}], "imagePath": "a.png"}'),
        (
            "a.json",
            '{"shapes": [{"label": "a", "shape_type": "mask", "points": [[1, 1]], "mask": "AA=="}], "imagePath": "a"}',
        ),
        ("a.json", '[{"data": {}, "annotations": [{"result": [{"type": "x", "value": {}}]}]}]'),
        ("a.geojson", '{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[1, 2]]]}}'),
        ("a.xml", "<annotations><image name='a'/></annotations>"),
        ("a.xml", "<annotations"),
        ("a.xml", "<annotation/>"),
        ("a.json", ""),
        ("a.json", "[" * 100_000),
    ],
)
def test_a_damaged_file_is_one_line_that_says_what_to_do(tmp_path: Path, name: str, text: str) -> None:
    error = read_domain_error(put(tmp_path, name, text))
    assert error.startswith(f"{tmp_path}/{name}: ")
    assert "\n" not in error
    assert "give" in error or "export it again" in error


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=[chr(code) for code in range(40, 120)], max_size=30))
def test_packed_runs_are_numbers_or_refused(text: str) -> None:
    try:
        found = unpacked(text)
    except ValueError:
        return
    assert found.dtype == np.int64


def test_a_layout_that_was_asked_for_is_the_only_one_tried(tmp_path: Path) -> None:
    picture(tmp_path)
    path = coco(tmp_path, [{"category_id": 1, "bbox": [10, 10, 8, 12]}])
    assert "holds no annotations that are read" in read_domain_error(path, layout="labelme")
    assert "give the annotation file itself" in read_domain_error(tmp_path, layout="coco")
    assert read_annotations(path, "coco")[0] == "coco"


def test_cells_are_given_to_predict_whatever_their_class(tmp_path: Path) -> None:
    picture(tmp_path)
    boxes = [{"category_id": 2, "bbox": [10, 10, 8, 12]}, {"category_id": 1, "bbox": [40, 10, 8, 12]}]
    lab = gather(str(coco(tmp_path, boxes)))
    assert lab.table["label"].tolist() == [None, "monocyte"]
