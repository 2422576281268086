"""The parts of a run's report, made of its config, its metrics and its figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dorl.cells import CellStore
from dorl.cells.rows import StoredRows
from dorl.errors import InputError
from dorl.reporting import CellMap, Gallery, Matrices, Picture, Table
from dorl.reporting.cellmap import drawn, picture_sheet
from dorl.reporting.figures.latent import PLACED_BY_UMAP
from dorl.reporting.figures.run import CAPTIONS
from dorl.reporting.mistakes import MISTAKES, picture_path
from dorl.reporting.unusual import KIND
from dorl.reporting.warnings import distance_table
from dorl.run.distances import STAGES
from dorl.run.features import PLACED
from dorl.run.folder import CELLS, FEATURES, RunConfig
from dorl.words import ON_SPLIT

#: figures that say nothing when they are made as narrow as a phone
WIDE = ("reconstructions", "latent_space")


def labs_table(config: RunConfig, metrics: dict[str, Any]) -> Table:
    """What was run on."""
    rows = [
        {
            "lab": lab.name,
            "cells": metrics["labs"][lab.name]["cells"],
            "labelled": lab.labelled,
            "classes": len(metrics["labs"][lab.name]["classes"]),
            "without a cell": metrics["labs"][lab.name]["without_cell"],
            "left out": sum(metrics["labs"][lab.name]["left_out"].values()),
            "labels learnt": lab.name in config.classifiers.source,
            "layout": lab.layout,
        }
        for lab in config.labs
    ]
    return Table(pd.DataFrame(rows), heading="Labs", index=False)


def overview(results: pd.DataFrame, config: RunConfig, intervals: pd.DataFrame | None = None) -> Table:
    """The default classifier's accuracy and macro-F1 from each lab to each, by the tree of classes, a line a pair."""
    name = config.classifiers.default
    rows = results[results["classifier"] == name]
    rows = rows[rows["method"] == rows["method"].iloc[0]] if len(rows) else rows
    scores = {"accuracy": "accuracy %", "macro_f1": "macro-F1 %"}
    mean = 100 * rows.groupby(["train", "test"], sort=False)[list(scores)].mean()
    limits = {}
    if intervals is not None and len(rows):
        own = intervals[(intervals["classifier"] == name) & (intervals["method"] == rows["method"].iloc[0])]
        limits = {(one["train"], one["test"]): one for one in own.to_dict("records")}
    patients = any(one["drawn"] == "patients" for one in limits.values())
    order = [lab.name for lab in config.labs]
    place = {lab: number for number, lab in enumerate(order)}
    lines = []
    for train, test in sorted(mean.index, key=lambda pair: [place.get(lab, len(place)) for lab in pair]):
        line: dict[str, Any] = {"learnt from": train, "tested on": test}
        known = limits.get((train, test))
        if known is not None:
            line["cells"] = known["cells"]
            if patients:
                line["patients"] = known["units"] if known["drawn"] == "patients" else None
        for score, heading in scores.items():
            value = mean.at[(train, test), score]
            line[heading] = None if np.isnan(value) else f"{value:.1f}"
            if known is not None and not np.isnan(value):
                low, high = (100 * known[f"{score}_{limit}"] for limit in ("low", "high"))
                line[f"{heading.split()[0]}, 95 % interval"] = f"{low:.1f} to {high:.1f}"
        lines.append(line)
    caption = (
        f"The default classifier, {name}: {measured_over(rows)}, classes compared by the tree. "
        "On the lab learnt from, held-out cells are tested. Accuracy counts cells, so that common classes weigh most; "
        "macro-F1 weighs each class alike."
    )
    return Table(pd.DataFrame(lines), heading="In short: from lab to lab", caption=caption, index=False)


def measured_over(results: pd.DataFrame) -> str:
    """What the scores of a table of results are taken over: "mean over 5 folds", or a single split."""
    folds = results["fold"].nunique()
    return f"mean over {folds} folds" if folds > 1 else ON_SPLIT


