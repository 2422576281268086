"""ROC and precision-recall curves of each class, and reliability diagrams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dorl.classification.answers import Answers
from dorl.classification.byclass import reliability
from dorl.classification.calibration import calibration_error
from dorl.reporting.figures.style import faint_grid, new_figure, style, write
from dorl.reporting.palette import styles


def class_curves(answers: Mapping[str, Answers], path: str | Path) -> bool:
    """Draw each class against the rest, a row a title: the ROC curve, and precision over recall.

    Parameters
    ----------
    answers : mapping of title to Answers
        Those without probabilities, or with a single class, are left out.
    path : str or Path

    Returns
    -------
    bool
        Whether there was anything to draw; nothing is written otherwise.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    shown = _with_probabilities(answers)
    shown = {title: of for title, of in shown.items() if len(np.unique(of.true)) > 1}
    if not shown:
        return False
    looks = styles(sorted({name for of in shown.values() for name in of.classes}))
    with style():
        figure = new_figure(9.5, 3.2 * len(shown))
        grid = figure.subplots(len(shown), 2, squeeze=False)
        for (title, of), (left, right) in zip(shown.items(), grid, strict=True):
            assert of.probabilities is not None
            for number, name in enumerate(of.classes):
                cells = of.true == number
                if not cells.any() or cells.all():
                    continue
                look = {"color": looks[name]["color"], "linestyle": looks[name]["line"], "linewidth": 1.3}
                false, hit, _ = roc_curve(cells, of.probabilities[:, number])
                left.plot(100 * false, 100 * hit, label=f"{name} ({cells.sum()})", **look)
                precision, recall, _ = precision_recall_curve(cells, of.probabilities[:, number])
                right.plot(100 * recall, 100 * precision, drawstyle="steps-post", **look)
            left.plot([0, 100], [0, 100], color="#999999", linewidth=0.8, linestyle=":")
            left.set(title=title, xlabel="1 − specificity (%)", ylabel="sensitivity (%)")
            right.set(title=title, xlabel="recall = sensitivity (%)", ylabel="precision = PPV (%)")
            for axes in (left, right):
                axes.set(xlim=(-1, 101), ylim=(-1, 101))
                faint_grid(axes, "both")
            left.legend(loc="lower right", fontsize=7)
        write(figure, path)
    return True


def reliability_diagrams(answers: Mapping[str, Answers], path: str | Path, *, columns: int = 3) -> bool:
    """Draw accuracy over confidence, a diagram a title, each point as large as its cells are many.

    Parameters and result as for `class_curves`; `columns` diagrams stand side by side.

    References
    ----------
    Guo et al., *On Calibration of Modern Neural Networks*, arXiv 1706.04599.
    """
    shown = _with_probabilities(answers)
    if not shown:
        return False
    columns = min(columns, len(shown))
    deep = -(-len(shown) // columns)
    with style():
        figure = new_figure(3.2 * columns, 3.2 * deep)
        grid = figure.subplots(deep, columns, squeeze=False).ravel()
        for axes in grid[len(shown) :]:
            axes.set_axis_off()
        for axes, (title, of) in zip(grid, shown.items(), strict=False):
            assert of.probabilities is not None
            table = reliability(of)
            error = calibration_error(of.probabilities, of.probabilities.argmax(axis=1) == of.true)
            axes.plot([0, 100], [0, 100], color="#999999", linewidth=0.8, linestyle=":")
            axes.plot(100 * table["confidence"], 100 * table["accuracy"], color="#0072B2", linewidth=1)
            size = 8 + 110 * np.sqrt(table["cells"] / table["cells"].max())
            axes.scatter(100 * table["confidence"], 100 * table["accuracy"], s=size, color="#0072B2", alpha=0.7)
            axes.set(title=f"{title}\nECE {100 * error:.1f} %", xlabel="confidence (%)", ylabel="right (%)")
            axes.set(xlim=(0, 102), ylim=(-3, 103))
            faint_grid(axes, "both")
        write(figure, path)
    return True


def _with_probabilities(answers: Mapping[str, Answers]) -> dict[str, Answers]:
    found = {title: of.compared() for title, of in answers.items() if of.probabilities is not None}
    return {title: of for title, of in found.items() if len(of.true) and len(of.classes)}
