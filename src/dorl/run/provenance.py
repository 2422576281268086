"""What a run was made with and of: versions, processor, threads, digests of all inputs and results."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dorl
from dorl.domains import Domain
from dorl.domains.sources import FileSource
from dorl.files import digest_of, write_json
from dorl.names import file_of, shortened
from dorl.run.folder import AUTOENCODER, CLASSIFIERS, CONFIG, SEGMENTER, UNLIKE, read_record, slug
from dorl.runtime.kept import content_key

if TYPE_CHECKING:
    from dorl.run.assess import Assessment

#: the file in the run folder
PROVENANCE = "provenance.json"
#: packages that compute what a run holds
PACKAGES = (
    *("numpy", "scipy", "scikit-learn", "pandas", "torch", "transformers", "xgboost", "umap-learn", "numba"),
    *("pillow", "imagecodecs", "tifffile", "scikit-image", "openvino", "scikit-learn-intelex"),
)
#: variables that set how many threads compute
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: results whose bytes the same run gives again
RESULTS = ("results.csv", "results_flat.csv", "autoencoder.safetensors", "segmenter.safetensors")


def environment() -> dict[str, str]:
    """Python, packages, system, processor and threads, as this process has them; plain text by name."""
    import torch

    found = {"python": platform.python_version(), "system": platform.platform(), "processor": _processor()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    found |= {name: os.environ.get(name, "") for name in THREADS}
    found["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    if not found["gpu"] and torch.backends.mps.is_available():
        found["gpu"] = "mps"
    return found


def write_provenance(run: Path, labs: Sequence[Domain], *, processes: int = 1) -> None:
    """Write what the run in a folder was made with and of.

    Parameters
    ----------
    run : Path
        With its results.
    labs : sequence of Domain
        As they were read; digests are of the files' contents, of images and masks.
    processes : int
        That shared the work.
    """
    inputs: dict[str, Any] = {}
    for lab in labs:
        files = {}
        for name in ("path", "mask"):
            for text in lab.table[name].dropna():
                files[text] = digest_of(lab.root / file_of(text)) if isinstance(lab.source, FileSource) else None
        inputs[lab.name] = {"root": str(lab.root.resolve()), "files": files}
    made_with = {**environment(), "processes": str(processes)}
    results = {name: digest_of(run / name) for name in RESULTS if (run / name).is_file()}
    write_json(
        run / PROVENANCE,
        {"command": sys.argv[1:2], "environment": made_with, "inputs": inputs, "results": results},
    )


def run_digest(run: Path, classifier: str) -> str:
    """Changes with all that decides what a run says of a cell with one of its classifiers."""
    place = Path(CLASSIFIERS) / slug(classifier)
    used = [CONFIG, SEGMENTER, AUTOENCODER, UNLIKE, *(str(place.with_suffix(ending)) for ending in (".skops", ".json"))]
    return content_key([digest_of(run / name) for name in used])


def record(
    command: str,
    *,
    segmenter: str,
    settings: Mapping[str, Any],
    run: Path | None = None,
    classifier: str = "",
    found: Assessment | None = None,
) -> dict[str, Any]:
    """What a table of cells was made with, as plain values, for `write_record`.

    Parameters
    ----------
    command : str
        That writes the table, for example ``"predict"``.
    segmenter : str
        Its digest.
    settings : mapping
        Options of the command.
    run : Path, optional
        And `classifier`, the one of its that was asked.
    found : Assessment, optional
        What was said of the cells: whether it adapted to them, and the mix of classes that it corrected by.

    Returns
    -------
    dict
        ``dorl`` (version), ``command``, ``settings``, ``segmenter``, ``run`` (its folder, digest and classifier; None
        without one), ``adaptation`` (None where nothing was classified) and ``environment``.
    """
    of_run = None
    if run is not None:
        of_run = {"folder": str(run.resolve()), "digest": run_digest(run, classifier), "classifier": classifier}
    adaptation = None
    if found is not None:
        adaptation = {
            "adapted": found.adapted,
            "another_lab": found.model.another_lab,
            "mix": found.mix,
            "expected_accuracy": found.accuracy,
        }
    return {
        "dorl": dorl.__version__,
        "command": command,
        "settings": dict(settings),
        "segmenter": segmenter,
        "run": of_run,
        "adaptation": adaptation,
        "environment": environment(),
    }


def write_record(tables: Sequence[Path], made: Mapping[str, Any]) -> Path:
    """Write a `record` beside tables, with the digest of each as it lies there.

    Parameters
    ----------
    tables : sequence of Path
        In one folder. One table has its record beside it, under its name and ``.json``; several have `PROVENANCE`.
    """
    (folder,) = {table.parent for table in tables}
    place = folder / (shortened(tables[0].name, ".json") if len(tables) == 1 else PROVENANCE)
    write_json(place, {**made, "files": {table.name: digest_of(table) for table in tables}})
    return place


def read_provenance(run: Path) -> dict[str, Any]:
    """What `write_provenance` wrote. Raises InputError where it isn't there, or damaged."""
    missing = "an unfinished run, or one of an earlier dorl; fit it again"
    return read_record(run / PROVENANCE, {"environment", "inputs", "results"}, missing=missing)


def differences(run: Path, version: str, now_version: str) -> list[str]:
    """What would differ if the same command were given now, a sentence each; an empty list where nothing would.

    Parameters
    ----------
    run : Path
    version, now_version : str
        Of the dorl that made it, and of this one.
    """
    known = read_provenance(run)
    found = [] if version == now_version else [f"dorl: was {version}, is {now_version}"]
    now = environment()
    for name, was in known["environment"].items():
        if name in now and now[name] != was:
            found.append(f"{name}: was {was or 'not there'}, is {now[name] or 'not there'}")
    for lab, of in known["inputs"].items():
        root = Path(of["root"])
        gone: list[str] = []
        changed: list[str] = []
        for text, digest in of["files"].items():
            here = None if digest is None else digest_of(root / file_of(text))
            if digest is not None and here != digest:
                (changed if here else gone).append(text)
        for files, what in ((gone, "not there any more"), (changed, "changed")):
            if files:
                found.append(f"{lab}: {len(files)} of {len(of['files'])} files {what}, the first {files[0]}")
    for name, digest in known["results"].items():
        here = digest_of(run / name)
        if here != digest:
            found.append(f"{name}: {'changed since it was written' if here else 'not there any more'}")
    return found


def _processor() -> str:
    """Its name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{named or platform.processor()} ({platform.machine()}, {os.cpu_count()} cores)".strip()
