"""The report and the model card of a run, made from what lies in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from dorl.classification import COLUMNS
from dorl.errors import InputError
from dorl.files import write_text
from dorl.pipeline.figures import CAPTIONS, FOLDER
from dorl.pipeline.runfolder import CARD, METRICS, REPORT, RunConfig, read_config
from dorl.reporting import SCORES, Notes, Picture, Table, Text, cells, write_report

#: which comparison each table shows, by the name that `dorl.reporting.SCORES` uses
_RESULTS = {"results": "results.csv", "results_flat": "results_flat.csv"}

#: what a run can be used for, by whether it has classifiers
USE = {
    True: "dorl predict RUN IMAGES --out predictions.csv",
    False: "dorl fit LAB... --segmenter RUN --autoencoder RUN --out RUN2",
}

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
        "the autoencoder never saw them. The classifier Views learns from views of each cell in place of the "
        "autoencoder's features; in rows named DoRL it adapts to the tested lab's cells, without their labels."
    ),
}


def read_metrics(run: Path) -> dict[str, Any]:
    """What ``metrics.json`` of a finished run holds."""
    path = run / METRICS
    if not path.is_file():
        raise InputError(f"{run}: {METRICS} is missing: the run is not finished; give the same command again")
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged; restore it or fit again") from error
    if not isinstance(metrics, dict) or not {"seconds", "labs", "notes"} <= metrics.keys():
        raise InputError(f"{path}: damaged (a part is missing); restore it or fit again")
    return metrics


def read_results(path: Path) -> pd.DataFrame:
    """A table of results of a finished run."""
    if not path.is_file():
        raise InputError(f"{path.parent}: {path.name} is missing; restore it, or run again into another folder")
    try:
        results = pd.read_csv(path)
    except ValueError as error:  # pandas' own errors are kinds of it
        raise InputError(f"{path}: damaged; restore it, or run again into another folder") from error
    lacking = [name for name in COLUMNS if name not in results]
    if lacking:
        raise InputError(f"{path}: damaged (no column {lacking[0]!r}); restore it, or run again into another folder")
    return results


def write_run_report(run: Path) -> Path:
    """Write ``report.html`` of a finished run or evaluation; returns its path."""
    config, metrics = read_config(run), read_metrics(run)
    lacking = [lab.name for lab in config.labs if lab.name not in metrics["labs"]]
    if lacking:
        raise InputError(f"{run}: {METRICS} says nothing of lab {lacking[0]!r}; restore it or fit again")
    sections: list[Any] = [Text(INTRODUCTION[config.kind if config.labs else "imported"])]
    if config.labs:
        sections += _lab_sections(config, metrics)
    if "pairs" in metrics:
        order = [lab.name for lab in config.labs]
        for heading, meaning, frame, score in SCORES:
            shown = cells(read_results(run / _RESULTS[frame]), order, score=score)
            sections.append(Table(shown, heading=heading, caption=meaning))
        pairs = pd.DataFrame(metrics["pairs"])
        sections.append(Table(pairs, heading="What each pair compares", index=False))
    if metrics.get("calibration"):
        sections.append(_calibration_table(metrics["calibration"]))
    if metrics["notes"]:
        sections.append(Notes(metrics["notes"]))
    for name, caption in CAPTIONS.items():
        picture = run / FOLDER / f"{name}.png"
        if picture.is_file():
            sections.append(Picture(picture, heading=name.replace("_", " ").capitalize(), caption=caption))
    kind = "Run" if config.kind == "run" else "Evaluation"
    write_report(
        run / REPORT,
        title=f"DoRL {kind.lower()} {run.resolve().name}",
        subtitle=f"dorl {config.dorl}, seed {config.seed}, {metrics['seconds']:.0f} s",
        sections=sections,
        settings={
            "segmenter": config.segmenter.model_dump(exclude={"digest"}),
            "autoencoder": config.autoencoder.model_dump(),
            "classifiers": config.classifiers.model_dump(),
            "protocols": config.protocols,
        },
    )
    return run / REPORT


def _calibration_table(calibrations: dict[str, Any]) -> Table:
    rows = [
        {
            "classifier": name,
            "held-out cells": one["cells"],
            "accuracy %": round(100 * one["accuracy"], 1),
            "calibration error before, %": round(100 * one["error_before"], 1),
            "after, %": round(100 * one["error_after"], 1),
        }
        for name, one in calibrations.items()
    ]
    caption = (
        "Cells of the labs learnt from, each asked about by a classifier that hadn't learnt it. The error is how far "
        "confidence and accuracy lie apart on average; predictions are corrected for it. It says nothing of other labs."
    )
    return Table(
        pd.DataFrame(rows), heading="How far probabilities can be taken at their word", caption=caption, index=False
    )


def _lab_sections(config: RunConfig, metrics: dict[str, Any]) -> list[Any]:
    rows = [
        {
            "lab": lab.name,
            "layout": lab.layout,
            "cells": metrics["labs"][lab.name]["cells"],
            "labelled": lab.labelled,
            "classes": len(metrics["labs"][lab.name]["classes"]),
            "images without a cell": metrics["labs"][lab.name]["without_cell"],
            "left out": sum(metrics["labs"][lab.name]["left_out"].values()),
        }
        for lab in config.labs
    ]
    sections: list[Any] = [Table(pd.DataFrame(rows), heading="Labs", index=False)]
    notes = [
        f"{name}: {count} left out: {reason}"
        for name, lab in metrics["labs"].items()
        for reason, count in lab["left_out"].items()
    ]
    notes += [f"{name}: {note}" for name, lab in metrics["labs"].items() for note in lab["notes"]]
    if notes:
        sections.append(Notes(notes, heading="What was left out, and what to know of the labs"))
    return sections


def write_card(run: Path, config: RunConfig, metrics: dict[str, Any]) -> None:
    """Write the run's model card, ``README.md``."""
    labs = "\n".join(
        f"- {lab.name}: {lab.images} images, {lab.labelled} labelled, layout {lab.layout}" for lab in config.labs
    )
    learnt = ", ".join(config.classifiers.source) or "no lab"
    notes = "\n\n".join(metrics["notes"]) if not labs else ""
    write_text(
        run / CARD,
        f"""# DoRL run

{"Classifies" if config.classifiers.names else "Gives features of"} single-cell images of white blood cells. \
Made by dorl {config.dorl}, seed {config.seed}.

## Trained on
{labs or notes}

Segmenter `{config.segmenter.name}` (base {config.segmenter.base}, LoRA rank {config.segmenter.rank}); autoencoder \
{config.autoencoder.width} wide, preset {config.autoencoder.preset}. The labels learnt are those of: {learnt}.

## Measured
{_card_scores(config, metrics)}

## Use
    {USE[bool(config.classifiers.names)]}

A result is a help for research; it is no diagnosis and was not validated for clinical use.
""",
    )


def _card_scores(config: RunConfig, metrics: dict[str, Any]) -> str:
    """How well the default classifier did from lab to lab, or that nothing is known of it."""
    default = config.classifiers.default
    measured = [row for row in metrics["results"] if row["classifier"] == default]
    if not measured:
        return "Nothing: no lab here has labels of two classes or more."
    scores = "\n".join(
        f"| {row['train']} | {row['test']} | {100 * row['accuracy']:.1f} | {100 * row['balanced_accuracy']:.1f} |"
        for row in measured
    )
    autoencoder = (
        "the autoencoder was trained elsewhere"
        if config.autoencoder.preset == "given"
        else "the autoencoder saw the images of all these labs, without labels"
    )
    return f"""Classifier {default}, mean of {config.classifiers.folds} folds, classes compared by the tree. One lab's \
classifier on another's cells; {autoencoder}.

| trained on | tested on | accuracy % | balanced accuracy % |
|---|---|---|---|
{scores}

The classifiers in this folder learnt all source labs together. On a lab that is not listed here expect less than on \
any of these, until it was measured there."""
