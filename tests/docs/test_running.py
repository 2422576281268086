"""The commands and the Python of every page run, in their order, on small rendered labs.

`/images/…` stands for folders below the test's own, and the labs have 30 cells. What can't run here is listed with the
reason; a test sees to it that the list has nothing else.
"""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dorl.domains import read_domain

from .pages import ROOT, Block, blocks

PAGES = [
    "README.md",
    *(
        f"docs/{name}.md"
        for name in ("start", "your-own-lab", "fields", "measures", "export", "page", "scale", "copies")
    ),
    *(f"docs/{name}.md" for name in ("views", "official-weights", "faq")),
]
#: commands that don't run here, by how they begin, and why
NOT_RUN = {
    "benchmark acevedo=": "takes hours over sets that aren't in the project",
    "convert counted --to qupath": "tests/commands/test_annotations.py converts a count",
    "count fields --run runs/first --out counted": "tests/commands/test_annotations.py converts a count",
    "count fields/ --run hub:": "needs the Hub; tests/commands/test_push.py has a stand-in of it",
    "count smear.svs": "tests/commands/test_count_slides.py counts a slide",
    "demo": "tests/commands/test_demo.py runs it; here the demo's folder is made of a smaller run",
    "embed ours=s3://": "needs a bucket; tests/commands/test_urls.py embeds what a web server shows",
    "embed ours=/images/ours --encoder dinobloom-s": "needs the weights of DinoBloom",
    "evaluate ours=/images/ours theirs=/images/theirs --segmenter runs/published": "needs the published weights",
    "evaluate wbc=": "needs WBCBench's data; tests/run/test_wbcbench.py draws some",
    "export runs/ours --out files": "needs a run over the published weights",
    "finetune mylab=/images/mylab/manifest.csv --out tuned --segmenter sam-vit-b": "needs the weights of SAM",
    "fit acevedo=": "takes minutes over sets that aren't in the project",
    "fit other=/images/other mine=checked/manifest.csv": "needs what a person took away from the page",
    "fit ours=corrections.json": "tests/domains/annotations reads what other tools write",
    "fit ours=for-cvat/annotations.xml": "tests/domains/annotations reads what other tools write",
    "fit ours=images/ --segmenter hub:": "needs the Hub; tests/commands/test_push.py has a stand-in of it",
    "fit ours=/images/ours --segmenter runs/published": "needs the published weights",
    "fit ours=/images/ours theirs=/images/theirs --encoder dinobloom-b": "needs the weights of DinoBloom",
    "fit ours=/images/ours theirs=/images/theirs --out runs/first --processes": (
        "tests/runtime/test_processes.py runs several processes"
    ),
    "import --sam": "needs the published weights; tests/commands/test_convert.py imports stand-ins",
    "predict hub:": "needs the Hub; tests/commands/test_push.py has a stand-in of it",
    "predict runs/first https://": "needs the network; tests/commands/test_urls.py reads URLs of this machine",
    "predict runs/first /images/new --out predictions.csv --ray": "needs a cluster; tests/commands/test_ray.py has one",
    "push runs/first": "needs the Hub; tests/commands/test_push.py has a stand-in of it",
    "report --compare measured again": "tests/reporting/test_compare.py compares two runs",
    "serve": "goes on until it is stopped; tests/commands/test_serve.py starts it",
}
#: Python that doesn't run here, by page and what it has, and why
NOT_PYTHON = {
    ("docs/official-weights.md", "runs/published"): "needs the published weights",
    ("docs/export.md", "onnxruntime"): "tests/commands/test_export_onnx.py runs the files",
}
#: what makes a command quick, by its first word; none of it changes what the page shows
QUICK = {
    "evaluate": ["--folds", "2", "--iterations", "0"],
    "finetune": ["--epochs", "1"],
    "fit": ["--folds", "2", "--iterations", "0"],
    "suggest": ["--n", "20"],  # of 30
}


def reason(words: list[str]) -> str | None:
    """Why a command is not run."""
    text = " ".join(words)
    return next((why for start, why in NOT_RUN.items() if text.startswith(start)), None)


