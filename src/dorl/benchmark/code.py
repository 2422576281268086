"""Which code a benchmark's cells and results come from: what other code made is made anew."""

from __future__ import annotations

from dorl.runtime.kept import READING

#: their text is a part of the name of every lab's cells, and of every result's key
CELLS_CODE = (
    *("dorl.benchmark.labs", "dorl.run.embedding", "dorl.segmentation.cell", "dorl.segmentation.crop"),
    *("dorl.segmentation.pixels", "dorl.segmentation.segmenter", "dorl.cells.crop"),
    *("dorl.domains.sources", *READING),
)
#: their text is a part of every result's key, too
SHARED_CODE = (
    *(
        "dorl.benchmark.methods.cells",
        "dorl.benchmark.methods.features",
        "dorl.benchmark.methods.method",
        "dorl.benchmark.methods.selection",
    ),
    *(
        "dorl.cells.pooling",
        "dorl.classification.answers",
        "dorl.classification.bootstrap",
        "dorl.classification.comparison",
        "dorl.classification.folds",
        "dorl.classification.metrics",
    ),
    *("dorl.taxonomy", "dorl.runtime.training"),
)
