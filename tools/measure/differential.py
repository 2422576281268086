"""How often the intervals of a differential hold the truth.

    python tools/measure/differential.py SOURCE TARGET... [--cells 160] [--cache DIR] [--draws 4]

SOURCE and each TARGET are labs as for ``mix.py``, whose cache is used. Samples of 100 and 200 cells are drawn from
cells of known class, in mixes around that of blood, in any mix, and in the target's own; a classifier learns half of
the source's cells, or four fifths of a target's that serves as a source, adapts to the sample, expects blood, and
counts. The truth is the mix that the sample was drawn in. Printed are, over classes and samples, the share of
Wilson's intervals that hold it, that of the intervals with errors, and their mean widths; classes that the sample has
none of (immature ones that the source knows) apart. The constants of `dorl.classification.differential` were chosen
on the lines marked with a star.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from mix import Lab, Model, compared
from sklearn.pipeline import make_pipeline

from dorl.classification.differential import differential, is_leukocyte
from dorl.classification.folds import stratified
from dorl.classification.heldout import ask_held_out
from dorl.classification.mix import Expected, shares_of
from dorl.classification.views import ViewsClassifier
from dorl.representation.alignment import WIDTH
from dorl.taxonomy import UNCOMMON, shared_level

#: shares around which mixes of blood are drawn, in per cent; other classes get 1
BLOOD = {
    "neutrophil": 58,
    "neutrophil_segmented": 55,
    "neutrophil_banded": 3,
    "lymphocyte": 30,
    "lymphocyte_typical": 30,
    "monocyte": 7,
    "eosinophil": 4,
}
#: a class of fewer cells isn't drawn from
LEAST = 15


class Counter:
    """A classifier that counts as `dorl count` does."""

    def __init__(self, X: np.ndarray, y: np.ndarray) -> None:
        self._model = Model(X, y)
        self._held = ask_held_out(make_pipeline(ViewsClassifier(shared=WIDTH)), X, y)
        self.classes = [str(name) for name in self._model.classes]

    def count(self, X: np.ndarray, coarse: list[str]) -> list[dict[str, object]]:
        """Rows of the differential of cells, in classes as coarse as those given."""
        model = self._model
        expected = Expected(model.source, shares_of("blood", self.classes, model.source))
        elsewhere = model.unlike.of_another_lab(compared(X))
        suited = model.classifier.suited(X, expected, another_lab=elsewhere)
        said = model.calibration.apply(suited.predict_proba(X))
        mix = expected.estimate(said, another_lab=elsewhere)
        held = expected.correct(model.calibration.apply(self._held.probabilities), mix)
        level = shared_level(self.classes, coarse)
        names = np.array([level.project(name) or name for name in self.classes], object)
        classes = sorted(set(names.tolist()))
        merge = np.array([[name == one for one in names] for name in classes], int)
        table = differential(
            names[expected.correct(said, mix).argmax(1)],
            classes,
            confusion=merge @ self._held.confusion(held) @ merge.T,
            another_lab=elsewhere,
        )
        return table.to_dict("records")


def drawn(y: np.ndarray, kind: str, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and their shares in a new mix."""
    names, counts = np.unique(y, return_counts=True)
    names, counts = names[counts >= LEAST], counts[counts >= LEAST]
    if kind == "own":
        return names, counts / counts.sum()
    usual = np.array([BLOOD.get(name, 1) for name in names], float)
    return names, random.dirichlet(np.maximum(20 * usual / usual.sum(), 0.3) if kind == "blood" else [1.5] * len(names))


def outcomes(
    counter: Counter, X: np.ndarray, y: np.ndarray, kinds: tuple[str, ...], random: np.random.Generator
) -> list:
    """Of each class in each sample: in it at all, held by either interval, and their widths."""
    found = []
    for kind in kinds:
        for count in (100, 200):
            names, shares = drawn(y, kind, random)
            picked = random.choice(names, count, p=shares)
            rows = np.array([random.choice(np.flatnonzero(y == name)) for name in picked])
            level = shared_level(counter.classes, names.tolist())
            white = np.array([is_leukocyte(name) for name in names])
            truth: dict[object, float] = {}
            for name, share in zip(names, shares / shares[white].sum(), strict=True):
                truth[level.project(name)] = truth.get(level.project(name), 0.0) + share
            for row in counter.count(X[rows], names.tolist()):
                true, limits = truth.get(row["class"], 0.0), [float(row[name]) for name in ("low", "high")]
                wide = [float(row[f"{name}_with_errors"]) for name in ("low", "high")]
                held = [low - 1e-9 <= true <= high for low, high in (limits, wide)]
                found.append((kind, true > 0, *held, limits[1] - limits[0], wide[1] - wide[0]))
    return found


def tell(name: str, found: list) -> None:
    """A line of what was found."""
    words = []
    for label, there in (("classes drawn", True), ("not drawn", False)):
        rows = np.array([row[2:] for row in found if row[1] == there], float)
        if len(rows):
            held, wide, *widths = rows.mean(0)
            words.append(f"{label} {len(rows)}: {held:.2f}, {wide:.2f}; widths {widths[0]:.2f}, {widths[1]:.2f}")
    print(f"  {name:28s}", "; ".join(words), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--cells", type=int, default=160)
    parser.add_argument("--cache", type=Path, default=Path("mix-cache"))
    parser.add_argument("--draws", type=int, default=4)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    random = np.random.default_rng(0)
    source = Lab(given.source, given.cells, given.cache)
    targets = [Lab(target, None, given.cache) for target in given.targets]
    found: dict[str, list] = {}
    for seed in range(given.draws):
        learnt, held = next(iter(stratified(source.y, None, folds=2, seed=seed)))
        counter, y = Counter(source.X[learnt], source.y[learnt]), source.y[held]
        two = ("blood", "wide")
        found.setdefault("own", []).extend(outcomes(counter, source.X[held][:, :2], y, two, random))
        restained = source.X[held][:, 4:6].copy()
        restained[..., -1] = source.X[held][:, :1, -1]
        found.setdefault("restained *", []).extend(outcomes(counter, restained, y, two, random))
        for lab in targets:
            name = f"{source.name} → {lab.name}"
            found.setdefault(name, []).extend(outcomes(counter, lab.X, lab.y, ("own", *two), random))
        mature = ~np.isin(source.y, list(UNCOMMON))
        for lab in targets:
            names, counts = np.unique(lab.y, return_counts=True)
            enough = np.flatnonzero(np.isin(lab.y, names[counts >= LEAST]))
            rows = random.permutation(enough)[: 4 * len(enough) // 5]
            counter = Counter(lab.X[rows], lab.y[rows])
            common = mature & np.array([shared_level(counter.classes, [one]).classes != () for one in source.y])
            name = f"{lab.name} → {source.name} *"
            found.setdefault(name, []).extend(outcomes(counter, source.X[common], source.y[common], two, random))
    print("share of Wilson's intervals that hold the truth, of those with errors; and their mean widths")
    for name, rows in found.items():
        tell(name, rows)
    tested = [row for name, rows in found.items() if name.startswith(f"{source.name} →") for row in rows]
    tell("all targets", tested)
    tell("all targets, in blood's mix", [row for row in tested if row[0] != "wide"])


if __name__ == "__main__":
    main()
