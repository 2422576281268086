"""The mix of classes that is expected of new cells: a known one, what was learnt, or a file's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dorl.classification.intervals import KNOWN
from dorl.classification.mix import Expected, shares_of
from dorl.errors import InputError
from dorl.run.classsheet import class_in, read_classes
from dorl.runtime.progress import say
from dorl.sheets import number_in

#: what ``--expect`` takes beside a file, and its default
NONE, SOURCE, DEFAULT = "none", "source", "blood"
WORDS = (NONE, SOURCE, *KNOWN)
#: columns of the file
COLUMNS = ("class", "share")


def expected_mix(
    given: str | Mapping[str, float], classes: Sequence[str], learnt: Mapping[str, float]
) -> Expected | None:
    """What `given` expects of some classes.

    Parameters
    ----------
    given : {"blood", "marrow", "source", "none"}, str, or mapping of str to float
        Or a CSV file with the columns class and share, or what one said (`read_shares`).
    classes : sequence of str
        Of the classifier.
    learnt : mapping of str to float
        Cells learnt of each class, or their shares; empty where that isn't known.

    Returns
    -------
    Expected or None
        None for ``"none"``, and where nothing is known of what was learnt.

    Raises
    ------
    InputError
        If `given` is no such word, and no such file.
    """
    if given == NONE:
        return None
    shares = read_shares(Path(given)) if isinstance(given, str) and given not in WORDS else given
    if not set(classes) <= set(learnt):
        return None
    source = np.array([learnt[name] for name in classes], np.float64)
    return Expected(source / source.sum(), shares_of(shares, classes, source))


def check_expect(given: str | None, classes: Sequence[str] = ()) -> None:
    """Raise InputError for what `expected_mix` would refuse, before any work is done; None is left to the run.

    Where the run's `classes` are given, something has to be expected of one of them.
    """
    if given is None or given == NONE:
        return
    shares = file_shares(given)
    if classes:
        shares_of(shares or given, classes, np.ones(len(classes)))


def file_shares(given: str) -> dict[str, float]:
    """What a file says; nothing for the words of ``--expect``."""
    return {} if given in WORDS else read_shares(Path(given))


def read_shares(path: Path) -> dict[str, float]:
    """Shares by class of a CSV file whose columns are class and share; only their ratios count. Raises InputError."""
    if path.is_dir() or not path.exists():
        words = ", ".join((*KNOWN, SOURCE, NONE))
        raise InputError(f"--expect {path}: can't be read; give {words}, or a CSV file")
    found: dict[str, float] = {}
    lines: dict[str, int] = {}
    in_percent = set()
    for line, values in read_classes(path, COLUMNS):
        node, share = class_in(path, line, values["class"], lines), values["share"]
        try:
            found[node], percent = number_in(share)
        except ValueError:
            raise InputError(f"{path}: line {line}: {share!r} is no number; give one such as 60, 0.6 or 60 %") from None
        if not 0 <= found[node] < np.inf:
            raise InputError(f"{path}: line {line}: a share is 0 or more, not {share}")
        in_percent |= {percent} if found[node] else set()
    if len(in_percent) > 1:
        raise InputError(f"{path}: some shares are in % and some are not: write all in the same way")
    if not any(found.values()):
        raise InputError(f"{path}: all shares are 0: give one above 0 for each class that is expected")
    return found


def tell_mix(given: str, classes: Sequence[str], mix: np.ndarray, cells: int) -> None:
    """Say the proportions (C,) that were estimated, the largest first."""
    say(
        f"mix of these {cells} cells, expected as {given} and estimated from them: {listed(classes, mix)}; "
        "probabilities are corrected by it (--expect none leaves them)"
    )


def listed(classes: Sequence[str], mix: Sequence[float] | np.ndarray) -> str:
    """Classes with their shares (C,) in per cent, the largest first, those below 0.5 % left out."""
    order = np.argsort(-np.asarray(mix), kind="stable")
    return ", ".join(f"{classes[i]} {100 * mix[i]:.1f} %" for i in order if mix[i] >= 0.005)
