from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.cli import main

#: commands that take labs, and --out for a folder
FOLDERS = ("inspect", "segment", "count", "finetune", "fit", "evaluate", "benchmark")


def command(*words: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit status and standard error of one command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["dorl", *map(str, words)])
    status = 0
    try:
        main()
    except SystemExit as stop:
        status = int(stop.code or 0)
    return status, capsys.readouterr().err


@pytest.fixture
def ended(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[str]]]:
    """Run a command; gives its exit status and the lines of its standard error."""

    def run(*words: object) -> tuple[int, list[str]]:
        status, err = command(*words, capsys=capsys, monkeypatch=monkeypatch)
        assert "Traceback" not in err
        return status, err.strip().splitlines()

    return run


@pytest.fixture
def refused(ended: Callable[..., tuple[int, list[str]]]) -> Callable[..., str]:
    """Run a command that must end with status 2 and one line; gives the line."""

    def run(*words: object) -> str:
        status, lines = ended(*words)
        assert status == 2, lines
        assert len(lines) == 1, lines
        assert lines[0].startswith("dorl: ")
        return lines[0]

    return run


@pytest.fixture
def image(rendered: Path) -> Path:
    """One good image."""
    return sorted((rendered / "dune" / "images").iterdir())[0]


@pytest.fixture
def mixed(rendered: Path, tmp_path: Path) -> Path:
    """A lab of 9 good images in many modes, 5 files that are none, and a class with a single image."""
    folder = tmp_path / "mixed"
    table = pd.read_csv(rendered / "harbour" / "manifest.csv")
    for name in ("Monocyte", "Eosinophil", "Basophil"):
        (folder / name).mkdir(parents=True)
    for name, label in (("Monocyte", "monocyte"), ("Eosinophil", "eosinophil")):
        of_class = table.loc[table["label"] == label, "image"]
        for number, path in enumerate(of_class.iloc[:3]):
            shutil.copy(rendered / "harbour" / path, folder / name / f"{number}.png")
    with Image.open(folder / "Monocyte" / "0.png") as opened:
        opened.convert("L").save(folder / "Monocyte" / "0.png")
        opened.convert("P").save(folder / "Monocyte" / "palette.png")
        opened.convert("CMYK").save(folder / "Monocyte" / "cmyk.jpg")
        opened.convert("RGBA").save(folder / "Basophil" / "rgba.png")
    with Image.open(folder / "Eosinophil" / "0.png") as opened:
        deep = np.asarray(opened.convert("L")).astype(np.uint16) * 257
        Image.fromarray(deep).save(folder / "Eosinophil" / "0.png")
    content = (folder / "Eosinophil" / "1.png").read_bytes()
    (folder / "Eosinophil" / "cut.png").write_bytes(content[:3000])
    (folder / "Eosinophil" / "empty.png").touch()
    (folder / "Eosinophil" / "text.png").write_text("not an image")
    Image.new("RGB", (1, 1)).save(folder / "Eosinophil" / "dot.png")
    (folder / "Eosinophil" / "2.png").rename(folder / "Monocyte" / "late.tif")  # a png that is named tif
    (folder / "Eosinophil" / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(500))
    return folder


@pytest.fixture
def wrong(image: Path, tmp_path: Path) -> dict[str, Path]:
    """Labs that can't be used, by what is wrong with them."""
    root = tmp_path / "wrong"
    for name in ("empty", "texts", "unreadable", "inside"):
        (root / name).mkdir(parents=True)
    (root / "texts" / "readme.txt").write_text("x")
    (root / "unreadable" / "a.png").touch()
    Image.new("RGB", (1, 1)).save(root / "unreadable" / "b.png")
    shutil.copy(image, root / "x.png")
    shutil.copy(image, root / "inside" / "x.png")
    tables = {
        "columns": "file,label\nx.png,monocyte\n",
        "no-row": "image,label\n",
        "no-byte": "",
        "twice": "image\nx.png\nx.png\n",
        "missing": "image\ngone.png\n",
    }
    for name, text in tables.items():
        (root / f"{name}.csv").write_text(text)
    (root / "inside" / "outside.csv").write_text("image\n../x.png\n")
    (root / "inside" / "absolute.csv").write_text(f"image\n{root / 'x.png'}\n")
    (root / "inside" / "mask.csv").write_text("image,mask\nx.png,../x.png\n")
    (root / "noise.parquet").write_bytes(b"\x00\x01" * 50)
    (root / "notes.txt").write_text("x")
    return {path.stem: path for path in (*root.iterdir(), *(root / "inside").iterdir())}


