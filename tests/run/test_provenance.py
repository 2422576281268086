from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dorl.domains import Domain
from dorl.errors import InputError
from dorl.run.provenance import PROVENANCE, differences, environment, read_provenance, write_provenance


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with a result, made of a lab of three images beside it."""
    images, run = tmp_path / "lab", tmp_path / "run"
    images.mkdir()
    run.mkdir()
    for number in range(3):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(images / f"{number}.png")
    (run / "results.csv").write_text("accuracy\n1\n")
    table = pd.DataFrame({"path": [f"{number}.png" for number in range(3)]})
    write_provenance(run, [Domain("lab", images, "flat", table)])
    return run


def test_nothing_would_differ_where_nothing_has_changed(made: Path) -> None:
    assert differences(made, "1", "1") == []
    known = read_provenance(made)
    assert known["environment"]["python"] == environment()["python"]
    assert known["environment"]["processes"] == "1"
    assert len(known["inputs"]["lab"]["files"]) == 3


def test_other_versions_are_named_with_what_they_were(made: Path) -> None:
    known = json.loads((made / PROVENANCE).read_text())
    known["environment"] |= {"numpy": "0.1", "OMP_NUM_THREADS": "64"}
    (made / PROVENANCE).write_text(json.dumps(known))
    now = environment()
    assert differences(made, "0.0", "1") == [
        "dorl: was 0.0, is 1",
        f"numpy: was 0.1, is {now['numpy']}",
        f"OMP_NUM_THREADS: was 64, is {now['OMP_NUM_THREADS'] or 'not there'}",
    ]


def test_inputs_and_results_that_changed_or_are_gone_are_counted(made: Path) -> None:
    images = made.parent / "lab"
    (images / "0.png").unlink()
    (images / "1.png").write_bytes(b"other")
    (images / "2.png").write_bytes(b"other, too")
    (made / "results.csv").write_text("accuracy\n0\n")
    assert differences(made, "1", "1") == [
        "lab: 1 of 3 files not there any more, the first 0.png",
        "lab: 2 of 3 files changed, the first 1.png",
        "results.csv: changed since it was written",
    ]


def test_a_run_without_a_record_and_a_damaged_one_are_told(made: Path) -> None:
    (made / PROVENANCE).write_text("{")
    with pytest.raises(InputError, match="damaged"):
        read_provenance(made)
    (made / PROVENANCE).unlink()
    with pytest.raises(InputError, match="missing: an unfinished run, or one of an earlier dorl"):
        differences(made, "1", "1")
