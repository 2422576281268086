"""The tree of classes, the code tables, reading of labels, and the level at which two labs compare."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorl.errors import InputError
from dorl.taxonomy import (
    ACEVEDO_CODES,
    ACEVEDO_LEFT_OUT,
    BLOODMNIST_CODES,
    BLOODMNIST_LEFT_OUT,
    CLASSES,
    MATEK_CODES,
    MATEK_LEFT_OUT,
    MLL23_CODES,
    NODES,
    UNCOMMON,
    WBCBENCH_CODES,
    ancestors,
    flat,
    is_a,
    parent,
    parse_label,
    shared_level,
)

node = st.sampled_from(NODES)
lab = st.lists(st.none() | node, max_size=8)


def test_the_thirteen_classes_are_leaves_but_one():
    assert len(CLASSES) == len(set(CLASSES)) == 13
    inner = {parent(name) for name in NODES}
    assert set(CLASSES) & inner == {"lymphocyte_atypical"}  # whose kinds other labs tell
    later = set(NODES) - inner - set(CLASSES)
    assert later == {
        *("lymphocyte_reactive", "lymphocyte_large_granular", "lymphocyte_neoplastic", "hairy_cell", "prolymphocyte"),
        *("plasma_cell", "promyelocyte_atypical"),
    }


def test_the_tree():
    assert parent("cell") is None
    assert ancestors("cell") == ()
    assert ancestors("neutrophil_banded") == ("neutrophil", "granulocyte", "leukocyte", "cell")
    assert ancestors("myelocyte") == ("immature_granulocyte", "granulocyte", "leukocyte", "cell")
    assert is_a("lymphocyte_atypical", "lymphocyte")
    assert is_a("monocyte", "monocyte")
    assert not is_a("lymphocyte", "lymphocyte_atypical")
    assert not is_a("erythroblast", "leukocyte")
    assert not is_a("smudge_cell", "leukocyte")
    assert set(NODES) > UNCOMMON
    assert all(name in UNCOMMON for name in NODES if is_a(name, "immature_granulocyte"))


@pytest.mark.parametrize(
    "call", [parent, ancestors, flat, lambda name: is_a(name, "cell"), lambda name: is_a("cell", name)]
)
def test_a_name_that_is_no_class(call):
    with pytest.raises(InputError, match="neutrofil"):
        call("neutrofil")


def test_code_tables():
    assert len(MATEK_CODES) == 14
    assert len(ACEVEDO_CODES) == 10
    assert sorted(BLOODMNIST_CODES | BLOODMNIST_LEFT_OUT) == list(range(8))
    assert set(MATEK_CODES.values()) == set(CLASSES)
    assert {*ACEVEDO_CODES.values()} <= set(CLASSES)
    assert {*BLOODMNIST_CODES.values()} <= set(NODES)
    assert MATEK_CODES["MOB"] == "monocyte"
    assert (MATEK_CODES["MMZ"], MATEK_CODES["MYB"], MATEK_CODES["MYO"]) == ("metamyelocyte", "myelocyte", "myeloblast")
    assert (ACEVEDO_CODES["MY"], ACEVEDO_CODES["MMY"], ACEVEDO_CODES["PMY"]) == (
        "myelocyte",
        "metamyelocyte",
        "promyelocyte",
    )
    assert len(MLL23_CODES) == len(set(MLL23_CODES.values())) == 18
    assert len(WBCBENCH_CODES) == len(set(WBCBENCH_CODES.values())) == 13
    for codes in (MLL23_CODES, WBCBENCH_CODES):
        level = shared_level(codes.values(), codes.values())
        assert set(level.classes) == set(codes.values())  # none lies above another, so that all are learnt
    assert all(ACEVEDO_CODES[code] == WBCBENCH_CODES[code] for code in set(ACEVEDO_CODES) & set(WBCBENCH_CODES))
    assert set(MATEK_LEFT_OUT) == {"PMB"}
    assert set(ACEVEDO_LEFT_OUT) == {"IG", "NEUTROPHIL", "PLATELET"}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Segmented neutrophil", "neutrophil_segmented"),
        ("neutrophil-segmented", "neutrophil_segmented"),
        ("SEGS", "neutrophil_segmented"),
        ("SegmentedNeutrophils", "neutrophil_segmented"),
        ("Neutrophils", "neutrophil"),
        ("band", "neutrophil_banded"),
        ("Band cells", "neutrophil_banded"),
        ("lymph", "lymphocyte"),
        ("reactive lymphocytes", "lymphocyte_reactive"),
        ("variant lymphs", "lymphocyte_reactive"),
        ("Atypical lymphocytes", "lymphocyte_atypical"),
        ("large granular lymphocytes", "lymphocyte_large_granular"),
        ("Hairy cells", "hairy_cell"),
        ("Plasma cell", "plasma_cell"),
        ("Lymphocyte (typical)", "lymphocyte_typical"),
        ("ig", "immature_granulocyte"),
        ("IGs", "immature_granulocyte"),
        ("Blast", "myeloblast"),
        ("blast cell", "myeloblast"),
        ("Normoblast", "erythroblast"),
        ("NRBCs", "erythroblast"),
        ("Nucleated red blood cells", "erythroblast"),
        ("pro-myelocyte", "promyelocyte"),
        ("Meta myelocytes", "metamyelocyte"),
        ("03_Basophil", "basophil"),
        ("éosinophile", "eosinophil"),
        ("smudge", "smudge_cell"),
        ("Smudge cells", "smudge_cell"),
        ("smear cell", "smudge_cell"),
        ("Basket Cells", "smudge_cell"),
        ("leucocytes", "leukocyte"),
    ],
)
def test_names_in_the_wild(text, label):
    assert parse_label(text) == label


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "cell", "Cells", "images", "train", "patient 7", "12", "白血球"),
        *("platelet", "RBC", "artefact"),
        *("SNE", "KSC"),  # codes have tables of their own
        *("smears", "eosin", "meta", "pro", "shadow", "basket"),  # folders of smears, stains and metadata
    ],
)
def test_names_that_are_no_class(text):
    assert parse_label(text) is None


@pytest.mark.parametrize("name", NODES[1:])
def test_every_class_reads_as_itself(name):
    spellings = {name, name.upper(), name.replace("_", " ").title(), name.replace("_", "-"), f" {name}s "}
    assert {parse_label(text) for text in spellings} == {name}


@given(st.text(max_size=30))
def test_any_text_gives_a_class_or_none(text):
    assert parse_label(text) in (None, *NODES[1:])


def test_flat():
    assert flat("neutrophil") == "neutrophil_segmented"
    assert flat("lymphocyte") == "lymphocyte_typical"
    assert flat("immature_granulocyte") == "immature_granulocyte"
    assert all(flat(name) == name for name in CLASSES)
    assert flat("hairy_cell") == flat("lymphocyte_reactive") == "lymphocyte_atypical"
    assert flat("promyelocyte_atypical") == "promyelocyte"
    assert flat("plasma_cell") == "plasma_cell"


def test_fine_against_coarse_compares_at_the_coarse():
    level = shared_level(CLASSES, ["neutrophil", "lymphocyte", "monocyte", "eosinophil"])
    assert level.classes == ("eosinophil", "lymphocyte", "monocyte", "neutrophil")
    assert level.project("neutrophil_banded") == "neutrophil"
    assert level.project("neutrophil") == "neutrophil"
    assert level.project("myeloblast") is None
    assert level.project("granulocyte") is None  # coarser than the level
    assert level.project(None) is None


def test_a_lab_with_both_depths_compares_at_the_coarser():
    assert shared_level(["neutrophil", "neutrophil_banded"], ["neutrophil_banded"]).classes == ("neutrophil",)


def test_siblings_share_nothing():
    assert shared_level(["neutrophil_banded"], ["neutrophil_segmented"]).classes == ()
    assert shared_level([], CLASSES).classes == ()


def test_a_misspelt_label_is_refused():
    with pytest.raises(InputError, match="neutrofil"):
        shared_level(["neutrofil"], CLASSES)
    with pytest.raises(InputError, match="neutrofil"):
        shared_level(CLASSES, CLASSES).project("neutrofil")


def test_project_all():
    level = shared_level(CLASSES, ["neutrophil", "monocyte"])
    out = level.project_all(np.array(["neutrophil_banded", None, float("nan"), "basophil", "monocyte"], dtype=object))
    assert isinstance(out, np.ndarray)
    assert out.dtype == object
    assert out.tolist() == ["neutrophil", None, None, None, "monocyte"]
    assert level.project_all([]).shape == (0,)


@given(lab, lab)
def test_level_is_symmetric_and_an_antichain(a, b):
    level = shared_level(a, b)
    assert level == shared_level(b, a)
    assert list(level.classes) == sorted(set(level.classes))
    assert not any(is_a(x, y) for x in level.classes for y in level.classes if x != y)
    assert set(level.classes) <= {*a, *b}


@given(lab, lab, node)
def test_a_label_is_what_it_projects_to(a, b, label):
    level = shared_level(a, b)
    projected = level.project(label)
    if projected is None:
        assert not any(is_a(label, name) for name in level.classes)
    else:
        assert projected in level.classes
        assert is_a(label, projected)


@given(lab, lab)
def test_a_label_with_a_counterpart_keeps_one(a, b):
    level = shared_level(a, b)
    for x in filter(None, a):
        for y in filter(None, b):
            if is_a(x, y):  # the finer of a comparable pair is always kept, at one class with the coarser or above it
                assert level.project(x) == level.project(y) is not None


@given(lab)
def test_a_lab_compares_with_itself(labels):
    level = shared_level(labels, labels)
    assert all(level.project(name) is not None for name in labels if name)
