"""`dorl predict`: classes of new images, written as they are made and renamed when whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TextIO

import numpy as np
import pandas as pd

from dorl.classification import Calibration
from dorl.classification.nodes import SURE, finest_sure, probability_of
from dorl.domains import Domain
from dorl.domains.gathering import Given, each_given, gather, place_of, read_images, tell_left_out
from dorl.errors import BadImageError, InputError
from dorl.files import atomic, behind_links, is_stream
from dorl.run.folder import check_file, make_folder
from dorl.run.mixes import DEFAULT, check_expect, tell_mix
from dorl.run.model import BATCH, DoRL
from dorl.runtime.progress import say, track
from dorl.runtime.training import prefetch
from dorl.sheets import SheetWriter

__all__ = ["Predicted", "predict", "read_images", "tell_left_out"]

#: cells that are classified at once, and cells that a classifier adapts to at most
CHUNK, MOST = 1024, 5000


@dataclass
class Predicted:
    """What became of the images.

    Attributes
    ----------
    images, without_cell : int
        How many were read, and in how many of them no cell was found: these have no class.
    left_out : list of (str, str)
        Path and reason.
    accuracy : (float, float, float) or None
        Share that is likely to be right, and its 95 % interval, as `dorl.classification.Calibration.estimate` says;
        None where the run has no calibration.
    adapted : bool
        Whether the classifier adapted to these cells.
    mix : dict of str to float
        Estimated share of each class, by which probabilities were corrected; empty where they weren't.
    unlike : int
        Cells unlike all that were learnt.
    """

    images: int
    without_cell: int
    left_out: list[tuple[str, str]]
    accuracy: tuple[float, float, float] | None = None
    adapted: bool = False
    mix: dict[str, float] = field(default_factory=dict)
    unlike: int = 0


def predict(
    run: str | Path,
    images: Given,
    *,
    out: str | Path,
    classifier: str | None = None,
    adapt: bool = True,
    expect: str = DEFAULT,
    sure: float | None = None,
    reject: bool = False,
    device: str | None = None,
) -> Predicted:
    """Classify images with a run.

    Parameters
    ----------
    run : str or Path
    images : str, Path or Domain, or several str or Path
        An image, a folder (searched below, too), a manifest, or a lab; of several, paths stand in `out` as given.
    out : str or Path
        CSV: path, class, probability, node (the finest node of the tree that is sure: `finest_sure`), found, confidence
        (of the cell's outline, 0-1), distance and unlike (`DoRL.distances`; empty where the run can't say), then a
        column a class with its probability, in the run's order of classes. Where no cell was found, ``found`` is False,
        ``confidence`` 0, and nothing is said of the class. A link is written through; a pipe or ``/dev/stdout`` gets
        the table when it is whole.
    classifier : str, optional
        One of the run's classifiers; its default otherwise.
    adapt : bool
        Let the classifier over views adapt to these images where there are a hundred or more and they look like
        another lab's (`dorl.classification.ViewsClassifier.suited`). An image's class then depends on the others, too.
    expect : {"blood", "marrow", "source", "none"} or str
        The mix of classes that is expected, or a CSV file with the columns class and share. From 30 cells on, that of
        these is estimated, and probabilities are corrected by it; ``"none"`` leaves them as the classifier gives them.
    sure : float, optional
        Least probability of ``node``, 0-1, `SURE` by default; where it is given, ``class`` and ``probability`` are the
        node's, too.
    reject : bool
        Leave the class of cells that are unlike empty.
    device : str, optional

    Returns
    -------
    Predicted

    Raises
    ------
    InputError
        If the run or the images can't be used, or `out` is no place for a file.
    """
    check_expect(expect)
    check_sure(sure)
    out = Path(out)
    _check_file(out, images, Path(run))
    model = DoRL.load(run, classifier=classifier, device=device)
    classes = model.classes_
    lab = gather(images)
    if out.is_file() and any(lab.file(i).exists() and out.samefile(lab.file(i)) for i in range(len(lab))):
        raise InputError(f"{out}: is one of the images; give another file for --out")
    if not is_stream(out):
        make_folder(behind_links(out).parent)
    tell_left_out(lab)
    result = Predicted(0, 0, list(lab.left_out.itertuples(index=False, name=None)))
    with atomic(out) as temporary, _opened(temporary, out) as file, tempfile.TemporaryFile() as held:
        paths, inputs, outlines = _held(model, lab, result, held)
        found = outlines > 0
        cells = np.flatnonzero(found)
        agreement = None
        if not adapt and model.calibration is not None and len(cells):
            agreement = model.agreement(np.asarray(inputs[cells[spread(len(cells))]]))
        if len(cells):
            before, model = model, suited_to(model, inputs, cells, expect=expect, adapt=adapt)
            result.adapted = model.classifier is not before.classifier
            result.mix = {} if model.mix is None else dict(zip(classes, model.mix.tolist(), strict=True))
        columns = ["path", "class", "probability", "node", "found", "confidence", "distance", "unlike"]
        writer = SheetWriter(file, [*columns, *classes], number=".6f")
        confidence: list[np.ndarray] = []
        at_first: list[np.ndarray] = []
        for start in range(0, len(paths), CHUNK):
            some_inputs, seen = np.asarray(inputs[start : start + CHUNK]), found[start : start + CHUNK]
            probabilities = model.probabilities(some_inputs)
            confidence.append(probabilities[seen].max(1))
            if (first := model.first_probabilities(some_inputs)) is not None:
                at_first.append(first[seen].max(1))
            told = said_of(model, some_inputs, probabilities, sure=sure, reject=reject)
            for path, row, words, outline in zip(
                paths[start : start + CHUNK],
                probabilities,
                told.itertuples(index=False),
                outlines[start : start + CHUNK],
                strict=True,
            ):
                name, chance, node, distance, unlike = words if outline else [None] * 5
                values = row if outline else [None] * len(row)
                writer.row([path, name, chance, node, bool(outline), outline, distance, unlike, *values])
                result.unlike += unlike is True
    if model.calibration is not None and len(cells):
        said = [np.concatenate(values) for values in (at_first, confidence) if values]
        result.accuracy = tell_accuracy(model.calibration, *said, agreement=agreement)
    tell_unlike(model, result.unlike, len(cells), reject=reject)
    say(
        f"{len(cells)} images classified, {result.without_cell} without a cell that could be made out, "
        f"{len(result.left_out)} left out: {out}"
    )
    return result


def spread(count: int) -> np.ndarray:
    """Rows of `MOST` cells, or of all, evenly among `count`."""
    return np.unique(np.linspace(0, count - 1, min(MOST, count)).astype(int))


def check_sure(sure: float | None) -> None:
    """Raise InputError unless it is a probability, or None."""
    if sure is not None and not 0 < sure <= 1:
        raise InputError(f"--sure {sure}: give a probability above 0, 1 at most")


def suited_to(
    model: DoRL, inputs: np.ndarray, cells: np.ndarray | None = None, *, expect: str = DEFAULT, adapt: bool = True
) -> DoRL:
    """`DoRL.suited` to cells, and what it did is said.

    Parameters
    ----------
    model : DoRL
    inputs : array of shape (N, …)
        As `DoRL.inputs` gives them; may be memory-mapped.
    cells : int array of shape (M,), optional
        Rows of `inputs` in which a cell was found; all by default.
    expect, adapt
        As for `DoRL.suited`.
    """
    rows = np.arange(len(inputs)) if cells is None else cells
    other = model.suited(np.asarray(inputs[rows[spread(len(rows))]]), expect=expect, adapt=adapt)
    if other.classifier is not model.classifier:
        say(
            f"these {len(rows)} cells look unlike those learnt from: the classifier adapts to them, without "
            "labels (--no-adapt leaves it as it is)"
        )
    if other.mix is not None:
        tell_mix(expect, other.classes_, other.mix, len(rows))
    return other


def said_of(
    model: DoRL, inputs: np.ndarray, probabilities: np.ndarray, *, sure: float | None, reject: bool
) -> pd.DataFrame:
    """What the tables say of N cells: class, probability, node, distance, unlike; None where nothing can be said.

    Parameters
    ----------
    model : DoRL
    inputs : array of shape (N, …)
    probabilities : float array of shape (N, C)
    sure, reject
        As for `predict`.
    """
    classes = model.classes_
    node = finest_sure(probabilities, classes, sure=SURE if sure is None else sure)
    distance = model.distances(inputs)
    if sure is None:
        name, chance = np.array(classes, object)[probabilities.argmax(1)], probabilities.max(1)
    else:
        name, chance = node.copy(), probability_of(probabilities, classes, node)
    unlike = np.array([None if np.isnan(value) else bool(value > 1) for value in distance], object)
    name = np.where(unlike == True, None, name) if reject else name  # noqa: E712 - of objects, one by one
    values = np.array([None if np.isnan(value) else float(value) for value in distance], object)
    table = {"class": name, "probability": chance, "node": node, "distance": values, "unlike": unlike}
    return pd.DataFrame({column: pd.Series(list(array), dtype=object) for column, array in table.items()})


def tell_unlike(model: DoRL, unlike: int, cells: int, *, reject: bool) -> None:
    """Say how many cells are unlike all that were learnt, or that the run can't tell."""
    if model.unlike is None:
        say("this run can't tell which cells are unlike those learnt from: fit again for that")
    elif unlike:
        done = "their class is left empty" if reject else "check them by eye (--reject leaves their class empty)"
        say(f"{unlike} of {cells} cells are unlike all that were learnt from: {done}")


