"""What a benchmark has to fit: jobs, each with a result of its own that is cached."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dorl.benchmark.code import CELLS_CODE, SHARED_CODE
from dorl.benchmark.labs import Lab, draw
from dorl.benchmark.methods import Cells, Method, Row, Source
from dorl.classification.answers import Answers
from dorl.classification.comparison import Comparison
from dorl.classification.folds import of_patients_with, units
from dorl.errors import InputError
from dorl.files import write_json
from dorl.runtime.kept import code_digest, content_key
from dorl.runtime.memory import give_back_memory, resident_memory
from dorl.words import counted

#: the accuracy that a method expects without labels, and its interval
ESTIMATED = ("estimated", "estimated_low", "estimated_high")
#: seconds between two looks at the process's memory
LOOK_EVERY = 0.05


@dataclass(frozen=True)
class Job:
    """One fit and the labs it is tested on.

    Parameters
    ----------
    row : str
    source : str
    number : int
        Of the repetition.
    segmenter : str
        Digest of the weights that made the cells.
    targets : tuple of str
        Labs whose unlabelled cells the method sees.
    tests : tuple of str
        The source's own name means its held-out fold.
    claims : frozenset of (str, str)
        (protocol, tested lab) that the results stand for.
    """

    row: str
    source: str
    number: int
    segmenter: str
    targets: tuple[str, ...]
    tests: tuple[str, ...] = ()
    claims: frozenset[tuple[str, str]] = field(default=frozenset())


@dataclass(frozen=True)
class Plan:
    """What `plan` needs to know.

    Parameters
    ----------
    sources, labs : sequence of str
        Names; every lab but the source is tested.
    protocols : sequence of {"transductive", "unseen"}
    segmenters : mapping of str to str
        Tested lab → digest of the weights used for it in "unseen"; key "" for all else.
    own : bool
        Test on the source's held-out fold, too.
    unlabelled : sequence of str
        Labs that aren't tested, and may be looked at in either protocol by rows that see all labs.
    versions : mapping of str to sequence of str
        Tested lab → its versions whose images were made worse; each is tested beside it, and no method sees it.
    """

    sources: Sequence[str]
    labs: Sequence[str]
    protocols: Sequence[str]
    segmenters: Mapping[str, str]
    own: bool = True
    unlabelled: Sequence[str] = ()
    versions: Mapping[str, Sequence[str]] = field(default_factory=dict)


def plan(rows: Iterable[tuple[Row, int]], given: Plan) -> list[Job]:
    """Jobs of rows, each with its number of repetitions; what serves two protocols is done once."""
    jobs: dict[tuple[Any, ...], Job] = {}

    def add(
        row: Row, source: str, number: int, digest: str, targets: tuple[str, ...], test: str, protocol: str
    ) -> None:
        key = (row.name, source, number, digest, targets)
        job = jobs.setdefault(key, Job(row.name, source, number, digest, targets))
        tests = tuple(dict.fromkeys([*job.tests, test]))
        jobs[key] = replace(job, tests=tests, claims=job.claims | {(protocol, test)})

    main, unlabelled = given.segmenters[""], tuple(given.unlabelled)
    for row, repetitions in rows:
        for source in given.sources:
            others = tuple(lab for lab in given.labs if lab != source)
            own = (source,) if given.own else ()
            for number in range(repetitions):
                if "transductive" in given.protocols:
                    for other in others:
                        targets = {"source": (), "target": (other,), "labs": others + unlabelled}[row.sees]
                        for test in (*own, other, *given.versions.get(other, ())):
                            add(row, source, number, main, targets, test, "transductive")
                if "unseen" in given.protocols and row.sees != "target":
                    targets = unlabelled if row.sees == "labs" else ()
                    for other in others:
                        for test in (other, *given.versions.get(other, ())):
                            add(row, source, number, given.segmenters.get(other, main), targets, test, "unseen")
                    for test in own:
                        add(row, source, number, main, targets, test, "unseen")
    return list(jobs.values())


@dataclass(frozen=True)
class Drawing:
    """How source cells are drawn: see `dorl.benchmark.labs.draw`."""

    classes: tuple[str, ...]
    per_class: int | None
    folds: int
    seed: int


def job_key(job: Job, row: Row, method: Method, labs: Mapping[str, Lab], drawing: Drawing) -> dict[str, Any]:
    """All that a job's result depends on."""
    names = dict.fromkeys([job.source, *job.targets, *job.tests])
    return {
        "row": job.row,
        "settings": {"method": type(method).__name__, **asdict(method)},  # type: ignore[call-overload]
        "code": code_digest((*CELLS_CODE, *SHARED_CODE, *row.code)),
        "segmenter": job.segmenter,
        "labs": {name: labs[name].digest for name in names},
        "source": job.source,
        "targets": list(job.targets),
        "tests": list(job.tests),
        "number": job.number,
        "drawing": asdict(drawing),
        "copies": _copies_digest([labs[name] for name in names]),
    }


