from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.benchmark.corruptions import CLEAN, SHOWN, corrupted_versions, kept_table, write_corruptions
from dorl.benchmark.jobs import Plan, plan
from dorl.benchmark.labs import prepare_lab
from dorl.benchmark.methods import ROWS
from dorl.commands.benchmark import benchmark
from dorl.domains import read_domain
from dorl.domains.corrupted import KINDS, STRENGTHS
from dorl.errors import InputError
from dorl.reporting.figures.corruptions import corruption_curves


def rows(accuracies: dict[str, float], protocol: str = "unseen") -> list[dict[str, object]]:
    """Rows of a method whose accuracy falls with the strength by a tenth of what is given of a kind."""
    found = []
    for kind, strength in [(CLEAN, 0), *((kind, strength) for kind in KINDS for strength in STRENGTHS)]:
        value = 0.8 - 0.1 * strength * accuracies.get(kind, 0)
        scores = {f"{score}{limit}": value for score in ("accuracy", "macro_f1") for limit in ("", "_low", "_high")}
        scores |= {f"macro_f1{limit}": value / 2 for limit in ("", "_low", "_high")} if kind == "noise" else {}
        where = {"protocol": protocol, "method": "one", "train": "a", "test": f"b@{kind}@{strength}", "seed": 0}
        found.append({**where, **scores, "cells": 9})
    return found


def test_a_version_has_the_same_cells_and_labels_and_worse_images(rendered: Path) -> None:
    lab = prepare_lab(read_domain(rendered / "dune" / "manifest.csv", name="dune"), None, only_source=False)
    found = corrupted_versions(lab, 2, seed=0)
    assert len(found) == 1 + len(KINDS) * len(STRENGTHS)
    clean, worse = found["dune@clean@0"], found["dune@noise@5"]
    assert pd.Series(clean.labels).value_counts().tolist() == [2] * 5
    assert worse.labels.tolist() == clean.labels.tolist()
    assert worse.domain.table["path"].tolist() == clean.domain.table["path"].tolist()
    assert np.abs(worse.domain.load(0).astype(int) - clean.domain.load(0)).mean() > 20
    assert len({one.digest for one in found.values()}) == len(found)


def test_versions_are_tested_beside_their_lab_by_the_same_fit_and_never_seen() -> None:
    versions = {"b": ["b@noise@1"], "a": ["a@noise@1"]}
    given = Plan(["a"], ["a", "b"], ["transductive", "unseen"], {"": "w"}, own=False, versions=versions)
    for name in ("frozen", "frozen-per-lab"):
        jobs = plan([(ROWS[name], 1)], given)
        assert all(job.tests == ("b", "b@noise@1") for job in jobs)
        assert all(set(job.targets) <= {"b"} for job in jobs)


def test_the_table_shows_what_is_kept_of_the_clean_accuracy(tmp_path: Path) -> None:
    (tmp_path / "table.md").write_text("# Benchmark\n")
    (scores,) = write_corruptions(rows({"noise": 1.0, "blur": 0.5}), tmp_path).values()
    table = pd.read_csv(tmp_path / "corruptions.csv")
    assert table[(table["kind"] == "noise") & (table["strength"] == SHOWN)]["accuracy"].tolist() == pytest.approx([0.5])
    corruption_curves(scores, tmp_path / "drawn.png")
    with Image.open(tmp_path / "drawn.png") as image:
        assert np.asarray(image.convert("L")).std() > 5
    line = kept_table(table).splitlines()[-1]
    kept = [100 * 0.5 / 0.8, 100 * 0.65 / 0.8, *[100.0] * (len(KINDS) - 2)]
    assert line == f"| one | 80.0 | {' | '.join(f'{value:.1f}' for value in (*kept, np.mean(kept)))} |"
    text = (tmp_path / "table.md").read_text()
    assert line in text
    assert "Kept accuracy:" in text
    # of the macro-F1 in noise half as much is left
    of_f1 = [kept[0] / 2, *kept[1:]]
    assert f"| one | 80.0 | {' | '.join(f'{value:.1f}' for value in (*of_f1, np.mean(of_f1)))} |" in text
    assert "| method | clean macro-F1 |" in text


def test_the_strengths_may_be_some_and_the_table_shows_the_greatest_without_the_third(
    rendered: Path, tmp_path: Path
) -> None:
    lab = prepare_lab(read_domain(rendered / "dune" / "manifest.csv", name="dune"), None, only_source=False)
    found = corrupted_versions(lab, 1, seed=0, strengths=[2, 4])
    assert len(found) == 1 + 2 * len(KINDS)
    some = [row for row in rows({"noise": 1.0}) if str(row["test"]).endswith(("@0", "@2", "@4"))]
    (tmp_path / "table.md").write_text("# Benchmark\n")
    write_corruptions(some, tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "at strength 4 of 5" in text
    assert "| one | 80.0 | 50.0 |" in text


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"corrupt": 2, "strengths": [3, 6]}, "corrupt-strengths has 6: give some of 1, 2, 3, 4, 5"),
        ({"corrupt": 2, "strengths": []}, "no corrupt-strengths given"),
        ({"strengths": [3]}, "corrupt-strengths is for images made worse: give --corrupt CELLS, too"),
    ],
)
def test_strengths_that_can_t_be_used_are_refused_in_one_line(
    labs: list[str], tmp_path: Path, given: dict[str, Any], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        benchmark(labs, out=tmp_path / "b", **given)
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_row_is_measured_on_images_made_worse(labs: list[str], tmp_path: Path) -> None:
    results = benchmark(
        labs,
        out=tmp_path / "b",
        rows=["frozen"],
        source=["harbour"],
        protocols=["unseen"],
        seeds=1,
        folds=3,
        corrupt=2,
        strengths=[3, 5],
    )
    assert set(results["test"]) == {"harbour", "dune"}
    table = pd.read_csv(tmp_path / "b" / "corruptions.csv")
    assert len(table) == 1 + 2 * len(KINDS)
    assert (table["cells"] == 10).all()
    assert table["accuracy"].between(0, 1).all()
    assert (tmp_path / "b" / "corruptions-unseen.png").is_file()