def tell_accuracy(
    calibration: Calibration, *confidence: np.ndarray, agreement: float | None = None
) -> tuple[float, float, float]:
    """Say how many are likely to be right, and return the share and its 95 % interval, 0-1.

    Parameters
    ----------
    calibration : Calibration
    *confidence : float arrays of shape (N,)
        Probability of each cell's likeliest class; first as it was before the classifier adapted, where it has.
    agreement : float, optional
        As `Calibration.estimate` takes it.
    """
    estimate = calibration.estimate(*confidence, agreement=agreement)
    share, low, high = (100 * value for value in estimate)
    say(
        f"by its confidence {share:.0f} % are right (95 % interval {low:.0f} to {high:.0f}); held-out cells of the "
        f"labs learnt from: {100 * calibration.accuracy:.0f} %. Cells of a lab unlike these may be "
        "wrong with confidence: check some by eye"
    )
    return estimate


def _held(model: DoRL, lab: Domain, result: Predicted, file: IO[bytes]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Paths of the images that can be read, what the classifier takes of them, and confidence of the outlines, (N,).

    What the classifier takes is memory-mapped, and kept in `file`. The confidence is 0 where no cell was found.
    """
    paths: list[str] = []
    outlines: list[np.ndarray] = []
    for some, arrays in read_batches(lab, result):
        inputs, confidence = model.inputs(arrays)
        file.write(inputs.tobytes())
        paths += some
        outlines.append(confidence)
    result.images = len(paths)
    if not paths:
        raise InputError("not one image could be read: give other images")
    file.flush()
    held = np.memmap(file, inputs.dtype, "r", shape=(len(paths), *inputs.shape[1:]))  # type: ignore[call-overload]
    confidence = np.concatenate(outlines)
    result.without_cell = int((confidence == 0).sum())
    return paths, held, confidence


def _opened(temporary: Path, out: Path) -> TextIO:
    try:
        return temporary.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: can't be written ({error.strerror}); choose another place for --out") from error


def _check_file(out: Path, images: Given, run: Path) -> None:
    """Refuse an `out` that can't be a file, that is the very file to be read, or that is a part of the run."""
    try:
        is_folder = out.is_dir()
        files = [place_of(one) for one in each_given(images) if not isinstance(one, Domain)] if out.is_file() else []
        is_input = any(file.exists() and out.samefile(file) for file in files)
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}; give another file for --out") from error
    if is_folder:
        raise InputError(f"{out}: is a folder; give a file for --out, for example predictions.csv")
    if is_input:
        raise InputError(f"{out}: is the file to be read; give another one for --out")
    if out.exists() and out.resolve().is_relative_to(run.resolve()):
        raise InputError(f"{out}: lies in the run folder already; give another file for --out")
    check_file(out)


def read_batches(
    lab: Domain, result: Predicted, *, what: str = "classifying"
) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Paths and images, `BATCH` at a time; unreadable ones go into `result` instead."""

    def load(i: int) -> np.ndarray | str:
        try:
            return lab.load(i)
        except BadImageError as error:
            return lab.reason(i, error)

    paths: list[str] = []
    arrays: list[np.ndarray] = []
    loaded = track(prefetch(load, range(len(lab)), ahead=2 * BATCH), total=len(lab), what=what)
    for i, image in enumerate(loaded):
        path = lab.table["path"].iat[i]
        if isinstance(image, str):
            say(f"left out: {path}: {image}")
            result.left_out.append((path, image))
        else:
            paths.append(path)
            arrays.append(image)
        if paths and (len(paths) == BATCH or i + 1 == len(lab)):
            yield paths, arrays
            paths, arrays = [], []
