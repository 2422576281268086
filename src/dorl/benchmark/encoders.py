"""Rows of the benchmark again, on the tokens of other encoders, for example DinoBloom's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dorl.benchmark.methods import Row
from dorl.errors import InputError


def encoder_names(encoders: Sequence[str | Path]) -> dict[str, str]:
    """What rows on the tokens of each encoder are called: a file's name without its ending, else the name given.

    Parameters
    ----------
    encoders : sequence of str or Path
        Each as for `dorl.segmentation.Segmenter.load`.

    Returns
    -------
    dict of str to str
        Name → encoder, in the order given.

    Raises
    ------
    InputError
        If two have one name.
    """
    found: dict[str, str] = {}
    for encoder in map(str, encoders):
        name = re.sub(r"[^\w.-]+", "-", Path(encoder).stem if Path(encoder).is_file() else encoder)
        if name in found:
            raise InputError(f"two encoders are named {name!r}: give each once, or rename one of the files")
        found[name] = encoder
    return found


def on_tokens_of(name: str, rows: Sequence[Row]) -> list[Row]:
    """Those of some rows that read tokens, as rows of their own on the tokens of the encoder called `name`.

    Raises
    ------
    InputError
        If none of them reads tokens.
    """
    found = [
        replace(row, name=f"{row.name}-{name}", title=f"{row.title}, tokens of {name}", encoder=name)
        for row in rows
        if row.tokens
    ]
    if not found:
        raise InputError(
            f"no row that was chosen reads tokens, so that {name} would change none: give --rows frozen, "
            "or leave --encoder out"
        )
    return found
