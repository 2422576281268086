"""The published protocol: train on four fifths of one lab, test on its last fifth and on every other lab."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline

from dorl.classification.answers import Answers, Key, confusion_of, intervals_table
from dorl.classification.classifiers import CLASSIFIERS, appetite, make_classifier
from dorl.classification.comparison import Comparison
from dorl.classification.folds import (
    drawn_rows,
    lab_folds,
    names_no_test,
    rows_to_test,
    split_fold,
    units,
    without_copies,
)
from dorl.classification.parallel import in_parallel
from dorl.classification.unlike import Unlike, described
from dorl.classification.views import ViewsClassifier
from dorl.errors import InputError
from dorl.runtime.progress import track
from dorl.words import counted

#: columns of `ProtocolResult.mistakes`, one row for each wrong answer
MISTAKES = ("train", "test", "method", "classifier", "fold", "cell", "true", "predicted", "probability")
#: columns of a table of results, one row for each train, test, classifier and fold; scores from 0 to 1
COLUMNS = ("train", "test", "method", "classifier", "fold", "accuracy", "balanced_accuracy", "macro_f1")

#: columns of `ProtocolResult.pairs`
PAIRS = ("train", "test", "cells", "left_out", "classes")

#: cells that are read at once
CHUNK = 4096
#: labelled cells of a lab that the protocol looks at; of more so many are drawn
MAX_CELLS = 50_000
#: classifiers by the time that they take
SLOWEST = ("XGBoost", "RF", "SVM (poly)", "SVM (linear)", "ANN", "LR")


def _no_mistakes() -> pd.DataFrame:
    return pd.DataFrame(columns=list(MISTAKES))


@dataclass
class LabFeatures:
    """What one lab's cells look like to a classifier.

    Parameters
    ----------
    X : array of shape (n_cells, n_features), or (n_cells, n_views, n_features), the plain views first
        Views may be anything that is indexed as `dorl.cells.rows.StoredRows` is.
    y : array of str, shape (n_cells,)
        Class names; None, NaN or "" where a cell is unlabelled.
    groups : int array of shape (n_cells,), optional
        The same number for cells that are copies of each other, in whatever lab.
    patients : object array of shape (n_cells,), optional
        Patient of each cell; None where unknown. Cells of a patient lie in one fold.
    splits : object array of shape (n_cells,), optional
        ``test`` for cells that are held out where the lab's own split is followed; None where unknown.
    """

    X: Any
    y: NDArray[np.object_]
    groups: NDArray[np.int64] | None = None
    patients: NDArray[np.object_] | None = None
    splits: NDArray[np.object_] | None = None

    def __post_init__(self) -> None:
        if getattr(self.X, "ndim", None) != 3:  # views take much room, and stay in half precision, or on disk
            self.X = np.asarray(self.X, np.float32)
        self.y = np.asarray(self.y, dtype=object)
        if self.X.ndim not in (2, 3) or self.y.shape != self.X.shape[:1]:
            raise InputError(f"features {self.X.shape} and labels {self.y.shape} don't fit: give one label a row")

    def labelled(self) -> LabFeatures:
        """The cells that have a label."""
        keep = np.array([isinstance(name, str) and name != "" for name in self.y], dtype=bool)
        return self.take(keep)

    def take(self, rows: NDArray[Any]) -> LabFeatures:
        """Some cells: row numbers, or bool (n_cells,)."""
        rest = (None if of is None else of[rows] for of in (self.groups, self.patients, self.splits))
        return LabFeatures(self.X[rows], self.y[rows], *rest)


@dataclass
class ProtocolResult:
    """What `cross_lab` found.

    Parameters
    ----------
    results : DataFrame
        `COLUMNS`; labels of both labs projected to the classes that they share in the tree of classes.
    results_flat : DataFrame
        `COLUMNS`; labels flattened as in the paper, every tested cell counted.
    pairs : DataFrame
        A row for each train and test: ``cells`` tested and compared, cells tested and ``left_out`` for want
        of a counterpart, and the ``classes`` compared (a tuple), all of the tree comparison.
    confusions : dict
        (train, test, classifier) → (classes, float array (n_classes, n_classes + 1), as of `confusion_of`, each cell
        once, the last column "other"); of the tree comparison.
    notes : list of str
        What a reader of the numbers should know.
    mistakes : DataFrame
        `MISTAKES`, of the classifiers that were to be explained.
    answers, answers_flat : dict
        (train, test, method, classifier) → `Answers` about every tested cell, by the tree of classes and flat; by the
        tree with probabilities where the classifier was to be explained.
    """

    results: pd.DataFrame
    results_flat: pd.DataFrame
    pairs: pd.DataFrame
    confusions: dict[tuple[str, str, str], tuple[tuple[str, ...], NDArray[np.float64]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    mistakes: pd.DataFrame = field(default_factory=_no_mistakes)
    answers: dict[Key, Answers] = field(default_factory=dict)
    answers_flat: dict[Key, Answers] = field(default_factory=dict)

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """`intervals_table` of the comparison by the tree."""
        return intervals_table(self.answers)

    @cached_property
    def intervals_flat(self) -> pd.DataFrame:
        """`intervals_table` of the flat comparison."""
        return intervals_table(self.answers_flat)

    @staticmethod
    def concat(parts: Sequence[ProtocolResult]) -> ProtocolResult:
        """Join results, for example those of one call a tested lab in the "unseen lab" protocol.

        Of a pair that several of them compared with the same classifier, the first's confusion matrix is kept.
        """
        wrong = [part.mistakes for part in parts if len(part.mistakes)]
        confusions: dict[tuple[str, str, str], tuple[tuple[str, ...], NDArray[np.float64]]] = {}
        answers: dict[Key, Answers] = {}
        answers_flat: dict[Key, Answers] = {}
        for part in parts:
            confusions |= {key: value for key, value in part.confusions.items() if key not in confusions}
            answers |= part.answers
            answers_flat |= part.answers_flat
        return ProtocolResult(
            results=pd.concat([part.results for part in parts], ignore_index=True),
            results_flat=pd.concat([part.results_flat for part in parts], ignore_index=True),
            pairs=pd.concat([part.pairs for part in parts], ignore_index=True).drop_duplicates(
                ["train", "test"], ignore_index=True
            ),
            confusions=confusions,
            notes=list(dict.fromkeys(note for part in parts for note in part.notes)),
            mistakes=pd.concat(wrong, ignore_index=True) if wrong else _no_mistakes(),
            answers=answers,
            answers_flat=answers_flat,
        )


def cross_lab(
    labs: Mapping[str, LabFeatures],
    *,
    method: str = "DoRL",
    classifiers: Sequence[str] | None = None,
    folds: int = 5,
    seed: int = 0,
    trains: Sequence[str] | None = None,
    tests: Sequence[str] | None = None,
    own: bool = True,
    adapt: bool = False,
    shared: int = 0,
    sized: bool = False,
    explain: Sequence[str] = (),
    split: bool = False,
    whole: bool = False,
) -> ProtocolResult:
    """Train on each lab, test on each lab.

    For each training lab, a stratified k-fold: fit on all folds but one, test on that one (own lab) and on
    the whole of each other lab. One set of predictions serves both comparisons, "tree" and "flat". Cells of one group
    lie in one fold, and cells of another lab that are copies of labelled cells of the training lab are not tested.
    Of more than `MAX_CELLS` labelled cells of a lab so many are drawn, which a note says.

    For the "unseen lab" protocol, where the features depend on the lab that the autoencoder never saw, call
    this once a tested lab with ``tests=[that lab], own=False`` and join with `ProtocolResult.concat`.

    Parameters
    ----------
    labs : mapping of name to LabFeatures
        All of one width; unlabelled cells are dropped.
    method : str, default "DoRL"
        What made the features, for the column ``method``.
    classifiers : sequence of str, optional
        Names out of `CLASSIFIERS`; all by default.
    folds : int, default 5
    seed : int, default 0
        Of the folds and of the classifiers.
    trains, tests : sequence of str, optional
        Labs to train and to test on; all by default.
    own : bool, default True
        Test on the held-out fold of the training lab, too (where it is among `tests`).
    adapt : bool, default False
        Let the classifier over views adapt to the tested lab's cells, all of them and without their labels, as
        `ViewsClassifier.suited` does, where these are another lab's (`dorl.classification.unlike.Unlike`).
    shared : int, default 0
        Of views, how many of their numbers, the first ones, are the feature s: see `make_classifier`.
    sized : bool, default False
        Of views, whether their last number is the cell's size.
    explain : sequence of str, optional
        Classifiers whose mistakes are listed, and whose probabilities are kept.
    split : bool, default False
        Follow each lab's own `LabFeatures.splits` in place of folds: of the lab learnt from, what isn't ``test`` is
        learnt; of each lab, what is ``test`` is tested, or all cells where another lab has none.
    whole : bool, default False
        Learn all cells of a lab, in place of folds, and test on other labs alone.

    Returns
    -------
    ProtocolResult

    References
    ----------
    Li et al., *Domain-invariant Representation Learning via Segment Anything Model for Blood Cell
    Classification*, arXiv 2408.07467, Table 1.
    """
    names = list(CLASSIFIERS) if classifiers is None else list(classifiers)
    for name in names:
        make_classifier(name)  # an unknown name is told before hours of fitting, not after
    trains = list(labs) if trains is None else list(trains)
    tests = list(labs) if tests is None else list(tests)
    if whole:
        folds, own = 1, False
    notes: list[str] = []
    data, numbers = _prepare(labs, dict.fromkeys([*trains, *tests]), notes, seed)
    tested = {
        (train, test): without_copies(
            train, test, data[train].groups, data[test].groups, len(data[test].y), notes, data[test].patients
        )
        for train in trains
        for test in tests
        if test != train or own
    }
    if split:
        folds = 1
        held = {name: rows_to_test(data[name].splits, len(data[name].y)) for name in tests}
        notes += [
            f"{name}: its split calls no cell test: all its cells are tested by what learnt from another lab."
            for name in tests
            if names_no_test(data[name].splits) and any(pair[1] == name != pair[0] for pair in tested)
        ]
        # of the own lab the fold itself says what is tested
        tested = {
            (train, test): rows if train == test else np.intersect1d(rows, held[test])
            for (train, test), rows in tested.items()
        }
    comparisons = {
        (train, test): Comparison(train, test, data[train].y, data[test].y[rows])
        for (train, test), rows in tested.items()
        if len(rows)
    }
    trains = [train for train in trains if any(pair[0] == train for pair in comparisons)]
    if not tested:
        raise InputError("nothing to test on: give a second lab, or test on the training lab, too")
    splits = {
        train: [(np.arange(len(of.y)), np.empty(0, np.intp))]
        if whole
        else split_fold(train, of.y, of.splits, notes, of.patients, of.groups)
        if split
        else lab_folds(train, of.y, of.groups, folds, seed, notes, of.patients)
        for train in trains
        for of in (data[train],)
    }
    for (train, test), comparison in comparisons.items():
        compared = [rows for _, rows in splits[train]] if train == test else [np.arange(len(tested[train, test]))]
        comparison.restrict(np.unique(np.concatenate(compared)))
    notes += [note for comparison in comparisons.values() if (note := comparison.note())]

    jobs = [(train, name, fold) for train in trains for name in names for fold in range(folds)]
    tree: list[dict[str, Any]] = []
    flat: list[dict[str, Any]] = []
    mistakes: list[pd.DataFrame] = []

    def answers(
        job: tuple[str, str, int],
    ) -> dict[str, tuple[NDArray[np.object_], NDArray[np.float64] | None, list[str]]]:
        """What a classifier of one lab, fitted without one fold, says of each tested lab's cells, and how surely."""
        train, name, fold = job
        learn, held_out = splits[train][fold]
        model = _fit(name, seed, data[train].X[learn], data[train].y[learn], shared)
        over_views = isinstance(model[-1], ViewsClassifier)
        compared = partial(described, plain=model[-1].plain, skip=shared, sized=sized) if over_views and adapt else None
        known = None if compared is None else _unlike(data[train], learn, compared(data[train].X[learn]), seed)
        said = {}
        for test in (test for test in tests if (train, test) in comparisons):
            rows = held_out if test == train else tested[train, test]
            asked = data[test].X if len(rows) == len(data[test].y) else data[test].X[rows]
            # all of the lab's cells, labelled or not, may be adapted to
            chosen = model
            if over_views and test != train:  # which lab that is, is known in "unseen", too
                another = known.of_another_lab(compared(labs[test].X)) if known and compared else not adapt
                chosen = model[-1].suited(labs[test].X, another_lab=another, adapt=adapt)
            sure = chosen.predict_proba(asked) if name in explain else None
            said[test] = chosen.predict(asked).astype(object), sure, list(chosen.classes_)
        return said

    # what takes longest first, so that no core waits at the end
    order = sorted(jobs, key=lambda job: SLOWEST.index(job[1]) if job[1] in SLOWEST else len(SLOWEST))
    sizes = [appetite(name, data[train].X.nbytes) for train, name, _ in order]
    done = in_parallel(answers, order, sizes)
    answered = dict(track(done, total=len(jobs), what=f"fitting classifiers on {method} features"))
    said_of: dict[Key, list[tuple[NDArray[np.intp], NDArray[np.object_]]]] = {}
    chances: dict[Key, NDArray[np.float64]] = {}
    for train, name, fold in jobs:
        for test, (predicted, sure, of_model) in answered[train, name, fold].items():
            comparison = comparisons[train, test]
            cells = splits[train][fold][1] if test == train else np.arange(len(tested[train, test]))
            row = {"train": train, "test": test, "method": method, "classifier": name, "fold": fold}
            key = train, test, method, name
            said_of.setdefault(key, []).append((cells, predicted))
            tree.append({**row, **comparison.tree(cells, predicted)[0]})
            flat.append({**row, **comparison.flat(cells, predicted)})
            if sure is None:
                continue
            gathered = comparison.gathered(sure, of_model)
            sums = chances.setdefault(key, np.zeros((len(tested[train, test]), gathered.shape[1])))
            sums[cells] += gathered / (1 if test == train else folds)
            if (wrong := comparison.wrong(cells, predicted)).any():
                rows = tested[train, test][cells[wrong]]
                found = {"cell": numbers[test][rows], "true": data[test].y[rows], "predicted": predicted[wrong]}
                found["probability"] = sure[wrong].max(axis=1)
                mistakes.append(pd.DataFrame({**row, **found}))
    both = {}
    for key, of in said_of.items():
        lab, rows = data[key[1]], tested[key[:2]]
        together, by_patient = units(len(lab.y), lab.groups, lab.patients)
        both[key] = comparisons[key[:2]].answers(
            of, together[rows], by_patient=by_patient, probabilities=chances.get(key)
        )
    return ProtocolResult(
        results=pd.DataFrame(tree, columns=list(COLUMNS)),
        results_flat=pd.DataFrame(flat, columns=list(COLUMNS)),
        pairs=pd.DataFrame([comparison.summary() for comparison in comparisons.values()], columns=list(PAIRS)),
        confusions={(key[0], key[1], key[3]): (of.classes, confusion_of(of)) for key, (of, _) in both.items()},
        notes=notes,
        mistakes=pd.concat(mistakes, ignore_index=True)[list(MISTAKES)] if mistakes else _no_mistakes(),
        answers={key: tree for key, (tree, _) in both.items()},
        answers_flat={key: flat for key, (_, flat) in both.items()},
    )


