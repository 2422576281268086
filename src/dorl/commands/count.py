"""`dorl count`: every white cell of smear fields and slides, and a differential count; saved as it goes on."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dorl.domains import read_image
from dorl.domains.gathering import gather, place_of, tell_left_out
from dorl.domains.slides import slides_among, without_slides
from dorl.domains.urls import file_at
from dorl.errors import BadImageError, InputError
from dorl.run.assess import Assessment, check_sure
from dorl.run.celldata import CELL_DATA, write_count
from dorl.run.countfolder import FieldStore, FoundField
from dorl.run.countshards import CountShards
from dorl.run.differentials import differentials, lines, tell_counts, to_review
from dorl.run.fieldrepeats import counted_elsewhere
from dorl.run.fieldsearch import Listed, search_fields
from dorl.run.folder import check_folder, refuse_run
from dorl.run.manual import beside_manual, read_manual
from dorl.run.mixes import check_expect
from dorl.run.model import DoRL
from dorl.run.provenance import record, write_record
from dorl.run.slidepictures import show_slides
from dorl.run.slides import FoundSlide, search_slides
from dorl.runtime.cluster import over_cluster, parts_for
from dorl.runtime.progress import say, track
from dorl.runtime.shards import chosen, shards_of
from dorl.segmentation import Segmenter
from dorl.segmentation.overlay import draw_cells
from dorl.segmentation.smear import cleared
from dorl.sheets import write_sheet
from dorl.words import counted

#: with `monolayer`, cells of a slide count where it shows a monolayer so far
MONOLAYER = 0.5
#: columns of ``cells.csv`` and of ``fields.csv``; where there are slides ``cells.csv`` has ``monolayer``, too
CELLS = (
    *("path", "xmin", "ymin", "xmax", "ymax", "class", "probability", "node"),
    *("found", "confidence", "touches_border", "distance", "unlike", "sample", "counted", "same_as"),
)
FIELDS = ("path", "width", "height", "red_cell", "cells", "mask")


@dataclass
class CountResult:
    """What `count` found.

    Attributes
    ----------
    cells, fields, counts, samples, review : DataFrame
        As written to ``cells.csv``, ``fields.csv``, ``counts.csv``, ``samples.csv`` and ``review.csv``.
    suggested : DataFrame
        As written to ``suggested.csv``; without a slide it is empty, and no such file is written.
    left_out : list of (str, str)
        Path and reason of each file that could not be read, is grey, or has red and blue swapped.
    """

    cells: pd.DataFrame
    fields: pd.DataFrame
    counts: pd.DataFrame
    samples: pd.DataFrame
    review: pd.DataFrame
    suggested: pd.DataFrame
    left_out: list[tuple[str, str]]

    def lines(self) -> list[str]:
        """The differential of all cells as text, a line a class."""
        return lines(self.counts)


def count(
    fields: Sequence[str | Path],
    *,
    out: str | Path,
    run: str | Path | None = None,
    segmenter: str | Path | None = None,
    red_cell: float | None = None,
    adapt: bool = True,
    expect: str | None = None,
    sure: float | None = None,
    reject: bool = False,
    edge: bool = True,
    wbc: float | None = None,
    manual: str | Path | None = None,
    even_light: bool = False,
    monolayer: bool = False,
    shard: str | None = None,
    join: int | None = None,
    ray: str | None = None,
    device: str | None = None,
) -> CountResult:
    """Find, outline, classify and count the white cells of smear fields and of slides.

    Parameters
    ----------
    fields : sequence of str or Path
        Images, slides, folders of either (searched below, too), or manifests of images. The fields of one patient,
        where a manifest tells it, are one sample; else those of one folder. A slide is a sample of its own.
    out : str or Path
        Folder for ``cells.csv``, ``counts.csv``, ``samples.csv``, ``review.csv``, ``fields.csv``,
        ``annotated/<stem>.png`` (outlines and classes) and ``masks/<stem>.png`` (16 bits; 0 outside cells, 1 in the
        first cell of the field, and so on). ``cells.h5ad`` has the cells for scanpy and squidpy
        (`dorl.run.celldata.write_count`), ``provenance.json`` what all was made with. Results are kept by the content
        of the fields. So an interrupted count goes on, and new fields can be added. Pictures of fields that aren't
        given any more are removed.
    run : str or Path, optional
        A folder that `fit` made. Its default classifier classifies each cell. Without a run, cells are found only.
    segmenter : str or Path, optional
        The run's, or ``"tiny"`` without a run.
    red_cell : float, optional
        Diameter of a red cell in pixels; measured in each field otherwise. A field whose measure is in doubt takes that
        of the other fields of its folder and size; a slide, what its pixel size gives.
    adapt : bool
        As for `predict`: let the classifier over views adapt to the cells of all fields together.
    expect, sure, reject
        As for `predict`. A cell whose class is a node above those of the run has a line of its own in the count.
    edge : bool
        Count cells that a field's edge cuts; ``cells.csv`` lists them in any case. A cell that stands in two fields of
        a folder that overlap is counted once, where no edge cuts it.
    wbc : float, optional
        Leukocytes of the blood, 10⁹/l, without erythroblasts: absolute counts are given, too. The fields must be of one
        sample.
    manual : str or Path, optional
        A manual differential (`dorl.run.manual.read_manual`): ``comparison.csv`` and ``agreement.csv`` tell how far the
        two agree, class by class.
    even_light : bool
        Draw ``annotated/`` over the fields as they are searched: in even light, without scale bars and frames.
    monolayer : bool
        Of slides, count only cells where red cells lie side by side; ``cells.csv`` lists the others, too.
    shard : str, optional
        ``i/n``: only search every n-th field and slide, and keep what is found in `out`. Nothing is classified or
        written yet.
    join : int, optional
        How many shards there are: classify and count what they have found, as one process would have done.
    ray : str, optional
        Address of a Ray cluster, or ``"auto"`` (`dorl.runtime.cluster.over_cluster`), which does shards; then what they
        have found is counted.
    device : str, optional

    Returns
    -------
    CountResult
        Of a shard with empty tables.

    Raises
    ------
    InputError
        If the fields, the run, the segmenter, `red_cell` or `out` can't be used.
    """
    if red_cell is not None and not 4 <= red_cell < math.inf:
        raise InputError(f"red cell is {red_cell}: give the diameter of a red cell in pixels, 4 or more")
    if wbc is not None and not 0 < wbc < math.inf:
        raise InputError(f"--wbc {wbc}: give the leukocytes in 10⁹/l, above 0, for example 6.2")
    classifying = {"wbc": wbc, "manual": manual, "sure": sure, "reject": reject or None, "expect": expect}
    for option, given in classifying.items():
        if given is not None and run is None:
            raise InputError(f"--{option}: needs classes; give --run RUN, a folder that dorl fit made, or leave it out")
    if run is not None and segmenter is not None:
        raise InputError("a run has its own segmenter: give --run or --segmenter, not both")
    check_expect(expect)
    check_sure(sure)
    part = chosen(shard, join, ray)
    out = Path(out)
    check_folder(out)
    refuse_run(out)
    if not fields:
        raise InputError("no field given: give images, slides, or folders of either")
    _refuse_among(fields, out)
    slides, rest = slides_among(fields)
    images, samples, left_out = _listed(rest, out, [path for _, path in slides])
    samples |= {shown: shown for shown, _ in slides}
    if wbc is not None and (several := len(set(samples.values()))) > 1:
        raise InputError(f"--wbc {wbc}: the fields are of {several} samples; count each of them by itself")
    by_hand = None if manual is None else read_manual(manual, sorted(set(samples.values())))
    model = None if run is None else DoRL.load(run, device=device)
    if model is not None and model.classifier is None:
        raise InputError(f"{run}: has no classifiers, since no lab of it had labels; count without --run, or fit again")
    if model is not None:
        check_expect(expect, model.classes_)
    network = model.segmenter if model is not None else Segmenter.load(segmenter or "tiny", device=device)
    shards = _shards(images, slides, out, network, model, red_cell, masks=part is None)
    store = shards.store
    if part is not None:
        empty = pd.DataFrame()
        return CountResult(empty, empty, empty, empty, empty, empty, left_out + shards(part))
    if ray is not None:
        join = parts_for(len(images) + len(slides), len(images) + len(slides))
        make = partial(_shards_of_cluster, images, slides, out, segmenter, run, red_cell, device)
        over_cluster(ray, make, shards_of(join), what="shards of fields and slides")
    if join is None:
        search_fields(images, store, network, model, red_cell, left_out)
    else:
        left_out += shards.joined(join)
    of_slides = search_slides(slides, store, network, model, red_cell, left_out)
    plain = [field for shown, _ in images if (field := store.get(shown)) is not None]
    found = [*plain, *(slide.field for slide in of_slides)]
    if not found:
        why = f", the first since: {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
        raise InputError(f"not one field could be counted{why}; give other images")
    inputs = _inputs(found)
    cells, assessed = _classified(found, inputs, model, adapt=adapt, expect=expect, sure=sure, reject=reject)
    suited = model if assessed is None else assessed.model
    cells["sample"] = [samples[path] for path in cells["path"]]
    cells["same_as"] = counted_elsewhere(plain, store) + [""] * sum(len(slide.field.boxes) for slide in of_slides)
    cells["counted"] = (edge | ~cells["touches_border"].astype(bool)) & (cells["same_as"] == "")
    if of_slides:
        cells["monolayer"] = np.concatenate(
            [np.full(sum(len(field.boxes) for field in plain), np.nan), *(slide.monolayer() for slide in of_slides)]
        )
        cells["counted"] &= ~(monolayer & (cells["monolayer"] < MONOLAYER))
    suggested, pictures = show_slides(of_slides, cells, store)
    counts, by_sample = differentials(
        cells, suited, list(dict.fromkeys(samples[field.path] for field in found)), wbc=wbc
    )
    masks = [*(store.mask(field.path) for field in plain), *("" for _ in of_slides)]
    sizes = [
        (field.path, *field.size, field.red_cell, len(field.boxes), mask)
        for field, mask in zip(found, masks, strict=True)
    ]
    result = CountResult(
        cells,
        pd.DataFrame(sizes, columns=list(FIELDS)),
        counts,
        by_sample,
        to_review(cells) if suited is not None else to_review(cells.iloc[:0]),
        suggested,
        left_out,
    )
    if suited is not None:
        tell_counts(counts, by_sample, each_unlike=suited.each_unlike)
    tables = {name: getattr(result, name) for name in ("cells", "fields", "counts", "samples", "review")}
    if by_hand is not None:
        tables["comparison"], tables["agreement"] = beside_manual(by_hand, counts, by_sample)
    if of_slides:
        tables["suggested"] = suggested
    else:
        (out / "suggested.csv").unlink(missing_ok=True)
    _draw(plain, cells, store, even_light=even_light)
    store.tidy([field.path for field in plain], pictures)
    for name, table in tables.items():
        write_sheet(out / f"{name}.csv", table, number=".4f")
    settings = {
        **{"red_cell": red_cell, "adapt": adapt, "expect": expect if model is None else model.expects(expect)},
        **{"sure": sure, "reject": reject, "edge": edge, "wbc": wbc},
    }
    made = record(
        "count",
        segmenter=network.digest(),
        settings=settings,
        run=None if model is None else model.folder,
        classifier="" if model is None else model.classifier_name,
        found=assessed,
    )
    features = None if model is None or assessed is None else model.features(inputs)
    write_count(out / CELL_DATA, cells, features, assessed, made)
    write_record([*(out / f"{name}.csv" for name in tables), out / CELL_DATA], made)
    if join is not None:
        shards.notes.remove()
    cut = int(cells["touches_border"].sum())
    say(
        f"{counted(len(cells), 'white cell')} in {_number_of(plain, of_slides)}, {cut} of them cut by an edge, "
        f"{counted(len(left_out), 'file')} left out: {out}"
    )
    return result


def _shards(
    images: Sequence[Listed],
    slides: Sequence[Listed],
    out: Path,
    network: Segmenter,
    model: DoRL | None,
    red_cell: float | None,
    *,
    masks: bool,
) -> CountShards:
    source = {"segmenter": network.digest(), "red_cell": red_cell, "described": _described(model)}
    store = FieldStore.open(out, source, masks=masks)
    return CountShards(images, slides, store, network, model, red_cell)


def _shards_of_cluster(
    images: Sequence[Listed],
    slides: Sequence[Listed],
    out: Path,
    segmenter: str | Path | None,
    run: str | Path | None,
    red_cell: float | None,
    device: str | None,
) -> CountShards:
    """What a worker of a cluster does shards with."""
    model = None if run is None else DoRL.load(run, device=device)
    network = model.segmenter if model is not None else Segmenter.load(segmenter or "tiny", device=device)
    return _shards(images, slides, out, network, model, red_cell, masks=False)


def _number_of(fields: Sequence[FoundField], slides: Sequence[FoundSlide]) -> str:
    """How many fields and slides, as text."""
    parts = [counted(len(fields), "field")] if fields or not slides else []
    if slides:
        parts.append(counted(len(slides), "slide"))
    return " and ".join(parts)


def _refuse_among(fields: Sequence[str | Path], out: Path) -> None:
    """Refuse a place for the results that lies in a folder that is searched for fields and slides."""
    for given in fields:
        folder = place_of(given)
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{out}: lies among the fields, pictures would be taken for them; choose another --out")


def _listed(
    fields: Sequence[str | Path], out: Path, slides: Sequence[Path]
) -> tuple[list[Listed], dict[str, str], list[tuple[str, str]]]:
    """Every field once, in the order given, the sample of each by its path, and the files left out."""
    place = out.resolve()
    if any(path.resolve().is_relative_to(place) for path in slides):
        raise InputError(f"{out}: holds one of the slides; choose another folder for --out")
    if not fields:
        return [], {}, []
    lab = without_slides(gather(fields, full=True), slides)
    images = [(path, file_at(path)) for path in lab.table["path"]]
    if any(path.resolve().is_relative_to(place) for _, path in images):
        raise InputError(f"{out}: holds one of the fields; choose another folder for --out")
    tell_left_out(lab)
    samples = {
        path: patient if isinstance(patient, str) and patient else posixpath.dirname(path) or "."
        for path, patient in zip(lab.table["path"], lab.table["patient"], strict=True)
    }
    return images, samples, list(lab.left_out.itertuples(index=False, name=None))


def _described(model: DoRL | None) -> str:
    """What of each cell is kept for the classifier, so that a count goes on with the same alone."""
    if model is None:
        return ""
    views = model.config.views.plain
    size = ", size" if model.config.views.size else ""
    return f"{model.classifier_name}, {views} views{size}, autoencoder {model.autoencoder.digest()[:16]}"


def _classified(
    found: Sequence[FoundField],
    inputs: np.ndarray,
    model: DoRL | None,
    *,
    adapt: bool,
    expect: str | None,
    sure: float | None,
    reject: bool,
) -> tuple[pd.DataFrame, Assessment | None]:
    """The cells of all fields, and what the run says of them; their sample isn't told yet."""
    rows = [
        (field.path, *box, "", np.nan, "", True, confidence, cut, np.nan, None, "", True, "")
        for field in found
        for box, confidence, cut in zip(field.boxes, field.confidence, field.touches_border, strict=True)
    ]
    cells = pd.DataFrame(rows, columns=list(CELLS))
    assessed = None
    if model is not None and len(cells):
        assessed = model.assess(inputs, expect=expect, adapt=adapt)
        table = assessed.table(sure=sure, reject=reject)
        for name in table.columns:
            cells[name] = table[name].to_numpy(object)
        cells["class"] = cells["class"].fillna("")
        cells["probability"] = cells["probability"].astype(float)
        cells["distance"] = cells["distance"].astype(float)
        assessed.tell(expect=expect, reject=reject)
    return cells, assessed


