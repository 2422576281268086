"""What a run was made with and of: versions, processor, threads, digests of all inputs and results."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from dorl.domains import Domain
from dorl.domains.sources import FileSource
from dorl.files import digest_of, write_json
from dorl.names import file_of
from dorl.run.folder import read_record

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