def _unlike(lab: LabFeatures, rows: NDArray[np.intp], compared: NDArray[np.float32], seed: int) -> Unlike | None:
    """What tells another lab's cells from those in `rows` (N,) of a lab, by what these are `compared` by, (N, F)."""
    groups = None if lab.groups is None else lab.groups[rows]
    patients = None if lab.patients is None else lab.patients[rows]
    return Unlike.fit(compared, lab.y[rows], groups=groups, patients=patients, seed=seed)


def _prepare(
    labs: Mapping[str, LabFeatures], wanted: Iterable[str], notes: list[str], seed: int
) -> tuple[dict[str, LabFeatures], dict[str, NDArray[np.intp]]]:
    """The labelled cells of each lab, `MAX_CELLS` at most, and the number of each among all its labelled ones."""
    data: dict[str, LabFeatures] = {}
    numbers: dict[str, NDArray[np.intp]] = {}
    for name in wanted:
        if name not in labs:
            raise InputError(f"there is no lab {name!r}: given were {', '.join(labs)}")
        lab = data[name] = labs[name].labelled()
        if not len(lab.y):
            raise InputError(
                f"{name}: no cell has a label; the protocol needs labels in every lab it trains or tests on"
            )
        numbers[name] = drawn_rows(lab.y.astype(str), MAX_CELLS, seed=seed)
        if len(numbers[name]) < len(lab.y):
            notes.append(
                f"{name}: {MAX_CELLS} of its {len(lab.y)} labelled cells are drawn by the seed, each class in its "
                "share, to be learnt and tested by the protocol."
            )
            lab = data[name] = lab.take(numbers[name])
        # of views, all but the first may be missing
        slices = (lab.X[start : start + CHUNK] for start in range(0, len(lab.y), CHUNK))
        if not all(np.isfinite(part if part.ndim == 2 else part[:, 0]).all() for part in slices):
            raise InputError(f"{name}: features hold NaN or infinity; extract them anew")
        if dropped := len(labs[name].y) - len(lab.y):
            notes.append(f"{name}: {counted(dropped, 'unlabelled cell is', 'unlabelled cells are')} left out.")
    widths = {name: lab.X.shape[-1] for name, lab in data.items()}
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise InputError(f"labs differ in the number of features ({listed}): extract all with one model")
    return data, numbers


def _fit(name: str, seed: int, X: NDArray[np.float32], y: NDArray[np.object_], shared: int) -> Any:
    """A fitted pipeline."""
    # one class happens where a lab's other classes all lie in the held-out fold; some classifiers refuse it
    known = len(set(y)) > 1
    of_views = shared if X.ndim == 3 else None
    model = make_classifier(name, seed, shared=of_views) if known else make_pipeline(DummyClassifier())
    return model.fit(X, y.astype(str))
