"""napari's plugin, without a window."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dorl.domains import read_domain, read_image
from dorl.domains.annotations import read_annotations
from dorl.domains.annotations.writing import write_annotations
from dorl.errors import InputError
from dorl.viewer.classes import Class, with_class
from dorl.viewer.layers import KEY, images_of, layers_of
from dorl.viewer.reader import get_reader
from dorl.viewer.writer import write_corrections

from .drawn import disc_cell, picture


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A field of two cells and a field of one, as COCO."""
    from dorl.domains.annotations import AnnotatedImage

    images = [
        AnnotatedImage("a.png", (disc_cell(5, 5, "monocyte", 0.8), disc_cell(30, 20, None)), (64, 48)),
        AnnotatedImage("b.png", (disc_cell(20, 10, "eosinophil"),), (64, 48)),
    ]
    given = [AnnotatedImage(i.path, i.cells, i.size, picture(tmp_path / "given", i.path)) for i in images]
    (path,) = write_annotations(given, "coco", tmp_path / "coco")
    return path


def test_layers_are_picture_cells_and_classes(coco: Path) -> None:
    reader = get_reader(str(coco))
    assert reader is not None
    layers = reader(str(coco))
    assert [kind for _, _, kind in layers] == ["image", "labels", "points"] * 2
    assert [told["visible"] for _, told, _ in layers] == [True] * 3 + [False] * 3
    image, labels, points = layers[:3]
    np.testing.assert_array_equal(image[0], read_image(coco.parent / "images" / "a.png"))
    assert np.unique(labels[0]).tolist() == [0, 1, 2]
    features = points[1]["features"]
    assert features["class"].tolist() == ["monocyte", "cell"]
    assert features["probability"].iat[0] == 0.8
    for (row, column), number in zip(points[0], features["cell"], strict=True):
        assert labels[0][round(row), round(column)] == number


def test_what_is_not_corrected_is_saved_as_it_was(coco: Path, tmp_path: Path) -> None:
    (_, before), layers = read_annotations(coco), get_reader(str(coco))(str(coco))  # type: ignore[misc]
    (path,) = write_corrections(str(coco.parent / "corrected.json"), layers)
    _, after = read_annotations(Path(path))
    assert [image.path for image in after] == [image.path for image in before]
    for one, other in zip(after, before, strict=True):
        assert [(cell.label, cell.box, cell.probability) for cell in one.cells] == [
            (cell.label, cell.box, cell.probability) for cell in other.cells
        ]


def test_corrections_are_a_lab(coco: Path, tmp_path: Path) -> None:
    layers = get_reader(str(coco))(str(coco))  # type: ignore[misc]
    labels, told = layers[1][0].copy(), dict(layers[2][1])
    labels[labels == 1] = 0  # no cell
    labels[30:42, 45:58] = 7  # a cell that was missed, and its class
    told["features"] = with_class(told["features"], {1}, "basophil")
    places = np.vstack([layers[2][0], [[35, 50]]])
    more = pd.DataFrame({"cell": [np.nan], "class": ["monocyte"], "probability": [np.nan]})
    told["features"] = pd.concat([told["features"], more], ignore_index=True)
    layers = [layers[0], (labels, layers[1][1], "labels"), (places, told, "points")]
    (path,) = write_corrections(str(tmp_path / "elsewhere" / "corrected.json"), layers)
    lab = read_domain(path)
    assert lab.table["label"].tolist() == ["basophil", "monocyte"]
    assert (tmp_path / "elsewhere" / "corrected-images").is_dir()
    mask = lab.load_mask(1)
    assert mask is not None
    assert mask.sum() == 12 * 13


def test_only_the_chosen_cells_get_the_class() -> None:
    features = pd.DataFrame({"cell": [1, 2], "class": ["monocyte", "monocyte"], "probability": [0.5, 0.6]})
    found = with_class(features, {1}, "basophil")
    assert found["class"].tolist() == ["monocyte", "basophil"]
    assert found["probability"].isna().tolist() == [False, True]
    assert features["class"].tolist() == ["monocyte", "monocyte"]
    assert {one.value for one in Class} >= {"monocyte", "basophil"}


def test_a_folder_of_a_count_is_opened(smear: Path, tmp_path: Path) -> None:
    from dorl.commands.count import count

    count([smear], out=tmp_path / "out")
    reader = get_reader(str(tmp_path / "out"))
    assert reader is not None
    layers = reader(str(tmp_path / "out"))
    assert len(layers) == 3 * 4
    cells = pd.read_csv(tmp_path / "out" / "fields.csv")["cells"].tolist()
    assert [len(data) for data, _, kind in layers if kind == "points"] == cells
    assert len(images_of(layers)) == 4


def test_what_is_none_of_dorls_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    picture(tmp_path, "c.png")
    for path in (tmp_path, tmp_path / "a.json", tmp_path / "a.csv", tmp_path / "c.png", tmp_path / "no.json"):
        assert get_reader(str(path)) is None


def test_too_many_pixels_are_refused(tmp_path: Path) -> None:
    from dorl.domains.annotations import AnnotatedImage

    with pytest.raises(InputError, match="open fewer at a time"):
        layers_of([AnnotatedImage("a", (), (30_000, 30_000), tmp_path)])


def test_layers_of_others_are_passed_over() -> None:
    with pytest.raises(InputError, match="no layer of cells is chosen"):
        images_of([(np.zeros((4, 4), int), {"metadata": {}}, "labels"), (np.zeros((4, 4)), {}, "image")])
    assert KEY == "dorl"


def test_the_manifest_is_valid() -> None:
    npe2 = pytest.importorskip("npe2", reason="npe2 is not installed")
    import dorl.viewer

    manifest = npe2.PluginManifest.from_file(Path(dorl.viewer.__file__).with_name("napari.yaml"))
    manifest.validate_imports()
    assert {one.id for one in manifest.contributions.commands} == {
        "dorl.get_reader",
        "dorl.write_corrections",
        "dorl.set_class",
    }


def test_napari_makes_its_layers_of_them(coco: Path) -> None:
    layers = pytest.importorskip("napari.layers", reason="napari is not installed")
    from dorl.viewer.classes import set_class

    data = get_reader(str(coco))(str(coco))  # type: ignore[misc]
    made = [layers.Layer.create(*one) for one in data]
    assert [type(one).__name__ for one in made] == ["Image", "Labels", "Points"] * 2
    points = made[2]
    points.selected_data = {0}
    set_class(points, Class["basophil"])
    assert points.features["class"].tolist() == ["basophil", "cell"]
    back = images_of([one.as_layer_data_tuple() for one in made])
    assert back[0].cells[0].label == "basophil"
