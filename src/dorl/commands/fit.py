"""`dorl fit` and `dorl evaluate`: the whole road from labs to classifiers, tables and a report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from dorl.classification import ProtocolResult, load_calibration
from dorl.classification.folds import rows_to_test
from dorl.domains import Domain
from dorl.errors import InputError
from dorl.files import write_json
from dorl.reporting import write_results, write_tables
from dorl.reporting.figures.run import FOLDER, draw_run
from dorl.reporting.mistakes import confident_mistakes, draw_mistakes
from dorl.reporting.report import read_results, write_run_report
from dorl.reporting.unusual import KIND, most_unlike
from dorl.run.autoencoders import AUTO
from dorl.run.card import write_card
from dorl.run.classifiers import expected_without_labels, fit_classifiers
from dorl.run.copies import copy_counts
from dorl.run.distances import distances
from dorl.run.features import Represented, represent, write_features
from dorl.run.folder import CLASSIFIERS, FEATURES, HISTORY, METRICS, slug
from dorl.run.mixes import DEFAULT, check_expect
from dorl.run.model import DoRL
from dorl.run.protocols import check_protocols, follow_protocols, run_protocols, trainable
from dorl.run.provenance import write_provenance
from dorl.run.settings import FitSettings
from dorl.run.wbcbench import NAME as WBCBENCH
from dorl.run.wbcbench import parts_of, write_submission
from dorl.runtime.memory import give_back_memory
from dorl.runtime.processes import count as count_processes
from dorl.runtime.processes import is_main, wait
from dorl.runtime.progress import say


def evaluate(
    labs: Sequence[str | Domain],
    *,
    out: str | Path,
    protocols: Sequence[str] = ("transductive",),
    segmenter: str | Path = "tiny",
    encoder: str | Path | None = None,
    autoencoder: str | Path | None = None,
    method: str = AUTO,
    views: bool = True,
    classes: Sequence[str] = (),
    folds: int = 5,
    split: bool = False,
    patient_from: str = "",
    preset: str = "auto",
    epochs: int | None = None,
    iterations: int | None = None,
    accumulate: int = 1,
    seed: int = 0,
    precision: str = "auto",
    device: str | None = None,
) -> pd.DataFrame:
    """Measure how classifiers of each lab do on each lab, and write tables, figures and a report.

    Parameters
    ----------
    labs : sequence of str or Domain
        Each ``name=path``, a path, or a `Domain`.
    out : str or Path
        Folder; a new one, or that of the same evaluation interrupted, which goes on.
    protocols : sequence of {"transductive", "unseen", "left-out"}, or {"wbcbench"}
        Whether stages 1 and 2 saw the tested lab's images (as published), or never did; "left-out": as "transductive",
        and the classifiers learn all other labs together. "wbcbench": the training part of WBCBench 2026's folder is
        learnt, the parts with labels are tested, and ``submission.csv`` answers its test part (`dorl.run.wbcbench`).
    segmenter : str or Path
        As for `Segmenter.load`.
    encoder : str or Path, optional
        As for `Segmenter.load`: whose tokens to use in place of the segmenter's own.
    autoencoder : str or Path, optional
        An autoencoder trained elsewhere, in place of training one: a run folder, an ``autoencoder.safetensors``,
        ``tiny``, or, with the method "published", the DoRL authors' ``cae.mdl``.
    method : {"auto", "cell", "published"}
        ``cell``: the autoencoder sees each cell, cut out and brought to common references, in several views; it goes on
        from the bundled one where the segmenter has one. ``published``: it sees the whole image, as in the paper.
        ``auto`` is ``cell``, unless a given autoencoder takes whole images.
    views : bool
        Whether classifiers learn from restained views of each cell, too (`dorl.cells.views.Views` says how many). Each
        takes a pass of the encoder.
    classes : sequence of str
        Nodes of the tree of classes (`dorl.taxonomy`): labels are taken up to them, and cells of other classes count as
        unlabelled. Without it all classes are learnt, as the labs name them.
    folds : int
    split : bool
        Follow the column ``split`` of the labs' manifests in place of folds: what is not ``test`` is learnt from, and
        of each lab that has one the cells with ``test`` are tested.
    patient_from : str
        A regular expression that finds the patient in an image's path, as of
        `dorl.domains.patients.with_patients`.
    preset : {"auto", "published", "small"}
        Of the published autoencoder; see `dorl.representation.presets`.
    epochs, iterations : int, optional
        Of the autoencoder's training, in place of the preset's; ``iterations=0`` takes the bundled one as it is.
    accumulate : int
        Parts that each of its batches is computed in, one after the other, for as much less memory; see
        `dorl.representation.TrainingSettings`.
    seed : int
        The same seed, labs and settings on the same machine give the same table.
    precision : {"auto", "float32", "bfloat16", "int8"}
        Of the segmenter, as for `Segmenter.load`.
    device : str, optional

    Returns
    -------
    DataFrame
        What ``results.csv`` holds.

    Raises
    ------
    InputError
        If a lab, a setting or `out` can't be used.
    """
    started = time.monotonic()
    out = Path(out)
    of_wbcbench = WBCBENCH in protocols
    if of_wbcbench:
        if split:
            raise InputError("the protocol 'wbcbench' follows the column split by itself: leave --split out")
        labs, patient_from, split = parts_of(labs, protocols, patient_from=patient_from), "", True
    settings = FitSettings.of(locals())
    represented = represent(
        labs,
        out=out,
        kind="evaluation",
        settings=settings,
        check=lambda domains: check_protocols(protocols, domains, split=split),
    )
    if not is_main():
        follow_protocols(represented, device=device)
        wait()
        return read_results(out / "results.csv")
    result = run_protocols(represented, device=device)
    if of_wbcbench:
        write_submission(represented, out)
    trains = [represented.labs[0].name] if of_wbcbench else trainable(represented.labs)
    _finish(represented, result, expected_without_labels(represented, trains), out, started)
    wait()
    return result.results


def fit(
    labs: Sequence[str | Domain],
    *,
    out: str | Path,
    source: Sequence[str] | None = None,
    segmenter: str | Path = "tiny",
    encoder: str | Path | None = None,
    autoencoder: str | Path | None = None,
    method: str = AUTO,
    views: bool = True,
    classes: Sequence[str] = (),
    expect: str = DEFAULT,
    folds: int = 5,
    patient_from: str = "",
    preset: str = "auto",
    epochs: int | None = None,
    iterations: int | None = None,
    accumulate: int = 1,
    seed: int = 0,
    precision: str = "auto",
    device: str | None = None,
) -> DoRL:
    """Fit DoRL to labs and write a run folder.

    Every lab's images train the autoencoder, without labels; the labels of the source labs train the classifiers, and
    the default one, "Views", adapts to the cells of the other labs. Where source labs name classes at different depth
    ("neutrophil" here, "neutrophil_banded" there), the coarser name is learnt.

    Parameters
    ----------
    labs, segmenter, encoder, autoencoder, method, views, classes, folds, patient_from, preset, epochs, iterations
        As for `evaluate`.
    accumulate, seed, precision, device
        As for `evaluate`.
    out : str or Path
        The run folder; a new one, or that of the same fit interrupted, which goes on.
    source : sequence of str, optional
        Names of the labs whose labels are learnt; all labelled ones by default.
    expect : {"blood", "marrow", "source", "none"} or str
        The mix of classes expected of the labs that the default classifier adapts to, or a CSV file with the columns
        class and share. It is kept for `predict`, `count` and `serve`.

    Returns
    -------
    DoRL

    Raises
    ------
    InputError
        If a lab, a setting or `out` can't be used.
    """
    settings = FitSettings.of(locals())
    started = time.monotonic()
    check_expect(expect)
    out = Path(out)
    represented = represent(labs, out=out, kind="run", settings=settings)
    if is_main():
        expected = []
        if represented.config.classifiers.names:
            expected = fit_classifiers(represented, out)
        else:
            say("no classifier is fitted: that needs labels of two classes or more")
        result = run_protocols(represented, device=device) if trainable(represented.labs) else None
        _finish(represented, result, expected, out, started)
    wait()
    return DoRL.load(out, device=device)


def _finish(
    represented: Represented, result: ProtocolResult | None, expected: list[dict[str, Any]], out: Path, started: float
) -> None:
    """Tables, figures, metrics, model card and report, in this order: metrics.json marks a finished run."""
    give_back_memory()  # of what the protocol's classifiers were fitted in
    if result is not None:
        write_results(result, out)
        write_tables(result, out, [lab.name for lab in represented.labs])
    placed = draw_run(represented, result, out)
    give_back_memory()  # of the map and the figures
    write_features(out / FEATURES, represented.features, represented.cells, placed)
    mistakes = [] if result is None else confident_mistakes(represented, result)
    draw_mistakes(represented, mistakes, out / FOLDER)
    unlike = most_unlike(represented, out)
    draw_mistakes(represented, unlike, out / FOLDER, KIND)
    more = {"expected": expected, "distances": distances(represented), "mistakes": mistakes, "unlike": unlike}
    metrics = measured(represented, result, time.monotonic() - started) | more
    if represented.config.kind == "run":
        write_card(out, represented.config, metrics)
    write_provenance(out, represented.labs, processes=count_processes())
    write_json(out / METRICS, metrics)
    write_run_report(out)
    say(f"done in {metrics['seconds']:.0f} s: {out / 'report.html'}")


def measured(represented: Represented, result: ProtocolResult | None, seconds: float) -> dict[str, Any]:
    """What ``metrics.json`` holds."""
    labs = {}
    for lab in represented.labs:
        own = represented.cells[represented.cells["domain"] == lab.name]
        reasons = pd.Series([reason for _, reason in represented.left_out[lab.name]], dtype=object).value_counts()
        labs[lab.name] = {
            "cells": len(own),
            "without_cell": int((~own["cell_found"].astype(bool)).sum()),
            "classes": _class_counts(own),
            "left_out": {str(k): int(v) for k, v in reasons.items()},
            "patients": int(own["patient"].nunique()),
            "without_patient": int(own["patient"].isna().sum()),
            "notes": lab.describe()["notes"],
        }
        if represented.config.classifiers.split:
            labelled = own[own["label"].notna()]
            tested = labelled.iloc[rows_to_test(labelled["split"].to_numpy(object), len(labelled))]
            labs[lab.name]["tested"] = _class_counts(tested)
    metrics: dict[str, Any] = {"seconds": round(seconds, 1), "labs": labs, "notes": [], "results": {}}
    metrics["copies"] = copy_counts(represented.copies)
    run = represented.store.path.parent
    calibrations = {
        name: load_calibration(run / CLASSIFIERS / f"{slug(name)}.json")
        for name in represented.config.classifiers.names
    }
    metrics["calibration"] = {name: asdict(found) for name, found in calibrations.items() if found}
    history = run / HISTORY
    if history.exists():
        metrics["autoencoder"] = pd.read_csv(history).iloc[-1].to_dict()
    if result is not None:
        metrics["notes"] = result.notes
        pairs = result.pairs.copy()
        pairs["classes"] = pairs["classes"].map(list)
        metrics["pairs"] = pairs.to_dict("records")
        means = result.results.groupby(["method", "classifier", "train", "test"], sort=False)
        scores = ["accuracy", "balanced_accuracy", "macro_f1"]
        found = means[scores].mean().round(6).reset_index()
        limits = [f"{score}_{limit}" for score in scores for limit in ("low", "high")]
        known = result.intervals[["method", "classifier", "train", "test", "units", "drawn", *limits]].round(6)
        found = found.merge(known, how="left", on=["method", "classifier", "train", "test"])
        metrics["results"] = found.to_dict("records")
        metrics["confusion"] = [
            {"train": t, "test": s, "classifier": c, "classes": list(names), "counts": counts.round(4).tolist()}
            for (t, s, c), (names, counts) in result.confusions.items()
        ]
    return metrics


def _class_counts(cells: pd.DataFrame) -> dict[str, int]:
    """Labelled cells by class."""
    return {str(name): int(count) for name, count in cells["label"].value_counts().sort_index().items()}
