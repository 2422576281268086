"""Copies: found whatever was done to their size, border, side and file; cells that are merely alike aren't."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dorl.domains import Domain, read_domain
from dorl.domains.boxes import read_fields
from dorl.domains.duplicates import (
    CAUTIOUS,
    COLUMNS,
    CUT,
    copies_in,
    copy_groups,
    find_copies,
    reduced,
    reduced_all,
)


@pytest.fixture(scope="module")
def lab(rendered: Path) -> Domain:
    return read_domain(rendered / "dune" / "manifest.csv", name="dune")


@pytest.fixture(scope="module")
def harbour(rendered: Path) -> Domain:
    return read_domain(rendered / "harbour" / "manifest.csv", name="harbour")


def changed(
    image: np.ndarray,
    *,
    scale: float = 1.0,
    cut: tuple[float, float, float, float] = (0, 0, 0, 0),
    turns: int = 0,
    mirrored: bool = False,
    quality: int | None = None,
) -> np.ndarray:
    """The same picture cut at the border (shares of its sides), in another size, turned, mirrored and saved anew."""
    height, width = image.shape[:2]
    left, top, right, bottom = cut
    box = (round(left * width), round(top * height), width - round(right * width), height - round(bottom * height))
    picture = Image.fromarray(image).crop(box)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    values = np.rot90(np.asarray(picture), turns)
    values = np.ascontiguousarray(values[:, ::-1] if mirrored else values)
    if quality is None:
        return values
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"scale": 0.5},
        {"scale": 2.3},
        {"cut": (0.05, 0.05, 0.05, 0.05)},
        {"cut": (0.1, 0, 0, 0)},
        {"cut": (0, 0.08, 0.08, 0)},
        {"turns": 1},
        {"turns": 2},
        {"mirrored": True},
        {"quality": 40},
        {"scale": 0.7, "cut": (0.04, 0.07, 0.02, 0), "turns": 3, "mirrored": True, "quality": 60},
    ],
)
def test_a_copy_is_found_among_cells_of_its_lab(lab: Domain, change: dict) -> None:
    images = [lab.load(i) for i in range(10)]
    pairs = find_copies(reduced_all([*images, changed(images[3], **change)]))
    assert pairs[["first", "second"]].to_numpy().tolist() == [[3, 10]]
    assert 0.96 <= pairs["correlation"].iat[0] <= 1


def test_different_cells_of_a_lab_are_no_copies(lab: Domain, harbour: Domain) -> None:
    assert copies_in([lab, harbour]).empty
    assert list(copies_in([lab]).columns) == list(COLUMNS)


def test_copies_are_listed_by_lab_and_path(lab: Domain, harbour: Domain, tmp_path: Path) -> None:
    Image.fromarray(changed(lab.load(5), turns=1, scale=1.5)).save(tmp_path / "one.jpg", quality=80)
    Image.fromarray(harbour.load(2)).save(tmp_path / "two.png")
    Image.fromarray(harbour.load(2)).save(tmp_path / "three.png")
    found = copies_in([lab, read_domain(tmp_path, name="mixed")])
    listed = found[list(COLUMNS[:4])].to_numpy().tolist()
    assert listed == [
        ["dune", lab.table["path"].iat[5], "mixed", "one.jpg"],
        ["mixed", "three.png", "mixed", "two.png"],
    ]


def test_the_same_pictures_give_the_same_pairs(lab: Domain) -> None:
    pictures = reduced_all([lab.load(i) for i in (0, 1, 2, 0, 1)])
    first, second = find_copies(pictures), find_copies(pictures)
    assert first.equals(second)
    assert first["first"].tolist() == [0, 1]


def test_files_and_arrays_are_reduced_alike(lab: Domain, tmp_path: Path) -> None:
    image = changed(lab.load(0), scale=4)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image).save(tmp_path / "a.jpg", quality=95)
    assert reduced(tmp_path / "a.png").tolist() == reduced(image).tolist()
    assert np.abs(reduced(tmp_path / "a.jpg").astype(int) - reduced(image)).max() < 12


def test_what_is_empty_or_can_not_be_read_is_no_copy(lab: Domain, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    white = np.full((80, 80, 3), 255, np.uint8)
    pictures = reduced_all([tmp_path / "broken.jpg", tmp_path / "missing.png", white, white])
    assert not pictures[:2].any()
    assert find_copies(pictures).empty
    assert find_copies(pictures[:0]).empty
    gone = replace(lab, table=lab.table.assign(path="missing.png"))
    assert copies_in([gone]).empty


def test_other_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="give uint8"):
        find_copies(np.zeros((2, 32, 32), np.uint8))


def test_copies_of_copies_are_one_group() -> None:
    assert copy_groups(4, []).tolist() == [0, 1, 2, 3]
    assert copy_groups(6, [(1, 4), (4, 5), (3, 2)]).tolist() == [0, 1, 2, 2, 1, 1]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pairs=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40),
)
def test_groups_join_what_is_paired_and_nothing_else(pairs: list[tuple[int, int]]) -> None:
    groups = copy_groups(20, pairs)
    assert all(groups[a] == groups[b] for a, b in pairs)
    assert all(groups[groups[i]] == groups[i] <= i for i in range(20))
    untouched = set(range(20)) - {i for pair in pairs for i in pair}
    assert all(groups[i] == i for i in untouched)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    scale=st.floats(0.6, 2),
    cut=st.tuples(*[st.floats(0, CUT)] * 4),  # of more, most copies are found, and not every one (docs/copies.md)
    turns=st.integers(0, 3),
    mirrored=st.booleans(),
    quality=st.integers(50, 95),
)
def test_any_such_change_leaves_a_copy(
    lab: Domain, scale: float, cut: tuple[float, float, float, float], turns: int, mirrored: bool, quality: int
) -> None:
    images = [lab.load(i) for i in range(4)]
    copy = changed(images[1], scale=scale, cut=cut, turns=turns, mirrored=mirrored, quality=quality)
    pairs = find_copies(reduced_all([*images, copy]))
    assert pairs[["first", "second"]].to_numpy().tolist() == [[1, 4]]


@pytest.mark.slow
@pytest.mark.shared
def test_the_real_fields_of_bcd_are_fields_of_bccd(data: Path) -> None:
    own = [field.path for field in read_fields(data / "BCCD_fields")]
    others = [field.path for field in read_fields(data / "TXL_fields" / "bcd")]
    pairs = find_copies(reduced_all([*own, *others]), least=CAUTIOUS)
    between = pairs[(pairs["first"] < len(own)) & (pairs["second"] >= len(own))]
    assert between["second"].nunique() >= 210
    odd = [int(own[i].stem[-1]) % 2 == 1 for i in between["first"]]
    assert between[odd]["second"].nunique() >= 105


@pytest.mark.slow
@pytest.mark.shared
def test_real_cells_that_are_alike_are_no_copies(data: Path) -> None:
    jtsc = read_domain(data / "JTSC_zheng2018" / "labels.csv", name="jtsc")
    assert 6 <= len(copies_in([jtsc])) <= 14
    acevedo = read_domain(data / "PBC_dataset_normal_DIB", name="acevedo")
    basophils = acevedo.take(np.flatnonzero(acevedo.table["path"].str.contains("BA_")))
    assert len(copies_in([basophils])) == 1
