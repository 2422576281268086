"""``results.csv`` and ``table.md`` of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dorl.classification.answers import ALIKE, Answers, Key, intervals_table
from dorl.files import write_text
from dorl.sheets import write_sheet

COLUMNS = (
    *(
        "protocol",
        "row",
        "method",
        "train",
        "test",
        "seed",
        "cells",
        "classes",
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "balanced_accuracy",
        "balanced_accuracy_low",
        "balanced_accuracy_high",
        "macro_f1",
        "macro_f1_low",
        "macro_f1_high",
    ),
    *("estimated", "estimated_low", "estimated_high"),
    *("setting", "chosen_by", "target", "backbone", "seconds", "peak_mb", "cached"),
)
SCORES = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro-F1"}
MEAN = "mean over targets"
BRACKETS = (
    "In brackets: the 95 % interval (bootstrap, 2,000 draws of patients where they are known, else of cells), of the "
    f"mean over seeds; it covers which cells were tested, not which ones were learnt from. {ALIKE}: accuracy not told "
    "apart from the best of the column, by a paired bootstrap and McNemar's test on the same cells, with Holm's "
    "correction over rows."
)
COST = (
    "Seconds of all fits and their predictions, embedding the cells not counted; rows that differ in the classifier "
    "only share theirs. Peak memory is that of the whole process while the row ran. What came from the cache was "
    "measured when it was made."
)
MEANING = {
    "transductive": "The images of the tested lab were seen, without labels, by rows that use them.",
    "unseen": "No row saw an image of the tested lab before test time; the column `backbone` says whether the network "
    "that made the crops and tokens did.",
}


def write_benchmark(
    rows: Sequence[dict[str, Any]],
    out: Path,
    notes: Sequence[str],
    remarks: Sequence[str],
    intervals: pd.DataFrame | None = None,
) -> None:
    """Write both files, and ``intervals.csv`` where there are intervals.

    Parameters
    ----------
    rows : sequence of dict
        With the keys `COLUMNS`.
    out : Path
        Folder.
    notes, remarks : sequence of str
        Stand at the end of the table.
    intervals : DataFrame, optional
        As of `method_intervals`.
    """
    if intervals is not None:
        write_sheet(out / "intervals.csv", intervals)
    results = pd.DataFrame(rows, columns=list(COLUMNS))
    write_sheet(out / "results.csv", results)
    parts = [
        "# Benchmark\n",
        "Learnt from one lab's labels, tested on others: `train→test`, in %, mean ± standard deviation over seeds. "
        f"`{MEAN}` leaves the own lab out; the own lab is its held-out fold. Classes are compared by the tree of "
        "classes. Best of each column in bold.\n",
        *([] if intervals is None else [f"{BRACKETS}\n"]),
    ]
    for protocol, frame in results.groupby("protocol", sort=False):
        parts.append(f"## Protocol: {protocol}\n\n{MEANING[str(protocol)]}\n")
        for score, heading in SCORES.items():
            known = None if intervals is None else intervals[intervals["protocol"] == protocol]
            parts.append(f"### {heading}\n\n{score_table(frame, score, known)}")
        if (estimates := frame[frame["estimated"].notna()]).size:
            parts.append(f"### Accuracy expected without labels, and the truth\n\n{estimates_table(estimates)}")
        parts.append(f"### Cost, settings and who chose them\n\n{COST}\n\n{facts_table(frame)}")
    parts.append(f"## What each pair compares\n\n{pairs_table(results)}")
    listed = [*notes, *dict.fromkeys(remarks)]
    if listed:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in listed) + "\n")
    write_text(out / "table.md", "\n".join(parts))


def method_intervals(answers: Mapping[tuple[str, str, str, str], Answers]) -> pd.DataFrame:
    """Intervals of each method, means over its fits, and its difference to the best of its protocol and pair of labs.

    Parameters
    ----------
    answers : mapping of (protocol, train, test, method) to Answers

    Returns
    -------
    DataFrame
        The column ``protocol``, and those of `dorl.classification.answers.INTERVALS` without ``classifier``.
    """
    parts = []
    for protocol in dict.fromkeys(key[0] for key in answers):
        own: dict[Key, Answers] = {(*key[1:], ""): of for key, of in answers.items() if key[0] == protocol}
        table = intervals_table(own).drop(columns="classifier")
        table.insert(0, "protocol", protocol)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _limits(intervals: pd.DataFrame | None, score: str) -> dict[tuple[str, str], str]:
    """Interval and mark of each cell of a table, by method and pair."""
    found = {}
    for row in () if intervals is None else intervals.to_dict("records"):
        mark = f" {ALIKE}" if score == "accuracy" and str(row["told_apart"]) == "False" else ""
        text = f" ({100 * row[f'{score}_low']:.1f}–{100 * row[f'{score}_high']:.1f}){mark}"
        found[row["method"], f"{row['train']}→{row['test']}"] = text
    return found


def score_table(frame: pd.DataFrame, score: str, intervals: pd.DataFrame | None = None) -> str:
    """Methods × pairs and the mean over targets, as Markdown, with intervals where they are given.

    A single seed has no deviation. The own lab of rows that are fitted anew for each target is averaged over these fits
    first.
    """
    frame = frame.assign(pair=frame["train"] + "→" + frame["test"])
    cells = frame.groupby(["method", "pair", "seed"], sort=False)[score].mean() * 100
    pairs = frame.drop_duplicates("pair").assign(own=lambda x: x["train"] == x["test"])
    pairs = pairs.sort_values(["train", "own"], kind="stable")
    crossed = [pair for pair, own in zip(pairs["pair"], pairs["own"], strict=True) if not own]
    columns = [*pairs["pair"], *([MEAN] if crossed else [])]
    if crossed:
        over = cells[cells.index.get_level_values("pair").isin(crossed)].groupby(["method", "seed"], sort=False).mean()
        index = pd.MultiIndex.from_tuples(
            [(method, MEAN, seed) for method, seed in over.index], names=cells.index.names
        )
        cells = pd.concat([cells, pd.Series(over.to_numpy(), index=index)])
    mean = cells.groupby(["method", "pair"], sort=False).mean().unstack("pair")
    std = cells.groupby(["method", "pair"], sort=False).std(ddof=0).unstack("pair")
    seeds = cells.groupby(["method", "pair"], sort=False).size().unstack("pair")
    methods = list(dict.fromkeys(frame["method"]))
    lines = [_line(["method", *columns]), _line(["---", *["---:"] * len(columns)])]
    best = {column: mean[column].round(1).max() for column in columns}
    limits = _limits(intervals, score)
    for method in methods:
        shown = []
        for column in columns:
            value, spread = mean.at[method, column], std.at[method, column]
            text = "–" if pd.isna(value) else f"{value:.1f}"
            text += f" ± {spread:.1f}" if seeds.at[method, column] > 1 else ""
            text += limits.get((method, column), "")
            shown.append(f"**{text}**" if round(value, 1) == best[column] else text)
        lines.append(_line([method, *shown]))
    return "\n".join(lines) + "\n"


def estimates_table(frame: pd.DataFrame) -> str:
    """Expected accuracy with its interval beside the true one, %, means over seeds, a line a method and pair."""
    lines = [_line(["method", "train→test", "expected", "95 % interval", "true"]), _line(["---", "---", *["---:"] * 3])]
    scores = ["estimated", "estimated_low", "estimated_high", "accuracy"]
    means = 100 * frame.groupby(["method", "train", "test"], sort=False)[scores].mean()
    for row in means.reset_index().itertuples():
        interval = f"{row.estimated_low:.1f} to {row.estimated_high:.1f}"
        pair = f"{row.train}→{row.test}"
        lines.append(_line([str(row.method), pair, f"{row.estimated:.1f}", interval, f"{row.accuracy:.1f}"]))
    return "\n".join(lines) + "\n"


def facts_table(frame: pd.DataFrame) -> str:
    """Seeds, seconds, memory, backbone, settings and who chose them, a line a method.

    Seconds are of all its fits and their predictions; variants of one fit share them.
    """
    head = ["method", "seeds", "seconds", "peak MB", "backbone", "cached", "settings", "chosen by"]
    lines = [_line(head), _line(["---", *["---:"] * 3, *["---"] * 4])]
    for method, own in frame.groupby("method", sort=False):
        peak = own["peak_mb"].max()
        lines.append(
            _line(
                [
                    str(method),
                    str(own["seed"].nunique()),
                    f"{own.drop_duplicates(['train', 'seed', 'target', 'seconds'])['seconds'].sum():.0f}",
                    "–" if pd.isna(peak) else f"{peak:.0f}",
                    _backbone(own),
                    {0.0: "no", 1.0: "yes"}.get(own["cached"].mean(), "in part"),
                    _listed(own["setting"]),
                    _listed(own["chosen_by"]),
                ]
            )
        )
    return "\n".join(lines) + "\n"


def pairs_table(results: pd.DataFrame) -> str:
    """Cells and classes that each pair compares; of the own lab, the cells of a fold."""
    lines = [_line(["train→test", "cells", "classes"]), _line(["---", "---:", "---"])]
    for pair in results.drop_duplicates(["train", "test"]).itertuples():
        lines.append(_line([f"{pair.train}→{pair.test}", str(pair.cells), str(pair.classes).replace(" ", ", ")]))
    return "\n".join(lines) + "\n"


def _backbone(own: pd.DataFrame) -> str:
    """What the backbone saw, by tested lab where that differs."""
    named = own[own["backbone"] != ""]
    if named["backbone"].nunique() < 2:
        return _listed(named["backbone"])
    return "; ".join(f"{test}: {_listed(lab['backbone'])}" for test, lab in named.groupby("test", sort=False))


def _listed(values: pd.Series) -> str:
    return " · ".join(str(value) for value in dict.fromkeys(values) if value) or "–"


def _line(values: Sequence[str]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|").replace("\n", " ") for value in values) + " |"
