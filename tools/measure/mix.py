"""What the mix of classes, and finding cells of no class that was learnt, bring in labs never seen.

    python tools/measure/mix.py SOURCE TARGET... [--cells 160] [--cache DIR]

SOURCE and each TARGET are labs as `dorl fit` takes them, ``name=path``. Of each class of the source `cells` cells are
embedded with the bundled segmenter and autoencoder, two plain views and four restained ones; features and sizes are in
``DIR/NAME.npz``, and read again from there. Nothing is learnt of a target's labels. Printed are

1. what each part brings: accuracy on each target in the tree, and cells that are called immature, in %;
2. the same on the source's own held-out cells, as they are and restained, in six mixes;
3. cells of a class, or of a group of classes, that is left out of the source's: the area under the ROC curve of
   `Unlike.distance`, and the share found at 5 % false alarms, among the source's held-out cells and in each target;
4. the share called unlike where every class was learnt;
5. the accuracy that is expected of itself, with its 95 % interval, beside the truth, in five draws of half the source's
   cells.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from dorl.cells.rows import with_last
from dorl.cells.size import log_diameter, relative
from dorl.cells.views import Views
from dorl.classification import calibrate, expected_accuracy
from dorl.classification.folds import stratified
from dorl.classification.mix import Expected, shares_of
from dorl.classification.unlike import Unlike, described
from dorl.classification.views import ViewsClassifier
from dorl.domains import read_domains
from dorl.representation.alignment import WIDTH
from dorl.run.autoencoders import bundled
from dorl.run.embedding import look_at, prepared
from dorl.run.features import sizes_of_views
from dorl.run.folder import ViewsSettings
from dorl.segmentation import Segmenter
from dorl.taxonomy import UNCOMMON, ancestors, shared_level

#: cells in each made-up mix, and the mixes, in per cent
DRAWN = 300
#: draws of half the source's cells
DRAWS = 5
MIXES = {
    "blood": {
        "neutrophil_segmented": 55,
        "neutrophil_banded": 3,
        "lymphocyte_typical": 31,
        "monocyte": 7,
        "eosinophil": 3,
        "basophil": 1,
    },
    "left shift": {
        "neutrophil_segmented": 40,
        "neutrophil_banded": 15,
        "myelocyte": 5,
        "metamyelocyte": 8,
        "promyelocyte": 2,
        "erythroblast": 5,
        "lymphocyte_typical": 15,
        "monocyte": 10,
    },
    "marrow": {
        "neutrophil_segmented": 15,
        "neutrophil_banded": 15,
        "lymphocyte_typical": 12,
        "monocyte": 1,
        "eosinophil": 3,
        "promyelocyte": 5,
        "myelocyte": 12,
        "metamyelocyte": 13,
        "erythroblast": 24,
    },
    "lymphocytes": {"lymphocyte_typical": 85, "neutrophil_segmented": 10, "monocyte": 5},
    "erythroblasts": {"erythroblast": 50, "promyelocyte": 30, "neutrophil_segmented": 20},
}
GROUPS = (
    ("neutrophil_banded", "neutrophil_segmented"),
    ("promyelocyte", "myelocyte", "metamyelocyte"),
    ("promyelocyte", "myelocyte", "metamyelocyte", "erythroblast"),
)


def compared(views: np.ndarray) -> np.ndarray:
    """What cells are compared by."""
    return described(views, plain=2, skip=WIDTH, sized=True)


class Lab:
    """Features s of views with the cells' sizes, float32 (N, V, F), and classes of a lab's cells."""

    def __init__(self, given: str, most: int | None, cache: Path, *, sized: bool = True) -> None:
        lab = read_domains([given])[0]
        self.name = lab.name
        place = cache / f"{lab.name}.npz"
        if not place.exists():
            labels = lab.table["label"].to_numpy(object)
            generator = np.random.default_rng(0)
            known = sorted({label for label in labels if label})
            rows = np.sort(np.concatenate([generator.permutation(np.flatnonzero(labels == c))[:most] for c in known]))
            segmenter = Segmenter.load("tiny")
            autoencoder = bundled(segmenter)
            parts, sizes = [], []
            for start in range(0, len(rows), 16):
                some = [int(row) for row in rows[start : start + 16]]
                images = [lab.load(row) for row in some]
                out = segmenter(prepared(images, segmenter.image_size))
                keys = [lab.key(row) for row in some]
                seen, found = look_at(segmenter, autoencoder, images, out, [Views(2, 4)] * len(some), keys)
                parts += [autoencoder.completed(one) for one in seen.descriptions]
                sizes += [log_diameter(cell.mask) for cell in found]
            cache.mkdir(parents=True, exist_ok=True)
            np.savez(place, X=np.stack(parts), y=labels[rows].astype(str), size=np.array(sizes))
        kept = np.load(place)
        size = relative(kept["size"], [lab.name] * len(kept["y"])) * sized
        views = sizes_of_views(size, ViewsSettings(plain=2, restained=4))
        self.X, self.y = with_last(kept["X"].astype(np.float32), views), kept["y"].astype(str)


class Model:
    """A fitted classifier with all that `dorl predict` has of it."""

    def __init__(self, X: np.ndarray, y: np.ndarray) -> None:
        self.classifier = ViewsClassifier(shared=WIDTH).fit(X, y)
        self.calibration = calibrate(make_pipeline(ViewsClassifier(shared=WIDTH)), X, y)
        self.unlike = Unlike.fit(compared(X), y)
        if self.calibration is None or self.unlike is None:
            raise SystemExit("too few cells of the source: give --cells 30 or more")
        self.classes = self.classifier.classes_
        self.source = np.array([self.calibration.shares[name] for name in self.classes])

    def probabilities(self, X: np.ndarray, *, adapt: bool, expect: str, pseudo: bool = True) -> np.ndarray:
        """Of cells (N, V, F); as `DoRL.suited` does, each part on or off."""
        expected = None if expect == "none" else Expected(self.source, shares_of(expect, self.classes, self.source))
        another = self.unlike.of_another_lab(compared(X))
        model = self.classifier.suited(X, expected if pseudo else None, another_lab=another, adapt=adapt)
        said = self.calibration.apply(model.predict_proba(X))
        if expected is None:
            return said
        return expected.corrected(said, another_lab=another)


def scores(model: Model, probabilities: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Accuracy in the tree and share of cells called immature, in %."""
    named = model.classes[probabilities.argmax(1)]
    level = shared_level(list(named) + model.classes.tolist(), list(y))
    right = level.project_all(named) == level.project_all(y)
    return 100 * float(right.mean()), 100 * float(np.isin(named, list(UNCOMMON)).mean())


