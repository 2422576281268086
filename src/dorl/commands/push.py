"""`dorl push`: a run on the Hugging Face Hub, for others to use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dorl.errors import InputError
from dorl.run.folder import check_complete
from dorl.run.sharing import push as push_run
from dorl.run.sharing import shared_names
from dorl.runtime.hub import PREFIX, is_on_hub, repository_of
from dorl.runtime.progress import say

#: bytes of a megabyte
MB = 1_000_000


def push(
    run: str | Path,
    repository: str,
    *,
    private: bool = True,
    cells: bool = False,
    licence: str = "",
    message: str = "A run of dorl",
    agreed: Callable[[], bool] | None = None,
) -> str | None:
    """Put a run on the hub, once what will go there was said.

    Parameters
    ----------
    run : str or Path
        A folder that `fit` made.
    repository : str
        ``owner/name``.
    private, cells, licence, message
        As for `dorl.DoRL.push_to_hub`.
    agreed : callable, optional
        Asked after the list of files and before anything is sent; nothing is sent where it says False.

    Returns
    -------
    str or None
        ``hub:owner/name@revision``; None where nothing was sent.

    Raises
    ------
    InputError
        If the run can't be used, the name is none, or the hub doesn't take it.
    DorlError
        If the hub can't be reached.
    """
    if is_on_hub(run):
        raise InputError(f"{run}: is on the hub already; give a folder that dorl fit made")
    repository, revision = repository_of(repository)
    if revision is not None:
        raise InputError(f"{repository}@{revision}: the hub gives the revision; give {repository}")
    run = Path(run)
    check_complete(run)
    names = shared_names(run, cells=cells)
    for name in names:
        say(f"{(run / name).stat().st_size / MB:9.2f} MB  {name}")
    total = sum((run / name).stat().st_size for name in names) / MB
    say(
        f"{total:.1f} MB go to {repository}, {'private' if private else 'for everybody to see'} where it is new; "
        f"without paths, and names of images and patients; {'with' if cells else 'without'} pictures of cells"
    )
    if agreed is not None and not agreed():
        say("nothing was sent")
        return None
    revision = push_run(run, repository, private=private, cells=cells, licence=licence, message=message)
    return f"{PREFIX}{repository}@{revision}"
