from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dorl.reporting.checklist import NOT_GIVEN, checklist
from dorl.run.folder import RunConfig, read_config


@pytest.fixture
def known(fitted: Path) -> tuple[RunConfig, dict[str, Any]]:
    return read_config(fitted), json.loads((fitted / "metrics.json").read_text())


def lines(*given: Any) -> dict[str, str]:
    return {row[0].text: row[2].text for row in checklist(*given).rows}


def test_what_the_run_knows_is_filled_in_and_the_rest_is_not_given(known: tuple[RunConfig, dict[str, Any]]) -> None:
    shown = lines(*known, {"python": "3.12.1", "processor": "a processor"})
    assert shown["Labs"] == "harbour: 30 cells; dune: 30 cells"
    assert shown["Patients"].startswith("harbour: 3")
    assert "neutrophil_segmented 6" in shown["Classes, and cells of each"]
    assert "2 stratified folds" in shown["Division into learning and testing"]
    assert "all cells of a patient" in shown["Division into learning and testing"]
    assert shown["Labs not learnt from"] == "harbour → dune, dune → harbour"
    assert "bootstrap of patients" in shown["Uncertainty"]
    assert "python 3.12.1, a processor" in shown["Software and machine"]
    assert shown["Seed"] == "3"
    for item in ("Who labelled, how, and their agreement", "Groups of patients: fairness"):
        assert shown[item] == NOT_GIVEN


def test_a_run_that_knows_less_says_so(known: tuple[RunConfig, dict[str, Any]]) -> None:
    config, metrics = known
    for lab in metrics["labs"].values():
        lab.pop("patients")
    less = {"labs": metrics["labs"], "notes": []}
    shown = lines(config, less)
    for item in ("Patients", "Measures", "Uncertainty", "Calibration", "Division into learning and testing"):
        assert shown[item] == NOT_GIVEN
