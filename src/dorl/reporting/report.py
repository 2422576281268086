"""The report of a run, made from what lies in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dorl.classification import COLUMNS
from dorl.errors import InputError
from dorl.reporting import SCORES, Notes, Settings, Table, Text, byclass, cells, write_report
from dorl.reporting import contents as parts
from dorl.reporting.checklist import checklist
from dorl.reporting.figures.run import FOLDER
from dorl.reporting.tables import INTERVALS, MEANING
from dorl.reporting.warnings import cautions
from dorl.run.folder import METRICS, REPORT, RunConfig, read_config, read_record
from dorl.run.provenance import PROVENANCE, read_provenance
from dorl.runtime.hub import refuse_on_hub
from dorl.sheets import read_sheet

#: which comparison each table shows, by the name that `dorl.reporting.SCORES` uses
_RESULTS = {"results": "results.csv", "results_flat": "results_flat.csv"}

INTRODUCTION = {
    "run": (
        "DoRL was fitted to the labs below: each cell was segmented and embedded, an autoencoder learnt features that "
        "are alike from lab to lab without looking at any label, and classifiers learnt the labels of the source labs."
    ),
    "imported": (
        "Segmenter and autoencoder were imported from published weights. They give features; classifiers come with "
        "dorl fit over labs of one's own."
    ),
    "evaluation": (
        "DoRL was measured on the labs below. Classifiers were trained on one lab's cells and tested on the held-out "
        "cells of the same lab and on every cell of each other lab. In rows named DoRL the segmenter's and the "
        "autoencoder's training may use the tested lab's images, never its labels; in rows named DoRL (unseen lab) "
        "the autoencoder was not tuned on them. In rows named DoRL (one lab left out) the classifiers learnt all other "
        "labs together. In rows named DoRL and DoRL (one lab left out) the classifier Views adapts to the tested lab's "
        "cells, without their labels. In rows named DoRL (WBCBench 2026) the classifiers learnt its training part, and "
        "were tested on each other part that has labels."
    ),
}


def read_metrics(run: Path) -> dict[str, Any]:
    """What ``metrics.json`` of a finished run holds."""
    missing = "the run is not finished; give the same command again"
    return read_record(run / METRICS, {"seconds", "labs", "notes"}, missing=missing)


def read_results(path: Path, needed: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """A table of results of a finished run; InputError where it lacks one of the columns `needed`."""
    if not path.is_file():
        raise InputError(f"{path.parent}: {path.name} is missing; restore it, or run again into another folder")
    try:
        results = read_sheet(path, text=("train", "test", "method", "classifier"))
    except ValueError as error:  # pandas' own errors are kinds of it
        raise InputError(f"{path}: damaged; restore it, or run again into another folder") from error
    lacking = [name for name in needed if name not in results]
    if lacking:
        raise InputError(f"{path}: damaged (no column {lacking[0]!r}); restore it, or run again into another folder")
    return results


def write_run_report(run: Path) -> Path:
    """Write ``report.html`` of a finished run or evaluation; returns its path."""
    refuse_on_hub(run, "the report")
    config, metrics = read_config(run), read_metrics(run)
    lacking = [lab.name for lab in config.labs if lab.name not in metrics["labs"]]
    if lacking:
        raise InputError(f"{run}: {METRICS} says nothing of lab {lacking[0]!r}; restore it or fit again")
    folder = run / FOLDER
    sections: list[Any] = [Text(INTRODUCTION[config.kind if config.labs else "imported"])]
    if config.labs:
        if warnings := cautions(metrics):
            sections.append(Notes(warnings, heading="Warnings"))
        sections.append(parts.labs_table(config, metrics))
    if "pairs" in metrics:
        sections += _measured(run, config, metrics)
    sections += [
        parts.mistakes(folder, metrics),
        parts.unlike(folder, metrics),
        parts.expected(metrics),
        parts.latent_space(run, folder, config),
        parts.distances(metrics),
        parts.figure(folder, "grey_levels"),
        parts.figure(folder, "class_counts"),
        parts.figure(folder, "reconstructions", "Original, segmented, reconstructed"),
        parts.calibration(metrics),
        parts.figure(folder, "loss", "The autoencoder's training"),
    ]
    if left_out := _left_out(metrics):
        sections.append(Notes(left_out, heading="What was left out, and what to know of the labs"))
    if metrics["notes"]:
        sections.append(Notes(metrics["notes"]))
    if config.labs:
        known = (run / PROVENANCE).is_file()
        sections.append(checklist(config, metrics, read_provenance(run)["environment"] if known else None))
    sections.append(Settings(_settings(config), heading="All settings", folded=True))
    write_report(
        run / REPORT,
        title=f"DoRL {config.kind}: {run.resolve().name}",
        subtitle=_what_was_run(config, metrics),
        sections=[section for section in sections if section is not None],
    )
    return run / REPORT


def _measured(run: Path, config: RunConfig, metrics: dict[str, Any]) -> list[Any]:
    """The protocol's tables, from the short one to the details."""
    order = [lab.name for lab in config.labs]
    results = {name: read_results(run / file) for name, file in _RESULTS.items()}
    limits = {name: _read_known(run / f"{file}.csv") for name, file in INTERVALS.items()}
    found: list[Any] = [parts.overview(results["results"], config, limits["results"])]
    for heading, meaning, frame, score in SCORES:
        known = limits[frame]
        # what brackets and marks mean is said once
        caption = f"{meaning} {MEANING}" if known is not None and (frame, score) == ("results", "accuracy") else meaning
        found.append(
            Table(cells(results[frame], order, score=score, intervals=known), heading=heading, caption=caption)
        )
    pairs = pd.DataFrame(metrics["pairs"])
    pairs.insert(0, "labs", pairs.pop("train") + " → " + pairs.pop("test"))
    pairs.columns = [name.replace("_", " ") for name in pairs.columns]
    found.append(Table(pairs, heading="What each pair compares", index=False, folded=True))
    found.append(parts.confusions(config, metrics))
    classes = _read_known(run / "classes.csv")
    if classes is not None:
        found += [byclass.class_section(classes, config), *byclass.node_sections(config, metrics)]
    pictures = (
        parts.figure(run / FOLDER, "curves", "ROC and precision-recall curves"),
        byclass.kappas(config, metrics),
    )
    return [
        *found,
        *pictures,
        parts.figure(run / FOLDER, "reliability", "Reliability, before probabilities are corrected"),
    ]


