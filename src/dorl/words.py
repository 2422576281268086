"""Numbers with their nouns, in messages and reports."""

from __future__ import annotations

#: how scores were taken where the labs' makers divided them, and not by folds
ON_SPLIT = "tested once, on the labs' own split"


def counted(number: int, one: str, several: str = "") -> str:
    """A number with its noun: "1 fold", "5 folds", "0 folds".

    Parameters
    ----------
    number : int
    one : str
        What follows the number 1; a verb may stand in it, too.
    several : str, optional
        What follows every other number; `one` with an s by default.
    """
    return f"{number} {one if number == 1 else several or f'{one}s'}"