def _inputs(found: Sequence[FoundField]) -> np.ndarray:
    """What the classifier takes of the cells of all fields; of no cell where none has one."""
    held = [field.inputs for field in found if len(field.boxes)]
    return np.concatenate(held) if held else np.empty((0, 0), np.float16)


def _draw(found: Sequence[FoundField], cells: pd.DataFrame, store: FieldStore, *, even_light: bool) -> None:
    """Draw each field's outlines and classes; a picture that shows just these already is left."""
    texts = {
        path: [
            f"{name} {chance:.2f}" if name else "" for name, chance in zip(of["class"], of["probability"], strict=True)
        ]
        for path, of in cells.groupby("path", sort=False)
    }
    for field in track(found, total=len(found), what="drawing"):
        lines = texts.get(field.path, [])
        shown = [*lines, "in even light"] if even_light else lines
        if not store.lacks(field.path, shown):
            continue
        try:
            image = read_image(file_at(field.path))
        except BadImageError as error:
            say(f"not drawn: {error}")
            continue
        labels = store.labels(field.path)
        if labels.shape != image.shape[:2]:
            say(f"not drawn: {field.path}: has changed since it was searched; count again")
            continue
        store.draw(field.path, shown, draw_cells(cleared(image) if even_light else image, labels, lines))
