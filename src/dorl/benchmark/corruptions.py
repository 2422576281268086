"""How rows of the benchmark bear images that are made worse: cells of each tested lab, at five strengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dorl.benchmark.labs import Lab
from dorl.domains.corrupted import KINDS, STRENGTHS, CorruptedSource
from dorl.files import write_text
from dorl.runtime.training import seeded
from dorl.sheets import write_sheet

#: columns of ``corruptions.csv``
COLUMNS = (
    *("protocol", "method", "train", "test", "kind", "strength", "seed", "cells"),
    *(f"{score}{limit}" for score in ("accuracy", "macro_f1") for limit in ("", "_low", "_high")),
)
#: stands for the same cells as they are
CLEAN = "clean"
#: strength that the table shows, where it was measured
SHOWN = 3
#: scores of each section's tables, and their headings
TITLES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
#: between a lab's name and its version's; no lab's name holds it
MARK = "@"
MEANING = (
    "The same cells of the tested labs, as they are and made worse in {kinds} ways. Kinds and strengths are "
    "those of dorl.domains.corrupted: ImageNet-C's (arXiv 1903.12261) where it has the kind. Methods saw none of "
    "these images. Accuracy and macro-F1 at strength {strength} of 5 in % of the row's own on the same cells as they "
    "are (what is kept), means over pairs of labs and seeds; all that was measured: corruptions.csv, corruptions-*.png."
)


def corrupted_versions(lab: Lab, most: int, seed: int, strengths: Sequence[int] = STRENGTHS) -> dict[str, Lab]:
    """A lab's cells as they are and made worse, a lab of its own each.

    Parameters
    ----------
    lab : Lab
    most : int
        So many cells of each class at most, drawn by `seed`.
    strengths : sequence of int
        Of `STRENGTHS`.

    Returns
    -------
    dict of str to Lab
        By ``lab@kind@strength``; as they are, ``lab@clean@0``.
    """
    order = seeded(seed).permutation(lab.compared)
    names = lab.labels[order]
    rows = np.sort(np.concatenate([order[names == name][:most] for name in set(names.tolist())]))
    clean = lab.take(rows)
    found = {f"{lab.name}{MARK}{CLEAN}{MARK}0": clean}
    for kind in KINDS:
        for strength in strengths:
            source = CorruptedSource(clean.domain.source, kind, strength)
            name = f"{lab.name}{MARK}{kind}{MARK}{strength}"
            found[name] = replace(clean, domain=replace(clean.domain, source=source))
    return found


def write_corruptions(rows: Sequence[dict[str, Any]], out: Path) -> dict[str, pd.DataFrame]:
    """Write ``corruptions.csv``, and a section at the end of ``table.md``.

    Parameters
    ----------
    rows : sequence of dict
        Rows of results whose ``test`` is a name of `corrupted_versions`.
    out : Path
        The benchmark's folder.

    Returns
    -------
    dict of str to DataFrame
        By protocol what `by_strength` gives, to be drawn.
    """
    frame = pd.DataFrame(rows)
    parts = frame["test"].str.split(MARK, expand=True)
    frame = frame.assign(test=parts[0], kind=parts[1], strength=parts[2].astype(int))[list(COLUMNS)]
    write_sheet(out / "corruptions.csv", frame)
    text = (out / "table.md").read_text(encoding="utf-8")
    meaning = MEANING.format(kinds=len(KINDS), strength=shown_strength(frame))
    sections, scores = [], {}
    for protocol, of in frame.groupby("protocol", sort=False):
        tables = [f"Kept {title}:\n\n{kept_table(of, score)}" for score, title in TITLES.items()]
        sections.append("\n".join([f"### Protocol: {protocol}\n", *tables]))
        scores[str(protocol)] = by_strength(of)
    write_text(out / "table.md", f"{text}\n## Images made worse\n\n{meaning}\n\n" + "\n".join(sections))
    return scores


def shown_strength(frame: pd.DataFrame) -> int:
    """The strength that tables show: `SHOWN`, or the greatest where that wasn't measured."""
    measured = set(frame.loc[frame["kind"] != CLEAN, "strength"])
    return SHOWN if SHOWN in measured else int(max(measured))


def by_strength(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy and macro-F1, 0-1, by method, kind and strength; strength 0 of each kind is that of
    the clean cells.
    """
    mean = frame.groupby(["method", "kind", "strength"], sort=False)[list(TITLES)].mean().reset_index()
    clean = mean[mean["kind"] == CLEAN]
    return pd.concat([*(clean.assign(kind=kind) for kind in KINDS), mean[mean["kind"] != CLEAN]], ignore_index=True)


def kept_table(frame: pd.DataFrame, score: str = "accuracy") -> str:
    """What is kept of a score at `shown_strength` by method and kind, and the mean over kinds, %, as Markdown."""
    strength = shown_strength(frame)
    mean = by_strength(frame).set_index(["method", "kind", "strength"])[score]
    head = ["method", f"clean {TITLES[score]}", *KINDS, "mean"]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for method in dict.fromkeys(frame["method"]):
        clean = mean[method, next(iter(KINDS)), 0]
        kept = [100 * mean[method, kind, strength] / clean if clean else np.nan for kind in KINDS]
        shown = [f"{value:.1f}" for value in (100 * clean, *kept, float(np.mean(kept)))]
        lines.append(f"| {str(method).replace('|', chr(92) + '|')} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"
