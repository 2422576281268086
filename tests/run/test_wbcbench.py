"""WBCBench 2026's parts and its submission."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from dorl.classification import LabFeatures, cross_lab
from dorl.domains import Domain
from dorl.domains.rendered import random_style, render_cell
from dorl.errors import InputError
from dorl.run.wbcbench import measured_parts, parts_of, write_submission
from dorl.taxonomy import WBCBENCH_CODES

CLASSES = ("neutrophil_segmented", "monocyte", "eosinophil")


def lab(rows: list[tuple[str, str | None, str | None]], name: str = "challenge") -> Domain:
    """A lab of (path, label, split)."""
    return Domain(name, Path("nowhere"), "manifest", pd.DataFrame(rows, columns=["path", "label", "split"]))


def rows(part: str, count: int, *, known: bool = True) -> list[tuple[str, str | None, str | None]]:
    return [(f"{part}/{i}.jpg", CLASSES[i % 3] if known else None, part) for i in range(count)]


def test_the_parts_become_labs_whatever_words_the_split_has() -> None:
    of = lab(
        [*rows("phase2_test", 2, known=False), *rows("phase1_train", 3), *rows("Validation", 3), *rows("train", 3)]
    )
    parts = parts_of([of], ["wbcbench"])
    assert {part.name: len(part) for part in parts} == {"challenge-train": 6, "challenge-eval": 3, "challenge-test": 2}
    assert parts[0].name == "challenge-train"


@pytest.mark.parametrize(
    ("of", "protocols", "match"),
    [
        (lab([*rows("train", 3), *rows("eval", 3)]), ["wbcbench", "unseen"], "goes alone, with one lab"),
        (
            lab([*rows("train", 3), ("a", None, None)]),
            ["wbcbench"],
            "1 images are of no part, the first by its split None",
        ),
        (lab([*rows("train", 3), ("a", "erythroblast", "eval")]), ["wbcbench"], "'erythroblast' is none of WBCBench"),
        (lab([*rows("eval", 3)]), ["wbcbench"], "training part holds labels of fewer than two classes"),
        (lab([*rows("train", 3), *rows("test", 3, known=False)]), ["wbcbench"], "neither eval nor test holds a label"),
    ],
)
def test_what_can_t_be_measured_is_refused(of: Domain, protocols: list[str], match: str) -> None:
    with pytest.raises(InputError, match=match):
        parts_of([of], protocols)


def represented(of: Domain) -> Any:
    """What a submission needs of a run, with made-up features that tell the classes."""
    labs = parts_of([of], ["wbcbench"])
    cells = pd.concat([one.table.assign(domain=one.name) for one in labs], ignore_index=True)
    hidden = np.array([int(Path(path).stem) % 3 for path in cells["path"]])
    features = np.eye(3)[hidden] * 5 + np.random.default_rng(0).normal(size=(len(cells), 3))
    return SimpleNamespace(
        labs=labs,
        cells=cells,
        config=SimpleNamespace(classifiers=SimpleNamespace(default="LR")),
        classifier=lambda name: make_pipeline(LogisticRegression()),
        inputs=lambda rows: features[rows],
    )


def test_a_submission_answers_each_test_image_by_its_code_and_says_what_has_no_features(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = represented(
        lab([*rows("train", 60), ("train/63.jpg", CLASSES[0], "train"), *rows("eval", 3), *rows("test", 30)])
    )
    made.cells.loc[made.cells["domain"] == "challenge-test", "label"] = None
    made.cells = made.cells.drop(index=made.cells.index[made.cells["path"] == "test/29.jpg"])
    write_submission(made, tmp_path)
    table = pd.read_csv(tmp_path / "submission.csv")
    assert table.columns.tolist() == ["ID", "labels"]
    assert table["ID"].tolist() == [f"{i}.jpg" for i in range(30)]
    codes = {label: code for code, label in WBCBENCH_CODES.items()}
    true = [codes[CLASSES[i % 3]] for i in range(29)]
    assert np.mean(table["labels"][:29] == true) > 0.9
    assert table["labels"].iat[29] == "SNE"  # the training part's most common
    assert "1 test images have no features, the first test/29.jpg: answered SNE" in capsys.readouterr().err


def test_without_a_test_part_no_submission_is_written(tmp_path: Path) -> None:
    made = represented(lab([*rows("train", 6), *rows("eval", 3)]))
    assert measured_parts(made) == ["challenge-eval"]
    write_submission(made, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_whole_training_part_is_learnt_once_and_scored_by_the_challenges_macro_f1() -> None:
    rng = np.random.default_rng(0)

    def features(count: int, part: str) -> LabFeatures:
        number = rng.integers(0, 3, count)
        X = np.eye(3, dtype=np.float32)[number] + rng.normal(size=(count, 3)).astype(np.float32)
        return LabFeatures(X, np.array(CLASSES, object)[number], splits=np.full(count, part, object))

    labs = {"train": features(90, "train"), "eval": features(60, "eval")}
    found = cross_lab(labs, classifiers=["LR"], trains=["train"], tests=["eval"], whole=True, split=True)
    assert found.results["fold"].tolist() == [0]
    (answers,) = found.answers.values()
    said = np.array(answers.classes, object)[answers.predicted[0]]
    wanted = f1_score(labs["eval"].y.astype(str), said.astype(str), average="macro")
    assert found.results["macro_f1"].tolist() == [pytest.approx(wanted)]
    assert 0.4 < wanted < 0.95


@pytest.mark.slow
def test_the_competitions_folder_is_measured_and_answered(tmp_path: Path) -> None:
    from PIL import Image

    from dorl.commands.fit import evaluate

    root, style = tmp_path / "wbc", random_style(np.random.default_rng(0))
    codes = {label: code for code, label in WBCBENCH_CODES.items()}
    for seed, (table, folder, count) in enumerate(
        (
            ("phase1_label", "phase1", 9),
            ("phase2_train", "phase2/train", 9),
            ("phase2_eval", "phase2/eval", 6),
            ("phase2_test", "phase2/test", 6),
        )
    ):
        (root / folder).mkdir(parents=True)
        lines = ["ID,labels"]
        for i in range(count):
            cell = render_cell(CLASSES[i % 3], style, np.random.default_rng([seed, i]), 96)
            Image.fromarray(cell.image).save(root / folder / f"{i:03d}.png")
            lines.append(f"{i:03d}.png,{'' if 'test' in table else codes[CLASSES[i % 3]]}")
        (root / f"{table}.csv").write_text("\n".join(lines) + "\n")
    results = evaluate(
        [f"wbc={root}"], out=tmp_path / "out", protocols=["wbcbench"], iterations=0, folds=2, device="cpu"
    )
    assert set(zip(results.method, results.train, results.test, strict=True)) == {
        ("DoRL (WBCBench 2026)", "wbc-train", "wbc-eval")
    }
    assert (results["fold"] == 0).all()
    table = pd.read_csv(tmp_path / "out" / "submission.csv")
    assert table["ID"].tolist() == [f"{i:03d}.png" for i in range(6)]
    assert set(table["labels"]) <= {codes[name] for name in CLASSES}
    assert "DoRL (WBCBench 2026)" in (tmp_path / "out" / "report.html").read_text()
