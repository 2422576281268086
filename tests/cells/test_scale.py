"""A store of many cells in memory that doesn't grow with it; of 200,000 where DORL_TEST_CELLS says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CELLS = int(os.environ.get("DORL_TEST_CELLS", "20000"))
#: of a cell on disk at `tiny`'s width: tokens 192 × 14 × 14 half floats, mask 224 × 224 bits, crop 128 × 128 × 3
BYTES = 192 * 14 * 14 * 2 + 224 * 224 // 8 + 128 * 128 * 3
#: that other work on the machine may need
SPARE = 20 * 2**30

SCRIPT = """
import json, sys
import numpy as np
from dorl.cells import CellStore
from dorl.runtime.memory import resident_memory

folder, cells = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
bank = rng.normal(size=(500, 192, 14, 14)).astype(np.float16)
crops, masks = np.zeros((500, 128, 128, 3), np.uint8), np.ones((500, 224, 224), bool)
base = peak = resident_memory()
store = CellStore.create(folder, width=192, grid=14)
for start in range(0, cells, 500):
    bank[:, 0, 0, 0] = np.arange(start, start + 500) % 2048  # which half precision holds
    rows = [
        {"key": f"lab/{i:07}.png", "domain": "lab", "path": f"{i:07}.png", "label": "monocyte", "patient": None,
         "split": None, "height": 360, "width": 363, "cell_found": True}
        for i in range(start, start + 500)
    ]
    store.append(bank, masks, crops, rows)
    peak = max(peak, resident_memory())
del store
store = CellStore.open(folder)
wrong = 0
order = rng.permutation(cells)
for start in range(0, cells, 64):
    rows = order[start : start + 64]
    tokens, crop = store.batch(rows, "tokens", "crops")
    wrong += int((tokens[:, 0, 0, 0] != rows % 2048).sum())
    peak = max(peak, resident_memory())
table = store.table
peak = max(peak, resident_memory())
print(json.dumps({"cells": len(table), "keys": len(store.keys), "wrong": wrong, "grown_mb": peak - base}))
"""


@pytest.mark.slow
def test_many_cells_are_written_read_in_any_order_and_listed_in_little_memory(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    if free < CELLS * BYTES + SPARE:
        pytest.skip(f"{CELLS} cells take {CELLS * BYTES / 2**30:.0f} GB, here are {free / 2**30:.0f} GB free")
    try:
        words = [sys.executable, "-c", SCRIPT, str(tmp_path / "cells"), str(CELLS)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    finally:
        shutil.rmtree(tmp_path / "cells", ignore_errors=True)
    found = json.loads(done.stdout)
    assert found["cells"] == found["keys"] == CELLS
    assert found["wrong"] == 0
    assert found["grown_mb"] < 400
