"""What a few labels of a new lab are worth, chosen as `dorl suggest` chooses them or at random.

    python tools/measure/few_labels.py RUN [--source acevedo] [--n 50] [--draws 3]

RUN is a folder that `dorl fit` or `dorl evaluate` made; its ``cells/`` and its autoencoder are read. For each other
lab, the classes that it shares with the source lab in the tree are learnt from the source lab alone, and from it and
`n` labelled cells of the other lab, weighed as `dorl fit` weighs them; either way the classifier then adapts to the
rest of that lab, as `dorl fit` lets it where the rest is given to it without labels. Prints the accuracy on the rest,
mean and standard deviation over the draws, and one JSON line.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from dorl.cells import CellStore
from dorl.cells.rows import with_last
from dorl.cells.size import relative
from dorl.cells.views import Views
from dorl.classification.selection import select_cells
from dorl.classification.unlike import Unlike, described
from dorl.classification.views import ViewsClassifier
from dorl.representation.alignment import WIDTH
from dorl.representation.autoencoder import CrossDomainAutoencoder
from dorl.run.classifiers import adapted_beside, lab_weights
from dorl.run.features import sizes_of_views
from dorl.run.folder import ViewsSettings
from dorl.runtime.training import seeded
from dorl.taxonomy import shared_level

PLAIN = Views().plain


def compared(X: np.ndarray) -> np.ndarray:
    """What another lab's cells are told by."""
    return described(X, plain=PLAIN, skip=WIDTH, sized=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--source", help="the lab to learn from; the first one by default")
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--draws", type=int, default=3)
    given = parser.parse_args()
    store = CellStore.open(given.run / "cells")
    autoencoder = CrossDomainAutoencoder.load(given.run / "autoencoder.safetensors")
    table = store.table[store.table["label"].notna()]
    source = given.source or table["domain"].iat[0]
    found: dict[str, dict[str, list[float]]] = {}
    for other in [name for name in table["domain"].unique() if name != source]:
        pair = table[table["domain"].isin([source, other])]
        level = shared_level(*(sorted(set(pair["label"][pair["domain"] == name])) for name in (source, other)))
        y = np.asarray(level.project_all(pair["label"].to_numpy(object)), object)
        counted = np.array([name is not None for name in y])
        y, lab = y[counted].astype(str), pair["domain"].to_numpy(object)[counted]
        (views,) = store.batch(pair.index.to_numpy()[counted], "views")
        sizes = relative(pair["size"].to_numpy(float)[counted], lab)
        counts = ViewsSettings(plain=PLAIN, restained=views.shape[1] - PLAIN)
        X = with_last(autoencoder.completed(views), sizes_of_views(sizes, counts))
        own, new = np.flatnonzero(lab == source), np.flatnonzero(lab == other)
        unlike = Unlike.fit(compared(X[own]), y[own])
        another_lab = unlike is not None and unlike.of_another_lab(compared(X[new]))
        alone = ViewsClassifier(shared=WIDTH).fit(X[own], y[own]).suited(X[new], another_lab=another_lab)
        said = alone.predict_proba(X[new])
        rows = found[other] = {"without": [float((alone.classes_[said.argmax(1)] == y[new]).mean())]}
        for draw in range(given.draws):
            chosen = {
                "suggested": select_cells(np.log(np.maximum(said, 1e-6)), said, given.n, seed=draw),
                "random": seeded(draw).permutation(len(new))[: given.n],
            }
            for how, some in chosen.items():
                rest = np.delete(new, some)
                learn = np.concatenate([own, new[some]])
                model = ViewsClassifier(shared=WIDTH).fit(X[learn], y[learn], lab_weights(lab[learn]))
                model = adapted_beside(model, X[rest])
                rows.setdefault(how, []).append(float((model.predict(X[rest]) == y[rest]).mean()))
        print(f"{source} → {other}, {given.n} labels", end="")
        for how, values in rows.items():
            print(f"; {how} {np.mean(values):.3f} ± {np.std(values):.3f}", end="")
        print(flush=True)
    print(json.dumps({"source": source, "n": given.n, **found}))


if __name__ == "__main__":
    main()
