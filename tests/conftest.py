"""Rendered labs and one fitted run, made once for all tests that need them."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from filelock import FileLock

SHARED = Path(__file__).resolve().parents[2] / "shared"
#: fixtures that take long to make, or drive a browser: tests that ask for them are slow
SLOW = {"browser", "imported", "official", "published"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests slow that ask for a slow fixture, and skip on Windows those that need POSIX."""
    for item in items:
        if os.name != "posix" and item.get_closest_marker("posix"):
            item.add_marker(pytest.mark.skip(reason="needs links, pipes, signals or names that Windows lacks"))
        if SLOW.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collection: it stays to the end, and looking through it takes long."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small networks are many times faster so, above all where other work shares the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data() -> Path:
    """The real images of ``../shared/data``."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real images of ../shared/data are not here")
    return SHARED / "data"


@pytest.fixture(scope="session")
def parity() -> Path:
    """The official code's numbers of ``../shared/parity``."""
    if not (SHARED / "parity").is_dir():
        pytest.skip("the official numbers of ../shared/parity are not here")
    return SHARED / "parity"


@pytest.fixture(scope="session")
def recipe(parity: Path) -> ModuleType:
    """How the stand-ins for the published files, their inputs and their outputs were drawn."""
    spec = importlib.util.spec_from_file_location("parity_recipe", parity / "recipe.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def official(recipe: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-ins, at full width: ``sam_vit_b.pth``, ``lora_sam.pth``, ``cae.mdl``."""
    folder = tmp_path_factory.mktemp("official")
    recipe.write_checkpoints(folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by Playwright; it asks no host for anything of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    flags = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"]
    flags += ["disable-background-networking", "disable-component-update"]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=[f"--{flag}" for flag in flags])
        yield started
        started.close()


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str, Callable[[Path], object]], Path]:
    """Gives a folder by its name, which the first process of the tests that asks for it makes for all of them."""
    root = tmp_path_factory.getbasetemp()
    root = root if worker_id == "master" else root.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        finished = root / f"{name}.made"
        with FileLock(root / f"{name}.lock"):
            if not finished.exists():
                make(root / name)
                finished.touch()
        return root / name

    return made


@pytest.fixture(scope="session")
def rendered(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Two rendered labs of 30 cells of 5 classes: ``harbour/manifest.csv`` and ``dune/manifest.csv``."""
    from dorl.domains.rendered import render_lab

    def render(root: Path) -> None:
        classes = ["neutrophil_segmented", "lymphocyte_typical", "monocyte", "eosinophil", "erythroblast"]
        for seed, name in enumerate(("harbour", "dune")):
            render_lab(root / name, style=name, cells=30, classes=classes, seed=seed, size=128)

    return once("rendered", render)


@pytest.fixture(scope="session")
def labs(rendered: Path) -> list[str]:
    """The two rendered labs as a user names them."""
    return [f"{name}={rendered / name / 'manifest.csv'}" for name in ("harbour", "dune")]


@pytest.fixture(scope="session")
def smear(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three fields of four white cells, two of them of the same name, and one without any; don't change it."""
    import numpy as np
    from PIL import Image

    from dorl.domains import read_domain

    folder = tmp_path_factory.mktemp("smear")
    lab = read_domain(rendered / "dune" / "manifest.csv")
    images = [lab.load(i) for i in range(12)]
    for number, name in enumerate(("one.png", "two.png", "again/one.png")):
        four = images[4 * number : 4 * number + 4]
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.concatenate([np.concatenate(four[:2], 1), np.concatenate(four[2:], 1)])).save(folder / name)
    Image.new("RGB", (200, 150), (235, 225, 230)).save(folder / "zz-empty.png")
    return folder


@pytest.fixture(scope="session")
def slides(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A rendered slide of 4,000 × 3,000 pixels, as ``slide.svs`` and ``slide.ome.tif``; don't change it.

    ``cells.npy`` has the boxes of its white cells, ``layout.npy`` what its patches show.
    """
    import numpy as np

    from dorl.domains.rendered.slide import THICK, SlidePlan, write_slide

    def render(root: Path) -> None:
        root.mkdir()
        layout = np.zeros((3, 4), int)
        layout[1, 1:3], layout[0, 2], layout[2, 2] = (2, 3), THICK, 2
        np.save(root / "layout.npy", layout)
        plan = SlidePlan(layout, (4000, 3000), white_cells=5)
        np.save(root / "cells.npy", write_slide(root / "slide.svs", plan))
        write_slide(root / "slide.ome.tif", plan, kind="ome")

    return once("slides", render)


@pytest.fixture(scope="session")
def fitted(labs: list[str], once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A finished run folder; don't change it, take `run` for that."""
    from dorl.commands.fit import fit

    made = once("fitted", lambda out: fit(labs, out=out / "run", iterations=4, folds=2, seed=3))
    return made / "run"


@pytest.fixture(scope="session")
def published(labs: list[str], once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A finished run folder of the published method; don't change it."""
    from dorl.commands.fit import fit

    made = once("published", lambda out: fit(labs, out=out / "run", method="published", iterations=4, folds=2, seed=3))
    return made / "run"


@pytest.fixture
def run(fitted: Path, tmp_path: Path) -> Path:
    """A copy of the run folder that a test may damage."""
    return Path(shutil.copytree(fitted, tmp_path / "run"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A stand-in for the Hugging Face Hub on this machine (`hub_server.Hub`), an empty cache, and no token."""
    from hub_server import running

    with running() as found:
        template = f"{found.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", found.address)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True, raising=False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield found


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """The address of a Ray cluster of two machines, as far as Ray knows, of a core each."""
    pytest.importorskip("ray", reason="the Python package ray is not installed")
    from ray.cluster_utils import Cluster

    patient = {"health_check_timeout_ms": 60_000, "health_check_failure_threshold": 20}  # where other work is going on
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": patient}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(num_cpus=1)
    yield made.address
    made.shutdown()
