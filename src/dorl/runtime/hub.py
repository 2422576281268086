"""Runs on the Hugging Face Hub: how one is named, which of its files are taken, and how they are fetched."""

from __future__ import annotations

import re
from pathlib import Path

from dorl.errors import InputError
from dorl.runtime.progress import say

#: what the name of a run on the hub begins with
PREFIX = "hub:"
#: the only files that are taken from a repository, or put there: none of them can hold code
ALLOWED = (
    *("config.toml", "metrics.json", "provenance.json", "README.md", "features.h5ad"),
    *("segmenter.safetensors", "base.safetensors", "autoencoder.safetensors", "unlike.safetensors"),
    *("classifiers/*.skops", "classifiers/*.json", "classifiers/*.safetensors"),
    *("results.csv", "results_flat.csv", "intervals.csv", "classes.csv", "confusion.csv", "history.csv", "table.md"),
)
#: those of the cells that were learnt, which are put there on request alone
ALLOWED_CELLS = tuple(
    f"cells/{name}" for name in ("cells.json", "index.jsonl", "crops.bin", "masks.bin", "views.bin", "tokens.bin")
)
#: seconds that a server may take to begin an answer
PATIENCE = 10.0

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_REPOSITORY = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


def is_on_hub(place: str | Path) -> bool:
    """Whether a run is named as one on the hub, ``hub:owner/name`` or ``hub:owner/name@revision``."""
    return str(place).startswith(PREFIX)


def repository_of(place: str | Path) -> tuple[str, str | None]:
    """Owner and name of a run on the hub, ``owner/name``, and the revision asked for.

    Raises
    ------
    InputError
        If `place` is no such name.
    """
    name, mark, revision = str(place).replace("\\", "/").removeprefix(PREFIX).partition("@")
    if not _REPOSITORY.fullmatch(name):
        raise InputError(
            f"{place}: no name of a run on the hub; give {PREFIX}owner/name, or {PREFIX}owner/name@revision"
        )
    if mark and (".." in revision or not _REVISION.fullmatch(revision)):
        raise InputError(f"{place}: no revision; give a branch, a tag or a commit behind the @")
    return name, revision or None


def located(
    place: str | Path, *, token: str | bool | None = None, local_files_only: bool = False, needed: str = "config.toml"
) -> Path:
    """The folder of a run: where it lies, or what was fetched of it from the hub.

    Parameters
    ----------
    place : str or Path
        A folder, or ``hub:owner/name``, with ``@revision`` (a branch, a tag or a commit) for a certain version. What
        was fetched once is in the hub's cache, and is used from there without a network.
    token : str or bool, optional
        As huggingface_hub takes it; that of ``hf auth login`` or ``HF_TOKEN`` by default.
    local_files_only : bool
        Take what is in the cache, and ask no server.
    needed : str
        File without which a repository holds nothing of dorl's.

    Returns
    -------
    Path
        Nothing may be written into the folder of a run of the hub: it is the cache's.

    Raises
    ------
    InputError
        If the name is none, the repository or revision isn't there or may not be read, it holds no run, or it is not in
        the cache and the hub can't be reached.
    """
    if not is_on_hub(place):
        return Path(place)
    repository, revision = repository_of(place)
    folder = _fetched(str(place), repository, revision, token=token, local_files_only=local_files_only)
    if not (folder / needed).is_file():
        raise InputError(f"{place}: holds no run of dorl ({needed} is missing); give one that dorl push made")
    if revision != folder.name:
        say(f"{place} is at revision {folder.name}; {PREFIX}{repository}@{folder.name} gives the same again")
    return folder


def title_of(place: str | Path) -> str:
    """The name to show of a run: its folder's, or its repository's."""
    return repository_of(place)[0].split("/")[1] if is_on_hub(place) else Path(place).resolve().name


def refuse_on_hub(place: str | Path, what: str) -> None:
    """Refuse to write into a run of the hub; `what` would be written."""
    if is_on_hub(place):
        raise InputError(
            f"{place}: {what} is written into the run's folder; save the run with "
            "dorl.DoRL.from_pretrained(...).save_pretrained(folder), and give that folder"
        )


def _fetched(
    place: str, repository: str, revision: str | None, *, token: str | bool | None, local_files_only: bool
) -> Path:
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=[*ALLOWED, *ALLOWED_CELLS],
                library_name="dorl",
                etag_timeout=PATIENCE,
                token=token,
                local_files_only=local_files_only,
            )
        )
    except errors.GatedRepoError as error:
        raise InputError(f"{place}: its owner grants access to it; ask for that on its page, then log in") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{place}: no such repository, or a private one; check the name, or log in with: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{place}: no such revision; give a branch, a tag or a whole commit behind the @") from error
    except Exception as error:  # the hub's client has a kind of error for each way to fail, and so has its HTTP library
        why = type(error.__cause__ or error).__name__
        raise InputError(
            f"{place}: not in the hub's cache, and the hub gave nothing ({why}); go online once, "
            "or copy the run here and give its folder"
        ) from error
