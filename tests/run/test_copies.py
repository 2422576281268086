"""Copies are listed, told and kept on one side in every command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.benchmark.jobs import asked_rows, copies_note
from dorl.benchmark.labs import draw, prepare_lab, with_groups
from dorl.commands.inspect import inspect
from dorl.domains import read_domain, read_domains
from dorl.domains.duplicates import COLUMNS, copies_in
from dorl.reporting.warnings import cautions
from dorl.run import copies as copies_module
from dorl.run.copies import DUPLICATES, copy_counts, find_copies_in, group_numbers, read_copies


@pytest.fixture
def two(rendered: Path, tmp_path: Path) -> list[str]:
    """Lab "dune", and a lab "other": three cells of "harbour", one of them twice, and one of "dune"."""
    dune, harbour = (read_domain(rendered / name / "manifest.csv") for name in ("dune", "harbour"))
    folder = tmp_path / "other"
    for i in range(3):
        (folder / harbour.labels[i]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(harbour.load(i)).save(folder / harbour.labels[i] / f"{i}.png")
    Image.fromarray(np.rot90(harbour.load(0))).save(folder / harbour.labels[0] / "again.png")
    Image.fromarray(dune.load(4)[:, ::-1]).resize((90, 90)).save(folder / harbour.labels[1] / "foreign.jpg", quality=80)
    return [f"dune={rendered / 'dune' / 'manifest.csv'}", f"other={folder}"]


def test_inspect_lists_copies_and_says_how_many(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inspect(two, out=tmp_path / "out")
    assert (tmp_path / "out" / DUPLICATES).is_file()
    copies = read_copies(tmp_path / "out")
    assert list(copies.columns) == list(COLUMNS)
    assert copies[["lab", "other_lab"]].to_numpy().tolist() == [["dune", "other"], ["other", "other"]]
    assert (copies["correlation"] >= 0.96).all()
    assert "2 pairs of pictures show the same (1 in dune and other, 1 in other)" in "".join(capsys.readouterr())


def test_without_copies_the_list_is_empty(rendered: Path, tmp_path: Path) -> None:
    copies = find_copies_in([read_domain(rendered / "dune" / "manifest.csv", name="dune")], tmp_path)
    assert copies.empty
    assert read_copies(tmp_path).empty
    assert copy_counts(copies) == []
    assert copies.empty


def test_copies_are_not_searched_for_again_until_an_image_changes(
    two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    monkeypatch.setattr(copies_module, "copies_in", lambda labs: searched.append(1) or copies_in(labs))
    labs = read_domains(two)
    first = find_copies_in(labs, tmp_path / "out")
    (tmp_path / "out" / DUPLICATES).unlink()
    again = find_copies_in(labs, tmp_path / "out")
    pd.testing.assert_frame_equal(again, first)
    pd.testing.assert_frame_equal(read_copies(tmp_path / "out"), first)
    assert len(searched) == 1
    image = next((tmp_path / "other").rglob("again.png"))
    Image.fromarray(np.asarray(Image.open(image))[::-1]).save(image)
    find_copies_in(labs, tmp_path / "out")
    find_copies_in(labs[:1], tmp_path / "out")
    assert len(searched) == 3


def test_names_that_a_spreadsheet_would_run_or_change_come_back(rendered: Path, tmp_path: Path) -> None:
    folder, images = tmp_path / "lab", sorted((rendered / "dune" / "images").iterdir())
    folder.mkdir()
    for name in ("=1+1.png", "'=2.png", "NA.png"):
        (folder / name).write_bytes(images[0].read_bytes())
    copies = find_copies_in([read_domain(folder, name="lab")], tmp_path)
    assert read_copies(tmp_path)[["path", "other_path"]].equals(copies[["path", "other_path"]])
    assert {*copies["path"], *copies["other_path"]} == {"=1+1.png", "'=2.png", "NA.png"}
    assert "'=1+1.png" in (tmp_path / DUPLICATES).read_text()


def test_groups_reach_over_labs() -> None:
    rows = [("a", "1", "b", "1", 1.0), ("b", "1", "b", "2", 0.99), ("a", "9", "a", "1", 1.0)]
    groups = group_numbers(["a", "a", "b", "b"], ["1", "2", "1", "2"], pd.DataFrame(rows, columns=list(COLUMNS)))
    assert groups.tolist() == [0, 1, 0, 0]


def test_warnings_count_copies() -> None:
    lab = {"classes": {"monocyte": 50}, "left_out": {}, "cells": 50, "without_cell": 0}
    copies = [{"lab": "a", "other_lab": "a", "pairs": 2}, {"lab": "a", "other_lab": "b", "pairs": 3}]
    found = cautions({"labs": {"a": lab, "b": lab}, "copies": copies})
    assert found[0].startswith("a: 2 pairs of its pictures show the same")
    assert found[1].startswith("a and b: 3 pairs of pictures show the same")
    assert cautions({"labs": {"a": lab}}) == []


def test_a_benchmark_tests_no_copy_and_splits_none(rendered: Path) -> None:
    labs = {
        name: prepare_lab(read_domain(rendered / name / "manifest.csv", name=name), None, only_source=False)
        for name in ("dune", "harbour")
    }
    dune, harbour = (lab.domain.table["path"].tolist() for lab in labs.values())
    rows = [("dune", dune[0], "harbour", harbour[6], 1.0), ("dune", dune[1], "dune", dune[2], 1.0)]
    grouped = with_groups(labs, pd.DataFrame(rows, columns=list(COLUMNS)))
    assert 6 not in asked_rows(grouped["dune"], grouped["harbour"])
    patients = labs["harbour"].domain.table["patient"].to_numpy(object)
    others = np.flatnonzero(patients != patients[6])  # the copy's patient is in the lab learnt from
    assert asked_rows(grouped["dune"], grouped["harbour"]).tolist() == others.tolist()
    for number in range(3):
        learn, held = draw(grouped["dune"], per_class=None, folds=3, number=number, seed=0, first=0)
        assert ({1, 2} <= set(learn.tolist())) != ({1, 2} <= set(held.tolist()))
    assert "1 image of harbour is a copy of dune's" in copies_note(grouped["dune"], grouped["harbour"])[0]
    assert copies_note(labs["dune"], labs["harbour"]) == []


@pytest.mark.slow
def test_a_run_lists_its_copies_and_warns(two: list[str], tmp_path: Path) -> None:
    from dorl.commands.fit import fit

    fit(two, out=tmp_path / "run", source=["dune"], iterations=2, folds=2)
    assert len(read_copies(tmp_path / "run")) == 2
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert {"lab": "dune", "other_lab": "other", "pairs": 1} in metrics["copies"]
    assert any("1 cell of other is a copy of cells of dune" in note for note in metrics["notes"])
    assert "1 pair of pictures shows the same (duplicates.csv)" in (tmp_path / "run" / "report.html").read_text()
