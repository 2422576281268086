from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dorl.errors import InputError
from dorl.reporting.compare import compare_runs, scores_table


def row(accuracy: float, **more: object) -> dict[str, object]:
    return {
        **{"train": "a", "test": "b", "method": "DoRL", "classifier": "LR"},
        **{"accuracy": accuracy, "accuracy_low": accuracy - 0.1, "accuracy_high": accuracy + 0.05, "macro_f1": 0.5},
        **more,
    }


def test_scores_of_both_stand_side_by_side_with_the_change() -> None:
    first = {"results": [row(0.8), row(0.7, classifier="RF")]}
    table = scores_table(first, {"results": [row(0.85), row(0.1, test="c")]})
    (line,) = [dict(zip(table.columns, [cell.text for cell in one], strict=True)) for one in table.rows]
    assert line["labs"] == "a → b"
    assert line["accuracy %, first"] == "80.0 (70.0–85.0)"
    assert line["accuracy %, second"] == "85.0 (75.0–90.0)"
    assert line["accuracy, change"] == "+5.0"
    assert line["macro-F1 %, first"] == "50.0"  # a run without intervals
    assert scores_table(first, {"results": []}).frame.empty


def test_two_runs_are_compared_in_a_file_of_their_own(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    config = (other / "config.toml").read_text().replace("seed = 3", "seed = 4")
    (other / "config.toml").write_text(config)
    known = json.loads((other / "provenance.json").read_text())
    known["environment"]["numpy"] = "0.1"
    (other / "provenance.json").write_text(json.dumps(known))
    before = (run / "report.html").read_bytes()
    text = compare_runs(run, other, tmp_path / "both.html").read_text()
    assert "<td>seed</td>" in text
    assert "0.1" in text
    assert "harbour → dune" in text
    assert (run / "report.html").read_bytes() == before
    with pytest.raises(InputError, match=r"ends in \.html"):
        compare_runs(run, other, tmp_path / "both.txt")
    none = json.loads((other / "metrics.json").read_text())
    none["results"] = []
    (other / "metrics.json").write_text(json.dumps(none))
    with pytest.raises(InputError, match="share no row of scores"):
        compare_runs(run, other, tmp_path / "none.html")
    (other / "config.toml").write_text(config.replace('"harbour"', '"port"').replace('"dune"', '"beach"'))
    with pytest.raises(InputError, match=r"share no lab \(.*harbour.* and .*port"):
        compare_runs(run, other, tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()
