"""Manual differentials as they are written, and what can't be used of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dorl.errors import InputError
from dorl.run.differentials import ALL
from dorl.run.manual import read_manual

SAMPLES = ["/images/p1", "/images/p2", "/more/p2"]


def _read(tmp_path: Path, text: str) -> list[tuple[str, str, int]]:
    (tmp_path / "manual.csv").write_text(text)
    return list(read_manual(tmp_path / "manual.csv", SAMPLES).itertuples(index=False, name=None))


def test_a_sample_is_named_by_its_folder_or_the_whole_count_is_meant(tmp_path: Path) -> None:
    found = _read(tmp_path, "sample,class,cells\np1,Segs,60\n/more/p2,lymphocytes,40\n")
    assert found == [("/images/p1", "neutrophil_segmented", 60), ("/more/p2", "lymphocyte", 40)]
    assert _read(tmp_path, "class,cells\nmonocyte,7\n") == [(ALL, "monocyte", 7)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("class,count\nmonocyte,7\n", "no column 'cells'"),
        ("class,cells\nplatelet,7\n", "line 2: 'platelet' is no class"),
        ("class,cells\nmonocyte,7.5\n", "line 2: 7.5 cells of monocyte: give a whole number"),
        ("class,cells\nmonocyte,\n", "give a whole number"),
        ("sample,class,cells\np2,monocyte,7\n", "line 2: 'p2' is no sample here"),
        ("class,cells\n", "names no class"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        _read(tmp_path, text)