def parts(model: Model, targets: list[Lab]) -> None:
    print("\n1. target: accuracy, called immature (%)")
    ways = {
        "neither": {"adapt": False, "expect": "none"},
        "mix alone": {"adapt": False, "expect": "blood"},
        "adapting alone": {"adapt": True, "expect": "none"},
        "adapting, then the mix": {"adapt": True, "expect": "blood", "pseudo": False},
        "both, --expect source": {"adapt": True, "expect": "source"},
        "both (default, blood)": {"adapt": True, "expect": "blood"},
    }
    for name, how in ways.items():
        found = [(lab.name, *scores(model, model.probabilities(lab.X, **how), lab.y)) for lab in targets]
        print(f"  {name:24s}", "; ".join(f"{lab} {right:.1f}, {young:.1f}" for lab, right, young in found), flush=True)


def own_mixes(source: Lab) -> None:
    print("\n2. held-out cells of the source, by --expect (accuracy, called immature, %)")
    learnt, held = next(iter(stratified(source.y, None, folds=2, seed=0)))
    model, generator = Model(source.X[learnt], source.y[learnt]), np.random.default_rng(0)
    even = {name: 100 / len(model.classes) for name in model.classes}
    for name, mix in {**MIXES, "even": even}.items():
        rows = []
        for of, share in mix.items():
            own, count = held[source.y[held] == of], round(DRAWN * share / 100)
            rows += generator.choice(own, count, replace=count > len(own)).tolist() if len(own) else []
        y = source.y[rows]
        for seen, views in (("as they are", slice(0, 2)), ("restained", slice(4, 6))):
            X = source.X[rows][:, views]
            X[..., -1] = source.X[rows][:, :1, -1]
            another = "another lab" if model.unlike.of_another_lab(compared(X)) else "alike"
            words = []
            for how in ("none", "source", "blood"):
                right, young = scores(model, model.probabilities(X, adapt=True, expect=how), y)
                words.append(f"{how} {right:.1f}, {young:.1f}")
            print(f"  {name:14s} {seen:12s} {another:12s}", "; ".join(words), flush=True)


