from __future__ import annotations

from pathlib import Path

import pytest

from dorl.commands.fit import fit
from dorl.errors import InputError
from dorl.run.folder import CELLS, check_folder, claim, make_folder, read_config, release, slug
from dorl.run.model import DoRL


def test_config_survives_toml(fitted: Path) -> None:
    config = read_config(fitted)
    assert config.autoencoder.max_iterations == 4
    assert config.seed == 3
    assert [lab.name for lab in config.labs] == ["harbour", "dune"]
    assert config.classifiers.source == ["harbour", "dune"]


def test_a_finished_run_is_not_written_over(fitted: Path, labs: list[str]) -> None:
    before = (fitted / "metrics.json").stat().st_mtime_ns
    with pytest.raises(InputError, match="holds a finished run; choose another folder"):
        fit(labs, out=fitted, iterations=4, folds=2, seed=3)
    assert (fitted / "metrics.json").stat().st_mtime_ns == before


def test_an_unfinished_run_with_other_settings_is_refused(run: Path) -> None:
    config = read_config(run)
    (run / "metrics.json").unlink()
    claim(run, config)
    with pytest.raises(InputError, match="other settings \\(seed\\)"):
        claim(run, config.model_copy(update={"seed": 9}))


def test_a_foreign_folder_and_a_file_are_refused(run: Path, tmp_path: Path) -> None:
    config = read_config(run)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="not empty"):
        claim(tmp_path / "mine", config)
    with pytest.raises(InputError, match="is a file"):
        claim(tmp_path / "mine" / "thesis.txt", config)


@pytest.mark.parametrize(
    "name", ["segmenter.safetensors", "autoencoder.safetensors", "metrics.json", "classifiers/rf.skops"]
)
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(InputError, match=name):
        DoRL.load(run)


def test_another_version_and_a_damaged_config_are_refused(run: Path) -> None:
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace("format = 1", "format = 99"))
    with pytest.raises(InputError, match="version 99"):
        DoRL.load(run)
    (run / "config.toml").write_text(text.replace("seed = 3", 'seed = "three"'))
    with pytest.raises(InputError, match="seed"):
        DoRL.load(run)
    (run / "config.toml").write_text("format = ")
    with pytest.raises(InputError, match="damaged"):
        DoRL.load(run)


def test_damaged_weights_are_refused(run: Path) -> None:
    for name in ("autoencoder.safetensors", "segmenter.safetensors"):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(InputError, match=name):
            DoRL.load(run)


def test_no_folder_and_an_unknown_classifier(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        DoRL.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="SVM \\(linear\\)"):
        DoRL.load(run, classifier="SVM")


def test_a_new_run_is_told_from_one_that_goes_on_and_can_be_given_back(fitted: Path, tmp_path: Path) -> None:
    config = read_config(fitted)
    assert claim(tmp_path / "deep" / "run", config)
    assert not claim(tmp_path / "deep" / "run", config)
    (tmp_path / "deep" / "run" / CELLS).mkdir()
    (tmp_path / "deep" / "run" / CELLS / "tokens.bin").touch()
    release(tmp_path / "deep" / "run")
    assert not (tmp_path / "deep" / "run").exists()
    assert claim(tmp_path / "deep" / "run", config.model_copy(update={"seed": 9}))


def test_giving_back_leaves_what_the_run_did_not_make(fitted: Path, tmp_path: Path) -> None:
    claim(tmp_path / "run", read_config(fitted))
    (tmp_path / "run" / "thesis.txt").touch()
    release(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_places_where_no_folder_can_be_are_told_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place, message in (("file", "is a file"), ("file/a/b", "file is a file"), ("x" * 300, "too long")):
        with pytest.raises(InputError, match=message):
            check_folder(tmp_path / place)
    check_folder(tmp_path / "new" / "deep")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    make_folder(tmp_path / "new" / "deep")
    assert (tmp_path / "new" / "deep").is_dir()


def test_slugs() -> None:
    assert [slug(name) for name in ("RF", "SVM (poly)", "SVM (linear)")] == ["rf", "svm-poly", "svm-linear"]
