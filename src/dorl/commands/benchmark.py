"""`dorl benchmark`: DoRL and what a user would pick instead, on the same cells and folds."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dorl.benchmark.corruptions import corrupted_versions, write_corruptions
from dorl.benchmark.encoders import encoder_names, on_tokens_of
from dorl.benchmark.jobs import (
    Drawing,
    Job,
    Plan,
    answers_of,
    cache_path,
    comparison_of,
    copies_note,
    job_key,
    plan,
    read_cached,
    run_job,
    write_cached,
)
from dorl.benchmark.labs import Lab, draw, embed_lab, prepare_lab, readable, with_groups, without_copies
from dorl.benchmark.methods import ROWS, Cells, Method, Options, Row
from dorl.benchmark.methods.selection import SCORERS
from dorl.benchmark.table import COLUMNS, method_intervals, write_benchmark
from dorl.classification.answers import Answers
from dorl.domains import Domain, read_domains
from dorl.domains.corrupted import STRENGTHS
from dorl.domains.readers import at_home
from dorl.errors import InputError
from dorl.reporting.figures.corruptions import corruption_curves
from dorl.run.classes import check_classes
from dorl.run.copies import copies_key, search_copies, write_copies
from dorl.run.folder import check_folder, make_folder, refuse_among_images, refuse_run
from dorl.run.presets import check_seed
from dorl.runtime.progress import say
from dorl.segmentation import Segmenter

PROTOCOLS = ("transductive", "unseen")
PROFILES = ("quick", "full")
#: source cells of a class in the quick profile
QUICK_PER_CLASS = 400
#: of a backbone that isn't given as trained without the tested lab
SEEN, NOT_SEEN = "seen by the backbone, or not known", "not seen by the backbone"


def benchmark(
    labs: Sequence[str | Domain],
    *,
    out: str | Path,
    source: Sequence[str] | None = None,
    protocols: Sequence[str] = PROTOCOLS,
    rows: Sequence[str] | None = None,
    classes: Sequence[str] = (),
    per_class: int | None = None,
    profile: str = "quick",
    seeds: int = 3,
    folds: int = 5,
    patient_from: str = "",
    own: bool = True,
    scorer: str = "dev",
    segmenter: str | Path = "tiny",
    encoders: Sequence[str | Path] = (),
    unseen_segmenter: Sequence[str] = (),
    unlabelled: Sequence[str | Domain] = (),
    efficientnet_weights: Path | None = None,
    resnext_weights: Path | None = None,
    corrupt: int = 0,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
    device: str | None = None,
) -> pd.DataFrame:
    """Measure every row of `dorl.benchmark.methods.ROWS` from each source lab to each other lab.

    Parameters
    ----------
    labs : sequence of str or Domain
        Each ``name=path``, a path, or a `Domain`; all with labels. Labels of the source are learnt. All others score
        predictions, and do nothing else.
    out : str or Path
        Folder for ``results.csv``, ``intervals.csv``, ``table.md``, ``duplicates.csv``, ``cells/`` and ``cache/``.
        Results whose inputs, settings and code are the same come from the cache, and the column ``cached`` says so.
    source : sequence of str, optional
        Names of the labs whose labels are learnt; by default each lab with two classes or more in turn.
    protocols : sequence of {"transductive", "unseen"}
        Whether the tested lab's images are seen, without labels, or not at all before test time.
    rows : sequence of str, optional
        Names out of `dorl.benchmark.methods.ROWS`; by default all but those that are only measured where asked for.
    classes : sequence of str
        Nodes of the tree of classes; labels are taken up to them and others left out. All by default.
    per_class : int, optional
        At most so many source cells of a class are learnt from; 400 in the quick profile by default, 0 for no limit.
    profile : {"quick", "full"}
        Quick is made for two cores and an hour: small networks see few images, and have one seed.
    seeds : int
        Repetitions: each draws other source cells, and holds out another fold for the own lab.
    folds : int
    patient_from : str
        As for `dorl.evaluate`.
    own : bool
        Test on the source's held-out fold, too. The fold is never learnt from, either way.
    scorer : {"entropy", "snd", "dev", "circular"}
        Label-free scorer that chooses settings of rows that see the tested lab.
    segmenter : str or Path
        As for `Segmenter.load`.
    encoders : sequence of str or Path
        Each as for `Segmenter.load`: every row that reads tokens is measured on this encoder's, too, in crops around
        the segmenter's masks.
    unseen_segmenter : sequence of str
        ``LAB=WEIGHTS``: weights trained without that lab, for the protocol "unseen".
    unlabelled : sequence of str or Domain
        Labs that aren't tested. Rows that see all labs look at their images, in both protocols.
    efficientnet_weights, resnext_weights : Path, optional
        ImageNet weights, where the package or torchvision can't give them.
    corrupt : int
        Cells of each class of each tested lab that are tested again with their images made worse
        (`dorl.domains.corrupted`); none if 0. Results stand in ``corruptions.csv`` and ``corruptions-PROTOCOL.png``.
    strengths : sequence of float
        Of these images, 1 to 5; all by default.
    seed : int
        Of the first repetition.
    device : str, optional

    Returns
    -------
    DataFrame
        What ``results.csv`` holds: a row a protocol, method, train, test and seed.

    Raises
    ------
    InputError
        If a lab, a setting, a needed package or `out` can't be used.
    """
    out = Path(out)
    check_folder(out)
    refuse_run(out)
    check_seed(seed)
    _check(protocols, profile, scorer, seeds=seeds, folds=folds, per_class=per_class, corrupt=corrupt)
    chosen_strengths = _strengths(strengths, corrupt)
    for file in (efficientnet_weights, resnext_weights):
        if file is not None and not file.is_file():
            raise InputError(f"{file}: no such file; give another file of weights, or leave it out")
    level = check_classes(classes)
    options = Options(profile, scorer, device, efficientnet_weights, resnext_weights)
    chosen, notes = _rows(rows, options)
    named = encoder_names(encoders)
    chosen += [row for name in named for row in on_tokens_of(name, chosen)]
    everything = read_domains([*labs, *unlabelled], patient_from=patient_from)
    refuse_among_images(out, [*labs, *unlabelled], everything)
    domains, others = everything[: len(labs)], everything[len(labs) :]
    sources = _sources(domains, source)
    known = [_labelled(prepare_lab(lab, level, only_source=sources == [lab.name])) for lab in domains]
    if len(known) < 2 and not own:
        raise InputError("there is one lab and its own cells are left out: give a second lab to test on")
    if len(known) < 2 and any(row.sees == "target" for row in chosen):
        chosen = [row for row in chosen if row.sees != "target"]
        notes.append("One lab only: rows that adapt to a target lab are left out.")
    if profile == "quick":
        per_class = QUICK_PER_CLASS if per_class is None else per_class
        if slow := [row.title for row in chosen if row.slow]:
            notes.append(f"Quick profile: little training and one seed for: {'; '.join(slow)}.")
    drawing = Drawing(() if level is None else level.classes, per_class or None, folds, seed)
    nameless = [Lab(lab, np.full(len(lab), None, object)) for lab in others]
    found = {lab.name: readable(lab) for lab in (*known, *nameless)}
    images = [lab.domain for lab in found.values()]
    copies_of = copies_key(images)
    copies = search_copies(images, out, copies_of)
    found = with_groups(found, copies)
    tested = {lab.name: found[lab.name] for lab in known}
    for other in others:
        found[other.name], more = without_copies(found[other.name], tested.values())
        notes += more
    for name in sources:
        draw(found[name], per_class=drawing.per_class, folds=folds, number=0, seed=seed, first=seed)
        for lab in tested.values():
            comparison_of(found[name], lab)
            notes += copies_note(found[name], lab)
    worsened = tested if corrupt else {}
    versions = {name: corrupted_versions(lab, corrupt, seed, chosen_strengths) for name, lab in worsened.items()}
    all_labs = found | {name: lab for of in versions.values() for name, lab in of.items()}
    weights = {
        name: _weights(segmenter, encoder, unseen_segmenter, tested, protocols, device)
        for name, encoder in {"": None, **named}.items()
    }
    make_folder(out)
    write_copies(copies, out, copies_of)
    for note in notes:
        say(note)
    methods: dict[str, Method] = {row.name: row.build(options) for row in chosen}
    digests = {
        encoder: {name: f"{network.digest()} {network.precision}" for name, network in of.items()}
        for encoder, of in weights.items()
    }
    networks = {digests[encoder][name]: network for encoder, of in weights.items() for name, network in of.items()}
    names_of_versions = {name: list(of) for name, of in versions.items()}
    jobs = [
        job
        for encoder, of in digests.items()
        for job in plan(
            [(row, 1 if profile == "quick" and row.slow else seeds) for row in chosen if row.encoder == encoder],
            Plan(sources, list(tested), protocols, of, own, [lab.name for lab in others], names_of_versions),
        )
    ]
    row_of = {row.name: row for row in chosen}
    store = _Stores(all_labs, networks, out, chosen)
    table: list[dict[str, Any]] = []
    worse: list[dict[str, Any]] = []
    done: list[tuple[Job, dict[str, Any]]] = []
    for number, job in enumerate(jobs, start=1):
        row = row_of[job.row]
        key = job_key(job, row, methods[job.row], all_labs, drawing)
        path = cache_path(out / "cache", key)
        result = read_cached(path, key)
        cached = result is not None
        shown = ", ".join(name for name in job.tests if name in tested)
        what = f"[{number}/{len(jobs)}] {row.title}, {job.source} → {shown}, seed {seed + job.number}"
        if result is None:
            say(what)
            cells = {
                name: store.cells(name, job.segmenter) for name in dict.fromkeys([job.source, *job.targets, *job.tests])
            }
            result = run_job(job, methods[job.row], all_labs, cells, drawing)
            write_cached(path, key, result)
        else:
            say(f"{what}: from the cache")
        rows_of = _expanded(job, row, result, cached=cached, seed=seed, digests=digests[row.encoder])
        table += [one for one in rows_of if one["test"] in tested]
        worse += [one for one in rows_of if one["test"] not in tested]
        done.append((job, result))
        write_benchmark(_sorted(table), out, notes, [row.remark for row in chosen if row.remark])
    intervals = method_intervals({key: of for key, of in _answers(done, row_of).items() if key[2] in tested})
    write_benchmark(_sorted(table), out, notes, [row.remark for row in chosen if row.remark], intervals)
    for protocol, scores in write_corruptions(worse, out).items() if worse else ():
        corruption_curves(scores, out / f"corruptions-{protocol}.png")
    say(f"table: {out / 'table.md'}")
    return pd.DataFrame(_sorted(table), columns=list(COLUMNS))


def _check(protocols: Sequence[str], profile: str, scorer: str, **numbers: int | None) -> None:
    for name in protocols:
        if name not in PROTOCOLS:
            raise InputError(f"protocol {name!r} is unknown: give {' or '.join(PROTOCOLS)}, or both")
    if not protocols:
        raise InputError(f"no protocol given: {' or '.join(PROTOCOLS)}")
    if profile not in PROFILES:
        raise InputError(f"profile {profile!r} is unknown: give {' or '.join(PROFILES)}")
    if scorer not in SCORERS:
        raise InputError(f"scorer {scorer!r} is unknown: give one of {', '.join(SCORERS)}")
    for name, least in (("seeds", 1), ("folds", 2)):
        if (numbers[name] or 0) < least:
            raise InputError(f"{name} is {numbers[name]}: give {least} or more")
    if numbers["per_class"] is not None and numbers["per_class"] < 0:
        raise InputError(f"per-class is {numbers['per_class']}: give how many cells, or 0 for all")
    if (numbers["corrupt"] or 0) < 0:
        raise InputError(f"corrupt is {numbers['corrupt']}: give how many cells of a class, or 0 for none")


def _strengths(given: Sequence[float], corrupt: int) -> list[int]:
    """In their order, each once."""
    for strength in given:
        if strength not in STRENGTHS:
            raise InputError(f"corrupt-strengths has {strength:g}: give some of {', '.join(map(str, STRENGTHS))}")
    if not given:
        raise InputError(f"no corrupt-strengths given: give some of {', '.join(map(str, STRENGTHS))}")
    if tuple(given) != STRENGTHS and not corrupt:
        raise InputError("corrupt-strengths is for images made worse: give --corrupt CELLS, too")
    return sorted({int(strength) for strength in given})


def _rows(names: Sequence[str] | None, options: Options) -> tuple[list[Row], list[str]]:
    """The rows that can run here, and what to say of others; a row asked for by name must."""
    for name in names or ():
        if name not in ROWS:
            raise InputError(f"row {name!r} is unknown: give some of {', '.join(ROWS)}")
    chosen, notes = [], []
    asked = dict.fromkeys(names) if names else [name for name, row in ROWS.items() if not row.asked]
    for row in (ROWS[name] for name in asked):
        missing = [module for module in row.needs if importlib.util.find_spec(module) is None]
        if not missing or (row.instead and getattr(options, row.instead) is not None):
            chosen.append(row)
            continue
        reason = f"{row.title}: needs {', '.join(missing)}: pip install 'dorl[benchmark]'"
        if names:
            raise InputError(reason)
        notes.append(f"Left out: {reason}.")
    return chosen, notes


def _sources(domains: Sequence[Domain], asked: Sequence[str] | None) -> list[str]:
    names = [lab.name for lab in domains]
    for name in asked or ():
        if name not in names:
            raise InputError(f"source {name!r} is no lab here: give one of {', '.join(names)}")
    found = list(dict.fromkeys(asked)) if asked else [lab.name for lab in domains if len(lab.classes) > 1]
    if not found:
        raise InputError("no lab has labels of two classes or more: a source needs them")
    return found


def _labelled(lab: Lab) -> Lab:
    if not len(lab.compared):
        raise InputError(f"{lab.name}: no image has a label that could be compared: give its labels, or leave it out")
    return lab


def _weights(
    segmenter: str | Path,
    encoder: str | None,
    without: Sequence[str],
    labs: dict[str, Lab],
    protocols: Sequence[str],
    device: str | None,
) -> dict[str, Segmenter]:
    """Segmenter of each tested lab in "unseen" that has its own, and under "" that of all else."""
    found = {"": Segmenter.load(segmenter, encoder=encoder, device=device)}
    if without and "unseen" not in protocols:
        raise InputError("--unseen-segmenter is for the protocol unseen: give --protocol unseen, too")
    for text in without:
        name, _, weights = text.partition("=")
        if not weights or name not in labs:
            raise InputError(f"{text!r} is no LAB=WEIGHTS: give one of {', '.join(labs)}, '=' and a segmenter")
        found[name] = Segmenter.load(at_home(weights), encoder=encoder, device=device)
    return found


class _Stores:
    """Cells of labs by segmenter, embedded when first asked for."""

    def __init__(self, labs: dict[str, Lab], networks: dict[str, Segmenter], out: Path, rows: Sequence[Row]) -> None:
        self.labs, self.networks, self.folder = labs, networks, out / "cells"
        self.whole = any(row.whole for row in rows)
        self.known: dict[tuple[str, str], Cells] = {}

    def cells(self, lab: str, digest: str) -> Cells:
        if (lab, digest) not in self.known:
            network = self.networks[digest]
            self.known[lab, digest] = embed_lab(self.labs[lab], network, self.folder, whole=self.whole)
        return self.known[lab, digest]


def _expanded(
    job: Job, row: Row, result: dict[str, Any], *, cached: bool, seed: int, digests: dict[str, str]
) -> list[dict[str, Any]]:
    """Rows of the table that a job's result stands for."""
    rows = []
    for scored in result["results"]:
        test = scored["test"]
        for protocol, tested in sorted(job.claims):
            if tested != test:
                continue
            # whether an encoder saw the lab isn't known
            own = digests.get(test) == job.segmenter and protocol == "unseen" and not row.encoder
            rows.append(
                {
                    "protocol": protocol,
                    "row": job.row,
                    "method": _method(row, scored["variant"]),
                    "train": job.source,
                    "seed": seed + job.number,
                    "target": "+".join(job.targets),
                    "backbone": (NOT_SEEN if own else SEEN) if test != job.source else "",
                    "seconds": result["seconds"],
                    "peak_mb": result["peak_mb"],
                    "cached": cached,
                    **{name: scored[name] for name in COLUMNS if name in scored},
                    "classes": " ".join(scored["classes"]),
                }
            )
    return rows


def _answers(
    done: Sequence[tuple[Job, dict[str, Any]]], row_of: Mapping[str, Row]
) -> dict[tuple[str, str, str, str], Answers]:
    """What each method said of each tested lab's cells, of all its fits, by protocol, source, tested lab and method."""
    fits: dict[tuple[str, str, str, str], list[tuple[dict[str, Any], list[int]]]] = {}
    for job, result in done:
        for scored in result["results"]:
            test = scored["test"]
            for protocol, tested in sorted(job.claims, key=lambda claim: PROTOCOLS.index(claim[0])):
                if tested == test:
                    key = protocol, job.source, test, _method(row_of[job.row], scored["variant"])
                    fits.setdefault(key, []).append((result["asked"][test], scored["said"]))
    return {key: answers_of(of) for key, of in fits.items()}


def _method(row: Row, variant: str) -> str:
    """A row of the table."""
    return f"{row.title}, {variant}" if variant else row.title


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By protocol; within it, rows in their order."""
    return sorted(rows, key=lambda row: PROTOCOLS.index(row["protocol"]))
