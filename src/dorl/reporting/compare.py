"""Two runs side by side: what was set, made with and measured otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from dorl.errors import InputError
from dorl.reporting.html import Section, write_report
from dorl.reporting.report import read_metrics
from dorl.reporting.sections import Table, Text, flattened
from dorl.run.folder import RunConfig, read_config
from dorl.run.provenance import PROVENANCE, read_provenance
from dorl.runtime.hub import located, title_of

INTRODUCTION = (
    "Scores of both runs on the pairs of labs that both measured, with their 95 % intervals, and what was set or made "
    "with otherwise. Intervals that overlap don't say that runs are alike: for a test, put both methods into one dorl "
    "benchmark."
)
#: scores that are shown, and their headings
SCORES = {"accuracy": "accuracy %", "macro_f1": "macro-F1 %"}


def compare_runs(first: Path, second: Path, out: Path) -> Path:
    """Write a report of two finished runs side by side; returns its path.

    Parameters
    ----------
    first, second : Path
        Folders that `dorl.fit` or `dorl.evaluate` made, or runs on the hub (`dorl.runtime.hub.located`).
    out : Path
        HTML file to write.

    Raises
    ------
    InputError
        If one is no finished run, `out` isn't named ``.html``, or the runs have no lab, or no row of scores, in common.
    """
    if out.suffix.lower() != ".html":
        raise InputError(f"{out}: give a file that ends in .html for --out")
    titles = {"first": title_of(first), "second": title_of(second)}
    runs = {"first": located(first), "second": located(second)}
    configs = {name: read_config(run) for name, run in runs.items()}
    metrics = {name: read_metrics(run) for name, run in runs.items()}
    scores = scores_table(*metrics.values())
    _check_common(runs, configs, scores)
    names = "; ".join(f"{name}: {title}" for name, title in titles.items())
    sections: list[Section] = [
        Text(INTRODUCTION),
        scores,
        settings_table(*configs.values()),
    ]
    if (made_with := environment_table(*runs.values())) is not None:
        sections.append(made_with)
    write_report(out, title="DoRL: two runs", subtitle=names, sections=sections)
    return out


def scores_table(first: dict[str, Any], second: dict[str, Any]) -> Table:
    """A line a pair of labs, method and classifier that both measured, sorted as in the first."""
    keys = ("train", "test", "method", "classifier")
    others = {tuple(row[key] for key in keys): row for row in second.get("results") or ()}
    lines = []
    for row in first.get("results") or ():
        other = others.get(tuple(row[key] for key in keys))
        if other is None:
            continue
        line: dict[str, Any] = {
            "labs": f"{row['train']} → {row['test']}",
            "row": f"{row['method']}-{row['classifier']}",
        }
        for score, heading in SCORES.items():
            for which, of in (("first", row), ("second", other)):
                line[f"{heading}, {which}"] = _shown(of, score)
            if row[score] is not None and other[score] is not None:
                line[f"{heading.split()[0]}, change"] = f"{100 * (other[score] - row[score]):+.1f}"
        lines.append(line)
    return Table(pd.DataFrame(lines), heading="Scores", index=False)


def _check_common(runs: dict[str, Path], configs: dict[str, RunConfig], scores: Table) -> None:
    """Raise InputError unless both runs have measured something alike."""
    if len(scores.frame):
        return
    both = " and ".join(str(run) for run in runs.values())
    labs = [{lab.name for lab in config.labs} for config in configs.values()]
    if not labs[0] & labs[1]:
        named = " and ".join(", ".join(sorted(names)) or "none" for names in labs)
        raise InputError(f"{both}: share no lab ({named}); compare runs on the same labs, under the same names")
    raise InputError(
        f"{both}: share no row of scores: no pair of labs was measured by both with one protocol and classifier; "
        "run dorl evaluate on the same labs"
    )


def settings_table(first: RunConfig, second: RunConfig) -> Table:
    """Settings and labs that are not the same in both."""
    return _unlike([_flat(one) for one in (first, second)], "Settings that differ")


def environment_table(first: Path, second: Path) -> Table | None:
    """Versions, processor and threads that are not the same; None where one of the runs kept no record of them."""
    if not all((run / PROVENANCE).is_file() for run in (first, second)):
        return None
    return _unlike([read_provenance(run)["environment"] for run in (first, second)], "Made with")


def _flat(config: RunConfig) -> dict[str, Any]:
    values = config.model_dump()
    labs = {f"lab {lab['name']}": {k: v for k, v in lab.items() if k != "name"} for lab in values.pop("labs")}
    return dict(flattened({**values, **labs}))


def _unlike(both: list[dict[str, Any]], heading: str) -> Table:
    first, second = both
    rows = [
        {"": name, "first": _text(first.get(name)), "second": _text(second.get(name))}
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]
    if not rows:
        return Table(pd.DataFrame({"": ["nothing differs"]}), heading, index=False)
    return Table(pd.DataFrame(rows), heading, index=False)


def _text(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return text or "–"


def _shown(row: dict[str, Any], score: str) -> str | None:
    if row[score] is None or row[score] != row[score]:
        return None
    limits = [row.get(f"{score}_{limit}") for limit in ("low", "high")]
    shown = "–".join(f"{100 * limit:.1f}" for limit in limits if limit is not None)
    return f"{100 * row[score]:.1f}" + (f" ({shown})" if shown else "")