def _read_known(path: Path) -> pd.DataFrame | None:
    """A table that runs of earlier versions lack; None where it isn't there."""
    return read_results(path, needed=()) if path.is_file() else None


def _what_was_run(config: RunConfig, metrics: dict[str, Any]) -> str:
    """One line."""
    names = ", ".join(lab.name for lab in config.labs)
    return (
        f"dorl {config.dorl}{f' on {names}' if names else ''}; segmenter {Path(config.segmenter.name).name}, "
        f"autoencoder {config.autoencoder.width} wide (preset {config.autoencoder.preset}), seed {config.seed}; "
        f"{metrics['seconds']:.0f} s."
    )


def _settings(config: RunConfig) -> dict[str, Any]:
    return {
        "method": config.method,
        "segmenter": config.segmenter.model_dump(exclude={"digest"}),
        "views": config.views.model_dump(),
        "autoencoder": config.autoencoder.model_dump(),
        "classifiers": config.classifiers.model_dump(),
        "protocols": config.protocols,
    }


def _left_out(metrics: dict[str, Any]) -> list[str]:
    """Every reason why a file was left out, and what was remarked when the labs were read."""
    notes = [
        f"{name}: {count} left out: {reason}"
        for name, lab in metrics["labs"].items()
        for reason, count in lab["left_out"].items()
    ]
    return notes + [f"{name}: {note}" for name, lab in metrics["labs"].items() for note in lab["notes"]]