def unlike(source: Lab, targets: list[Lab]) -> None:
    print("\n3. left out of the source: area under the ROC curve, and found at 5 % false alarms")
    left = [(name,) for name in np.unique(source.y)] + list(GROUPS)
    inside, across = [], []
    for out in left:
        known = np.flatnonzero(~np.isin(source.y, out))
        if len(known) == len(source.y):
            continue
        learnt, held = (known[rows] for rows in next(iter(stratified(source.y[known], None, folds=3, seed=0))))
        model = Model(source.X[learnt], source.y[learnt])
        asked = np.concatenate([held, np.flatnonzero(np.isin(source.y, out))])
        area, found = _area(model.unlike.distance(compared(source.X[asked])), np.isin(source.y[asked], out))
        words = [f"own lab {area:.2f}, {found:.2f}"]
        inside.append((area, found))
        for lab in targets:
            names = {node for name in out for node in (name, *ancestors(name))} & set(lab.y)
            unknown = np.isin(lab.y, list(names))
            covered = any(name in names for c in model.classes for name in (c, *ancestors(c)))
            if unknown.sum() < 10 or covered:  # too few; or the target's class was learnt in part
                continue
            features = compared(lab.X)
            said = model.probabilities(lab.X, adapt=True, expect="blood")
            area, found = _area(model.unlike.suited(features, said).distance(features), unknown)
            across.append((area, found, unknown.mean()))
            words.append(f"{lab.name} {area:.2f}, {found:.2f} ({100 * unknown.mean():.0f} % of its cells)")
        print(f"  {' + '.join(out):60s}", "; ".join(words), flush=True)
    print("  mean, own lab: {:.3f}, {:.3f}".format(*np.mean(inside, 0)))
    if across:
        minor = [row for row in across if row[2] < 0.5]
        print("  mean, other labs: {:.3f}, {:.3f}".format(*np.mean(across, 0)[:2]))
        print("  mean, other labs, classes of less than half the cells: {:.3f}, {:.3f}".format(*np.mean(minor, 0)[:2]))


def _area(distance: np.ndarray, unknown: np.ndarray) -> tuple[float, float]:
    alarm = np.quantile(distance[~unknown], 0.95)
    return float(roc_auc_score(unknown, distance)), float((distance[unknown] > alarm).mean())


def called(model: Model, targets: list[Lab]) -> None:
    print("\n4. called unlike where every class was learnt, before and after their lab's shift is taken (%)")
    for lab in targets:
        features = compared(lab.X)
        said = model.probabilities(lab.X, adapt=True, expect="blood")
        ways = (model.unlike, model.unlike.suited(features, said))
        before, after = (100 * float((way.distance(features) > 1).mean()) for way in ways)
        another = model.unlike.of_another_lab(features)
        print(f"  {lab.name}: {before:.1f}, {after:.1f}; another lab: {another}", flush=True)


def expected(source: Lab, targets: list[Lab]) -> None:
    print("\n5. expected accuracy (95 % interval) and the truth, %")
    held = count = 0
    for seed in range(DRAWS):
        rows = next(iter(stratified(source.y, None, folds=2, seed=seed)))[0]
        model = Model(source.X[rows], source.y[rows])
        for lab in targets:
            mix = Expected(model.source, shares_of("blood", model.classes, model.source))
            another = model.unlike.of_another_lab(compared(lab.X))
            adapted = model.classifier.suited(lab.X, mix, another_lab=another)
            estimate = expected_accuracy(model.calibration, adapted, lab.X, mix, another_lab=another)
            share, low, high = (100 * value for value in estimate)
            said = model.probabilities(lab.X, adapt=True, expect="blood")
            truth, young = scores(model, said, lab.y)
            held, count = held + (low <= truth <= high), count + 1
            print(
                f"  {lab.name}: {share:.1f} ({low:.1f} to {high:.1f}), true {truth:.1f}; immature {young:.1f}",
                flush=True,
            )
    print(f"  the interval held the truth in {held} of {count}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--cells", type=int, default=160)
    parser.add_argument("--cache", type=Path, default=Path("mix-cache"))
    parser.add_argument("--only-expected", action="store_true", help="print the last part alone")
    parser.add_argument("--no-size", action="store_true", help="hide how large the cells are")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    source = Lab(given.source, given.cells, given.cache, sized=not given.no_size)
    targets = [Lab(target, None, given.cache, sized=not given.no_size) for target in given.targets]
    print(f"{source.name}: {len(source.y)} cells; " + "; ".join(f"{lab.name}: {len(lab.y)}" for lab in targets))
    if not given.only_expected:
        model = Model(source.X, source.y)
        parts(model, targets)
        own_mixes(source)
        unlike(source, targets)
        called(model, targets)
    expected(source, targets)


if __name__ == "__main__":
    main()
