"""What reporting guidelines ask of a study, filled in from the run as far as the run knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dorl.reporting.sections import Table
from dorl.run.folder import PUBLISHED, RunConfig
from dorl.words import counted

#: stands where the run can't know it
NOT_GIVEN = "not given"
CAPTION = (
    "What the guidelines TRIPOD+AI (Collins et al., BMJ 2024) and CLAIM (Mongan et al., Radiol. Artif. Intell. 2020, "
    "updated 2024) ask of a report, by their sections, and what this run knows. What is not given has to be "
    "added by hand."
)


def checklist(config: RunConfig, metrics: Mapping[str, Any], made_with: Mapping[str, str] | None = None) -> Table:
    """A line an item: what is asked, where, and what is known.

    Parameters
    ----------
    config : RunConfig
    metrics : mapping
        What ``metrics.json`` holds.
    made_with : mapping of str to str, optional
        The environment of ``provenance.json``; runs of earlier versions lack it.
    """
    labs = metrics["labs"]
    settings = config.classifiers
    rows = [
        ("Source of data: where, when, from whom", "TRIPOD+AI data, CLAIM data", ""),
        ("Labs", "TRIPOD+AI participants", _each(labs, lambda name, lab: counted(lab["cells"], "cell"))),
        ("Patients", "TRIPOD+AI participants, CLAIM data", _each(labs, _patients)),
        ("Inclusion and exclusion", "TRIPOD+AI participants", _each(labs, _left_out)),
        ("Classes, and cells of each", "TRIPOD+AI outcome, class imbalance", _each(labs, _classes)),
        ("Who labelled, how, and their agreement", "TRIPOD+AI outcome, CLAIM ground truth", ""),
        ("Preparation of images", "TRIPOD+AI data preparation, CLAIM data", _preparation(config)),
        ("Missing values", "TRIPOD+AI missing data", _each(labs, _missing)),
        ("Sample size: how it was reached", "TRIPOD+AI sample size", ""),
        ("Model", "TRIPOD+AI methods, CLAIM model", _model(config)),
        ("Choice of settings", "TRIPOD+AI methods, CLAIM training", _tuning(config, metrics)),
        (
            "Division into learning and testing",
            "TRIPOD+AI methods, CLAIM data partitions",
            _division(config, metrics),
        ),
        (
            "Labs not learnt from",
            "TRIPOD+AI training and evaluation, CLAIM evaluation",
            _external(metrics),
        ),
        ("Measures", "TRIPOD+AI methods, CLAIM evaluation", _measures(metrics)),
        ("Uncertainty", "TRIPOD+AI model performance, CLAIM evaluation", _uncertainty(metrics)),
        ("Calibration", "TRIPOD+AI model performance", _calibration(metrics)),
        (
            "Failures looked at",
            "CLAIM results",
            _failures(metrics),
        ),
        ("Groups of patients: fairness", "TRIPOD+AI fairness", ""),
        ("Software and machine", "CLAIM model", _software(config, made_with)),
        ("Seed", "CLAIM training", str(config.seed)),
        ("Ethics, consent, funding, conflicts", "TRIPOD+AI ethical approval, open science", ""),
        (
            "Registration, access to data and code",
            "TRIPOD+AI open science, CLAIM other information",
            "",
        ),
        ("Intended use", "TRIPOD+AI introduction, CLAIM introduction", "research; no diagnostic device"),
    ]
    frame = pd.DataFrame([(item, where, known or NOT_GIVEN) for item, where, known in rows])
    frame.columns = pd.Index(["item", "asked by", "this run"])
    learnt = ", ".join(settings.source)
    caption = f"{CAPTION} Labels learnt: {learnt}." if learnt else CAPTION
    return Table(frame, heading="Reporting checklist", caption=caption, index=False, folded=True)


def _each(labs: Mapping[str, Any], values: Any) -> str:
    """What is known of each lab; "" where nothing is of any."""
    found = {name: values(name, lab) for name, lab in labs.items()}
    return "; ".join(f"{name}: {text or NOT_GIVEN}" for name, text in found.items()) if any(found.values()) else ""


def _patients(_: str, lab: Mapping[str, Any]) -> str:
    if not lab.get("patients"):
        return ""
    unknown = lab["without_patient"]
    return f"{lab['patients']}" + (f", of {counted(unknown, 'cell')} not known" if unknown else "")


def _left_out(_: str, lab: Mapping[str, Any]) -> str:
    reasons = "; ".join(f"{count} {reason}" for reason, count in lab["left_out"].items())
    return f"left out: {reasons}" if reasons else "all files that were given"


def _classes(_: str, lab: Mapping[str, Any]) -> str:
    return ", ".join(f"{label} {count}" for label, count in lab["classes"].items())


def _missing(_: str, lab: Mapping[str, Any]) -> str:
    unlabelled = lab["cells"] - sum(lab["classes"].values())
    return f"{unlabelled} without a label (not tested), {lab['without_cell']} in which no cell was found (kept)"


def _preparation(config: RunConfig) -> str:
    if config.method == PUBLISHED:
        return f"segmented by {config.segmenter.name}, whole image, as published"
    views = config.views
    return (
        f"segmented by {config.segmenter.name}, cut out and brought to common references of stain and light; "
        f"{views.plain} plain and {views.restained} restained views a cell"
    )


def _model(config: RunConfig) -> str:
    names = ", ".join(config.classifiers.names)
    autoencoder = f"autoencoder {config.autoencoder.width} wide, preset {config.autoencoder.preset}"
    return f"{autoencoder}; classifiers: {names or 'none'}"


def _tuning(config: RunConfig, metrics: Mapping[str, Any]) -> str:
    if "pairs" not in metrics:
        return ""
    default = config.classifiers.default
    return f"fixed beforehand (table All settings), none chosen by this run; default classifier {default}"


def _division(config: RunConfig, metrics: Mapping[str, Any]) -> str:
    if "pairs" not in metrics:
        return ""
    if config.classifiers.split:
        return "by the labs' own column split"
    known = all(lab.get("without_patient") == 0 for lab in metrics["labs"].values() if lab["classes"])
    together = "near-copies in one fold" + (", and all cells of a patient" if known else "")
    return f"{config.classifiers.folds} stratified folds of the lab learnt from; {together}; other labs whole"


def _external(metrics: Mapping[str, Any]) -> str:
    pairs = [f"{one['train']} → {one['test']}" for one in metrics.get("pairs", ()) if one["train"] != one["test"]]
    return ", ".join(pairs)


def _measures(metrics: Mapping[str, Any]) -> str:
    if "pairs" not in metrics:
        return ""
    return (
        "accuracy, balanced accuracy, macro-F1; of each class sensitivity, specificity, predictive values, areas "
        "below the ROC and precision-recall curves; kappa"
    )


def _uncertainty(metrics: Mapping[str, Any]) -> str:
    rows = metrics.get("results") or ()
    drawn = sorted({str(row["drawn"]) for row in rows if "drawn" in row})
    return f"95 % intervals, bootstrap of {' and '.join(drawn)}; rows compared with the best" if drawn else ""


def _calibration(metrics: Mapping[str, Any]) -> str:
    found = metrics.get("calibration") or {}
    errors = {name: [100 * one[f"error_{when}"] for when in ("before", "after")] for name, one in found.items()}
    parts = [f"{name} {before:.1f} → {after:.1f} %" for name, (before, after) in errors.items()]
    return f"expected calibration error on held-out cells, before → after: {', '.join(parts)}" if parts else ""


def _failures(metrics: Mapping[str, Any]) -> str:
    cells = len(metrics.get("mistakes") or ())
    return f"{counted(cells, 'cell')} shown, the most confidently wrong" if cells else ""


def _software(config: RunConfig, made_with: Mapping[str, str] | None) -> str:
    known = made_with or {}
    named = [f"{name} {known[name]}" for name in ("python", "torch", "scikit-learn") if known.get(name)]
    return ", ".join([f"dorl {config.dorl}", *named, *([known["processor"]] if known.get("processor") else [])])
