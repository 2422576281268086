from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dorl.errors import InputError
from dorl.run.mixes import check_expect, expected_mix, read_shares, tell_mix

CLASSES = ["lymphocyte", "monocyte", "neutrophil"]
LEARNT = {"lymphocyte": 10.0, "monocyte": 10.0, "neutrophil": 20.0}


def test_each_word_and_a_file_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "mix.csv"
    file.write_text("class,share\nLymphocytes,3\nmono,1\nneutrophils,6\n")
    assert read_shares(file) == {"lymphocyte": 3, "monocyte": 1, "neutrophil": 6}
    own = expected_mix(str(file), CLASSES, LEARNT)
    assert own is not None
    assert own.source == pytest.approx([0.25, 0.25, 0.5])
    assert own.shares == pytest.approx([0.3, 0.1, 0.6])
    source, blood = (expected_mix(word, CLASSES, LEARNT) for word in ("source", "blood"))
    assert source is not None
    assert source.shares == pytest.approx(source.source)
    assert blood is not None
    assert blood.shares.argmax() == 2
    assert expected_mix("none", CLASSES, LEARNT) is None
    assert expected_mix("blood", CLASSES, {}) is None  # a run of an earlier version


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("class,share\nunicorn,3\n", "line 2: 'unicorn' is no class"),
        ("class,share\nmonocyte,some\n", "line 2: 'some' is no number"),
        ("class,share\nmonocyte,-1\n", "line 2: a share is 0 or more"),
        ("name,number\nmonocyte,1\n", "line 2 has no class and share"),
        ("class,share\n", "names no class"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "mix.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=fault):
        check_expect(str(file))


def test_another_word_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match="--expect urine: can't be read; give blood, marrow, source, none, or a CSV"):
        check_expect("urine")


def test_the_mix_is_told_the_largest_first(capsys: pytest.CaptureFixture[str]) -> None:
    tell_mix("blood", CLASSES, np.array([0.3, 0.001, 0.699]), 40)
    said = capsys.readouterr().err
    assert "these 40 cells, expected as blood and estimated from them: neutrophil 69.9 %, lymphocyte 30.0 %;" in said
    assert "monocyte" not in said
