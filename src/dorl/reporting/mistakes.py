"""The cells that the default classifier got most confidently wrong, and their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from dorl.classification import ProtocolResult
from dorl.errors import BadImageError
from dorl.files import atomic
from dorl.run.features import Represented
from dorl.runtime.progress import say

#: cells shown in all, and of each lab at least
MAX_MISTAKES, OF_A_LAB = 18, 3
#: name of their list in the metrics, and of the folder of their pictures
MISTAKES = "mistakes"
#: side of a picture in pixels
SIDE = 128


def confident_mistakes(represented: Represented, result: ProtocolResult) -> list[dict[str, Any]]:
    """Of each tested lab the surest wrong answers, a cell once, the surest first.

    An answer counts that was the same in every fold that asked about the cell. Only the first of the run's protocols is
    looked at.

    Returns
    -------
    list of dict
        ``lab`` and ``path`` of the cell, ``train`` (the lab learnt from), ``true``, ``predicted``, ``probability``
        (mean over the folds, 0-1, not calibrated), ``row`` (number of the cell in the run's store).
    """
    wrong = result.mistakes
    if wrong.empty:
        return []
    wrong = wrong[wrong["method"] == wrong["method"].iloc[0]]
    answer = ["train", "test", "cell", "true", "predicted"]
    answers = wrong.groupby(answer, sort=False)["probability"].agg(["mean", "size"]).reset_index()
    settings = represented.config.classifiers
    asked = np.where(answers["train"] == answers["test"], 1, 1 if settings.split else settings.folds)
    answers = answers[answers["size"] == asked].sort_values("mean", ascending=False, kind="stable")
    answers = answers.drop_duplicates(["test", "cell"])
    of_each = max(OF_A_LAB, MAX_MISTAKES // answers["test"].nunique()) if len(answers) else 0
    answers = answers.groupby("test", sort=False).head(of_each)
    labelled = represented.cells["label"].notna()
    rows = {lab.name: np.flatnonzero((represented.cells["domain"] == lab.name) & labelled) for lab in represented.labs}
    found = []
    for one in answers.to_dict("records"):
        row = int(rows[one["test"]][one["cell"]])
        found.append(
            {
                "lab": one["test"],
                "path": represented.cells["path"].iat[row],
                "train": one["train"],
                "true": one["true"],
                "predicted": one["predicted"],
                "probability": round(float(one["mean"]), 4),
                "row": row,
            }
        )
    return found


def picture_path(folder: Path, number: int, kind: str = MISTAKES) -> Path:
    """Where the picture of the mistake, or other cell to look at, of this number lies."""
    return folder / kind / f"{number + 1:02d}.jpg"


def draw_mistakes(represented: Represented, mistakes: list[dict[str, Any]], folder: Path, kind: str = MISTAKES) -> None:
    """Write a JPEG a mistake, or other cell: the image as it was read, and the cell as it was cut out, side by side."""
    for number, mistake in enumerate(mistakes):
        (crops,) = represented.store.batch([mistake["row"]], "crops")
        try:
            original = represented.image(mistake["row"])
        except BadImageError as error:  # gone since it was learnt from
            say(f"not drawn: {error}")
            original = crops[0]
        both = Image.new("RGB", (2 * SIDE + 4, SIDE), "white")
        both.paste(ImageOps.pad(Image.fromarray(original), (SIDE, SIDE), color="white"), (0, 0))
        both.paste(Image.fromarray(crops[0]).resize((SIDE, SIDE)), (SIDE + 4, 0))
        with atomic(picture_path(folder, number, kind)) as temporary:
            both.save(temporary, quality=85)
