from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dorl.domains import read_domain
from dorl.domains.boxes import KINDS, Field, read_fields, without_copies
from dorl.errors import InputError

VOC = (
    "<annotation><object><name>{name}</name><bndbox>"
    "<xmin>{xmin}</xmin><ymin>3</ymin><xmax>20</xmax><ymax>16</ymax></bndbox></object></annotation>"
)


def field(root: Path, notes: str, *, layout: str = "yolo", name: str = "a") -> Path:
    images, labels, ending = ("images", "labels", "txt") if layout == "yolo" else ("JPEGImages", "Annotations", "xml")
    for folder in (images, labels):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(root / images / f"{name}.png")
    (root / labels / f"{name}.{ending}").write_text(notes)
    return root


def test_yolo_boxes_are_in_pixels(tmp_path: Path) -> None:
    (one,) = read_fields(field(tmp_path, "0 0.5 0.5 0.25 0.5\n\n1 0.1 0.1 0.1 0.1\n2 0.9 0.9 0.1 0.1\n"))
    assert one.kinds == KINDS
    np.testing.assert_allclose(one.of("WBC"), [[24, 12, 40, 36]])
    assert one.of("RBC").shape == (1, 4)


def test_voc_boxes_are_as_they_stand(tmp_path: Path) -> None:
    (one,) = read_fields(field(tmp_path, VOC.format(name="Platelets", xmin=4), layout="voc"))
    assert one.kinds == ("platelet",)
    assert one.boxes.tolist() == [[4, 3, 20, 16]]
    assert one.of("WBC").shape == (0, 4)


def test_images_without_annotations_are_passed_over(tmp_path: Path) -> None:
    field(tmp_path, "", name="b")
    field(tmp_path, "", name="a")
    (tmp_path / "labels" / "b.txt").unlink()
    (tmp_path / "images" / "notes.md").write_text("")
    assert [one.path.name for one in read_fields(tmp_path)] == ["a.png"]


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.1", "7 0.5 0.5 0.1 0.1", "cell 0.5 0.5 0.1 0.1", "0 a b c d"])
def test_a_bad_yolo_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"a\.txt, line 2: not 'class x y width height'"):
        read_fields(field(tmp_path, f"0 0.5 0.5 0.1 0.1\n{line}\n"))


@pytest.mark.parametrize(
    "text",
    [
        "<annotation>",
        VOC.format(name="alien", xmin=4),
        VOC.format(name="WBC", xmin=""),
        VOC.format(name="WBC", xmin="x"),
    ],
)
def test_a_bad_voc_file_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"a\.xml: not a Pascal-VOC annotation"):
        read_fields(field(tmp_path, text, layout="voc"))


def test_entities_and_large_files_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY x "lol">]><annotation>&x;</annotation>'
    with pytest.raises(InputError, match="document type"):
        read_fields(field(tmp_path / "one", bomb, layout="voc"))
    with pytest.raises(InputError, match="over 1 MB"):
        read_fields(field(tmp_path / "two", " " * (2**20 + 1)))


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no annotated fields"):
        read_fields(tmp_path)


def test_fields_that_stand_in_another_set_are_left_out(rendered: Path, tmp_path: Path) -> None:
    lab = read_domain(rendered / "dune" / "manifest.csv")
    own = [Field(lab.root / path, np.zeros((0, 4)), ()) for path in lab.table["path"][:3]]
    Image.fromarray(np.rot90(lab.load(1))).resize((100, 100)).save(tmp_path / "other.png")
    assert without_copies(own, [Field(tmp_path / "other.png", np.zeros((0, 4)), ())]) == [own[0], own[2]]
    assert without_copies([own[0], own[0]], []) == [own[0], own[0]]


@given(text=st.text(max_size=60), layout=st.sampled_from(["yolo", "voc"]))
def test_any_annotation_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str, layout: str) -> None:
    root = tmp_path_factory.mktemp("fields")
    field(root, "", layout=layout)
    notes = root / ("labels/a.txt" if layout == "yolo" else "Annotations/a.xml")
    notes.write_text(text, encoding="utf-8", errors="replace")
    try:
        (one,) = read_fields(root)
    except InputError:
        return
    assert one.boxes.shape == (len(one.kinds), 4)


def test_the_real_fields_have_white_cells(data: Path) -> None:
    found = read_fields(data / "BCCD_fields")
    assert len(found) == 364
    assert sum(len(one.of("WBC")) for one in found) > 364
    assert len(read_fields(data / "TXL_fields" / "raabin")) == 500
