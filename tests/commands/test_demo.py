from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dorl.commands.demo import LABS, NEW_LAB, demo
from dorl.errors import InputError


@pytest.mark.slow
def test_demo_walks_the_whole_road(tmp_path: Path) -> None:
    report = demo(out=tmp_path / "d", cells=26, iterations=2)
    assert report == tmp_path / "d" / "run" / "report.html"
    assert report.stat().st_size > 100_000
    assert len((tmp_path / "d" / "predictions.csv").read_text().splitlines()) == 27
    results = pd.read_csv(tmp_path / "d" / "run" / "results.csv")
    assert set(results["train"]) == set(results["test"]) == set(LABS)
    assert (tmp_path / "d" / "labs" / NEW_LAB / "manifest.csv").exists()
    with pytest.raises(InputError, match="finished demo"):
        demo(out=tmp_path / "d", cells=26, iterations=2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"cells": 25}, "26 a lab or more"), ({"iterations": -1}, "iterations is -1"), ({"seed": -1}, "seed is -1")],
)
def test_wrong_numbers_are_refused_before_anything_is_rendered(
    tmp_path: Path, wrong: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        demo(out=tmp_path / "d", **wrong)
    assert not (tmp_path / "d").exists()


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        demo(out=tmp_path / "d")
    assert (tmp_path / "d").read_text() == "mine"
