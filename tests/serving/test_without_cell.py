"""Images without a cell on the page: they have no class, and count in no sum; a person may give them one."""

from __future__ import annotations

import csv
import io
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dorl.serving.database import _CLASSES, _CONTENTS, _FIELDS, _TABLES

from .asking import png, send
from .standin import StandIn, grey

Open = Callable[..., TestClient]


@pytest.fixture
def client(opened: Open) -> TestClient:
    """A page that takes white images for empty ones."""
    return opened(StandIn())


def test_an_image_without_a_cell_has_no_class(client: TestClient) -> None:
    told = send(client, ("white.png", png(16, 16)), ("cell.png", grey(20, "PNG"))).json()
    white, cell = told["cells"]
    assert {name: white[name] for name in ("class", "probability", "probabilities", "found", "confidence")} == {
        "class": None,
        "probability": None,
        "probabilities": {},
        "found": False,
        "confidence": 0,
    }
    assert (cell["class"], cell["probability"], cell["found"], cell["confidence"]) == ("basophil", 0.8, True, 1)
    sample = told["sample"]
    assert (sample["images"], sample["looked_at"], sample["without_cell"]) == (2, 2, 1)
    assert sample["classes"] == {"basophil": 1}
    assert client.get(f"/v1/cells/{white['id']}/image.jpg").status_code == 200
    assert client.get("/v1/health").json()["waiting"] == 0


def test_a_sample_without_any_cell_ends(client: TestClient) -> None:
    sample = send(client, ("white.png", png(16, 16))).json()["sample"]
    assert (sample["state"], sample["classes"], sample["accuracy"]) == ("done", {}, None)


def test_the_run_gives_white_and_black_pictures_no_class_and_does_not_count_them(
    serve: Open, images: list[Path]
) -> None:
    client = serve()
    files = [(path.name, path.read_bytes()) for path in images[:6]]
    alone = send(client, *files).json()["sample"]
    told = send(client, ("white.png", png(200, 200)), *files, ("black.png", grey(0, "PNG"))).json()
    assert [cell["class"] for cell in told["cells"] if not cell["found"]] == [None, None]
    for name in ("classes", "accuracy", "adapted"):
        assert told["sample"][name] == alone[name]
    assert all(0.5 < cell["confidence"] <= 1 for cell in told["cells"] if cell["found"])


def test_orders_and_filters_pass_over_what_has_no_class(client: TestClient) -> None:
    files = [("white.png", png(16, 16)), *((f"{level}.png", grey(level, "PNG")) for level in (200, 20))]
    sample = send(client, *files).json()["sample"]["id"]

    def names(**asked: str) -> list[str]:
        return [cell["name"] for cell in client.get(f"/v1/samples/{sample}/cells", params=asked).json()["cells"]]

    for order in ("unsure", "sure", "class"):
        assert names(order=order)[-1] == "white.png"
    assert names(show="without-cell") == ["white.png"]
    assert names(show="unsure") == names(show="corrected") == []
    assert len(names(show="unchecked")) == 3


def test_a_person_may_give_it_a_class_and_take_it_back(client: TestClient) -> None:
    told = send(client, ("white.png", png(16, 16)), ("cell.png", grey(20, "PNG"))).json()
    sample, cell = told["sample"]["id"], told["cells"][0]["id"]
    assert client.put(f"/v1/cells/{cell}/label", json={"label": "monocyte"}).status_code == 204
    found = client.get(f"/v1/cells/{cell}").json()
    assert (found["label"], found["class"]) == ("monocyte", None)
    assert [(one["label"], one["predicted"], one["probability"]) for one in found["corrections"]] == [
        ("monocyte", None, None)
    ]
    described = client.get(f"/v1/samples/{sample}").json()
    assert described["classes"] == {"basophil": 1, "monocyte": 1}
    assert (described["checked"], described["corrected"]) == (1, 1)
    table = list(csv.DictReader(io.StringIO(client.get(f"/v1/samples/{sample}/cells.csv").text)))
    assert [(row["class"], row["predicted"], row["found"], row["confidence"]) for row in table] == [
        ("monocyte", "", "false", "0.0"),
        ("basophil", "basophil", "true", "1.0"),
    ]
    with zipfile.ZipFile(io.BytesIO(client.get(f"/v1/samples/{sample}/lab.zip").content)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("manifest.csv").decode())))
    assert [(row["label"], row["predicted"], row["probability"]) for row in rows] == [
        ("monocyte", "", ""),
        ("", "basophil", "0.8"),
    ]
    assert client.delete(f"/v1/cells/{cell}/label").status_code == 204
    assert client.get(f"/v1/samples/{sample}").json()["classes"] == {"basophil": 1}


def test_a_page_of_an_earlier_dorl_loses_the_classes_of_empty_pictures_and_no_correction(
    opened: Open, folder: Path
) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "page.sqlite") as connection:
        connection.executescript(_TABLES + _FIELDS + _CLASSES + _CONTENTS)
        connection.execute(
            "INSERT INTO samples (name, made, folder, model, done) VALUES ('old', 'then', 'x', 'one', 1)"
        )
        for found in (0, 1):
            connection.execute(
                "INSERT INTO cells (sample, name, file, bytes, class, probability, probabilities, distance, found, "
                "confidence, neighbours, label) VALUES (1, 'a', 'a', 1, 'monocyte', 0.8, '[0.1, 0.1, 0.8]', 0, ?, ?, "
                "'[]', 'basophil')",
                (found, found),
            )
        connection.execute(
            "INSERT INTO corrections (cell, label, predicted, probability, model, made) "
            "VALUES (1, 'basophil', 'monocyte', 0.8, 'one', 'then')"
        )
        connection.execute("PRAGMA user_version = 4")
    connection.close()
    told = opened(StandIn()).get("/v1/samples/1/cells").json()
    assert [(cell["class"], cell["label"]) for cell in told["cells"]] == [(None, "basophil"), ("monocyte", "basophil")]
    assert told["sample"]["looked_at"] == 2
    (correction,) = opened(StandIn(), alone=True).get("/v1/cells/1").json()["corrections"]
    assert (correction["predicted"], correction["probability"]) == ("monocyte", 0.8)