def _copies_digest(labs: Sequence[Lab]) -> str:
    """Changes with which images of the labs are copies of each other; "" where none are."""
    groups = [number for lab in labs for number in ([] if lab.groups is None else lab.groups.tolist())]
    _, same = np.unique(groups, return_inverse=True)
    return hashlib.sha256(same.tobytes()).hexdigest()[:16] if len(set(groups)) < len(groups) else ""


def read_cached(path: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """A job's result, or None where there is none of this very key."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = isinstance(found, dict) and found.get("key") == json.loads(json.dumps(key))
    return found if same else None


def cache_path(folder: Path, key: Mapping[str, Any]) -> Path:
    """Where a job's result lies."""
    return folder / f"{key['row']}-{content_key(key)}.json"


def run_job(
    job: Job, method: Method, labs: Mapping[str, Lab], cells: Mapping[str, Cells], drawing: Drawing
) -> dict[str, Any]:
    """Fit, predict and score.

    Returns
    -------
    dict
        ``results``: a dict a variant and tested lab, with test, variant, setting, chosen_by, cells, classes, the scores
        with their intervals, and ``said``, the number of each cell's predicted class; ``asked``: of each tested lab the
        cells' ``rows``, ``true`` classes and ``units``, and whether these are patients (``by_patient``); ``seconds``;
        ``peak_mb`` (None where the system doesn't tell).
    """
    lab = labs[job.source]
    seed = drawing.seed + job.number
    learn, held = draw(
        lab, per_class=drawing.per_class, folds=drawing.folds, number=job.number, seed=seed, first=drawing.seed
    )
    unseen = not set(job.tests) & set(job.targets)
    source = Source(cells[job.source].take(learn), lab.labels[learn], unseen)
    targets = [replace(cells[name], domain=number) for number, name in enumerate(job.targets, start=1)]
    tested = {name: held if name == job.source else asked_rows(lab, labs[name]) for name in job.tests}
    results = []
    asked_about = {name: _asked_about(lab, labs[name], rows) for name, rows in tested.items()}
    with Watch() as watch:
        for fitted in method.fit(source, targets, seed):
            for test, rows in tested.items():
                asked = cells[test].take(rows)
                predicted = fitted.predict(asked)
                scored = _scored(labs[job.source], labs[test], rows, np.asarray(predicted, object))
                row = {"test": test, "variant": fitted.variant, "setting": fitted.setting}
                if fitted.estimate is not None:
                    scored |= dict(zip(ESTIMATED, fitted.estimate(asked), strict=True))
                results.append({**row, "chosen_by": fitted.chosen_by, **scored})
    cost = {"seconds": round(watch.seconds, 2), "peak_mb": watch.peak}
    return {"results": results, "asked": asked_about, **cost}


def asked_rows(source: Lab, test: Lab) -> np.ndarray:
    """Rows of another lab that are tested: those with a class, without copies of the source's and their patients."""
    rows, copies = test.compared, test.copies(source)
    return rows[~(copies | of_patients_with(copies, test.domain.table["patient"].to_numpy(object)))[rows]]


def copies_note(source: Lab, test: Lab) -> list[str]:
    """What a reader should know of copies; InputError where nothing else is left to test on."""
    if source.name == test.name:
        own = source.groups
        twice = 0 if own is None else len(own) - len(np.unique(own))
        many = counted(twice, "image is a copy", "images are copies")
        return [f"{source.name}: {many} of others of it: folds keep them together."] if twice else []
    copies = int(test.copies(source)[test.compared].sum())
    if copies == len(test.compared):
        raise InputError(f"all images of {test.name} are copies of images of {source.name}: leave one of the labs out")
    many = counted(copies, f"image of {test.name} is a copy", f"images of {test.name} are copies")
    note = f"{source.name} → {test.name}: {many} of {source.name}'s: not tested."
    return [note] if copies else []


def _asked_about(source: Lab, test: Lab, rows: np.ndarray) -> dict[str, Any]:
    """What is known of the cells of a lab that are tested, for `answers_of`."""
    of = _answers(source, test, rows, test.labels[rows])
    return {
        "rows": rows.tolist(),
        "true": of.true.tolist(),
        "units": of.units.tolist(),
        "by_patient": of.by_patient,
        "classes": list(of.classes),
    }


def _answers(source: Lab, test: Lab, rows: np.ndarray, predicted: np.ndarray) -> Answers:
    """Predictions of `rows` of a lab, by the tree of classes."""
    comparison = comparison_of(source, test)
    place = {row: number for number, row in enumerate(test.compared.tolist())}
    cells = np.array([place[row] for row in rows.tolist()], np.intp)
    known = test.compared
    groups = None if test.groups is None else test.groups[known]
    together, by_patient = units(len(known), groups, test.domain.table["patient"].to_numpy(object)[known])
    found, _ = comparison.answers([(cells, predicted)], together, by_patient=by_patient)
    return Answers(found.classes, found.true[cells], found.predicted[:, cells], found.units[cells], by_patient)


def _scored(source: Lab, test: Lab, rows: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Scores of predictions of `rows` of a lab, by the tree of classes, each with its interval, and the predictions."""
    found = _answers(source, test, rows, predicted)
    scored: dict[str, Any] = {"cells": int((found.true >= 0).sum()), "classes": list(found.classes)}
    for name, interval in found.intervals().items():
        scored |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {**scored, "said": found.predicted[0].tolist()}


def answers_of(results: Sequence[tuple[Mapping[str, Any], Sequence[int]]]) -> Answers:
    """A method's answers about a lab, of all its fits.

    Parameters
    ----------
    results : sequence of (dict, sequence of int)
        Of each fit what `run_job` gives of the tested lab as ``asked``, and as ``said``.
    """
    rows = sorted({row for asked, _ in results for row in asked["rows"]})
    place = {row: number for number, row in enumerate(rows)}
    true, together = np.full(len(rows), -1, np.int64), np.zeros(len(rows), np.int64)
    numbers = np.full((len(results), len(rows)), -1, np.int64)
    for fit, (asked, predicted) in enumerate(results):
        cells = [place[row] for row in asked["rows"]]
        true[cells], together[cells], numbers[fit, cells] = asked["true"], asked["units"], predicted
    asked = results[0][0]
    return Answers(tuple(asked["classes"]), true, numbers, together, bool(asked["by_patient"]))


def comparison_of(source: Lab, test: Lab) -> Comparison:
    """The classes that two labs share; InputError where they share none."""
    known = [lab.labels[lab.compared] for lab in (source, test)]
    comparison = Comparison(source.name, test.name, *known)
    if not comparison.classes:
        raise InputError(f"{source.name} and {test.name} share no class: leave one of them out")
    return comparison


def write_cached(path: Path, key: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Keep a job's result."""
    write_json(path, {"key": key, **result})


class Watch:
    """Seconds, and the most memory that the process held meanwhile.

    Attributes
    ----------
    seconds : float
    peak : float or None
        MB of 2^20 bytes, rounded; None where the system doesn't tell.
    """

    def __enter__(self) -> Watch:
        give_back_memory()  # else an earlier row's freed memory would count
        self.peak = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._started = time.monotonic()
        self._thread.start()
        return self

    def _look(self) -> None:
        while True:
            held = resident_memory()
            if held is None:
                return
            self.peak = max(self.peak or 0.0, round(held, 1))
            if self._done.wait(LOOK_EVERY):
                return

    def __exit__(self, *stopped: object) -> None:
        self.seconds = time.monotonic() - self._started
        self._done.set()
        self._thread.join()

    seconds: float = 0.0
    peak: float | None = None