def test_help_and_version_need_nothing_heavy() -> None:
    code = "import sys, dorl.cli; print([m for m in ('torch', 'sklearn', 'pandas', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    shown = subprocess.run([sys.executable, "-m", "dorl", "--help"], capture_output=True, text=True, check=True).stdout
    for name in ("demo", "inspect", "segment", "finetune", "fit", "evaluate", "predict", "report"):
        assert name in shown


@pytest.mark.parametrize(
    "name", ["predict", *(pytest.param(name, marks=pytest.mark.slow) for name in ("segment", "export_onnx"))]
)
def test_a_command_imports_nothing_that_it_does_not_need(name: str) -> None:
    """Figures, tables of features and the slow classifiers are other commands'."""
    code = f"from dorl.commands.{name} import {name}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"matplotlib", "umap", "numba", "xgboost", "anndata", "onnx", "openvino"} & set(done.stdout.split())


def test_export_asks_what_to_write(refused: Callable[..., str], fitted: Path) -> None:
    assert "give --out for the published layouts, --onnx for ONNX" in refused("export", fitted)


def test_no_word_at_all_shows_the_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dorl"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert "evaluate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train",), "No such command 'train'; see dorl --help"),
        (("fit",), "Missing argument 'LAB...'; see dorl fit --help"),
        (("fit", "a"), "Missing option '--out'; see dorl fit --help"),
        (("fit", "a", "--out"), "'--out' requires an argument"),
        (("fit", "a", "--out", "b", "--fold", "2"), "No such option: --fold"),
        (("fit", "a", "--out", "b", "--folds", "2.5"), "--folds"),
        (("evaluate", "a", "--out", "b", "--seed", "abc"), "--seed"),
        (("finetune", "a", "--out", "b", "--lr", "fast"), "--lr"),
        (("predict", "run"), "Missing argument 'IMAGES...'; see dorl predict --help"),
        (("segment", "--out", "c"), "Missing argument 'LAB...'"),
        (("report", "a", "b", "--debug"), "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_to_read_on(
    refused: Callable[..., str], words: tuple[str, ...], message: str
) -> None:
    assert message in refused(*words)


@pytest.mark.parametrize("name", [*FOLDERS, "predict"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nowhere", "no such file or folder"),
        ("empty", "holds no jpg, png, bmp, tiff, webp or gif image"),
        ("texts", "holds no jpg, png, bmp, tiff, webp or gif image"),
        ("unreadable", "none of 2 images can be used"),
        ("columns", "has no column 'image'; its columns are file, label"),
        ("no-row", "has no row"),
        ("no-byte", "can't be read as a csv table"),
        ("twice", "names x.png more than once"),
        ("missing", "none of 1 image can be used, most since: no such file"),
        ("outside", "lies outside the manifest's folder; give paths relative to it"),
        ("absolute", "lies outside the manifest's folder; give paths relative to it"),
        ("mask", "lies outside the manifest's folder; give paths relative to it"),
        ("noise", "can't be read as a parquet table"),
        ("notes", "give"),
    ],
)
def test_a_lab_that_cannot_be_read_is_refused(
    refused: Callable[..., str],
    wrong: dict[str, Path],
    fitted: Path,
    tmp_path: Path,
    name: str,
    kind: str,
    message: str,
) -> None:
    path = wrong.get(kind, tmp_path / kind)
    out = tmp_path / "out"
    line = refused(name, fitted, path, "--out", out) if name == "predict" else refused(name, path, "--out", out)
    assert message in line
    assert str(path) in line
    assert not out.exists()


