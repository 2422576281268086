"""A manifest's columns: understood however they are written, or asked about by name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dorl.domains import Domain, read_domain
from dorl.errors import InputError


def read(folder: Path, text: str, *, any_class: bool = False) -> Domain:
    for name in ("a.png", "b.png"):
        Image.linear_gradient("L").resize((12, 10)).save(folder / name)
    (folder / "l.csv").write_bytes(text.encode("utf-8-sig" if text.startswith("image") else "utf-8"))
    return read_domain(folder / "l.csv", any_class=any_class)


@pytest.mark.parametrize("column", ["label", "Label", "LABEL", "label ", " label", "Labels", "class", "Class "])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_columns_and_delimiters(tmp_path, column, delimiter):
    text = f"image,{column},Patient ID\na.png,monocyte,7\nb.png,Neutrophils,8\n".replace(",", delimiter)
    lab = read(tmp_path, text)
    assert lab.labels.tolist() == ["monocyte", "neutrophil"]
    assert lab.table["patient"].tolist() == ["7", "8"]
    assert any("is read as 'label'" in remark for remark in lab.remarks) == ("class" in column.lower())


@pytest.mark.parametrize("column", ["cell_type", "CellType", "cell class", "class-name", "category"])
def test_other_names_of_the_label_are_told(tmp_path, column):
    lab = read(tmp_path, f"Image,{column}\na.png,monocyte\nb.png,\n")
    assert lab.labels.tolist() == ["monocyte", None]
    assert lab.remarks == (f"column {column!r} is read as 'label'; rename it if that is wrong",)


def test_the_exact_name_wins(tmp_path):
    lab = read(tmp_path, "image,class,label\na.png,basophil,monocyte\nb.png,basophil,\n")
    assert lab.labels.tolist() == ["monocyte", None]
    assert read(tmp_path, "image,Label,class\na.png,monocyte,basophil\n").labels.tolist() == ["monocyte"]


@pytest.mark.parametrize("column", ["diagnosis", "Zelltyp", "expert 1"])
def test_classes_in_a_column_of_another_name_are_asked_about(tmp_path, column):
    text = f"image,{column},note\na.png,monocyte,clear\nb.png,lymphocyte?,blurred\n"
    with pytest.raises(InputError, match=rf"has no column 'label', and classes in '{column}': rename") as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert len(read(tmp_path, text, any_class=True)) == 2


def test_two_columns_that_are_alike_are_asked_about(tmp_path):
    with pytest.raises(InputError, match="columns 'Label' and 'LABEL' are alike; rename one to 'label'"):
        read(tmp_path, "image,Label,LABEL\na.png,monocyte,basophil\n")


def test_excel(tmp_path):
    assert read(tmp_path, 'sep=;\r\n"image";"label"\r\na.png;"monocyte"\r\n').labels.tolist() == ["monocyte"]
    lab = read(tmp_path, '"image","label"\n"a.png","monocyte; large"\n', any_class=True)
    assert lab.table["raw_label"].tolist() == ["monocyte; large"]


def test_parquet(tmp_path):
    read(tmp_path, "image\na.png\n")
    pd.DataFrame({"Image": ["a.png"], "Class": ["monocyte"]}).to_parquet(tmp_path / "l.parquet")
    assert read_domain(tmp_path / "l.parquet").labels.tolist() == ["monocyte"]


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("lymphocyte?", "label 'lymphocyte?' is uncertain: name a class, or leave it empty"),
        ("? Monocyte", "label '? Monocyte' is uncertain: name a class, or leave it empty"),
        ("monocyte？", "label 'monocyte？' is uncertain: name a class, or leave it empty"),
        ("nan", "label 'nan' may stand for none: leave it empty, or name a class"),
        ("#N/A", "label '#N/A' may stand for none: leave it empty, or name a class"),
        ("unsure", "label 'unsure' may stand for none: leave it empty, or name a class"),
        ("not lymphocyte", "unknown class 'not lymphocyte'"),
        ("lymphocyte or monocyte", "unknown class 'lymphocyte or monocyte'"),
        ("N/A", "label 'N/A' may stand for none: leave it empty, or name a class"),
        ("None", "label 'None' may stand for none: leave it empty, or name a class"),
        ("?", "label '?' may stand for none: leave it empty, or name a class"),
        ("alien?", "unknown class 'alien?'"),
    ],
)
def test_doubtful_labels_are_told_and_not_guessed(tmp_path, label, reason):
    lab = read(tmp_path, f"image,label\na.png,{label}\nb.png,monocyte\n")
    assert lab.table["path"].tolist() == ["b.png"]
    assert lab.left_out["reason"].tolist() == [reason]
    assert read(tmp_path, f"image,label\na.png,{label}\nb.png,monocyte\n", any_class=True).labels[0] is None


def test_a_table_that_is_no_utf8(tmp_path):
    read(tmp_path, "image\na.png\n")
    (tmp_path / "a.png").rename(tmp_path / "\xe9.png")
    (tmp_path / "l.csv").write_bytes("Image;Class;Pr\xe9l\xe8vement\n\xe9.png;Neutrophils;\xe0\n".encode("cp1252"))
    lab = read_domain(tmp_path / "l.csv")
    assert lab.table[["path", "label"]].to_numpy().tolist() == [["\xe9.png", "neutrophil"]]
    (tmp_path / "l.csv").write_bytes("image;Pr\xe9l\xe8vement\n\xe9.png;1\n".encode("cp1252"))
    (remark,) = read_domain(tmp_path / "l.csv").remarks
    assert "Pr\\xe9l\\xe8vement" in remark


def test_names_of_other_systems_and_formulas(tmp_path):
    read(tmp_path, "image\na.png\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "deep" / "e\u0301.png")
    (tmp_path / "b.png").rename(tmp_path / "=1+1.png")
    (tmp_path / "l.csv").write_text("image;label\ndeep\\\xe9.png;monocyte\n'=1+1.png;monocyte\n", encoding="utf-8")
    assert read_domain(tmp_path / "l.csv").table["path"].tolist() == ["deep/e\u0301.png", "=1+1.png"]


def test_a_table_that_excel_saved_as_unicode_text(tmp_path):
    read(tmp_path, "image\na.png\n")
    (tmp_path / "l.csv").write_bytes("image\tlabel\na.png\tmonocyte\n".encode("utf-16"))
    assert read_domain(tmp_path / "l.csv").labels.tolist() == ["monocyte"]


def test_two_columns_of_one_name_are_asked_about(tmp_path):
    for columns in ("image,label,label", "image,Label,Label", "image,image,label"):
        with pytest.raises(InputError, match=r"has two columns '\w+': rename the one that isn't meant, or take it out"):
            read(tmp_path, f"{columns}\na.png,monocyte,neutrophil\n")
    assert read(tmp_path, "image,label,note,note\na.png,monocyte,x,y\n").labels.tolist() == ["monocyte"]


def test_a_table_without_names_of_columns_is_told_so(tmp_path):
    with pytest.raises(InputError, match="has no line that names its columns: put one first, for example image,label"):
        read(tmp_path, "a.png,monocyte\nb.png,neutrophil\n")
