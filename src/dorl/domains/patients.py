"""Patients that the names of files and folders hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dorl.domains.domain import Domain
from dorl.errors import InputError
from dorl.words import counted


def with_patients(labs: Sequence[Domain], pattern: str) -> list[Domain]:
    """Find the patient of each image in its path.

    Parameters
    ----------
    labs : sequence of Domain
        Images whose patient is known already keep it.
    pattern : str
        A regular expression, searched for in each path (folders and file name, with ``/``). The patient is what its
        group named ``patient`` holds, else its first group, else all that it matches. With ``""`` nothing is done.

    Returns
    -------
    list of Domain
        Each with a remark on how many patients were found.

    Raises
    ------
    InputError
        If `pattern` is no regular expression, or is found in no path at all.
    """
    if not pattern:
        return list(labs)
    try:
        search = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--patient-from {pattern!r}: no regular expression ({error}); mend it") from None
    found = []
    hits = 0
    for lab in labs:
        table = lab.table.copy()
        unknown = table["patient"].isna().to_numpy()
        patients = np.array([_patient(search, path) for path in table["path"]], object)
        table["patient"] = np.where(unknown, patients, table["patient"].to_numpy(object))
        hits += sum(one is not None for one in patients)
        new = int(sum(one is not None for one in patients[unknown]))
        left = int(table["patient"].isna().sum())
        remark = f"{counted(table['patient'].nunique(), 'patient')}, of {counted(new, 'image')} by their paths"
        remark += f"; {counted(left, 'image')} without one" if left else ""
        found.append(replace(lab, table=table, remarks=(*lab.remarks, remark)))
    if not hits:
        example = next((path for lab in labs for path in lab.table["path"]), "")
        raise InputError(f"--patient-from {pattern!r}: is found in no path, for example not in {example!r}; mend it")
    return found


def _patient(search: re.Pattern[str], path: str) -> str | None:
    match = search.search(path)
    if match is None:
        return None
    groups = match.groupdict()
    text = groups["patient"] if "patient" in groups else match[1] if match.re.groups else match[0]
    return text or None
