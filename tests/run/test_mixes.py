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
        ("class,share\nmonocyte,some\n", "line 2: 'some' is no number; give one such as"),
        ("class;share\nmonocyte;0\nlymphocyte;0,0\n", "all shares are 0: give one above 0"),
        ("class,share\nmono,1\nlymphocyte,2\nMonocytes,3\n", "line 4: 'Monocytes' is monocyte, which line 2 names"),
        ("class,share\nmono,60%\nlymphocyte,40\n", "some shares are in % and some are not"),
        ("class,share\nmonocyte,0,6\n", "line 2 has more values than columns: quote a number"),
        ("class,share\nmonocyte,-1\n", "line 2: a share is 0 or more"),
        ("name,number\nmonocyte,1\n", "no column 'class'; the columns are class,share"),
        ("class,share\n", "names no class"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "mix.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=fault):
        check_expect(str(file))


@pytest.mark.parametrize(
    "text",
    [
        "class;share\nmono;0,25\nlymphocyte;0,75\n",
        "sep=;\nClass;Share\nmono;25 %\nlymphocyte;75%\n",
        'class,share\nmono,"2,5"\nlymphocyte,7.5\n',
        "class\tshare\nmono\t1\nlymphocyte\t3\nneutrophil\t0 %\n",
    ],
)
def test_a_file_may_be_written_as_european_spreadsheets_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mix.csv"
    file.write_text(text, encoding="utf-8-sig")
    found = read_shares(file)
    assert found["lymphocyte"] == 3 * found["monocyte"] > 0


def test_a_mix_of_classes_that_the_run_lacks_is_refused_beforehand(tmp_path: Path) -> None:
    file = tmp_path / "mix.csv"
    file.write_text("class,share\nerythroblast,1\n")
    check_expect(str(file))
    check_expect("none", CLASSES)
    check_expect("blood", CLASSES)
    with pytest.raises(InputError, match="nothing is expected of any class of the run"):
        check_expect(str(file), CLASSES)


def test_another_word_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match="--expect urine: can't be read; give blood, marrow, source, none, or a CSV"):
        check_expect("urine")


def test_the_mix_is_told_the_largest_first(capsys: pytest.CaptureFixture[str]) -> None:
    tell_mix("blood", CLASSES, np.array([0.3, 0.001, 0.699]), 40)
    said = capsys.readouterr().err
    assert "these 40 cells, expected as blood and estimated from them: neutrophil 69.9 %, lymphocyte 30.0 %;" in said
    assert "monocyte" not in said
