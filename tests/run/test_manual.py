"""Manual differentials as they are written, and what can't be used of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dorl.errors import InputError
from dorl.run.differentials import ALL
from dorl.run.manual import beside_manual, read_manual

SAMPLES = ["/images/p1", "/images/p2", "/more/p2"]


def _read(tmp_path: Path, text: str) -> list[tuple[str, str, int]]:
    (tmp_path / "manual.csv").write_text(text)
    return list(read_manual(tmp_path / "manual.csv", SAMPLES).itertuples(index=False, name=None))


def test_a_sample_is_named_by_its_folder_or_the_whole_count_is_meant(tmp_path: Path) -> None:
    found = _read(tmp_path, "sample,class,cells\np1,Segs,60\n/more/p2,lymphocytes,40\n")
    assert found == [("/images/p1", "neutrophil_segmented", 60), ("/more/p2", "lymphocyte", 40)]
    assert _read(tmp_path, "class,cells\nmonocyte,7\n") == [(ALL, "monocyte", 7)]


def test_semicolons_and_shares_in_per_cent_are_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _read(tmp_path, "Sample;Class;Cells\np1;Segs;60,0\n/more/p2;Segs;40\n")
    assert found == [("/images/p1", "neutrophil_segmented", 60), ("/more/p2", "neutrophil_segmented", 40)]
    assert not capsys.readouterr().err
    text = "class;cells\nneutrophil;60%\nlymphocytes;40 %\nerythroblast;3 %\n"
    assert [cells for _, _, cells in _read(tmp_path, text)] == [60, 40, 3]
    assert "shares in % are taken for cells of 100" in capsys.readouterr().err


def _counts(**cells: int) -> pd.DataFrame:
    total = sum(cells.values())
    rows = [(ALL, name, "leukocyte", count, count / total) for name, count in cells.items()]
    return pd.DataFrame(rows, columns=["sample", "class", "group", "cells", "share"])


def test_it_is_told_which_classes_agree_which_differ_and_how_many_would_by_chance(
    capsys: pytest.CaptureFixture[str],
) -> None:
    manual = _counts(neutrophil=60, lymphocyte=30, eosinophil=10)[["sample", "class", "cells"]]
    none = _counts(neutrophil=1).iloc[:0]
    table, _ = beside_manual(manual, _counts(neutrophil=58, lymphocyte=20, eosinophil=22), none)
    said = capsys.readouterr().err.splitlines()
    assert int(table["within"].sum()) == 1
    assert "1 of 3 shares agree with it, by Rümke's 95 % limits; 2 differ (by chance alone about 0." in said[0]
    assert said[1].endswith("agree: neutrophil")
    assert "differ: eosinophil 22.0 % here, 10.0 % by hand (limits 4.9 to 17.6 %); lymphocyte 20.0 % here" in said[2]
    beside_manual(manual, _counts(neutrophil=60, lymphocyte=30, eosinophil=10), none)
    assert "all 3 shares agree with it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("class,count\nmonocyte,7\n", "no column 'cells'"),
        ("class,cells\nplatelet,7\n", "line 2: 'platelet' is no class"),
        ("class,cells\nmonocyte,7.5\n", "line 2: 7.5 cells of monocyte: give a whole number"),
        ("class,cells\nmonocyte,\n", "give a whole number"),
        ("class,cells\nmono,7\nMonocytes,3\n", "line 3: 'Monocytes' is monocyte, which line 2 names, too"),
        ("class;cells\nmonocyte;0\n", "all cells are 0: give how many"),
        ("sample,class,cells\np1,mono,5\n/more/p2,mono,0\n", "all cells of /more/p2 are 0"),
        ("class,cells\nmono,60%\nlymphocyte,40\n", "some cells are in % and some are not"),
        ("class,cells\nmono,60%\nlymphocyte,30%\n", "sum up to 90 %, not 100"),
        ("class;cells\nmono;60,5%\nlymphocyte;39,5%\n", "give a whole number"),
        ("sample,class,cells\np2,monocyte,7\n", "line 2: 'p2' is no sample here"),
        ("class,cells\n", "names no class"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        _read(tmp_path, text)
