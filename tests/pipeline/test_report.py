from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from dorl.errors import InputError
from dorl.pipeline import write_run_report
from dorl.pipeline.report import write_card
from dorl.pipeline.runfolder import read_config


def test_the_report_shows_labs_tables_figures_and_settings(run: Path) -> None:
    (run / "report.html").unlink()
    text = write_run_report(run).read_text()
    for shown in ("harbour", "dune", "Accuracy, flat", "Macro-F1", "SVM (linear)", "autoencoder.depth"):
        assert shown in text
    assert text.count("data:image/png;base64,") == 6
    assert not re.search(r"(src|href)=\"https?:", text)
    assert str(run.parent) not in text


def test_it_is_made_from_what_lies_in_the_folder(run: Path) -> None:
    results = pd.read_csv(run / "results.csv")
    results["accuracy"] = 0.4321
    results.to_csv(run / "results.csv", index=False)
    (run / "figures" / "loss.png").unlink()
    text = write_run_report(run).read_text()
    assert "43.21 ± 0.00" in text
    assert text.count("data:image/png;base64,") == 5


def test_what_was_left_out_is_shown_and_text_from_outside_is_no_markup(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["labs"]["dune"]["left_out"] = {"unknown class '<b>x</b>'": 3}
    metrics["labs"]["dune"]["notes"] = ["class basophil has a single image (kept)"]
    (run / "metrics.json").write_text(json.dumps(metrics))
    text = write_run_report(run).read_text()
    assert "dune: 3 left out: unknown class" in text
    assert "<b>x</b>" not in text
    assert "class basophil has a single image (kept)" in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.json", None, "not finished"),
        ("metrics.json", "{", "damaged"),
        ("metrics.json", "[]", "damaged"),
        ("metrics.json", '{"labs": {}}', "damaged"),
        ("metrics.json", '{"labs": {}, "seconds": 1, "notes": []}', "nothing of lab 'harbour'"),
        ("results.csv", None, "missing"),
        ("results_flat.csv", "", "damaged"),
        ("results.csv", "train,test\na,b\n", "no column 'method'"),
        ("config.toml", None, "missing"),
    ],
)
def test_a_missing_or_damaged_file_is_named_and_the_report_stays(
    run: Path, name: str, content: str | None, message: str
) -> None:
    before = (run / "report.html").read_bytes()
    (run / name).unlink() if content is None else (run / name).write_text(content)
    with pytest.raises(InputError, match=name) as caught:
        write_run_report(run)
    assert message in str(caught.value)
    assert (run / "report.html").read_bytes() == before


def test_the_card_says_what_was_learnt_and_measured(run: Path) -> None:
    card = (run / "README.md").read_text()
    assert "harbour: 30 images, 30 labelled" in card
    assert re.search(r"\| harbour \| dune \| \d+\.\d \| \d+\.\d \|", card)
    assert "those of: harbour, dune" in card
    write_card(run, read_config(run), {"results": []})
    assert "no lab here has labels" in (run / "README.md").read_text()
