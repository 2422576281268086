"""What of a run others may have: weights and measures, without patients' names and paths of its makers' machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any

from dorl.errors import DorlError, InputError
from dorl.files import atomic, digest_of, write_json, write_text
from dorl.run.card import card
from dorl.run.folder import (
    CARD,
    CELLS,
    CONFIG,
    FEATURES,
    METRICS,
    SEGMENTER,
    RunConfig,
    check_complete,
    make_folder,
    read_record,
)
from dorl.run.provenance import PROVENANCE, read_provenance
from dorl.runtime.hub import ALLOWED, ALLOWED_CELLS, repository_of
from dorl.tensorfiles import load_tensors, save_tensors

#: the list of cells, a JSON line each
INDEX = f"{CELLS}/index.jsonl"
#: lists in ``metrics.json`` that name single images
OF_IMAGES = ("mistakes", "unlike")


def shared_names(run: Path, *, cells: bool = False) -> list[str]:
    """Names, relative to a run's folder, of its files that others may have; with `cells` those of its cells, too."""
    allowed = [*ALLOWED, *(ALLOWED_CELLS if cells else ())]
    found = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    return [name for name in found if any(fnmatch(name, pattern) for pattern in allowed)]


def share(run: Path, folder: Path, *, cells: bool = False, licence: str = "", repository: str = "") -> list[Path]:
    """Write what of a run others may have into a new folder, which `dorl.load` opens as the run.

    Weights, classifiers, features, settings and what was measured are taken. Left out are the report, figures and lists
    of images; paths of folders and weights; images' names, digests and patients. Cells are numbered within their lab.

    Parameters
    ----------
    run : Path
        A finished run.
    folder : Path
        New or empty.
    cells : bool
        Take the cells, too: their pictures, masks and descriptions, by which ``dorl serve`` shows a cell's neighbours.
    licence : str, optional
        Of the weights, as the hub names it, for example ``"apache-2.0"``; it stands in the model card.
    repository : str, optional
        ``owner/name`` on the hub, for the model card.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        If the run can't be used, or `folder` holds anything.
    """
    config = cleaned_config(check_complete(run))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is there already, and not an empty folder; give another one")
    names = [name for name in shared_names(run, cells=cells) if name != CARD]
    if cells and INDEX not in names:
        raise InputError(f"{run}: its cells are not there any more; share it without them")
    metrics = read_record(run / METRICS, {"labs", "results", "notes"}, missing="fit again with the same --out")
    make_folder(folder)
    numbered = _Numbers()
    for name in names:
        source, target = run / name, folder / name
        target.parent.mkdir(exist_ok=True)
        if name == CONFIG:
            write_text(target, config.to_toml())
        elif name == SEGMENTER:
            _write_segmenter(source, target)
        elif name == INDEX:
            _write_index(source, target, numbered)
        elif name == METRICS:
            write_json(target, cleaned_metrics(metrics))
        elif name not in (FEATURES, PROVENANCE):
            shutil.copyfile(source, target)
    if FEATURES in names:  # after the list of cells, whose numbers it takes
        _write_features(run / FEATURES, folder / FEATURES, numbered)
    if PROVENANCE in names:  # last, since it has digests of the others
        _write_provenance(run, folder)
    write_text(folder / CARD, card(config, metrics, repository=repository, licence=licence, base=_base(run)))
    return [folder / name for name in [*names, CARD]]


def cleaned_config(config: RunConfig) -> RunConfig:
    """A run's settings without the folders that its labs, weights and mix of classes lay in."""
    segmenter, classifiers = config.segmenter, config.classifiers
    name = segmenter.name if segmenter.name == segmenter.base else PurePath(segmenter.name).name
    return config.model_copy(
        update={
            "labs": [lab.model_copy(update={"path": ""}) for lab in config.labs],
            "segmenter": segmenter.model_copy(update={"name": name, "encoder": PurePath(segmenter.encoder).name}),
            "classifiers": classifiers.model_copy(
                update={"expect": PurePath(classifiers.expect).name if classifiers.shares else classifiers.expect}
            ),
        }
    )