def confusions(config: RunConfig, metrics: dict[str, Any]) -> Matrices:
    """Of the default classifier."""
    shown = {
        f"{one['train']} → {one['test']}": (one["classes"], np.array(one["counts"]))
        for one in metrics["confusion"]
        if one["classifier"] == config.classifiers.default
    }
    caption = (
        f"Classifier {config.classifiers.default}, classes compared by the tree. Each cell counts once: where several "
        "folds were asked about it, each of their answers counts its part. Numbers and shades: share of the cells of "
        "the true class, in %; in brackets: its cells; framed: right answers; other: an answer that is no class of "
        "both labs."
    )
    return Matrices(shown, heading="Confusion matrices", caption=caption)


def mistakes(folder: Path, metrics: dict[str, Any]) -> Gallery | None:
    """The cells most confidently wrong; None where there are none, or no picture is left."""
    caption = (
        "Of each tested lab the cells that the default classifier was surest of and got wrong whenever asked: "
        "the image as it was read, and the cell as it was cut out. Below: its answer with the probability that it gave "
        "(not calibrated), the label, the labs, the file. Some may be wrong labels, or wrong masks."
    )

    def lines(one: dict[str, Any]) -> list[str]:
        return [
            f"{one['predicted']}, {100 * one['probability']:.0f} %",
            f"labelled {one['true']}",
            f"{one['lab']}, learnt from {one['train']}",
            one["path"],
        ]

    return _gallery(folder, metrics, MISTAKES, lines, heading="Most confidently wrong", caption=caption)


def unlike(folder: Path, metrics: dict[str, Any]) -> Gallery | None:
    """The cells most unlike all that were learnt; None where there are none, or no picture is left."""
    caption = (
        "The cells whose distance to all that was learnt is largest: above 1, as 5 % of held-out cells are. In a lab "
        "whose labels weren't learnt, the shift that all its cells share is taken out first. They may be of a class "
        "that nobody labelled, badly cut out, or no white cells."
    )

    def lines(one: dict[str, Any]) -> list[str]:
        label = f"labelled {one['label']}" if one["label"] else "not labelled"
        return [f"distance {one['distance']:.2f}", f"taken for {one['predicted']}, {label}", one["lab"], one["path"]]

    return _gallery(folder, metrics, KIND, lines, heading="Most unlike what was learnt", caption=caption)


def _gallery(
    folder: Path, metrics: dict[str, Any], kind: str, lines: Callable[[dict[str, Any]], list[str]], **words: str
) -> Gallery | None:
    """The cells that the metrics list under a kind, each with its picture and lines; None where no picture is left."""
    listed = [(picture_path(folder, number, kind), one) for number, one in enumerate(metrics.get(kind, []))]
    pictures = [(Picture(path), lines(one)) for path, one in listed if path.is_file()]
    return Gallery(pictures, **words) if pictures else None


def distances(metrics: dict[str, Any]) -> Table | None:
    """How far the labs are apart, before and after the autoencoder."""
    before, after = (distance_table(metrics, stage) for stage in STAGES)
    if before.empty or len(before) != len(after):
        return None
    frame = pd.DataFrame(
        {
            "labs": before["first"] + " – " + before["second"],
            "cells of each": before["cells"],
            **{
                f"{title}, {stage}": table[column].map(form.format)
                for column, title, form in (
                    ("told_apart", "told apart %", "{:.1f}"),
                    ("proxy_a", "proxy A-distance", "{:.2f}"),
                    ("mmd", "MMD", "{:.3f}"),
                )
                for stage, table in (
                    ("before", before.assign(told_apart=100 * before["told_apart"])),
                    ("after", after.assign(told_apart=100 * after["told_apart"])),
                )
            },
        }
    )
    caption = (
        f"Before: {STAGES['before']}; after: {STAGES['after']}. Told apart: share of held-out cells that a logistic "
        "regression gives to their own lab; 50 % means that nothing tells them apart. Proxy A-distance: 0 (not told "
        "apart) to 2 (always). MMD: maximum mean discrepancy, Gaussian kernel; 0 means alike. The same cells, as many "
        "of either lab, are drawn by the seed. Labs with other classes, or other shares of them, are apart for that "
        "alone."
    )
    return Table(frame, heading="How far the labs are apart", caption=caption, index=False)