@pytest.mark.parametrize("name", [one for one in FOLDERS if one not in ("segment", "count")])
def test_two_labs_of_one_name_are_refused(
    refused: Callable[..., str], labs: list[str], tmp_path: Path, name: str
) -> None:
    path = labs[0].split("=")[1]
    line = refused(name, f"a={path}", f"a={path}", "--out", tmp_path / "out")
    assert "2 labs are named 'a': give each a name of its own" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fit", "--folds", 1), "folds is 1: give 2 or more"),
        (("evaluate", "--folds", 0), "folds is 0: give 2 or more"),
        (("fit", "--folds", 31), "30 labelled images are fewer than 31 folds"),
        (("evaluate", "--folds", 31), "30 labelled images are fewer than 31 folds"),
        (("fit", "--epochs", 0), "epochs is 0: give 1 or more"),
        (("evaluate", "--iterations", -3), "iterations is -3: give 0 or more"),
        (("fit", "--seed", -1), "seed is -1: give a whole number"),
        (("evaluate", "--seed", 2**32), "give a whole number"),
        (("fit", "--preset", "best"), "preset 'best' is unknown: give one of auto, published, small"),
        (("fit", "--segmenter", "huge"), "no segmenter 'huge': give 'tiny'"),
        (("evaluate", "--segmenter", "huge"), "no segmenter 'huge': give 'tiny'"),
        (("segment", "--segmenter", "huge"), "no segmenter 'huge': give 'tiny'"),
        (("finetune", "--segmenter", "huge"), "no segmenter 'huge': give 'tiny'"),
        (("fit", "--device", "abacus"), "device 'abacus' can't be used here: give 'cpu'"),
        (("fit", "--source", "x"), "source 'x' is no lab here: give one of harbour"),
        (("evaluate", "--protocol", "magic"), "protocol 'magic' is unknown: give transductive or unseen"),
        (("evaluate", "--protocol", "unseen"), "needs two labs with labels or more"),
        (("benchmark", "--protocol", "magic"), "protocol 'magic' is unknown: give transductive or unseen"),
        (("benchmark", "--profile", "slow"), "profile 'slow' is unknown: give quick or full"),
        (("benchmark", "--scorer", "luck"), "scorer 'luck' is unknown: give one of entropy, snd, dev, circular"),
        (("benchmark", "--rows", "frozen,magic"), "row 'magic' is unknown: give some of frozen, "),
        (("benchmark", "--classes", "neutrophil,martian"), "class 'martian' is unknown: give some of "),
        (("benchmark", "--classes", "neutrophil"), "classes are 'neutrophil' alone: give two or more"),
        (("benchmark", "--classes", "neutrophil,neutrophil_banded"), "is a kind of 'neutrophil': give one of the two"),
        (("benchmark", "--classes", "basophil,myeloblast"), "no image has a label that could be compared"),
        (("benchmark", "--rows", "frozen", "--source", "x"), "source 'x' is no lab here: give one of harbour"),
        (("benchmark", "--rows", "frozen", "--seeds", 0), "seeds is 0: give 1 or more"),
        (("benchmark", "--rows", "frozen", "--folds", 1), "folds is 1: give 2 or more"),
        (("benchmark", "--rows", "frozen", "--folds", 25), "a source needs two classes of 25 cells or more"),
        (("benchmark", "--rows", "frozen", "--per-class", -1), "per-class is -1: give how many cells, or 0 for all"),
        (("benchmark", "--rows", "frozen", "--no-own"), "give a second lab to test on"),
        (("benchmark", "--rows", "frozen", "--unseen-segmenter", "x=tiny"), "'x=tiny' is no LAB=WEIGHTS: give one of"),
        (("benchmark", "--rows", "frozen", "--segmenter", "huge"), "no segmenter 'huge': give 'tiny'"),
        (
            ("benchmark", "--rows", "efficientnet-lite0", "--efficientnet-weights", "nowhere.pth"),
            "nowhere.pth: no such file",
        ),
        (("finetune", "--epochs", 0), "epochs is 0: give 1 or more"),
        (("finetune", "--rank", -1), "rank is -1: give 0 or more"),
        (("finetune", "--batch-size", 0), "batch size is 0: give 1 or more"),
        (("finetune", "--lr", 0), "learning rate is 0.0: give a number above 0"),
        (("finetune", "--lr", "nan"), "learning rate is nan: give a number above 0"),
        (("finetune", "--held-out", 1), "held-out share 1.0 is not between 0 and 1"),
        (("finetune", "--seed", -1), "seed is -1: give a whole number"),
    ],
)
def test_a_wrong_value_is_refused_before_any_work(
    refused: Callable[..., str], labs: list[str], tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    assert message in refused(words[0], labs[0], "--out", tmp_path / "out", *words[1:])
    assert not (tmp_path / "out").exists()


def test_labs_that_a_command_cannot_use_are_refused(
    refused: Callable[..., str], rendered: Path, labs: list[str], tmp_path: Path
) -> None:
    out, bare = tmp_path / "out", f"bare={rendered / 'dune' / 'images'}"
    assert "no lab has labels of two classes" in refused("evaluate", bare, "--out", out)
    assert "has no masks; give a manifest with a mask column" in refused("finetune", bare, "--out", out)
    assert "source 'bare' has no labels" in refused("fit", labs[0], bare, "--source", "bare", "--out", out)
    assert not out.exists()


@pytest.mark.posix
@pytest.mark.parametrize("name", [*FOLDERS, "demo", "predict"])
@pytest.mark.parametrize("place", ["file", "below a file", "too long", "nowhere to write"])
def test_a_place_that_cannot_be_written_to_is_refused(
    refused: Callable[..., str], labs: list[str], image: Path, fitted: Path, tmp_path: Path, name: str, place: str
) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("mine")
    out = {
        "file": thesis,
        "below a file": thesis / "deep" / "out.csv",
        "too long": tmp_path / ("x" * 300),
        "nowhere to write": tmp_path / "shut" / "out.csv",
    }[place]
    if place == "file" and name == "predict":
        pytest.skip("a file is what predict writes")
    if place == "nowhere to write":
        # a test that runs as root may write anywhere but on a file system without room for files
        (tmp_path / "shut").mkdir(mode=0o500)
        out = out if not _can_write(tmp_path / "shut") else Path("/proc/nowhere/out.csv")
    words: dict[str, tuple[object, ...]] = {
        "segment": (image,),
        "count": (image,),
        "demo": (),
        "predict": (fitted, image),
    }
    line = refused(name, *words.get(name, (labs[0],)), "--out", out)
    assert "--out" in line
    assert thesis.read_text() == "mine"


def _can_write(folder: Path) -> bool:
    try:
        (folder / "probe").touch()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_holds_a_run_stays_as_it_is(
    refused: Callable[..., str], labs: list[str], image: Path, run: Path, name: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    line = refused(name, image if name in ("segment", "count") else labs[0], "--out", run)
    assert "choose another folder for --out" in line
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.parametrize("name", ["finetune", "fit", "evaluate"])
def test_a_folder_that_holds_something_else_stays_as_it_is(
    refused: Callable[..., str], labs: list[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert "is not empty" in refused(name, labs[0], "--out", tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["predict", "report", "fit"])
def test_a_run_of_another_version_is_refused(
    refused: Callable[..., str], run: Path, image: Path, labs: list[str], tmp_path: Path, name: str
) -> None:
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace("format = 1", "format = 2"))
    words = {"predict": (run, image, "--out", tmp_path / "p.csv"), "report": (run,), "fit": (labs[0], "--out", run)}
    line = refused(name, *words[name])
    assert "version 2, this dorl reads 1" in line
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("config.toml", "give one that dorl fit made"),
        ("segmenter.safetensors", "restore it, or fit anew into another folder"),
        ("autoencoder.safetensors", "restore it, or fit anew into another folder"),
        ("classifiers/views.skops", "restore it, or fit anew into another folder"),
        ("metrics.json", "fit again with the same --out"),
    ],
)
def test_predict_names_the_file_that_a_run_lacks(
    refused: Callable[..., str], run: Path, image: Path, tmp_path: Path, name: str, mend: str
) -> None:
    (run / name).unlink()
    line = refused("predict", run, image, "--out", tmp_path / "p.csv")
    assert name in line
    assert mend in line
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "swapped"])
@pytest.mark.parametrize(
    "name", ["segmenter.safetensors", "autoencoder.safetensors", "classifiers/views.skops", "config.toml"]
)
def test_predict_names_the_file_that_is_damaged(
    refused: Callable[..., str], run: Path, image: Path, tmp_path: Path, name: str, damage: str
) -> None:
    content = (run / name).read_bytes()
    other = run / ("autoencoder.safetensors" if name.startswith("segmenter") else "segmenter.safetensors")
    noise = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()
    damaged = {"cut": content[: len(content) // 2], "empty": b"", "noise": noise, "swapped": other.read_bytes()}
    (run / name).write_bytes(damaged[damage])
    line = refused("predict", run, image, "--out", tmp_path / "p.csv")
    assert name in line or "version None" in line
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize("name", ["predict", "report"])
def test_no_run_is_refused(refused: Callable[..., str], image: Path, tmp_path: Path, name: str) -> None:
    words = (image, "--out", tmp_path / "p.csv") if name == "predict" else ()
    assert "no such folder; give one that dorl fit made" in refused(name, tmp_path / "run", *words)
    (tmp_path / "folder").mkdir()
    assert "no run folder (config.toml is missing)" in refused(name, tmp_path / "folder", *words)
    assert not (tmp_path / "p.csv").exists()


def test_a_classifier_that_the_run_lacks_is_refused(
    refused: Callable[..., str], fitted: Path, image: Path, tmp_path: Path
) -> None:
    line = refused("predict", fitted, image, "--out", tmp_path / "p.csv", "--classifier", "KNN")
    assert "give one of Views, RF, XGBoost" in line


def test_inspect_says_what_it_left_out(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["dorl", "inspect", str(mixed), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    shown = capsys.readouterr().out
    assert "mixed: 9 images" in shown
    assert "left out: 5" in shown
    assert "class basophil has a single image (kept)" in shown
    reasons = pd.read_csv(tmp_path / "out" / "left_out.csv").set_index("path")["reason"]
    assert set(reasons.index) == {
        f"Eosinophil/{n}" for n in ("cut.png", "empty.png", "text.png", "dot.png", "broken.jpg")
    }
    assert reasons["Eosinophil/empty.png"] == "the file is empty"
    assert "1×1 pixels" in reasons["Eosinophil/dot.png"]


def test_segment_and_predict_go_on_past_bad_images(
    ended: Callable[..., tuple[int, list[str]]], mixed: Path, fitted: Path, tmp_path: Path
) -> None:
    status, lines = ended("segment", f"lab={mixed}", "--out", tmp_path / "masks")
    assert status == 0
    assert len(list((tmp_path / "masks").glob("*.png"))) == 9
    assert sum(line.startswith("left out: ") for line in lines) == 5
    assert lines[-1].startswith("9 masks written")
    assert "5 images left out" in lines[-1]
    status, lines = ended("predict", fitted, mixed, "--out", tmp_path / "p.csv")
    assert status == 0
    assert len(pd.read_csv(tmp_path / "p.csv")) == 9
    assert any(line.startswith("left out: Eosinophil/cut.png: ") for line in lines)
    assert lines[-1].startswith("9 images classified")
    assert "5 left out" in lines[-1]


@pytest.mark.slow
def test_evaluate_goes_on_past_bad_images_and_an_unlabelled_lab(
    ended: Callable[..., tuple[int, list[str]]], mixed: Path, rendered: Path, tmp_path: Path
) -> None:
    (tmp_path / "bare").mkdir()
    for path in sorted((rendered / "dune" / "images").iterdir())[:4]:
        shutil.copy(path, tmp_path / "bare")
    out = tmp_path / "out"
    status, lines = ended(
        "evaluate", f"mixed={mixed}", f"bare={tmp_path / 'bare'}", "--out", out, "--iterations", 2, "--folds", 2
    )
    assert status == 0, lines
    assert "mixed: class basophil has a single image (kept)" in lines
    assert "13 cells embedded, 5 images left out" in lines
    results = pd.read_csv(out / "results.csv")
    assert set(zip(results["train"], results["test"], strict=True)) == {("mixed", "mixed")}
    assert "class basophil has a single cell: kept" in (out / "table.md").read_text()
    assert "the file is empty" in (out / "report.html").read_text()


@pytest.mark.parametrize("name", ["inspect", "segment", "finetune", "fit", "evaluate", "benchmark", "predict"])
def test_images_that_are_all_cut_off_end_the_command_and_block_nothing(
    ended: Callable[..., tuple[int, list[str]]], image: Path, fitted: Path, tmp_path: Path, name: str
) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    for number in range(6):
        (lab / f"{number}.png").write_bytes(image.read_bytes()[:3000])
        shutil.copy(image, lab / f"mask{number}.png")
    rows = [f"{n}.png,mask{n}.png,{label}" for n, label in enumerate(["monocyte", "basophil"] * 3)]
    (lab / "list.csv").write_text("\n".join(["image,mask,label", *rows]) + "\n")
    words = (fitted, lab / "list.csv") if name == "predict" else (lab / "list.csv",)
    status, lines = ended(name, *words, "--out", tmp_path / "out")
    assert status == 2, lines
    assert sum(line.startswith("dorl: ") for line in lines) == 1
    assert "images" in lines[-1] or "image could be read" in lines[-1]
    assert not (tmp_path / "out").exists()


def test_labels_that_go_with_unreadable_images_are_missed_before_training(
    ended: Callable[..., tuple[int, list[str]]], image: Path, tmp_path: Path
) -> None:
    for name, whole in (("Monocyte", True), ("Basophil", False)):
        (tmp_path / "lab" / name).mkdir(parents=True)
        for number in range(3):
            content = image.read_bytes()
            (tmp_path / "lab" / name / f"{number}.png").write_bytes(content if whole else content[:3000])
    for name in ("fit", "evaluate"):
        status, lines = ended(name, tmp_path / "lab", "--out", tmp_path / "out", "--folds", 2)
        assert status == 2, lines
        assert "two" in lines[-1]
        assert "class" in lines[-1]
        assert not (tmp_path / "out").exists()


def test_masks_are_not_put_among_the_images(refused: Callable[..., str], image: Path, tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    shutil.copy(image, tmp_path / "lab" / "a.png")
    for images, out in (("lab", "lab"), ("lab", "lab/masks"), ("lab/a.png", "lab")):
        assert "among the images" in refused("segment", tmp_path / images, "--out", tmp_path / out)
    assert [path.name for path in (tmp_path / "lab").iterdir()] == ["a.png"]
    assert (tmp_path / "lab" / "a.png").read_bytes() == image.read_bytes()


def test_report_is_made_anew(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "report.html").unlink()
    status, _ = command("report", run, capsys=capsys, monkeypatch=monkeypatch)
    assert status == 0
    text = (run / "report.html").read_text()
    assert "harbour→\u200bdune" in text  # where a heading may be broken
    assert "data:image/png;base64," in text


def test_a_failure_is_status_1_and_debug_shows_where(
    run: Path, ended: Callable[..., tuple[int, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk\nis full")

    monkeypatch.setattr("dorl.reporting.report.write_run_report", broken)
    assert ended("report", run) == (1, ["dorl: RuntimeError: the disk is full (give --debug for where it happened)"])
    monkeypatch.setattr(sys, "argv", ["dorl", "report", str(run), "--debug"])
    with pytest.raises(RuntimeError):
        main()


def test_an_interrupt_says_that_the_command_goes_on(
    run: Path, ended: Callable[..., tuple[int, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dorl.reporting.report.write_run_report", stopped)
    assert ended("report", run) == (130, ["stopped; the same command goes on from here"])
