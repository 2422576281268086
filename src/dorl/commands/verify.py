"""`dorl verify`: what would differ if a run were made again."""

from __future__ import annotations

from pathlib import Path

import dorl
from dorl.run.folder import read_config
from dorl.run.provenance import differences
from dorl.runtime.hub import located


def verify(run: str | Path) -> list[str]:
    """Compare what a run was made with and of with what is here now.

    Parameters
    ----------
    run : str or Path
        A finished run or evaluation.

    Returns
    -------
    list of str
        A sentence each: another version, processor or number of threads, an input that changed or is gone, a result
        that changed since. Empty where the same command gives the same result.

    Raises
    ------
    InputError
        If the folder is no run, or of a dorl that kept no such record.
    """
    folder = located(run)
    return differences(folder, read_config(folder).dorl, dorl.__version__)