def expected(metrics: dict[str, Any]) -> Table | None:
    """The accuracy expected where no label was learnt."""
    rows = [
        {
            "lab": one["lab"],
            "learnt from": one["source"],
            "cells": one["cells"],
            "expected %": f"{100 * one['accuracy']:.0f}",
            "95 % interval": f"{100 * one['low']:.0f} to {100 * one['high']:.0f}",
            "adapted": one["adapted"],
        }
        for one in metrics.get("expected", [])
    ]
    caption = (
        "Share of the answers that is likely to be right by the classifier's own confidence, set on held-out cells of "
        "the labs learnt from (average thresholded confidence); no label of these labs was looked at. Cells of a lab "
        "unlike all others can be wrong with confidence: check some by eye."
    )
    return Table(pd.DataFrame(rows), heading="Expected on other labs", caption=caption, index=False) if rows else None


def calibration(metrics: dict[str, Any]) -> Table | None:
    """How far probabilities can be taken at their word."""
    rows = [
        {
            "classifier": name,
            "held-out cells": one["cells"],
            "accuracy %": round(100 * one["accuracy"], 1),
            "calibration error before, %": round(100 * one["error_before"], 1),
            "after, %": round(100 * one["error_after"], 1),
        }
        for name, one in metrics.get("calibration", {}).items()
    ]
    caption = (
        "Cells of the labs learnt from, each asked about by a classifier that hadn't learnt it. The error is how far "
        "confidence and accuracy lie apart on average; predictions are corrected for it. It says nothing of other labs."
    )
    heading = "How far probabilities can be taken at their word"
    return Table(pd.DataFrame(rows), heading=heading, caption=caption, index=False) if rows else None


def figure(folder: Path, name: str, heading: str = "") -> Picture | None:
    """A drawn figure; None where it isn't there."""
    path = folder / f"{name}.png"
    heading = heading or name.replace("_", " ").capitalize()
    return Picture(path, heading, CAPTIONS[name], wide=name in WIDE) if path.is_file() else None


def latent_space(run: Path, folder: Path, config: RunConfig) -> CellMap | Picture | None:
    """The map of cells where the run's features and cells are there, else the drawn figure, else None."""
    still = figure(folder, "latent_space")
    if still is None or not (run / FEATURES).is_file() or not (run / CELLS).is_dir():
        return still
    import anndata

    try:
        features, store = anndata.read_h5ad(run / FEATURES, backed="r"), CellStore.open(run / CELLS)
    except (InputError, OSError):
        return still
    try:
        if PLACED not in features.obsm or len(store) != features.n_obs or not len(store):
            return still
        obs, placed = features.obs, np.asarray(features.obsm[PLACED])
    finally:
        features.file.close()
    rows = drawn(obs["domain"].to_numpy(str), seed=config.seed)
    labels = obs["label"].astype(object).where(obs["label"].notna(), "").to_numpy(object)[rows]
    few = f"Drawn by the seed: {len(rows)} of {len(obs)} cells. " if len(rows) < len(obs) else ""
    if len(obs) > PLACED_BY_UMAP:
        few += f"UMAP placed {PLACED_BY_UMAP} of all cells; the others lie at the mean place of their nearest. "
    return CellMap(
        placed[rows],
        obs["domain"].to_numpy(str)[rows].tolist(),
        [str(label) for label in labels],
        obs["path"].to_numpy(str)[rows].tolist(),
        picture_sheet(StoredRows(store, "crops", rows)),
        Picture(still.path, caption=still.caption, wide=True),
        heading=still.heading,
        caption=f"{few}Each point is a cell, placed in the plane by UMAP of its features; axes have no unit, and near "
        "means alike. Pictures: the cell as it was cut out.",
        order=[lab.name for lab in config.labs],
    )
