"""What a reader must know before believing a run's numbers."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dorl.classification.distances import TIMES_FURTHER, unlike_all_others
from dorl.words import counted

#: a class of fewer cells in a lab is tiny: one cell more or less moves its recall by five points or more
TINY = 20
#: of the tiny classes, so many are named
NAMED = 4
#: shares of a lab's images, left out or without a cell, that are worth a warning
SHARE = 0.05
#: a lower accuracy expected on a lab is worth a warning
DOUBTFUL = 0.7


def cautions(metrics: dict[str, Any]) -> list[str]:
    """Warnings, one sentence each, from what ``metrics.json`` of a run holds; an empty list where there are none."""
    found = []
    for name, lab in metrics["labs"].items():
        # where a split is followed, scores rest on the cells that are tested
        tested = lab.get("tested", lab["classes"])
        tiny = sorted((count, label) for label, count in tested.items() if count < TINY)
        if tiny:
            named = ", ".join(f"{label} {count}" for count, label in tiny[:NAMED]) + (", …" if tiny[NAMED:] else "")
            found.append(
                f"{name}: {len(tiny)} of {counted(len(tested), 'class has', 'classes have')} fewer than {TINY} "
                f"{'tested ' if 'tested' in lab else ''}cells ({named}): scores on them are rough."
            )
        left_out = sum(lab["left_out"].values())
        if left_out:
            of = counted(left_out + lab["cells"], "file was", "files were")
            found.append(f"{name}: {left_out} of {of} left out; the reasons stand below.")
        if lab["without_cell"] > SHARE * lab["cells"]:
            of = counted(lab["cells"], "image")
            found.append(
                f"{name}: no white cell was found in {lab['without_cell']} of {of}: look at its masks "
                "(dorl segment --overlay), and at what the images show."
            )
        # runs of earlier versions didn't count them
        unknown = lab.get("without_patient", 0)
        if lab["classes"] and unknown:
            of = (
                "no patient is known"
                if unknown == lab["cells"]
                else f"of {counted(unknown, 'cell')} no patient is known"
            )
            found.append(
                f"{name}: {of}: cells of one smear may be learnt from and tested, so that scores on the lab itself "
                "may be too high, and intervals too narrow. Give a manifest's column patient, or --patient-from."
            )
        if not lab["classes"]:
            found.append(f"{name}: has no labels, so nothing is measured on it.")
    for one in metrics.get("copies", []):
        lab, other, pairs = one["lab"], one["other_lab"], one["pairs"]
        if lab == other:
            found.append(
                f"{lab}: {counted(pairs, 'pair of its pictures shows', 'pairs of its pictures show')} the same "
                "(duplicates.csv): none is learnt from while "
                "its copy is tested. Look whether their labels agree."
            )
        else:
            found.append(
                f"{lab} and {other}: {counted(pairs, 'pair of pictures shows', 'pairs of pictures show')} the same "
                "(duplicates.csv): a lab is not tested on "
                "copies of the cells learnt from."
            )
    found += [
        f"{name} is unlike all other labs: by the autoencoder's features its nearest lab lies more than "
        f"{TIMES_FURTHER} times further than the others from each other. Expect less on it, and check its cells by eye."
        for name in unlike_all_others(distance_table(metrics, "after"))
    ]
    return [*found, *(_estimated(row, metrics) for row in metrics.get("expected", []) if row["accuracy"] < DOUBTFUL)]


def _estimated(row: dict[str, Any], metrics: dict[str, Any]) -> str:
    """A low estimate of a classifier's accuracy on a lab, told as one; beside what was measured there, if it was."""
    reach = f" ({100 * row['low']:.0f} to {100 * row['high']:.0f})" if "low" in row else ""
    said = (
        f"{row['lab']}: by an estimate without labels, {100 * row['accuracy']:.0f} %{reach} of the answers of the "
        f"classifier learnt from {', '.join(row['source'])} are right."
    )
    results = metrics.get("results") or []
    measured = any(one["test"] == row["lab"] != one["train"] for one in results)
    more = " What was measured there with labels stands in the tables below, and counts for more."
    return said + (more if measured else "")


def distance_table(metrics: dict[str, Any], stage: str) -> pd.DataFrame:
    """The distances of one stage; without rows where none were measured."""
    rows = [row for row in metrics.get("distances", []) if row["stage"] == stage]
    return pd.DataFrame(rows, columns=["first", "second", "cells", "mmd", "told_apart", "proxy_a"])