def cleaned_metrics(metrics: dict[str, Any]) -> dict[str, Any]:
    """What was measured, without what names single images."""
    labs = {name: {**lab, "notes": []} for name, lab in metrics["labs"].items()}
    return {**metrics, "labs": labs, **{name: [] for name in OF_IMAGES if name in metrics}}


class _Numbers:
    """A number for each cell within its lab, in the order in which they are met."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._met: Counter[str] = Counter()

    def of(self, key: str, lab: str) -> str:
        """Of the cell that has this key in its store: six digits or more."""
        if key not in self._of:
            self._of[key] = f"{self._met[lab]:06d}"
            self._met[lab] += 1
        return self._of[key]


def _write_index(source: Path, target: Path, numbers: _Numbers) -> None:
    lines = []
    for line in source.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        number = numbers.of(row["key"], row["domain"])
        row |= {"key": f"{row['domain']}/{number}", "path": number, "patient": None}
        if "content" in row:
            row["content"] = ""
        lines.append(json.dumps(row) + "\n")
    write_text(target, "".join(lines))


def _write_features(source: Path, target: Path, numbers: _Numbers) -> None:
    import anndata
    import pandas as pd

    made = anndata.read_h5ad(source)
    labs = made.obs["domain"].astype(str)
    found = [numbers.of(key, lab) for key, lab in zip(made.obs_names, labs, strict=True)]
    made.obs_names = pd.Index([f"{lab}/{number}" for number, lab in zip(found, labs, strict=True)])
    made.obs["path"] = found
    made.obs["patient"] = pd.Categorical([None] * len(found))
    made.uns.clear()
    with atomic(target) as temporary:
        made.write_h5ad(temporary)


def _write_segmenter(source: Path, target: Path) -> None:
    """The adapter, whose header names the files of its base and encoder without their folders."""
    tensors, header = load_tensors(source)
    cleaned = {**header, "base_file": PurePath(header.get("base_file", "")).name}
    if "encoder" in header:
        cleaned["encoder"] = {
            key: PurePath(value).name if key in ("name", "file") else value for key, value in header["encoder"].items()
        }
    if cleaned == header:
        shutil.copyfile(source, target)
    else:
        save_tensors(target, tensors, cleaned)


def _write_provenance(run: Path, folder: Path) -> None:
    made = read_provenance(run)
    made["inputs"] = {lab: {"root": "", "files": {}} for lab in made["inputs"]}
    made["results"] = {name: digest_of(folder / name) for name in made["results"] if (folder / name).is_file()}
    write_json(folder / PROVENANCE, made)


def _base(run: Path) -> str:
    """The file of weights that others need beside the run; "" where its base is bundled or comes with it."""
    _, header = load_tensors(run / SEGMENTER)
    return "" if (run / "base.safetensors").is_file() else PurePath(header.get("base_file", "")).name


def push(
    run: Path,
    repository: str,
    *,
    private: bool = True,
    cells: bool = False,
    licence: str = "",
    message: str = "A run of dorl",
    token: str | bool | None = None,
) -> str:
    """Put what of a run others may have on the hub; see `dorl.DoRL.push_to_hub`.

    A repository that holds an earlier run gets this one in its place; files that dorl doesn't know stay.
    """
    from huggingface_hub import HfApi, errors

    repository, _ = repository_of(repository)
    api = HfApi(library_name="dorl", token=token)
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / "run"
        share(run, folder, cells=cells, licence=licence, repository=repository)
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                commit_message=message,
                delete_patterns=[*ALLOWED, *ALLOWED_CELLS],
            )
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            mend = "log in with: hf auth login" if status == 401 else "check the name and your token's rights"
            raise InputError(f"{repository}: the hub refused it ({status}); {mend}") from error
        except Exception as error:  # the hub's client and its HTTP library have many kinds of error
            why = type(error.__cause__ or error).__name__
            raise DorlError(f"{repository}: the hub can't be reached ({why}); try again") from error
    return str(done.oid)
