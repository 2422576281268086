"""The report and the model card of a run, made from what lies in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from dorl.errors import InputError
from dorl.files import write_text
from dorl.pipeline.figures import CAPTIONS, FOLDER
from dorl.pipeline.runfolder import CARD, METRICS, REPORT, RunConfig, read_config
from dorl.reporting import SCORES, Notes, Picture, Table, Text, cells, write_report

#: which comparison each table shows, by the name that `dorl.reporting.SCORES` uses
_RESULTS = {"results": "results.csv", "results_flat": "results_flat.csv"}

INTRODUCTION = {
    "run": (
        "DoRL was fitted to the labs below: each cell was segmented and embedded, an autoencoder learnt features that are "
        "alike from lab to lab without looking at any label, and classifiers learnt the labels of the source labs."
    ),
    "evaluation": (
        "DoRL was measured on the labs below. Classifiers were trained on one lab's cells and tested on the held-out "
        "cells of the same lab and on every cell of each other lab. In rows named DoRL the segmenter's and the "
        "autoencoder's training may use the tested lab's images, never its labels; in rows named DoRL (unseen lab) "
        "the autoencoder never saw them."
    ),
}


def read_metrics(run: Path) -> dict[str, Any]:
    """What ``metrics.json`` of a finished run holds."""
    path = run / METRICS
    if not path.is_file():
        raise InputError(f"{run}: {METRICS} is missing: the run is not finished; give the same command again")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged; restore it or fit again") from error


def write_run_report(run: Path) -> Path:
    """Write ``report.html`` of a finished run or evaluation; returns its path."""
    config, metrics = read_config(run), read_metrics(run)
    sections: list[Any] = [Text(INTRODUCTION[config.kind]), *_lab_sections(config, metrics)]
    if "pairs" in metrics:
        order = [lab.name for lab in config.labs]
        for heading, meaning, frame, score in SCORES:
            path = run / _RESULTS[frame]
            if path.is_file():
                shown = cells(pd.read_csv(path), order, score=score)
                sections.append(Table(shown, heading=heading, caption=meaning))
        pairs = pd.DataFrame(metrics["pairs"])
        sections.append(Table(pairs, heading="What each pair compares", index=False))
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
        f"- {lab.name}: {lab.images} images, {lab.labelled} labelled, layout {lab.layout}"
        for lab in config.labs
    )
    default = config.classifiers.default
    measured = [row for row in metrics["results"] if row["classifier"] == default]
    scores = "\n".join(
        f"| {row['train']} | {row['test']} | {100 * row['accuracy']:.1f} | {100 * row['balanced_accuracy']:.1f} |"
        for row in measured
    )
    table = f"| trained on | tested on | accuracy % | balanced accuracy % |\n|---|---|---|---|\n{scores}"
    learnt = ", ".join(config.classifiers.source) or "no lab"
    write_text(
        run / CARD,
        f"""# DoRL run

Classifies single-cell images of white blood cells. Made by dorl {config.dorl}, seed {config.seed}.

## Trained on
{labs}

Segmenter `{config.segmenter.name}` (base {config.segmenter.base}, LoRA rank {config.segmenter.rank}); autoencoder \
{config.autoencoder.width} wide, preset {config.autoencoder.preset}. The labels learnt are those of: {learnt}.

## Measured
Classifier {default}, mean of {config.classifiers.folds} folds, classes compared by the tree. One lab's classifier \
on another's cells; the autoencoder saw the images of all these labs, without labels.

{table if scores else "Nothing: no lab here has labels of two classes or more."}

The classifiers in this folder learnt all source labs together. On a lab that is not listed here expect less than on \
any of these, until it was measured there.

## Use
    dorl predict RUN IMAGES --out predictions.csv

A result is a help for research; it is no diagnosis and was not validated for clinical use.
""",
    )
