"""Folds of a lab's cells that keep copies and patients together, and another lab's cells that are no copies of them."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from dorl.errors import InputError
from dorl.words import counted

#: row numbers to learn from and to hold out, a pair a fold
Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


#: cells of a class, where it has as many, that stay where cells must be left out
KEPT = 20


def drawn_rows(y: NDArray[Any], most: int, *, seed: int = 0) -> NDArray[np.intp]:
    """Row numbers, ascending, of at most `most` cells: each class in its share, but `KEPT` of a rare one stay.

    Parameters
    ----------
    y : array of shape (N,)
        Class of each cell, by name or number.
    most : int
    seed : int
        Of the draw.
    """
    count = len(y)
    if count <= most:
        return np.arange(count)
    names, index = np.unique(y, return_inverse=True)
    order = np.random.default_rng(seed).permutation(count)
    first = min(KEPT, max(1, most // len(names)))
    kept = np.zeros(count, bool)
    for number in range(len(names)):
        kept[order[index[order] == number][:first]] = True
    return np.sort(order[np.argsort(~kept[order], kind="stable")][:most])


def stratified(
    y: NDArray[np.str_],
    groups: NDArray[np.int64] | None,
    *,
    folds: int,
    seed: int,
    name: str = "the cells",
    patients: NDArray[np.object_] | None = None,
) -> Folds:
    """Divide cells into folds, each with its share of every class.

    Parameters
    ----------
    y : array of str, shape (N,)
        Class of each cell. Classes of fewer cells than folds are not in every fold.
    groups : int array of shape (N,), optional
        Cells of the same number lie in one fold. Where no two cells have the same, the folds are those of
        scikit-learn's StratifiedKFold.
    folds : int
    seed : int
    name : str
        Of the lab, for the error.
    patients : object array of shape (N,), optional
        As for `beside`.

    Returns
    -------
    list of (int array, int array)

    Raises
    ------
    InputError
        If the groups are fewer than the folds.
    """
    groups = beside(groups, patients, folds)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        if groups is None or not _have_copies(groups):
            return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y))
        if len(np.unique(groups)) < folds:
            raise InputError(
                f"{name}: without copies there are fewer cells than {folds} folds: give more, or fewer folds"
            )
        return list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(y, y, groups))


def beside(
    groups: NDArray[np.int64] | None, patients: NDArray[np.object_] | None, folds: int
) -> NDArray[np.int64] | None:
    """Numbers of the cells that lie in one fold: copies of each other, and cells of one patient.

    Parameters
    ----------
    groups : int array of shape (N,), optional
        The same number for copies.
    patients : object array of shape (N,), optional
        Patient of each cell; None, NaN or "" where unknown.
    folds : int

    Returns
    -------
    int array of shape (N,), or None
        `groups` as they are where no patient is known, or all cells would be of fewer groups than `folds`.
    """
    known = _known(patients)
    if patients is None or not known.any():
        return groups
    _, number = np.unique(patients[known].astype(str), return_inverse=True)
    _, copies = np.unique(np.arange(len(patients)) if groups is None else groups, return_inverse=True)
    count = copies.max() + 1
    size = count + number.max() + 1
    edges = coo_array((np.ones(len(number)), (copies[known], count + number)), shape=(size, size))
    together = connected_components(edges, directed=False)[1][copies].astype(np.int64)
    return together if len(np.unique(together)) >= folds else groups


def units(
    count: int, groups: NDArray[np.int64] | None, patients: NDArray[np.object_] | None
) -> tuple[NDArray[np.int64], bool]:
    """Numbers of the `count` cells that belong together, copies and those of a patient; whether a patient is known."""
    found = beside(groups, patients, 1)
    return np.arange(count) if found is None else found, bool(_known(patients).any())


def _known(patients: NDArray[np.object_] | None) -> NDArray[np.bool_]:
    """Which cells have a patient."""
    return np.array([isinstance(one, str) and one != "" for one in (() if patients is None else patients)], bool)


def lab_folds(
    name: str,
    y: NDArray[np.object_],
    groups: NDArray[np.int64] | None,
    folds: int,
    seed: int,
    notes: list[str],
    patients: NDArray[np.object_] | None = None,
) -> Folds:
    """`stratified` of a lab's labelled cells, with what a reader should know put into `notes`.

    Raises
    ------
    InputError
        For fewer than two folds or classes, or too few cells.
    """
    if folds < 2:
        raise InputError(f"folds is {folds}: the protocol needs 2 or more")
    if len(y) < folds:
        raise InputError(
            f"{name}: {len(y)} labelled cells are too few for {folds} folds; give more cells or fewer folds"
        )
    classes, counts = np.unique(y.astype(str), return_counts=True)
    if len(classes) < 2:
        raise InputError(f"{name}: all cells are {classes[0]}; a lab to train on needs two classes or more")
    for cls, count in zip(classes, counts, strict=True):
        if count < folds:
            cells = "a single cell" if count == 1 else f"only {count} cells"
            notes.append(f"{name}: class {cls} has {cells}: kept, but not every fold holds one.")
    if groups is not None and _have_copies(groups):
        many = counted(len(groups) - len(np.unique(groups)), "cell is a copy", "cells are copies")
        notes.append(f"{name}: {many} of others: in the same fold.")
    together = beside(groups, patients, folds)
    if (known := _known(patients)).any() and patients is not None:
        apart = "each lies in one fold"
        few = f"too few for {folds} folds, so that a patient's cells may lie in several"
        notes.append(
            f"{name}: {counted(len(set(patients[known])), 'patient')}: {few if together is groups else apart}."
        )
    groups = together
    if counts.max() < folds:
        notes.append(f"{name}: no class has a cell for each of the {folds} folds: folds are not stratified.")
        if groups is None or not _have_copies(groups) or len(np.unique(groups)) < folds:
            return list(KFold(folds, shuffle=True, random_state=seed).split(y))
        return list(GroupKFold(folds).split(y, groups=groups))
    return stratified(y.astype(str), groups, folds=folds, seed=seed, name=name)


def check_split(name: str, y: NDArray[np.object_], split: NDArray[np.object_] | None) -> None:
    """Raise InputError where a lab's labelled cells can't be learnt and tested by their `split`; as of `split_fold`."""
    known = np.array([isinstance(label, str) and label != "" for label in y], bool)
    test = _tested(split, len(y))
    learnt = {str(label) for label in y[known & ~test]}
    if not (test & known).any() or len(learnt) < 2:
        raise InputError(
            f"{name}: its column split leaves {int((test & known).sum())} labelled cells to test and {len(learnt)} "
            "classes to learn: give train and test in its manifest, or leave --split out"
        )


def split_fold(
    name: str,
    y: NDArray[np.object_],
    split: NDArray[np.object_] | None,
    notes: list[str],
    patients: NDArray[np.object_] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> Folds:
    """The one fold that a lab's own column ``split`` names: what is ``test`` is held out, all else is learnt from.

    Copies of what is tested are not learnt from. What it calls by other words, such as ``val``, is learnt from, since
    nothing is chosen by it here.

    Parameters
    ----------
    name : str
        Of the lab.
    y, split : object arrays of shape (N,)
        Class of each labelled cell, and what the column says; None where it says nothing.
    notes : list of str
        Is told of patients who stand on both sides, of copies, and of other words than train and test.
    patients : object array of shape (N,), optional
    groups : int array of shape (N,), optional
        The same number for copies of an image.

    Raises
    ------
    InputError
        If nothing is left to test, or fewer than two classes to learn.
    """
    check_split(name, y, split)
    test = _tested(split, len(y))
    if patients is not None:
        sides = [{one for one in patients[of] if isinstance(one, str) and one} for of in (test, ~test)]
        if both := len(sides[0] & sides[1]):
            several = counted(both, "patient stands", "patients stand")
            notes.append(f"{name}: {several} on both sides of its split: scores on it may be too high.")
    copies = np.zeros(len(y), bool) if groups is None else ~test & np.isin(groups, groups[test])
    if copies.any():
        many = counted(int(copies.sum()), "image is a copy", "images are copies")
        notes.append(f"{name}: {many} of images that its split tests: not learnt from.")
    notes += _other_words(name, split, ~test)
    return [(np.flatnonzero(~test & ~copies), np.flatnonzero(test))]


#: what a split calls that which is learnt from, in lower case; other words are told
_LEARNT = ("train", "training")


def _other_words(name: str, split: NDArray[np.object_] | None, learnt: NDArray[np.bool_]) -> list[str]:
    """A note of each word, neither train nor test, whose cells are learnt from."""
    words = [word.strip() for word in (() if split is None else split[learnt]) if isinstance(word, str)]
    return [
        f"{name}: its split calls {counted(count, 'cell')} {word!r}: learnt from, since only what it calls test is "
        "held out. Take them out of the manifest if they shall not be."
        for word, count in sorted(Counter(words).items())
        if word and word.casefold() not in _LEARNT
    ]


def names_no_test(split: NDArray[np.object_] | None) -> bool:
    """Whether a lab has a ``split``, and it calls no cell test."""
    words = () if split is None else split
    given = [word for word in words if isinstance(word, str) and word.strip()]
    return bool(given) and not _tested(split, len(words)).any()


def rows_to_test(split: NDArray[np.object_] | None, count: int) -> NDArray[np.intp]:
    """Rows of another lab that are tested: what its ``split`` calls test, or all where it names none."""
    test = _tested(split, count)
    return np.flatnonzero(test) if test.any() else np.arange(count)


def _tested(split: NDArray[np.object_] | None, count: int) -> NDArray[np.bool_]:
    words = () if split is None else split
    found = np.array([isinstance(word, str) and word.strip().casefold() == "test" for word in words], bool)
    return found if len(found) else np.zeros(count, bool)


def without_copies(
    train: str,
    test: str,
    learnt: NDArray[np.int64] | None,
    asked: NDArray[np.int64] | None,
    count: int,
    notes: list[str],
    patients: NDArray[np.object_] | None = None,
) -> NDArray[np.intp]:
    """Rows of the `count` cells of a tested lab that are no copies of cells of another lab, which is trained on.

    Nor are they of a patient who has such copies: a few labelled images of a lab may be given as a lab of their own.

    Parameters
    ----------
    train, test : str
        Names of the labs; the same for the own lab, of which all rows are given.
    learnt, asked : int arrays, optional
        Group numbers of the labelled cells of the lab trained on, and of the tested lab's (count,).
    count : int
    notes : list of str
        Is told how many are left out.
    patients : object array of shape (count,), optional
        Of the tested lab's cells; None where unknown.
    """
    if train == test or learnt is None or asked is None:
        return np.arange(count)
    copies = np.isin(asked, learnt)
    if copies.any():
        many = counted(int(copies.sum()), f"cell of {test} is a copy", f"cells of {test} are copies")
        notes.append(f"{train} → {test}: {many} of cells of {train}: not tested.")
    left_out = copies | of_patients_with(copies, patients)
    if more := int((left_out & ~copies).sum()):
        many = counted(more, "more cell is", "more cells are")
        notes.append(f"{train} → {test}: {many} of patients of such copies: not tested.")
    return np.flatnonzero(~left_out)


def of_patients_with(cells: NDArray[np.bool_], patients: NDArray[np.object_] | None) -> NDArray[np.bool_]:
    """Which cells are of a patient of one of some `cells`, both (N,); none where no patient is known."""
    known = _known(patients)
    if patients is None or not known.any():
        return np.zeros(len(cells), bool)
    touched = set(patients[known & cells].tolist())
    return np.array([one in touched for one in patients.tolist()], bool) & known


def _have_copies(groups: NDArray[np.int64]) -> bool:
    return len(np.unique(groups)) < len(groups)
