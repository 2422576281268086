"""`dorl predict`: classes of new images, written as they are made and renamed when whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, TextIO

import numpy as np

from dorl.domains import Domain
from dorl.domains.gathering import Given, each_given, gather, place_of, tell_left_out
from dorl.errors import InputError
from dorl.files import atomic, behind_links, is_stream
from dorl.names import shortened
from dorl.run.assess import check_sure
from dorl.run.folder import check_file, make_folder
from dorl.run.looked import Looked, LookedShards, look
from dorl.run.mixes import check_expect
from dorl.run.model import BATCH, DoRL
from dorl.run.provenance import record, write_record
from dorl.runtime.cluster import over_cluster, parts_for
from dorl.runtime.hub import located
from dorl.runtime.progress import say
from dorl.runtime.shards import FOLDER, Shard, chosen, shards_of
from dorl.sheets import SheetWriter
from dorl.words import counted


@dataclass
class PredictionResult:
    """What became of the images.

    Attributes
    ----------
    images, without_cell : int
        How many were read, and in how many of them no cell was found: these have no class.
    left_out : list of (str, str)
        Path and reason.
    accuracy : (float, float, float) or None
        Share that is likely to be right, and its 95 % interval, as `dorl.classification.Calibration.estimate` says;
        None where the run has no calibration.
    adapted : bool
        Whether the classifier adapted to these cells.
    mix : dict of str to float
        Estimated share of each class, by which probabilities were corrected; empty where they weren't.
    unlike : int
        Cells unlike all that were learnt.
    """

    images: int
    without_cell: int
    left_out: list[tuple[str, str]]
    accuracy: tuple[float, float, float] | None = None
    adapted: bool = False
    mix: dict[str, float] = field(default_factory=dict)
    unlike: int = 0


def predict(
    run: str | Path,
    images: Given,
    *,
    out: str | Path,
    classifier: str | None = None,
    adapt: bool = True,
    expect: str | None = None,
    sure: float | None = None,
    reject: bool = False,
    shard: str | None = None,
    join: int | None = None,
    ray: str | None = None,
    device: str | None = None,
) -> PredictionResult:
    """Classify images with a run.

    Parameters
    ----------
    run : str or Path
        A folder that `fit` made, or ``hub:owner/name`` (`dorl.runtime.hub.located`).
    images : str, Path or Domain, or several str or Path
        An image, a folder (searched below, too), a manifest, or a lab; of several, paths stand in `out` as given.
    out : str or Path
        CSV: path, class, probability, node (the finest node of the tree that is sure: `finest_sure`), found, confidence
        (of the cell's outline, 0-1), distance and unlike (`DoRL.distances`; empty where the run lacks them). Then comes
        a column for each class with its probability, in the run's order of classes. Where no cell was found, ``found``
        is False, ``confidence`` is 0, and the class is empty. A link is written through. A pipe or ``/dev/stdout`` gets
        the table when it is whole. Beside a file ``FILE.csv.json`` says what it was made with: version, digest of the
        run, adaptation (`dorl.run.provenance.record`).
    classifier : str, optional
        One of the run's classifiers; its default otherwise.
    adapt : bool
        Let the classifier over views adapt to these images where there are a hundred or more and they look like
        another lab's (`dorl.classification.ViewsClassifier.suited`). An image's class then depends on the others, too.
    expect : {"blood", "marrow", "source", "none"} or str, optional
        The mix of classes that is expected, or a CSV file with the columns class and share; the run's by default. With
        30 cells or more, their mix is estimated, and probabilities are corrected by it. ``"none"`` leaves probabilities
        as the classifier gives them.
    sure : float, optional
        Least probability of ``node``, 0-1, `SURE` by default; where it is given, ``class`` and ``probability`` are the
        node's, too.
    reject : bool
        Leave the class of cells that are unlike empty.
    shard : str, optional
        ``i/n``: only look at every n-th batch of the images, and keep what the classifier takes of them in the folder
        ``FILE.csv.shards``. Nothing is classified yet, since the classifier adapts to all images together, and the mix
        of classes is estimated from them all.
    join : int, optional
        How many shards there are: classify what they have looked at. The table is that of one process. The shards'
        folder is removed then.
    ray : str, optional
        Address of a Ray cluster, or ``"auto"`` (`dorl.runtime.cluster.over_cluster`), which does shards; then they are
        put together.
    device : str, optional

    Returns
    -------
    PredictionResult
        Of a shard, how many of its images could be read, how many of them have no cell, and which were left out.

    Raises
    ------
    InputError
        If the run or the images can't be used, or `out` is no place for a file.
    """
    check_expect(expect)
    check_sure(sure)
    part = chosen(shard, join, ray)
    out, given, run = Path(out), run, located(run)
    _check_file(out, images, run)
    if is_stream(out) and (part or join or ray):
        raise InputError(f"{out}: shards lie beside the table; give a file for --out")
    model = DoRL.load(run, classifier=classifier, device=device)
    check_expect(expect, model.classes_)  # said before images are read
    lab = gather(images)
    if out.is_file() and any(lab.file(i).exists() and out.samefile(lab.file(i)) for i in range(len(lab))):
        raise InputError(f"{out}: is one of the images; give another file for --out")
    if not is_stream(out):
        make_folder(behind_links(out).parent)
    tell_left_out(lab)
    result = PredictionResult(0, 0, list(lab.left_out.itertuples(index=False, name=None)))
    looked, shards = look(model, lab, what="classifying"), None
    if part or join or ray:
        shards = LookedShards(model, lab, _folder_of_shards(out))
        if part is not None:
            return _of_shard(shards, part)
        if ray is not None:
            join = parts_for(len(lab), -(-len(lab) // BATCH))
            make = partial(_shards, given, images, shards.notes.folder, classifier, device)
            over_cluster(ray, make, shards_of(join), what="shards of images")
        looked = shards.joined(join or 1)
    with atomic(out) as temporary, _opened(temporary, out) as file, tempfile.TemporaryFile() as held:
        paths, inputs, outlines = _held(looked, result, held)
        cells = np.flatnonzero(outlines > 0)
        found = model.assess(inputs, cells, expect=expect, adapt=adapt) if len(cells) else None
        columns = ["path", "class", "probability", "node", "found", "confidence", "distance", "unlike"]
        writer = SheetWriter(file, [*columns, *model.classes_], number=".6f")
        nothing: tuple[Any, Any] = ([None] * 5, [None] * len(model.classes_))
        rows = [nothing] * len(paths)
        if found is not None:
            answers = found.table(sure=sure, reject=reject).itertuples(index=False, name=None)
            for i, *row in zip(cells, answers, found.probabilities, strict=True):
                rows[i] = tuple(row)
        for path, outline, ((*words, distance, unlike), chances) in zip(paths, outlines, rows, strict=True):
            writer.row([path, *words, bool(outline), outline, distance, unlike, *chances])
    if shards is not None:
        shards.notes.remove()
    if not is_stream(out):
        settings = {"adapt": adapt, "expect": model.expects(expect), "sure": sure, "reject": reject}
        made = record(
            "predict",
            segmenter=model.segmenter.digest(),
            settings=settings,
            run=Path(run),
            classifier=model.classifier_name,
            found=found,
        )
        write_record([behind_links(out)], made)
    if found is not None:
        found.tell(expect=expect, reject=reject)
        result.adapted, result.mix, result.accuracy = found.adapted, found.mix, found.accuracy
        result.unlike = int(found.unlike.sum())
    say(
        f"{counted(len(cells), 'image')} classified, {result.without_cell} without a cell that could be made out, "
        f"{len(result.left_out)} left out: {out}"
    )
    return result


def _held(
    batches: Iterable[Looked], result: PredictionResult, file: IO[bytes]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Paths of the images that can be read, what the classifier takes of them, and confidence of the outlines, (N,).

    What the classifier takes is memory-mapped, and kept in `file`. The confidence is 0 where no cell was found.
    """
    paths: list[str] = []
    outlines: list[np.ndarray] = []
    kind, shape = np.dtype(np.float16), (0,)
    for looked in batches:
        result.left_out += looked.left_out
        if looked.paths:
            file.write(looked.inputs.tobytes())
            kind, shape = looked.inputs.dtype, looked.inputs.shape[1:]
            paths += looked.paths
            outlines.append(looked.confidence)
    result.images = len(paths)
    if not paths:
        raise InputError("not one image could be read: give other images")
    file.flush()
    held = np.memmap(file, kind, "r", shape=(len(paths), *shape))  # type: ignore[call-overload]
    confidence = np.concatenate(outlines)
    result.without_cell = int((confidence == 0).sum())
    return paths, held, confidence


def _folder_of_shards(out: Path) -> Path:
    """Where shards of a table lie, beside it."""
    out = behind_links(out)
    return out.with_name(shortened(out.name, f".{FOLDER}"))


def _shards(run: str | Path, images: Given, folder: Path, classifier: str | None, device: str | None) -> LookedShards:
    """What a worker of a cluster does shards with."""
    return LookedShards(DoRL.load(located(run), classifier=classifier, device=device), gather(images), folder)


def _of_shard(shards: LookedShards, shard: Shard) -> PredictionResult:
    """What became of a shard's images."""
    shards(shard)
    result = PredictionResult(0, 0, [])
    for looked in shards.written(shard):
        result.images += len(looked.paths)
        result.without_cell += int((looked.confidence == 0).sum())
        result.left_out += looked.left_out
    return result


def _opened(temporary: Path, out: Path) -> TextIO:
    try:
        return temporary.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: can't be written ({error.strerror}); choose another place for --out") from error


def _check_file(out: Path, images: Given, run: Path) -> None:
    """Refuse an `out` that can't be a file, that is the very file to be read, or that is a part of the run."""
    try:
        is_folder = out.is_dir()
        files = [place_of(one) for one in each_given(images) if not isinstance(one, Domain)] if out.is_file() else []
        is_input = any(file.exists() and out.samefile(file) for file in files)
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}; give another file for --out") from error
    if is_folder:
        raise InputError(f"{out}: is a folder; give a file for --out, for example predictions.csv")
    if is_input:
        raise InputError(f"{out}: is the file to be read; give another one for --out")
    if out.exists() and out.resolve().is_relative_to(run.resolve()):
        raise InputError(f"{out}: lies in the run folder already; give another file for --out")
    check_file(out)
