"""Which code a benchmark's cells and results come from: what other code made is made anew."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import dorl

#: their text is a part of the name of every lab's cells, and of every result's key
CELLS_CODE = (
    *("dorl.pipeline.benchmark.labs", "dorl.pipeline.embedding", "dorl.segmentation.cell", "dorl.segmentation.crop"),
    *("dorl.segmentation.pixels", "dorl.segmentation.segmenter", "dorl.cells.crop"),
)
#: their text is a part of every result's key, too
SHARED_CODE = (
    *("dorl.baselines.cells", "dorl.baselines.features", "dorl.baselines.method", "dorl.baselines.selection"),
    *(
        "dorl.cells.pooling",
        "dorl.classification.comparison",
        "dorl.classification.folds",
        "dorl.classification.metrics",
    ),
    *("dorl.taxonomy", "dorl.training"),
)


def code_digest(modules: Sequence[str]) -> str:
    """Changes with the text of these modules and with dorl's version."""
    found = hashlib.sha256(dorl.__version__.encode())
    for name in modules:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            found.update(Path(spec.origin).read_bytes())
    return found.hexdigest()[:16]
