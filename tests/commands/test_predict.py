from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.commands import predict as prediction
from dorl.commands.predict import predict
from dorl.domains.gathering import read_images
from dorl.errors import InputError
from dorl.run.folder import read_config
from dorl.run.model import DoRL


@pytest.fixture(scope="module")
def twelve(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve cells of a rendered lab, of every class, where no more are needed; don't change it."""
    folder = tmp_path_factory.mktemp("twelve")
    for path in sorted((rendered / "dune" / "images").iterdir())[:12]:
        shutil.copy(path, folder)
    return folder


def test_predict_is_the_most_probable_class(fitted: Path, rendered: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "predictions.csv"
    done = predict(fitted, rendered / "dune" / "images", out=out)
    assert (done.images, done.left_out) == (30, [])
    table = pd.read_csv(out)
    classes = list(table.columns[8:])
    columns = ["path", "class", "probability", "node", "found", "confidence", "distance", "unlike"]
    assert list(table.columns[:8]) == columns
    assert table["found"].all()
    assert table["confidence"].between(0.5, 1).all()
    assert classes == DoRL.load(fitted).classes_
    assert table[classes].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)
    assert (table[classes].idxmax(axis=1) == table["class"]).all()
    assert (table[classes].max(axis=1) == table["probability"]).all()


def test_predict_says_how_many_are_likely_to_be_right(
    fitted: Path, twelve: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = predict(fitted, twelve, out=tmp_path / "predictions.csv")
    assert done.accuracy is not None
    share, low, high = done.accuracy
    assert 0 <= low <= share <= high <= 1
    assert f"{100 * share:.0f} % are right (95 % interval" in capsys.readouterr().err
    run = tmp_path / "run"
    shutil.copytree(fitted, run)
    for file in (run / "classifiers").glob("*.json"):
        file.unlink()  # as a run of few labels
    assert predict(run, twelve, out=tmp_path / "again.csv").accuracy is None
    assert "are right" not in capsys.readouterr().err
    tables = [pd.read_csv(tmp_path / f"{name}.csv") for name in ("predictions", "again")]
    assert tables[0]["class"].tolist() == tables[1]["class"].tolist()
    assert (tables[0]["probability"] != tables[1]["probability"]).any()


def test_pictures_without_a_cell_have_no_class_and_do_not_count(
    fitted: Path, twelve: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    shutil.copytree(twelve, folder)
    alone = predict(fitted, folder, out=tmp_path / "alone.csv")
    for name, grey in (("black", 0), ("grey", 128), ("white", 255)):
        Image.new("RGB", (200, 200), (grey, grey, grey)).save(folder / f"{name}.png")
    done = predict(fitted, folder, out=tmp_path / "all.csv")
    assert (done.images, done.without_cell) == (15, 3)
    assert done.accuracy == alone.accuracy
    table = pd.read_csv(tmp_path / "all.csv").set_index("path")
    empty = table.loc[["black.png", "grey.png", "white.png"]]
    assert not empty["found"].any()
    assert (empty["confidence"] == 0).all()
    assert empty.drop(columns=["found", "confidence"]).isna().all(axis=None)
    cells = table[table["found"]]
    cells = cells.reset_index().astype({"unlike": bool})  # beside rows without a word it isn't read as such
    pd.testing.assert_frame_equal(cells, pd.read_csv(tmp_path / "alone.csv"))
    assert "12 images classified, 3 without a cell that could be made out" in capsys.readouterr().err
    for path in folder.glob("[!bgw]*.png"):
        path.unlink()
    assert predict(fitted, folder, out=tmp_path / "none.csv").accuracy is None
    assert predict(fitted, folder, out=tmp_path / "plain.csv", adapt=False).accuracy is None
    assert not pd.read_csv(tmp_path / "none.csv")["found"].any()


def test_predict_takes_one_image_and_leaves_out_a_broken_one(
    fitted: Path, rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = next((rendered / "dune" / "images").iterdir())
    assert predict(fitted, image, out=tmp_path / "one.csv").images == 1
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.png").write_bytes(image.read_bytes())
    (folder / "cut.png").write_bytes(image.read_bytes()[:2000])
    (folder / "empty.png").touch()
    capsys.readouterr()
    done = predict(fitted, folder, out=tmp_path / "two.csv")
    assert done.images == 1
    assert sorted(path for path, _ in done.left_out) == ["cut.png", "empty.png"]
    assert pd.read_csv(tmp_path / "two.csv")["path"].tolist() == ["good.png"]
    said = capsys.readouterr().err
    assert "left out: empty.png: the file is empty\n" in said
    assert "left out: cut.png: damaged or truncated" in said
    assert "2 left out" in said


def test_predict_writes_nothing_when_it_fails(
    fitted: Path, rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: DoRL, images: object) -> object:
        raise RuntimeError("no more memory")

    monkeypatch.setattr(prediction.DoRL, "inputs", broken)
    with pytest.raises(RuntimeError):
        predict(fitted, rendered / "dune" / "images", out=tmp_path / "predictions.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_is_predicted_in_its_order(fitted: Path, rendered: Path, tmp_path: Path) -> None:
    shutil.copytree(rendered / "dune" / "images", tmp_path / "images")
    paths = sorted(f"images/{path.name}" for path in (tmp_path / "images").iterdir())[::-7]
    (tmp_path / "list.csv").write_text("image\n" + "\n".join(paths) + "\n")
    predict(fitted, tmp_path / "list.csv", out=tmp_path / "p.csv")
    assert pd.read_csv(tmp_path / "p.csv")["path"].tolist() == paths


def test_the_list_of_images_is_not_written_over(fitted: Path, rendered: Path) -> None:
    manifest = rendered / "dune" / "manifest.csv"
    before = manifest.read_bytes()
    with pytest.raises(InputError, match="is the file to be read"):
        predict(fitted, manifest, out=manifest.parent / "images" / ".." / "manifest.csv")
    assert manifest.read_bytes() == before


def test_predictions_are_not_written_over_the_run_or_an_image(run: Path, rendered: Path, tmp_path: Path) -> None:
    image = next((rendered / "dune" / "images").iterdir())
    shutil.copy(image, tmp_path / "a.png")
    before = (run / "results.csv").read_bytes()
    with pytest.raises(InputError, match="lies in the run folder already"):
        predict(run, image, out=run / "results.csv")
    with pytest.raises(InputError, match="is one of the images"):
        predict(run, tmp_path, out=tmp_path / "a.png")
    assert (run / "results.csv").read_bytes() == before
    assert (tmp_path / "a.png").read_bytes() == image.read_bytes()


def test_folders_are_searched_whatever_they_say_of_classes(rendered: Path, tmp_path: Path) -> None:
    image = next((rendered / "dune" / "images").iterdir())
    for folder in ("Monocyte", "anything/deep"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(image, tmp_path / folder / "a.png")
    assert read_images(tmp_path).table["path"].tolist() == ["Monocyte/a.png", "anything/deep/a.png"]
    assert read_images(tmp_path / "Monocyte" / "a.png").table["path"].tolist() == ["a.png"]


def test_a_folder_of_another_lab_is_adapted_to_and_one_image_is_not(
    fitted: Path, twelve: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dorl.classification.views.MIN_ADAPTED_CELLS", 12)
    monkeypatch.setattr("dorl.classification.unlike.Unlike.of_another_lab", lambda self, X: True)
    adapted = predict(fitted, twelve, out=tmp_path / "adapted.csv")
    assert adapted.adapted
    assert "look unlike those learnt from" in capsys.readouterr().err
    as_it_was = predict(fitted, twelve, out=tmp_path / "plain.csv", adapt=False)
    one = predict(fitted, next(twelve.iterdir()), out=tmp_path / "one.csv")
    assert not as_it_was.adapted
    assert not one.adapted
    assert "look unlike" not in capsys.readouterr().err
    tables = [pd.read_csv(tmp_path / f"{name}.csv") for name in ("adapted", "plain")]
    assert not tables[0].equals(tables[1])
    for done in (adapted, as_it_was):
        assert done.accuracy is not None
        assert done.accuracy[1] <= done.accuracy[0] <= done.accuracy[2]


def test_one_of_the_papers_classifiers_predicts_where_it_is_asked_for(
    fitted: Path, twelve: Path, tmp_path: Path
) -> None:
    done = predict(fitted, twelve, out=tmp_path / "lr.csv", classifier="LR", expect="none")
    assert (done.images, done.adapted) == (12, False)
    model = DoRL.load(fitted, classifier="LR")
    images = sorted(twelve.iterdir())[:3]
    said = pd.read_csv(tmp_path / "lr.csv").set_index("path")
    assert said.loc[[image.name for image in images], "class"].tolist() == model.predict(images).tolist()


def test_the_mix_that_a_run_was_fitted_with_is_expected_unless_another_is_given(
    run: Path, twelve: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dorl.run.model.MIN_MIX_CELLS", 12)
    config = read_config(run)
    assert (config.classifiers.expect, config.classifiers.shares) == ("blood", {})
    assert predict(run, twelve, out=tmp_path / "blood.csv").mix
    assert "expected as blood" in capsys.readouterr().err
    own = config.classifiers.model_copy(update={"expect": "gone.csv", "shares": {"monocyte": 1.0}})
    (run / "config.toml").write_text(config.model_copy(update={"classifiers": own}).to_toml())
    mix = predict(run, twelve, out=tmp_path / "own.csv").mix
    assert "expected as gone.csv" in capsys.readouterr().err
    blood = predict(run, twelve, out=tmp_path / "given.csv", expect="blood").mix
    assert mix["monocyte"] > blood["monocyte"]


def test_the_mix_is_said_and_corrects_probabilities(
    fitted: Path, rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = rendered / "dune" / "images"
    mix = tmp_path / "mix.csv"
    mix.write_text("class,share\nmonocyte,1\n")
    own = predict(fitted, images, out=tmp_path / "own.csv", expect=str(mix))
    assert own.mix.keys() == set(DoRL.load(fitted).classes_)
    assert sum(own.mix.values()) == pytest.approx(1)
    assert min(own.mix.values()) > 0
    assert f"mix of these 30 cells, expected as {mix}" in capsys.readouterr().err
    none = predict(fitted, images, out=tmp_path / "none.csv", expect="none")
    assert none.mix == {}
    assert "mix of" not in capsys.readouterr().err
    tables = [pd.read_csv(tmp_path / f"{name}.csv") for name in ("own", "none")]
    assert tables[0]["monocyte"].mean() > tables[1]["monocyte"].mean()
    assert predict(fitted, sorted(images.iterdir())[0], out=tmp_path / "one.csv").mix == {}  # too few
    with pytest.raises(InputError, match="--expect urine"):
        predict(fitted, images, out=tmp_path / "no.csv", expect="urine")


def test_cells_unlike_those_learnt_are_marked_and_rejected_where_asked(
    fitted: Path, run: Path, rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = sorted((rendered / "dune" / "images").iterdir())[:3]
    # as if every cell lay opposite to all classes
    monkeypatch.setattr("dorl.classification.unlike.Unlike.angle", lambda self, X: np.arange(len(X)) * 9.0)
    done = predict(fitted, [str(path) for path in images], out=tmp_path / "kept.csv")
    assert done.unlike == 2
    kept = pd.read_csv(tmp_path / "kept.csv")
    assert kept["unlike"].tolist() == [False, True, True]
    assert (kept["unlike"] == (kept["distance"] > 1)).all()
    assert kept["class"].notna().all()
    predict(fitted, [str(path) for path in images], out=tmp_path / "rejected.csv", reject=True)
    assert pd.read_csv(tmp_path / "rejected.csv")["class"].isna().tolist() == [False, True, True]
    (run / "unlike.safetensors").unlink()  # as a run of an earlier version
    predict(run, [str(path) for path in images], out=tmp_path / "earlier.csv")
    earlier = pd.read_csv(tmp_path / "earlier.csv")
    assert earlier[["distance", "unlike"]].isna().all(axis=None)
    assert earlier["class"].notna().all()


def test_a_class_is_given_as_finely_as_is_sure(fitted: Path, rendered: Path, tmp_path: Path) -> None:
    images = [str(path) for path in sorted((rendered / "dune" / "images").iterdir())[:3]]
    predict(fitted, images, out=tmp_path / "sure.csv", sure=1.0)
    table = pd.read_csv(tmp_path / "sure.csv")
    assert (table["class"] == table["node"]).all()
    assert table["class"].isin(["cell", "leukocyte"]).all()
    assert (table["probability"] > 0.999).all()
    with pytest.raises(InputError, match=r"--sure 1\.5: give a probability"):
        predict(fitted, images, out=tmp_path / "no.csv", sure=1.5)
