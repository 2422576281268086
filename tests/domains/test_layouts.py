"""What a user laid out wins over what a file's name looks like."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dorl.domains import Domain, read_domain


def read(root: Path, *names: str, layout: str = "auto") -> Domain:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").resize((12, 10)).save(root / name)
    return read_domain(root, layout=layout)


def labels(lab: Domain) -> dict[str, str | None]:
    return dict(zip(lab.table["path"], lab.labels, strict=True))


def test_the_class_folder_wins_over_a_prefix(tmp_path):
    names = ["neutrophil/MO_1.png", "neutrophil/EO_2.png", "neutrophil/LY_3.png", "lymphocyte/MO_4.png"]
    lab = read(tmp_path, *names)
    assert labels(lab) == {name: name.split("/")[0] for name in names}
    (remark,) = lab.remarks
    assert remark.startswith("4 file names look like Acevedo-20's codes for another class than their folder's")
    assert remark.endswith("the folder is taken; move them out of the folder if the name is right")


def test_a_prefix_of_a_finer_class_of_the_same_is_kept(tmp_path):
    names = ["neutrophil/BNE_1.png", "neutrophil/SNE_2.png", "lymphocyte/LY_3.png", "ig/MMY_4.png", "ig/IG_5.png"]
    lab = read(tmp_path, *names)
    assert lab.layout == "acevedo"
    assert lab.remarks[0].startswith("classes are taken from the codes of the file names, as in Acevedo-20")
    assert list(labels(lab).values()) == [
        *("metamyelocyte", "lymphocyte_typical", "neutrophil_banded", "neutrophil_segmented")
    ]
    assert lab.left_out["path"].tolist() == ["ig/IG_5.png"]


def test_one_contradiction_among_many_codes(tmp_path):
    names = [f"neutrophil/SNE_{number}.png" for number in range(40)]
    lab = read(tmp_path, *names, "neutrophil/MO_99.png", "neutrophil/IMG.png", "monocyte/PLATELET_3.png")
    found = labels(lab)
    assert lab.layout == "acevedo"
    assert found["neutrophil/SNE_7.png"] == "neutrophil_segmented"
    assert found["neutrophil/MO_99.png"] == "neutrophil"
    assert found["neutrophil/IMG.png"] == "neutrophil"
    assert found["monocyte/PLATELET_3.png"] == "monocyte"
    assert len(lab.remarks) == 1


def test_the_codes_of_one_folder_do_not_unname_the_others(tmp_path):
    lab = read(tmp_path, "BAS/BAS_0001.png", "neutrophil/1.png", "Lymphocytes/NGS_2.png", "other/3.png")
    assert labels(lab) == {
        "BAS/BAS_0001.png": "basophil",
        "Lymphocytes/NGS_2.png": "lymphocyte",
        "neutrophil/1.png": "neutrophil",
    }
    assert lab.left_out["reason"].tolist() == ["unknown class 'other'"]


@pytest.mark.parametrize("layout", ["acevedo", "matek"])
def test_a_layout_that_is_asked_for_takes_its_codes_alone(tmp_path, layout):
    name = "neutrophil/MO_1.png" if layout == "acevedo" else "neutrophil/MON/MON_1.png"
    assert list(labels(read(tmp_path, name, layout=layout)).values()) == ["monocyte"]


def test_doubtful_folders_are_told(tmp_path):
    names = ["neutrophil/1.png", "lymphocyte?/2.png", "neutrophil/monocyte ?/3.png", "monocyte/unknown/4.png"]
    lab = read(tmp_path, *names)
    assert labels(lab) == {"monocyte/unknown/4.png": "monocyte", "neutrophil/1.png": "neutrophil"}
    assert dict(zip(lab.left_out["path"], lab.left_out["reason"], strict=True)) == {
        "lymphocyte?/2.png": "folder 'lymphocyte?' is uncertain: name a class",
        "neutrophil/monocyte ?/3.png": "folder 'monocyte ?' is uncertain: name a class",
    }


def test_a_table_in_the_folder_is_told(tmp_path):
    (tmp_path / "labels.csv").write_text("Image;Label\n1.png;monocyte\n")
    (tmp_path / "measures.csv").write_text("path,area\n1.png,7\n")
    (remark,) = read(tmp_path, "1.png").remarks
    assert remark == "labels.csv lists images and isn't read with the folder: give the file itself to use it"


def test_mll23_is_known_by_its_folders_and_its_plain_lymphocytes_are_typical(tmp_path):
    folders = [
        "lymphocyte",
        "lymphocyte_large_granular",
        "lymphocyte_neoplastic",
        "promyelocyte_atypical",
        "normoblast",
    ]
    lab = read(tmp_path, *(f"{folder}/1.png" for folder in folders))
    assert lab.layout == "mll23"
    assert lab.remarks[0].startswith("classes are taken from the codes of the folders, as in MLL23")
    assert set(lab.classes) == {"lymphocyte_typical", "erythroblast", *folders[1:4]}
    alone = read(tmp_path / "other", "lymphocyte/1.png", "hairy_cell/2.png")
    assert (alone.layout, alone.classes) == ("folders", ("hairy_cell", "lymphocyte"))
