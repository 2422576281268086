"""Labs that come as a table: what is read, what is left out, and what is refused."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dorl.domains import Domain, read_domain
from dorl.errors import InputError


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (200, 150, 180)).save(root / name)


def manifest(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def reasons(lab: Domain) -> dict[str, str]:
    return dict(zip(lab.left_out["path"], lab.left_out["reason"], strict=True))


def by_path(lab: Domain, column: str = "label") -> dict[str, str | None]:
    return dict(zip(lab.table["path"], lab.table[column], strict=True))


def refused(path: str | Path, match: str, **options: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        read_domain(path, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture
def folder(tmp_path) -> Path:
    put(tmp_path / "clinic", "images/1.png", "images/2.png", "images/3.png")
    cell = np.zeros((10, 12), np.uint8)
    cell[2:6, 3:9] = 128
    Image.fromarray(cell).save(tmp_path / "clinic" / "m1.png")
    return tmp_path / "clinic"


ROWS = [
    {"image": "images/2.png", "mask": "", "label": "Neutrophils", "patient": "007", "split": "test"},
    {"image": "images/1.png", "mask": "m1.png", "label": "monocyte", "patient": "NA", "split": "train"},
    {"image": "images/3.png", "mask": "", "label": "", "patient": "", "split": ""},
]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_manifest(folder, kind):
    path = folder / f"labels.{kind}"
    manifest(path, ROWS) if kind == "csv" else pd.DataFrame(ROWS).to_parquet(path)
    lab = read_domain(path)
    assert (lab.name, lab.layout) == ("clinic", "manifest")
    assert by_path(lab) == {"images/1.png": "monocyte", "images/2.png": "neutrophil", "images/3.png": None}
    assert by_path(lab, "patient") == {"images/1.png": "NA", "images/2.png": "007", "images/3.png": None}
    assert by_path(lab, "split")["images/2.png"] == "test"
    first = list(lab.table["path"]).index("images/1.png")
    assert lab.load_mask(first).sum() == 24
    assert lab.has_masks


def test_manifest_of_windows_and_excel(folder):
    (folder / "l.csv").write_bytes(b"\xef\xbb\xbfimage, label\r\nimages\\1.png, Basophil\r\n")
    assert by_path(read_domain(folder / "l.csv")) == {"images/1.png": "basophil"}


def test_manifest_with_a_comma_too_many(folder):
    (folder / "l.csv").write_text("image,label\nimages/1.png,basophil,\nimages/2.png,monocyte,\n")
    assert by_path(read_domain(folder / "l.csv")) == {"images/1.png": "basophil", "images/2.png": "monocyte"}


def test_rows_that_are_left_out(folder):
    (folder / "text.png").write_text("x")
    rows = [
        {"image": "images/1.png", "mask": "", "label": "basophil"},
        {"image": "images/none.png", "mask": "", "label": "basophil"},
        {"image": "images/2.png", "mask": "none.png", "label": "basophil"},
        {"image": "images/3.png", "mask": "", "label": "Alien"},
        {"image": "text.png", "mask": "", "label": "basophil"},
        {"image": "", "mask": "", "label": "basophil"},
        {"image": ".", "mask": "", "label": "basophil"},
        {"image": "y" * 300 + ".png", "mask": "", "label": "basophil"},
    ]
    lab = read_domain(manifest(folder / "l.csv", rows))
    assert list(lab.table["path"]) == ["images/1.png"]
    left = reasons(lab)
    assert left["images/none.png"] == "no such file"
    assert left["images/2.png"] == "its mask is missing"
    assert left["images/3.png"] == "unknown class 'Alien'"
    assert left["text.png"].startswith("not a readable")
    assert len(left) == 7


@pytest.mark.parametrize("column", ["image", "mask"])
@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "../secret.png",
        "images/../../secret.png",
        "images/../images/1.png",
        "C:\\x.png",
        "..\\secret.png",
    ],
)
def test_paths_that_leave_the_folder_are_refused(folder, column, text):
    put(folder.parent, "secret.png")
    row = {"image": "images/1.png", "mask": ""} | {column: text}
    refused(manifest(folder / "l.csv", [row]), "row 1: .*outside the manifest's folder")


@pytest.mark.posix
def test_links_that_leave_the_folder_are_left_out(folder):
    put(folder.parent, "secret.png")
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "up").symlink_to(folder.parent)
    (folder / "inside.png").symlink_to(folder / "images/1.png")
    lab = read_domain(
        manifest(folder / "l.csv", [{"image": name} for name in ("link.png", "up/secret.png", "inside.png")])
    )
    assert list(lab.table["path"]) == ["inside.png"]
    reason = "is a link that leads out of the manifest's folder: put the file itself there"
    assert reasons(lab) == {"link.png": reason, "up/secret.png": reason}
    rows = [{"image": "inside.png", "mask": ""}, {"image": "images/2.png", "mask": "link.png"}]
    assert reasons(read_domain(manifest(folder / "l.csv", rows))) == {"images/2.png": f"its mask {reason}"}


@pytest.mark.posix
def test_a_manifest_reached_by_a_link_is_read(folder, tmp_path):
    manifest(folder / "l.csv", ROWS)
    (tmp_path / "short").symlink_to(folder)
    assert len(read_domain(tmp_path / "short" / "l.csv")) == 3


def test_images_to_be_looked_at_are_kept_whatever_is_said_of_them(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png", "c.png")
    rows = [("a.png", "unclassified", ""), ("b.png", "monocyte", "none.png"), ("c.png", "cell", ""), ("d.png", "", "")]
    path = manifest(tmp_path / "new.csv", [dict(zip(("image", "label", "mask"), row, strict=True)) for row in rows])
    refused(path, "none of 4 images can be used, most since: unknown class 'unclassified'")
    lab = read_domain(path, any_class=True)
    assert by_path(lab) == {"a.png": None, "b.png": "monocyte", "c.png": None}
    assert reasons(lab) == {"d.png": "no such file"}
    assert not lab.has_masks


def test_wrong_manifests(folder):
    refused(manifest(folder / "l.csv", [{"file": "images/1.png", "label": "x"}]), "no column 'image'.*file, label")
    refused(manifest(folder / "l.csv", [{"image": "images/1.png"}] * 2), "more than once")
    refused(manifest(folder / "l.csv", [{"image": "images/none.png"}]), "none of 1 image can be used.*no such file")
    refused(folder / "none.csv", "no such file")
    refused(folder, "give the .csv or .parquet", layout="manifest")
    (folder / "l.csv").write_text("image,label\n")
    refused(folder / "l.csv", "has no row")
    for content in (b"", b"\xff\xfe\x00\x01", b"\x00" * 40, b'image\n"open'):
        (folder / "l.csv").write_bytes(content)
        refused(folder / "l.csv", "l.csv")
    (folder / "l.parquet").write_bytes(b"PAR1 but not")
    refused(folder / "l.parquet", "can't be read as a parquet table")
    refused(manifest(folder / "l.csv", ROWS), "is a file", layout="folders")


def test_parquet_with_odd_columns(folder):
    path = folder / "l.parquet"
    pd.DataFrame({"image": ["images/1.png", "images/2.png"], "label": [["a", "b"], ["c"]]}).to_parquet(path)
    refused(path, "unknown class")
    pd.DataFrame({"image": [{"bytes": b"x"}]}).to_parquet(path)
    refused(path, "l.parquet|clinic")
    pd.DataFrame({"image": ["images/1.png"], "patient": [7]}).to_parquet(path)
    assert by_path(read_domain(path), "patient") == {"images/1.png": "7"}


cell = st.one_of(
    st.sampled_from(
        ["a.png", "b.png", "./a.png", "deep/c.png", "none.png", "", "..", ".", "~", "bad.png", "deep", "neutrophil"]
    ),
    st.text(max_size=12),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(cell, cell, cell), max_size=5), st.sampled_from(["csv", "parquet"]))
def test_any_manifest_is_read_or_refused(rows, kind):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "deep").mkdir()
        put(root, "a.png", "b.png", "deep/c.png")
        (root / "bad.png").write_bytes(b"junk")
        table = pd.DataFrame(rows, columns=["image", "mask", "label"], dtype=object)
        path = root / f"l.{kind}"
        try:
            table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
        except UnicodeEncodeError:  # lone surrogates, which no UTF-8 file holds
            return
        try:
            lab = read_domain(path, name="lab")
        except InputError:
            return
        assert set(lab.table["path"]) <= {"a.png", "b.png", "deep/c.png"}
        if kind == "parquet":  # a CSV loses rows that are blank, and may gain some by odd line ends
            assert len(lab) + len(lab.left_out) == len(rows)


def test_labels_that_are_wbcbenchs_codes_alone_are_read_by_its_table(tmp_path):
    put(tmp_path, *(f"{n}.png" for n in range(4)))
    rows = [{"image": f"{n}.png", "label": code} for n, code in enumerate(("SNE", "VLY", "PLY", "BL"))]
    lab = read_domain(manifest(tmp_path / "codes.csv", rows))
    assert lab.labels.tolist() == ["neutrophil_segmented", "lymphocyte_reactive", "prolymphocyte", "myeloblast"]
    assert any("as in WBCBench 2026" in remark for remark in lab.remarks)
    rows[0]["label"] = "Segmented neutrophil"  # a table of names isn't one of codes
    mixed = read_domain(manifest(tmp_path / "mixed.csv", rows))
    assert mixed.labels.tolist() == ["neutrophil_segmented"]
    assert "unknown class 'VLY'" in mixed.left_out["reason"].tolist()
