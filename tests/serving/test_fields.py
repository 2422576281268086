"""Smear fields on the page: their cells are those of `dorl count`; boxes, a differential count, what is taken away."""

from __future__ import annotations

import csv
import io
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from dorl.commands.count import count
from dorl.domains import read_domain
from dorl.serving.database import _TABLES, FORMAT, Database
from dorl.serving.model import RunRecogniser

from .asking import send, send_fields, zipped

Serve = Callable[..., TestClient]


def test_the_cells_are_those_that_count_finds(
    client: TestClient, smear: Path, fitted: Path, tmp_path: Path, folder: Path
) -> None:
    answer = send_fields(client, ("one.png", (smear / "one.png").read_bytes()))
    assert answer.status_code == 200
    told = answer.json()
    expected = count([smear / "one.png"], out=tmp_path / "counted", run=fitted, device="cpu")
    assert [tuple(cell["box"]) for cell in told["cells"]] == [
        tuple(row) for row in expected.cells[["xmin", "ymin", "xmax", "ymax"]].to_numpy().tolist()
    ]
    assert [cell["class"] for cell in told["cells"]] == expected.cells["class"].tolist()
    assert [cell["probability"] for cell in told["cells"]] == pytest.approx(expected.cells["probability"], abs=2e-3)
    assert [cell["touches_border"] for cell in told["cells"]] == expected.cells["touches_border"].tolist()
    sample = told["sample"]
    assert (sample["kind"], sample["fields"], sample["fields_searched"]) == ("fields", 1, 1)
    assert sample["images"] == sample["looked_at"] == len(expected.cells) >= 3
    counts = expected.counts.iloc[:-2].set_index("class")
    assert {row["class"] for row in sample["differential"]} == set(counts.index)
    for row in sample["differential"]:
        assert row["cells"] == counts.loc[row["class"], "cells"]
        for limits in (["low", "high"], ["low_with_errors", "high_with_errors"]):
            assert [row[name] for name in limits] == pytest.approx(counts.loc[row["class"], limits].tolist(), abs=0.02)
    (field,) = client.get(f"/v1/samples/{sample['id']}/fields").json()
    width, height = Image.open(smear / "one.png").size
    assert (field["name"], field["width"], field["height"]) == ("one.png", width, height)
    plain, outlined = (
        np.asarray(Image.open(io.BytesIO(client.get(f"/v1/fields/{field['id']}/{kind}.jpg").content)), int)
        for kind in ("image", "outlined")
    )
    assert plain.shape == (height, width, 3)
    assert (abs(plain - outlined).max(axis=2) > 60).mean() > 0.003
    assert client.get(f"/v1/fields/{field['id']}/mask.jpg").status_code == 404
    assert client.get("/v1/fields/99/image.jpg").status_code == 404
    # a cell of a field is a cell like any other
    cell = told["cells"][0]["id"]
    assert client.get(f"/v1/cells/{cell}").json()["neighbours"]
    assert client.get(f"/v1/cells/{cell}/reconstruction.jpg").status_code == 200
    assert client.delete(f"/v1/samples/{sample['id']}").status_code == 204
    assert client.get(f"/v1/fields/{field['id']}/image.jpg").status_code == 404
    assert list((folder / "samples").iterdir()) == []


def test_a_correction_counts_and_what_is_taken_away_is_a_lab(client: TestClient, smear: Path, tmp_path: Path) -> None:
    data = zipped({name: (smear / name).read_bytes() for name in ("one.png", "two.png", "zz-empty.png")})
    told = send_fields(client, ("smear.zip", data)).json()
    sample, cells = told["sample"], told["cells"]
    fields = client.get(f"/v1/samples/{sample['id']}/fields").json()
    assert [field["name"] for field in fields] == ["one.png", "two.png", "zz-empty.png"]
    assert fields[2]["cells"] == 0
    assert sum(field["cells"] for field in fields) == len(cells)
    of_two = client.get(f"/v1/samples/{sample['id']}/cells", params={"field": fields[1]["id"]}).json()["cells"]
    assert [cell["id"] for cell in of_two] == [cell["id"] for cell in cells if cell["field"] == fields[1]["id"]] != []
    assert client.put(f"/v1/cells/{cells[0]['id']}/label", json={"label": "smudge_cell"}).status_code == 204
    after = client.get(f"/v1/samples/{sample['id']}").json()
    counted = {row["class"]: row["cells"] for row in after["differential"]}
    assert counted["smudge_cell"] == 1
    assert sum(counted.values()) == len(cells)
    rows = list(csv.DictReader(io.StringIO(client.get(f"/v1/samples/{sample['id']}/cells.csv").text)))
    assert rows[0]["path"] == "one.png"
    assert [int(rows[0][name]) for name in ("xmin", "ymin", "xmax", "ymax")] == cells[0]["box"]
    assert (rows[0]["class"], rows[0]["touches_border"]) == ("smudge_cell", str(cells[0]["touches_border"]).lower())
    archive = client.get(f"/v1/samples/{sample['id']}/lab.zip").content
    shutil.unpack_archive(_written(tmp_path / "lab.zip", archive), tmp_path / "lab")
    lab = read_domain(tmp_path / "lab" / "manifest.csv")
    assert len(lab) == len(cells)
    assert lab.labels[0] == "smudge_cell"
    assert pd.isna(lab.labels[1])
    xmin, ymin, xmax, ymax = cells[0]["box"]
    assert lab.load(0).shape[0] >= max(xmax - xmin, ymax - ymin)