@pytest.fixture(scope="module")
def images(rendered: Path, smear: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labs in a folder a class, masks beside one, cells without labels, and smear fields; don't change it."""
    place = tmp_path_factory.mktemp("images")
    for name, style in {"ours": "harbour", "other": "harbour", "theirs": "dune", "mylab": "dune"}.items():
        lab = read_domain(rendered / style / "manifest.csv")
        for index, label in enumerate(lab.labels):
            file = place / name / label / f"P{index // 10}_{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(lab.load(index)).save(file)
    lab = read_domain(rendered / "dune" / "manifest.csv")
    rows = []
    for index, label in enumerate(lab.labels):
        mask = place / "mylab" / "masks" / f"P{index // 10}_{index}.png"
        mask.parent.mkdir(exist_ok=True)
        Image.fromarray(lab.load_mask(index).astype("uint8") * 255).save(mask)
        rows.append({"image": f"{label}/P{index // 10}_{index}.png", "mask": f"masks/{mask.name}", "label": label})
    pd.DataFrame(rows).to_csv(place / "mylab" / "manifest.csv", index=False)
    (place / "new").mkdir()
    for index in range(6):
        Image.fromarray(lab.load(index)).save(place / "new" / f"{index}.png")
    shutil.copytree(smear, place / "smear")
    return place


@pytest.fixture
def workspace(images: Path, fitted: Path, rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a page is followed, with what earlier pages have made."""
    shutil.copytree(images, tmp_path / "images")
    for run in ("runs/first", "demo/run", "measured"):
        shutil.copytree(fitted, tmp_path / run)
    shutil.copytree(rendered / "dune", tmp_path / "demo" / "labs" / "forest")
    for number in (0, 1):  # a lab of 130 cells has three digits, and so has one of 30
        assert (tmp_path / "demo" / "labs" / "forest" / "images" / f"{number:03d}.png").is_file()
    for name in ("cell.png", "one.jpg", "two.png"):
        Image.open(images / "new" / "0.png").convert("RGB").save(tmp_path / name)
    Image.open(next((images / "smear").glob("one.png"))).save(tmp_path / "field.jpg")
    shutil.copytree(images / "ours", tmp_path / "lab-a")
    shutil.copytree(images / "theirs", tmp_path / "lab-b")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_place(text: str, place: Path) -> str:
    return re.sub(r"(?<![\w/])/images/", f"{place.as_posix()}/images/", text)


def run_command(words: list[str]) -> None:
    """As `dorl` runs it, but in this process: a command fails by an error, or by a status that isn't 0."""
    from dorl.cli import app

    given, sys.argv = sys.argv, ["dorl", *words]
    try:
        assert app(words, prog_name="dorl", standalone_mode=False) in (None, 0)
    finally:
        sys.argv = given


def clear_the_way(words: list[str], place: Path) -> None:
    """What a person has done, or has chosen, before a command."""
    if words[0] == "fit" and any("to-label.csv" in word for word in words):
        listed = place / "images" / "mylab" / "to-label.csv"
        table = pd.read_csv(listed)
        table["label"] = [Path(name).parent.name for name in table["image"]]  # as one who knows the cells would
        table.to_csv(listed, index=False)
    if words[0] in ("fit", "evaluate", "finetune", "segment", "count"):  # a page may name a folder twice
        out = place / words[words.index("--out") + 1]
        shutil.rmtree(out, ignore_errors=True)


def follow(page: str, block: Block, place: Path) -> None:
    for words in block.commands():
        if reason(words) is None:
            clear_the_way(words, place)
            run_command([*(in_place(word, place) for word in words), *QUICK.get(words[0], [])])
    if block.kind == "python" and not any(page == name and word in block.text for name, word in NOT_PYTHON):
        (place / "example.py").write_text(PRELUDE.get(page, "") + in_place(block.text, place), encoding="utf-8")
        runpy.run_path("example.py", run_name="example")


#: what the Python of a page takes for granted
PRELUDE = {
    "docs/views.md": "import dorl\nfrom dorl.domains import read_image\n"
    "image = read_image('cell.png')\nmask = dorl.Segmenter.load('tiny')(image[None]).masks[0].numpy()\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_followed(page: str, workspace: Path) -> None:
    for block in blocks(ROOT / page):
        follow(page, block, workspace)


def test_every_page_with_a_command_is_followed() -> None:
    having = [
        page.relative_to(ROOT).as_posix()
        for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
        if any(reason(words) is None for block in blocks(page) for words in block.commands())
    ]
    assert sorted(set(having) - set(PAGES)) == []


def test_what_does_not_run_is_on_a_page() -> None:
    commands = [" ".join(words) for page in PAGES for block in blocks(ROOT / page) for words in block.commands()]
    others = ("install", "benchmark", "exchange", "hub", "slides", "wbcbench")
    commands += [" ".join(w) for name in others for b in blocks(ROOT / f"docs/{name}.md") for w in b.commands()]
    assert [start for start in NOT_RUN if not any(text.startswith(start) for text in commands)] == []
