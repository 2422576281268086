"""The notebooks run from their first cell to their last, as Jupyter runs them, on fewer cells."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from .pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
CELLS = re.compile(r"^CELLS = \d+", re.M)


def test_there_are_two_without_outputs() -> None:
    assert [path.name for path in NOTEBOOKS] == ["own-lab.ipynb", "paper.ipynb"]
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip(
        "nbclient", reason="the Python package nbclient is not installed: pip install '.[test]'"
    )
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="the Python package ipykernel is not installed: pip install '.[test]'")
    for name in ("DORL_PUBLISHED", "DORL_LABS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    changed = 0
    for cell in notebook.cells:
        cell.source, count = CELLS.subn("CELLS = 26", cell.source)
        changed += count
    assert changed == 1
    nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert list(tmp_path.glob("*/*/table.md"))
