"""The report's sections on a class at a time: what an answer is worth, and what is taken for what at each node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dorl.classification.byclass import kappa, node_confusions, tree_weights
from dorl.reporting.sections import Matrices, Table
from dorl.run.folder import RunConfig

#: columns of ``classes.csv`` and how they are headed, in %
SHOWN = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "ppv_blood": "PPV in blood",
    "npv_blood": "NPV in blood",
    "roc_auc": "ROC area",
    "average_precision": "PR area",
}


def class_section(classes: pd.DataFrame, config: RunConfig) -> Table:
    """Measures of each class of the default classifier, a line a pair of labs and class."""
    own = classes[classes["classifier"] == config.classifiers.default]
    own = own[own["method"] == own["method"].iloc[0]] if len(own) else own
    frame = pd.DataFrame({"labs": own["train"] + " → " + own["test"], "class": own["class"], "cells": own["cells"]})
    for name, heading in SHOWN.items():
        frame[heading] = [None if np.isnan(value) else f"{100 * value:.1f}" for value in own[name].astype(float)]
    caption = (
        f"The default classifier, {config.classifiers.default}, each class against the rest, in %, classes compared "
        "by the tree. Sensitivity: share of a class's cells that are found. Specificity: share of the other cells "
        "that are left alone. PPV, NPV: share of the answers for and against the class that are right, at this lab's "
        "mix of classes, and at that of normal adult blood, where rare classes have a low PPV even if the specificity "
        "is high. ROC area: chance that a cell of the class gets a higher probability for it than another cell; it "
        "doesn't depend on the mix. PR area: average precision; it does, and says more of rare classes. Which measure "
        "answers which question: Metrics reloaded (Maier-Hein, Reinke et al., Nat. Methods 2024). All classifiers: "
        "classes.csv."
    )
    return Table(frame, heading="A class at a time", caption=caption, index=False, folded=len(frame) > 24)


def node_sections(config: RunConfig, metrics: dict[str, Any]) -> list[Matrices]:
    """The default classifier's confusion at each node of the tree; none where no node has two
    branches below the root.
    """
    shown: dict[str, Any] = {}
    for one in _default(config, metrics):
        for node, (branches, counts) in node_confusions(one["classes"], np.array(one["counts"])).items():
            if len(branches) < len(one["classes"]):  # else it is the whole matrix
                shown[f"{one['train']} → {one['test']}: {node}"] = branches, counts
    caption = (
        "Cells of each node of the tree by its branches: a metamyelocyte taken for a myelocyte is right at every node "
        "but the last. Other: an answer outside the node. All classifiers: confusion.csv."
    )
    return [Matrices(shown, heading="Confusion at each node of the tree", caption=caption)] if shown else []


def kappas(config: RunConfig, metrics: dict[str, Any]) -> Table | None:
    """Agreement beyond chance of the default classifier, a line a pair; None where nothing is compared."""
    rows = []
    for one in _default(config, metrics):
        counts = np.array(one["counts"])
        if not counts.size or not counts.sum():
            continue
        plain, weighted = kappa(counts), kappa(counts, tree_weights(one["classes"]))
        shown = [None if np.isnan(value) else f"{value:.3f}" for value in (plain, weighted)]
        rows.append({"labs": f"{one['train']} → {one['test']}", "Cohen's kappa": shown[0], "weighted kappa": shown[1]})
    caption = (
        "Agreement of answers and labels beyond what chance gives with the same shares; 1 is perfect, 0 chance (Cohen "
        "1960). Weighted (Cohen 1968): an error weighs as many steps as the classes lie apart in the tree."
    )
    return Table(pd.DataFrame(rows), heading="Agreement beyond chance", caption=caption, index=False) if rows else None


def _default(config: RunConfig, metrics: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in metrics["confusion"] if one["classifier"] == config.classifiers.default and one["classes"]]
