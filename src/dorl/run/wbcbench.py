"""WBCBench 2026: learn its training part, measure on the rest that has labels, and answer its test part in a file."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from dorl.classification.views import ViewsClassifier
from dorl.domains import Domain, read_domains
from dorl.domains.wbcbench import EVAL, ID, LABELS, LAYOUT, TEST, TRAIN, read_entries
from dorl.errors import InputError
from dorl.run.features import Represented
from dorl.run.unlikeness import are_another_lab, learnt_unlike
from dorl.runtime.progress import say
from dorl.sheets import write_sheet
from dorl.taxonomy import WBCBENCH_CODES

#: name of the protocol
NAME = "wbcbench"
#: the file that is handed in
SUBMISSION = "submission.csv"
#: what the column ``split`` may call each part
WORDS = {
    **dict.fromkeys(("train", "training", "phase1", "phase1_train", "phase2_train"), TRAIN),
    **dict.fromkeys(("eval", "val", "valid", "validation", "phase2_eval"), EVAL),
    **dict.fromkeys(("test", "phase2_test"), TEST),
}
_CODES = {label: code for code, label in WBCBENCH_CODES.items()}


def parts_of(labs: Sequence[str | Domain], protocols: Sequence[str], *, patient_from: str = "") -> list[Domain]:
    """The parts of the one lab that the protocol is of, as labs of their own: ``NAME-train``, ``-eval``, ``-test``.

    Parameters
    ----------
    labs : sequence of str or Domain
        One: the competition's folder, or a manifest whose column ``split`` names the parts (`WORDS`).
    protocols : sequence of str
        This one alone.
    patient_from : str
        As for `dorl.domains.patients.with_patients`.

    Returns
    -------
    list of Domain
        Those parts that hold an image, the training part first.

    Raises
    ------
    InputError
        If there are other protocols or labs, no image to learn from or none with a label to test on, a part of another
        name, or a class that is none of the competition's.
    """
    if list(protocols) != [NAME] or len(labs) != 1:
        raise InputError(
            f"the protocol {NAME!r} goes alone, with one lab: give the competition's folder, or a manifest"
        )
    (lab,) = read_domains(labs, patient_from=patient_from)
    words = [None if word is None else WORDS.get(str(word).strip().casefold()) for word in lab.table["split"]]
    if unknown := [word for word, part in zip(lab.table["split"], words, strict=True) if part is None]:
        raise InputError(
            f"{lab.name}: {len(unknown)} images are of no part, the first by its split {unknown[0]!r}: give each "
            "train, eval or test in the column split"
        )
    strange = sorted(set(lab.classes) - set(_CODES))
    if strange:
        raise InputError(
            f"{lab.name}: {strange[0]!r} is none of WBCBench 2026's 13 classes: give labels by its codes "
            f"({', '.join(WBCBENCH_CODES)})"
        )
    found = []
    for part in (TRAIN, EVAL, TEST):
        rows = np.flatnonzero(np.array(words, object) == part)
        if len(rows):
            own = lab.take(rows)
            if part != TRAIN:  # what was left out and remarked is told once
                own = replace(own, left_out=lab.left_out.iloc[:0], remarks=())
            found.append(replace(own, name=f"{lab.name}-{part}"))
    if not found or found[0].name != f"{lab.name}-{TRAIN}" or len(found[0].classes) < 2:
        raise InputError(f"{lab.name}: its training part holds labels of fewer than two classes: nothing can be learnt")
    if not any(len(part.classes) for part in found[1:]):
        raise InputError(f"{lab.name}: neither eval nor test holds a label, so that nothing can be measured: give one")
    return found


def measured_parts(represented: Represented) -> list[str]:
    """Names of the parts with labels beside the training part, which is the first lab."""
    return [lab.name for lab in represented.labs[1:] if len(lab.classes)]


def write_submission(represented: Represented, out: Path) -> None:
    """Answer the test part, where there is one, as the competition takes it: ``submission.csv``, with ID and labels.

    The run's default classifier learns the training part, whole, and may adapt to the test part's images. A test image
    that couldn't be read gets the class that the training part holds most of.
    """
    train = represented.labs[0]
    lab = represented.labs[-1]
    if not lab.name.endswith(f"-{TEST}"):
        say(f"no test part was given: no {SUBMISSION} is written")
        return
    rows, asked = (np.flatnonzero(represented.cells["domain"] == one.name) for one in (train, lab))
    labels = represented.cells["label"].to_numpy(object)
    rows = rows[[isinstance(label, str) for label in labels[rows]]]
    model = represented.classifier(represented.config.classifiers.default)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the iteration limits are the paper's
        model.fit(represented.inputs(rows), labels[rows].astype(str))
    inputs = represented.inputs(asked)
    if isinstance(model[-1], ViewsClassifier):
        unlike = learnt_unlike(represented, rows, labels[rows].astype(str))
        another_lab = are_another_lab(unlike, represented, asked)
        model = make_pipeline(model[-1].suited(inputs, another_lab=another_lab))
    said = model.predict(inputs)
    answers = dict(zip(represented.cells["path"].to_numpy(object)[asked], said, strict=True))
    common = Counter(labels[rows].tolist()).most_common(1)[0][0]
    wanted = _wanted(lab)
    missing = [path for path in wanted if path not in answers]
    if missing:
        say(f"{len(missing)} test images have no features, the first {missing[0]}: answered {_CODES[common]}")
    codes = [_CODES[str(answers.get(path, common))] for path in wanted]
    write_sheet(out / SUBMISSION, pd.DataFrame({ID: list(wanted.values()), LABELS: codes}))
    say(f"{len(wanted)} answers: {out / SUBMISSION}")


def _wanted(lab: Domain) -> dict[str, str]:
    """Paths of the test images and the IDs that they are answered under, in the order of the competition's table."""
    if lab.layout == LAYOUT:
        return {entry.path: entry.id for entry in read_entries(lab.root) if entry.part == TEST}
    return {path: path.rpartition("/")[2] for path in lab.table["path"]}
