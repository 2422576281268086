"""The examples of docs/architecture.md run as they stand there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^### ([^\n]+)\n(?:(?!^###).)*?^```python\n(.*?)^```", PAGE, re.M | re.S))


def test_the_examples_are_found() -> None:
    assert list(EXAMPLES) == ["A lab layout", "A backbone", "A classifier", "A row of the benchmark"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dorl.benchmark.methods import ROWS
    from dorl.classification.classifiers import CLASSIFIERS
    from dorl.domains.layouts import LABELLERS
    from dorl.segmentation.weights.convert import FAMILIES

    tables = (ROWS, CLASSIFIERS, LABELLERS, FAMILIES)
    before = [dict(table) for table in tables]
    monkeypatch.chdir(tmp_path)
    Path("example.py").write_text(EXAMPLES[name], encoding="utf-8")
    try:
        runpy.run_path("example.py", run_name="example")
    finally:
        for table, kept in zip(tables, before, strict=True):
            table.clear()
            table.update(kept)
