import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dorl.reporting import (
    class_counts,
    confusion_matrices,
    embed_2d,
    grey_levels,
    latent_space,
    loss_curve,
    reconstruction_panel,
)

RNG = np.random.default_rng(0)
HOSTILE = "$x_{"  # would be broken mathematics to matplotlib


def picture(path):
    """The picture as an array, after a look that it is one and not blank, and that nothing else was left."""
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert round(image.info["dpi"][0]) == 150
        pixels = np.asarray(image.convert("L"))
    assert pixels.std() > 5
    return pixels


def test_grey_levels(tmp_path):
    grey_levels({HOSTILE: RNG.integers(0, 99, 256), "empty": np.zeros(256)}, tmp_path / "f.png")
    picture(tmp_path / "f.png")


def test_class_counts(tmp_path):
    counts = pd.DataFrame({"a": [1, 2000, np.nan], HOSTILE: [5, 0, 30]}, index=["basophil", "monocyte", "other"])
    class_counts(counts, tmp_path / "f.png")
    picture(tmp_path / "f.png")


@pytest.mark.parametrize("rows", [1, 7])
def test_reconstruction_panel(rows, tmp_path):
    cells = [
        (f"lab {i // 2}", *(RNG.integers(0, 255, (side, side, 3), dtype=np.uint8) for side in (90, 128, 128)))
        for i in range(rows)
    ]
    reconstruction_panel(cells, tmp_path / "f.png")
    picture(tmp_path / "f.png")


def test_latent_space_of_more_classes_than_colours_and_unlabelled_cells(tmp_path):
    classes = [None if i % 13 == 0 else f"class {i % 13}" for i in range(130)]
    latent_space(RNG.normal(size=(130, 2)), ["a", HOSTILE] * 65, classes, tmp_path / "f.png")
    picture(tmp_path / "f.png")


def test_confusion_matrices(tmp_path):
    matrices = {
        f"a → {HOSTILE}": (("x", "y"), np.array([[3, 1, 0], [0, 0, 0]])),
        "a → c": (tuple("uvwxyz"), RNG.integers(0, 9, (6, 7))),
        "nothing shared": ((), np.zeros((0, 1), dtype=int)),
    }
    confusion_matrices(matrices, tmp_path / "f.png")
    picture(tmp_path / "f.png")


@pytest.mark.parametrize("when", ["epoch", "step", None])
def test_loss_curve(when, tmp_path):
    history = pd.DataFrame({"total": [3.0, 1.0, 0.1], "mmd": [np.nan, 0.01, -0.1], "lr": [1e-4] * 3})
    if when:
        history[when] = [1, 2, 3]
    loss_curve(history, tmp_path / "f.png")
    picture(tmp_path / "f.png")


@pytest.mark.parametrize("cells", [0, 1, 2, 9])
def test_few_cells_are_placed_by_pca(cells):
    placed = embed_2d(RNG.normal(size=(cells, 5)))
    assert placed.shape == (cells, 2)
    assert np.isfinite(placed).all()


@pytest.mark.slow
def test_umap_parts_two_clouds_the_same_way_each_time():
    X = np.concatenate([RNG.normal(size=(30, 8)), RNG.normal(size=(30, 8)) + 20])
    placed = embed_2d(X, seed=4)
    np.testing.assert_array_equal(placed, embed_2d(X, seed=4))
    between = np.linalg.norm(placed[:30].mean(axis=0) - placed[30:].mean(axis=0))
    assert between > 2 * max(placed[:30].std(axis=0).max(), placed[30:].std(axis=0).max())


def test_umap_leaves_torch_the_threads_that_it_had(monkeypatch, one_thread):
    import torch
    from umap import UMAP

    def fitting(reducer, X):
        torch.set_num_threads(3)  # as numba does, once in a process
        return X[:, :2]

    monkeypatch.setattr(UMAP, "fit_transform", fitting)
    assert embed_2d(RNG.normal(size=(12, 4))).shape == (12, 2)
    assert torch.get_num_threads() == 1


@pytest.mark.slow
def test_of_very_many_cells_most_lie_among_their_nearest(monkeypatch):
    monkeypatch.setattr("dorl.reporting.figures.latent.LEARNT_FROM", 40)
    monkeypatch.setattr("dorl.reporting.figures.latent.PLACED_BY_UMAP", 60)
    X = np.concatenate([RNG.normal(size=(150, 8)), RNG.normal(size=(150, 8)) + 20])
    placed = embed_2d(X, seed=4)
    assert np.isfinite(placed).all()
    between = np.linalg.norm(np.median(placed[:150], axis=0) - np.median(placed[150:], axis=0))
    assert between > 2 * max(placed[:150].std(axis=0).max(), placed[150:].std(axis=0).max())


def test_of_very_many_cells_the_figure_shows_some_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("dorl.reporting.figures.latent.MAX_DRAWN", 50)
    titles = []
    monkeypatch.setattr(
        "dorl.reporting.figures.latent.write",
        lambda figure, path: titles.extend(axes.get_title() for axes in figure.axes),
    )
    points = RNG.normal(size=(90, 2))
    latent_space(points, ["one"] * 60 + ["two"] * 30, ["a", None, "b"] * 30, tmp_path / "map.png")
    assert titles == ["by lab, 50 of 90 cells", "by class, 50 of 90 cells"]


@pytest.mark.slow
def test_the_map_is_that_of_umap_s_own_search():
    from umap import UMAP

    X = RNG.normal(size=(40, 5)).astype(np.float32)
    np.testing.assert_array_equal(embed_2d(X, seed=4), UMAP(n_neighbors=15, random_state=4, n_jobs=1).fit_transform(X))


@pytest.mark.slow
def test_umap_places_the_cells_that_it_did_not_learn_from(monkeypatch):
    monkeypatch.setattr("dorl.reporting.figures.latent.LEARNT_FROM", 40)
    placed = embed_2d(RNG.normal(size=(60, 8)))
    assert placed.shape == (60, 2)
    assert np.isfinite(placed).all()
