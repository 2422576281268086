"""`dorl demo`: the whole road on rendered labs, offline."""

from __future__ import annotations

from pathlib import Path

from dorl.commands.fit import fit
from dorl.commands.predict import predict
from dorl.domains.rendered import render_lab
from dorl.errors import InputError
from dorl.run.folder import METRICS, make_folder
from dorl.run.presets import check_seed
from dorl.runtime.progress import say

#: of the cross-validation; fewer than usual, to be done sooner
FOLDS = 2
#: the three labs of the demo, by the names of their styles, and the one that it predicts at the end
LABS, NEW_LAB = ("harbour", "valley", "summit"), "forest"


def demo(*, out: str | Path = "demo", cells: int = 130, iterations: int | None = None, seed: int = 0) -> Path:
    """Render three labs, fit DoRL to them, and classify the cells of a fourth.

    Parameters
    ----------
    out : str or Path
        Folder; a new one, or that of a demo interrupted.
    cells : int
        Of each lab.
    iterations : int, optional
        As for `dorl.fit`; the demo shows the road, and is no measure of accuracy.
    seed : int

    Returns
    -------
    Path
        The report.
    """
    out = Path(out)
    if cells < 26:
        raise InputError(f"cells is {cells}: the demo needs 26 a lab or more, two of each class")
    if iterations is not None and iterations < 0:
        raise InputError(f"iterations is {iterations}: give 0 or more")
    check_seed(seed)
    make_folder(out)
    if (out / "run" / METRICS).exists():
        raise InputError(f"{out}: holds a finished demo; choose another folder for --out, or remove it")
    for number, name in enumerate((*LABS, NEW_LAB)):
        if not (out / "labs" / name / "manifest.csv").exists():
            render_lab(out / "labs" / name, style=name, cells=cells, seed=seed + number)
    say(f"rendered {cells} cells for each of {', '.join((*LABS, NEW_LAB))}: {out / 'labs'}")
    labs = [f"{name}={out / 'labs' / name / 'manifest.csv'}" for name in LABS]
    fit(labs, out=out / "run", folds=FOLDS, iterations=iterations, seed=seed)
    predict(out / "run", out / "labs" / NEW_LAB / "manifest.csv", out=out / "predictions.csv")
    say(f"table: {out / 'run' / 'table.md'}")
    return out / "run" / "report.html"
