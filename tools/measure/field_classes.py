r"""How often the classes that `dorl count` gives cells of smear fields are right.

    dorl count BCCD_fields/JPEGImages --run RUN --out counted
    python tools/measure/field_classes.py counted BCCD_cropped [--only '[13579]\.']

The second folder is a lab of single cells with classes, each cut out of a field and named after it
(``BloodImage_00008_1.jpg`` of ``BloodImage_00008.jpg``). Fields in which one cell was found and of which the lab has
one cell are compared, in the classes that both know. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from dorl.domains import read_domain
from dorl.taxonomy import shared_level


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counted", type=Path)
    parser.add_argument("lab", type=Path)
    parser.add_argument("--only", default="", help="regular expression that is found in a field's name")
    given = parser.parse_args()
    cells = pd.read_csv(given.counted / "cells.csv")
    cells["field"] = [Path(path).stem for path in cells["path"]]
    chosen = [re.search(given.only, Path(path).name) is not None for path in cells["path"]]
    cells = cells[chosen].drop_duplicates("field", keep=False).set_index("field")
    table = read_domain(given.lab, name="lab").table
    table["field"] = [Path(path).stem.rpartition("_")[0] for path in table["path"]]
    table = table.drop_duplicates("field", keep=False).set_index("field")
    both = table.join(cells, how="inner", rsuffix="_found")
    level = shared_level(sorted(set(cells["class"])), sorted(set(both["label"])))
    true, said = (np.asarray(level.project_all(both[name].to_numpy(object)), object) for name in ("label", "class"))
    known = np.array([name is not None for name in true])
    true, said = true[known].astype(str), said[known].astype(str)
    result = {
        "fields": int(cells.index.size),
        "compared": len(true),
        "classes": {str(name): int(count) for name, count in zip(*np.unique(true, return_counts=True), strict=True)},
        "accuracy": round(float((true == said).mean()), 4),
        "balanced_accuracy": round(float(balanced_accuracy_score(true, said)), 4),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
