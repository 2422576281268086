"""The folder that WBCBench 2026's competition gives out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorl.domains import read_domain
from dorl.domains.wbcbench import read_entries
from dorl.errors import InputError


def image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images a part; the test part's table names its images alone, and the first table numbers its lines."""
    root = tmp_path / "wbc-bench-2026"
    for number, place in enumerate(("phase1", "phase2/train", "phase2/eval", "phase2/test")):
        for name in ("a.jpg", "b.jpg"):
            image(root / place / name, 10 * number + ord(name[0]))
    (root / "phase1_label.csv").write_text(",ID,labels\n0,a.jpg,SNE\n1,b.jpg,BL\n")
    (root / "phase2_train.csv").write_text("ID,labels\na.jpg,PLY\nb.jpg,VLY\n")
    (root / "phase2_eval.csv").write_text("ID,labels\na.jpg,BNE\nb.jpg,PC\n")
    (root / "phase2_test.csv").write_text("ID,labels\nb.jpg,\na.jpg,\n")
    return root


def test_its_tables_name_images_classes_and_parts(folder: Path) -> None:
    lab = read_domain(folder)
    assert (lab.name, lab.layout, len(lab)) == ("wbc-bench-2026", "wbcbench", 8)
    table = lab.table.set_index("path")
    assert table["label"].dropna().to_dict() == {
        "phase1/a.jpg": "neutrophil_segmented",
        "phase1/b.jpg": "myeloblast",
        "phase2/train/a.jpg": "prolymphocyte",
        "phase2/train/b.jpg": "lymphocyte_reactive",
        "phase2/eval/a.jpg": "neutrophil_banded",
        "phase2/eval/b.jpg": "plasma_cell",
    }
    assert table["split"].tolist() == ["train"] * 4 + ["eval"] * 2 + ["test"] * 2
    assert table.at["phase1/b.jpg", "raw_label"] == "BL"
    assert lab.load(0).shape == (12, 12, 3)
    assert any("WBCBench 2026" in remark for remark in lab.remarks)


def test_the_order_and_the_ids_of_the_test_table_are_kept(folder: Path) -> None:
    (folder / "phase2_test.csv").write_text("ID\nb\na.jpg\n")
    tested = [(entry.id, entry.path) for entry in read_entries(folder) if entry.part == "test"]
    assert tested == [("b", "phase2/test/b.jpg"), ("a.jpg", "phase2/test/a.jpg")]


def test_a_part_alone_is_read_and_another_table_isn_t_taken_for_one(folder: Path, tmp_path: Path) -> None:
    for name in ("phase2_train.csv", "phase2_eval.csv", "phase2_test.csv"):
        (folder / name).unlink()
    assert read_domain(folder).table["path"].tolist() == ["phase1/a.jpg", "phase1/b.jpg"]
    image(tmp_path / "other" / "monocyte" / "a.png")
    (tmp_path / "other" / "phase1_label.csv").write_text("ID,labels\na.png,MO\n")
    assert read_domain(tmp_path / "other").layout == "folders"


def test_what_is_missing_or_of_no_class_is_left_out_with_the_reason(folder: Path) -> None:
    (folder / "phase2" / "train" / "a.jpg").unlink()
    (folder / "phase2_eval.csv").write_text("ID,labels\na.jpg,XX\nb.jpg,PC\n")
    lab = read_domain(folder)
    assert lab.left_out.to_numpy().tolist() == [
        ["phase2/train/a.jpg", "no such file"],
        ["phase2/eval/a.jpg", "unknown class 'XX'"],
    ]


@pytest.mark.parametrize("divider", [";", "\t"])
def test_a_table_that_a_spreadsheet_saved_is_read(folder: Path, divider: str) -> None:
    before = read_domain(folder).table
    for name in ("phase1_label.csv", "phase2_test.csv"):
        text = (folder / name).read_text().replace(",", divider).replace("labels", "Labels")
        (folder / name).write_text(text, encoding="utf-8-sig")
    assert read_domain(folder).table.equals(before)
    # a line that ends early has no class
    (folder / "phase1_label.csv").write_text("ID,labels\na.jpg\n\nb.jpg,BL\n")
    assert read_domain(folder).table["raw_label"].tolist()[:2] == [None, "BL"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("image,labels\na.jpg,SNE\n", r"phase1_label\.csv: has no column 'ID'"),
        ("ID,labels\na.jpg,SNE\na.jpg,BL\n", r"phase1_label\.csv: line 3: 'a\.jpg' stands there twice"),
        ("ID,labels\n../a.jpg,SNE\n", r"line 2: '\.\./a\.jpg' is no file of phase1"),
        ("ID,labels\n,SNE\n", "line 2: '' is no file of phase1"),
        ("", r"phase1_label\.csv: can't be read as a csv table"),
    ],
)
def test_a_table_that_can_t_be_used_is_refused_in_one_line(folder: Path, text: str, match: str) -> None:
    (folder / "phase1_label.csv").write_text(text)
    with pytest.raises(InputError, match=match):
        read_domain(folder)
