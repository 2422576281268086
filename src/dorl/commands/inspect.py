"""`dorl inspect`: what was read of each lab, what was left out and why, copies, and two figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dorl.domains import Domain, read_domains
from dorl.domains.gathering import decodable
from dorl.files import write_json
from dorl.reporting.figures.run import draw_labs
from dorl.run.copies import find_copies_in
from dorl.run.folder import check_folder, make_folder, refuse_among_images, refuse_run
from dorl.sheets import write_sheet


def inspect(
    labs: Sequence[str | Domain], *, out: str | Path | None = None, mask_value: Sequence[float] = ()
) -> list[Domain]:
    """Read labs, decode every image of them, and look for copies.

    Parameters
    ----------
    labs : sequence of str or Domain
    out : str or Path, optional
        Folder for ``grey_levels.png``, ``class_counts.png`` (the paper's Figures 1 and 4), ``labs.json`` and
        ``left_out.csv`` and ``duplicates.csv``; nothing is written otherwise.
    mask_value : sequence of float
        Values of the cell in the masks; concluded by default.

    Returns
    -------
    list of Domain
        Without the images that could not be decoded; those stand in `left_out`.
    """
    domains = read_domains(labs, mask_value=mask_value, tell=False)  # the summary has the remarks
    if out is not None:
        out = Path(out)
        check_folder(out)
        refuse_run(out)
        refuse_among_images(out, labs, domains)
    found = [decodable(lab) for lab in domains]
    if out is not None:
        make_folder(out)
    find_copies_in(found, out)
    if out is not None:
        draw_labs(found, out, limit=None)
        write_json(out / "labs.json", [lab.describe() for lab in found])
        left_out = pd.concat([lab.left_out.assign(lab=lab.name) for lab in found])
        write_sheet(out / "left_out.csv", left_out[["lab", "path", "reason"]])
    return found