def test_fields_of_a_folder_of_the_server_leave_nothing_in_it(serve: Serve, smear: Path, folder: Path) -> None:
    before = sorted(path.relative_to(smear) for path in smear.rglob("*"))
    client = serve(allowed={"today": smear})
    told = client.post("/v1/folders/today/fields", params={"wait": 60}).json()
    assert told["sample"]["fields"] == 4
    assert len(told["cells"]) >= 9
    assert sorted(path.relative_to(smear) for path in smear.rglob("*")) == before
    assert len(list((folder / "samples").glob("*/*.png"))) == len(told["cells"])
    sample = told["sample"]["id"]
    assert client.get(f"/v1/samples/{sample}/lab.zip").status_code == 200
    assert client.delete(f"/v1/samples/{sample}").status_code == 204
    assert list((folder / "samples").iterdir()) == []


def test_what_cannot_be_read_is_left_out(client: TestClient, smear: Path) -> None:
    whole = (smear / "one.png").read_bytes()
    told = send_fields(client, ("broken.png", whole[: len(whole) // 2]), ("one.png", whole)).json()
    assert [one["name"] for one in told["sample"]["left_out"]] == ["broken.png"]
    assert told["sample"]["fields"] == 1
    alone = send_fields(client, ("broken.png", whole[: len(whole) // 2]))
    assert alone.status_code == 400
    assert "broken.png" in alone.json()["detail"]


def test_a_field_without_cells_is_no_fault(client: TestClient, smear: Path) -> None:
    answer = send_fields(client, ("empty.png", (smear / "zz-empty.png").read_bytes()))
    assert answer.status_code == 200
    sample = answer.json()["sample"]
    assert (sample["state"], sample["images"], sample["fields"]) == ("done", 0, 1)
    assert all(row["cells"] == 0 and row["share"] is None for row in sample["differential"])
    header = client.get(f"/v1/samples/{sample['id']}/cells.csv").text
    assert header.startswith("path,xmin,ymin,xmax,ymax,")


def test_a_grey_field_is_said_to_be_so_and_is_no_field_of_0_cells(client: TestClient, smear: Path) -> None:
    grey = io.BytesIO()
    Image.open(smear / "one.png").convert("L").save(grey, "PNG")
    sample = send_fields(client, ("grey.png", grey.getvalue()), ("one.png", (smear / "one.png").read_bytes())).json()[
        "sample"
    ]
    assert sample["fields"] == 1
    (left_out,) = sample["left_out"]
    assert left_out["name"] == "grey.png"
    assert left_out["reason"].startswith("is grey, and nuclei are found by the colour of their dye")


def test_fields_that_were_searched_are_not_searched_again(
    serve: Serve, smear: Path, recogniser: RunRecogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[tuple[int, ...]] = []
    search = recogniser.search

    def told(image: np.ndarray) -> object:
        searched.append(image.shape)
        return search(image)

    monkeypatch.setattr(recogniser, "search", told)
    client = serve()
    files = [(f"{number}.png", (smear / "one.png").read_bytes()) for number in range(4)]
    sample = send_fields(client, *files, wait=0).json()["sample"]["id"]
    client.__exit__(None, None, None)  # ends after the field at hand
    assert len(searched) < 4
    client = serve()
    assert send(client, ("cell.png", (smear / "zz-empty.png").read_bytes())).status_code == 200
    for _ in range(600):
        state = client.get(f"/v1/samples/{sample}").json()
        if state["state"] == "done":
            break
        time.sleep(0.05)
    assert state["fields_searched"] == 4
    assert len(searched) == 4


def test_a_page_of_an_earlier_dorl_goes_on(folder: Path, serve: Serve, smear: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "page.sqlite") as connection:
        connection.executescript(_TABLES)
        connection.execute("INSERT INTO samples (name, made, folder, model, done) VALUES ('old', 'then', 'x', 'm', 1)")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    client = serve()
    assert [sample["name"] for sample in client.get("/v1/samples").json()] == ["old"]
    assert client.get("/v1/samples").json()[0]["kind"] == "cells"
    assert send_fields(client, ("one.png", (smear / "one.png").read_bytes())).status_code == 200
    client.__exit__(None, None, None)
    database = Database(folder / "page.sqlite")
    with database.transaction() as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == FORMAT
    database.close()


def _written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)
