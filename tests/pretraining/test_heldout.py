"""What is left out of the pretraining by name is left out under other names, too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorl.domains import read_domain
from dorl.domains.boxes import Field
from dorl.pretraining.bank import build_bank
from dorl.pretraining.heldout import choose


@pytest.fixture
def pictures(rendered: Path, tmp_path: Path) -> Path:
    """Lab "own" with three cells, and a field that shows the second in another size and turned."""
    lab = read_domain(rendered / "dune" / "manifest.csv")
    (tmp_path / "own").mkdir()
    for i in range(3):
        Image.fromarray(lab.load(i)).save(tmp_path / "own" / f"{i}.png")
    Image.fromarray(np.rot90(lab.load(1))).resize((200, 200)).save(tmp_path / "renamed.jpg", quality=70)
    return tmp_path


def given(folder: Path) -> dict:
    field = Field(folder / "renamed.jpg", np.array([[50.0, 50, 150, 150]]), ("WBC",))
    return {"labs": [read_domain(folder / "own", name="own")], "fields": {"smear": [field]}}


def test_a_copy_of_what_is_left_out_is_dropped_and_named(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = choose(**given(pictures), leave_out=r"^1\.")
    assert [lab.key(i) for lab, i in chosen.cells] == ["own/0.png", "own/2.png"]
    assert chosen.fields == []
    assert chosen.left_out == {
        "by_name": {"own": 1},
        "copies": {"smear": 1},
        "copy_of": {"smear/renamed.jpg": "own/1.png"},
    }
    said = "".join(capsys.readouterr())
    assert "smear/renamed.jpg is a copy of own/1.png" in said


def test_copies_of_what_is_used_are_used(pictures: Path) -> None:
    assert len(choose(**given(pictures), leave_out=r"^2\.").fields) == 1
    nothing = choose(**given(pictures), leave_out="")
    assert len(nothing.cells) == 3
    assert nothing.left_out == {"by_name": {}, "copies": {}, "copy_of": {}}


def test_the_bank_knows_what_was_dropped_and_changes_with_it(pictures: Path) -> None:
    bank = build_bank(pictures / "bank", **given(pictures), rendered=0, leave_out=r"^1\.", seed=0)
    assert bank.left_out["copy_of"] == {"smear/renamed.jpg": "own/1.png"}
    assert set(bank.table["lab"]) == {"own"}
    first = json.loads((pictures / "bank" / "bank.json").read_text())
    build_bank(pictures / "bank", **given(pictures), rendered=0, leave_out=r"^2\.", seed=0)
    assert json.loads((pictures / "bank" / "bank.json").read_text()) != first
