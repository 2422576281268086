"""What one who works with the page, or asks the API, meets."""

from __future__ import annotations

import csv
import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from dorl.domains import read_domain
from dorl.run.model import DoRL
from dorl.serving.model import RunRecogniser

from .asking import send, zipped

Serve = Callable[..., TestClient]


def test_cells_come_back_with_what_the_run_says(client: TestClient, images: list[Path], fitted: Path) -> None:
    answer = send(client, *((path.name, path.read_bytes()) for path in images[:3]))
    assert answer.status_code == 200
    told = answer.json()
    assert told["sample"]["state"] == "done"
    assert [cell["name"] for cell in told["cells"]] == [path.name for path in images[:3]]
    model = DoRL.load(fitted, device="cpu")
    expected = model.predict_proba(images[:3])
    for cell, row in zip(told["cells"], expected, strict=True):
        assert list(cell["probabilities"]) == model.classes_
        assert list(cell["probabilities"].values()) == pytest.approx(row.tolist(), abs=2e-3)
        assert cell["class"] == model.classes_[int(row.argmax())]
        assert cell["found"]
        assert not cell["unlike"]


def test_a_cell_in_full_has_neighbours_and_pictures(client: TestClient, images: list[Path]) -> None:
    cell = send(client, ("a.png", images[0].read_bytes())).json()["cells"][0]["id"]
    told = client.get(f"/v1/cells/{cell}").json()
    distances = [near["distance"] for near in told["neighbours"]]
    assert distances == sorted(distances)
    # the cell itself is one of the run's
    assert distances[0] < 0.3 * distances[1]
    assert told["neighbours"][0]["lab"] == "dune"
    for kind, size in (("image", 320), ("outlined", 320), ("segmented", 128), ("reconstruction", 128)):
        picture = client.get(f"/v1/cells/{cell}/{kind}.jpg")
        assert picture.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(picture.content)).size == (size, size)
    plain, outlined = (
        np.asarray(Image.open(io.BytesIO(client.get(f"/v1/cells/{cell}/{kind}.jpg").content)), int)
        for kind in ("image", "outlined")
    )
    assert (abs(plain - outlined).max(axis=2) > 60).mean() > 0.005
    near = client.get(f"/v1/training/{told['neighbours'][0]['row']}.jpg")
    assert Image.open(io.BytesIO(near.content)).size == (76, 76)


def test_what_is_no_cell_is_unlike_everything(client: TestClient, images: list[Path]) -> None:
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)).save(noise, "PNG")
    told = send(client, ("noise.png", noise.getvalue()), ("cell.png", images[0].read_bytes())).json()
    assert [cell["unlike"] for cell in told["cells"]] == [True, False]
    assert told["sample"]["unlike"] == 1
    listed = client.get(f"/v1/samples/{told['sample']['id']}/cells", params={"show": "unlike"}).json()
    assert [cell["name"] for cell in listed["cells"]] == ["noise.png"]


def test_a_zip_is_looked_at_little_by_little(client: TestClient, images: list[Path]) -> None:
    data = zipped({f"slide/{path.name}": path.read_bytes() for path in images} | {"slide/notes.txt": b"x"})
    answer = send(client, ("slide.zip", data), wait=0)
    assert answer.status_code == 202
    place = answer.headers["location"]
    seen = []
    for _ in range(600):
        sample = client.get(place).json()
        seen.append(sample["looked_at"])
        if sample["state"] == "done":
            break
        time.sleep(0.02)
    assert sample["state"] == "done"
    assert sample["images"] == sample["looked_at"] == 30
    assert any(0 < count < 30 for count in seen), seen
    assert sum(sample["classes"].values()) == 30
    assert sample["accuracy"]["low"] <= sample["accuracy"]["share"] <= sample["accuracy"]["high"]
    names = [cell["name"] for cell in client.get(f"{place}/cells").json()["cells"]]
    assert names == [f"slide/{path.name}" for path in images]


def test_cells_are_sorted_and_filtered(client: TestClient, images: list[Path]) -> None:
    sample = send(client, *((path.name, path.read_bytes()) for path in images[:12])).json()["sample"]

    def cells(**asked: object) -> list[dict]:
        return client.get(f"/v1/samples/{sample['id']}/cells", params=asked).json()["cells"]  # type: ignore[arg-type]

    probabilities = [cell["probability"] for cell in cells(order="unsure")]
    assert probabilities == sorted(probabilities)
    assert [cell["probability"] for cell in cells(order="sure")] == probabilities[::-1]
    distances = [cell["distance"] for cell in cells(order="unlike")]
    assert distances == sorted(distances, reverse=True)
    assert [cell["name"] for cell in cells(order="name", start=3, most=2)] == [path.name for path in images[3:5]]
    name, count = next(iter(sample["classes"].items()))
    assert len(cells(**{"class": name})) == count
    assert {cell["class"] for cell in cells(**{"class": name})} == {name}
    assert all(cell["probability"] < 0.7 for cell in cells(show="unsure"))
    assert client.get(f"/v1/samples/{sample['id']}/cells", params={"order": "luck"}).status_code == 422


def test_corrections_are_kept_with_time_and_model(serve: Serve, images: list[Path], recogniser: RunRecogniser) -> None:
    client = serve()
    told = send(client, ("a.png", images[0].read_bytes())).json()
    sample, cell = told["sample"]["id"], told["cells"][0]
    other = next(name for name in recogniser.classes if name != cell["class"])
    place = f"/v1/cells/{cell['id']}/label"
    assert client.put(place, json={"label": "smudge_cell"}).status_code == 204
    assert client.delete(place).status_code == 204
    assert client.put(place, json={"label": other}).status_code == 204
    client.__exit__(None, None, None)
    client = serve()  # the same folder, another server
    found = client.get(f"/v1/cells/{cell['id']}").json()
    assert found["label"] == other
    assert [one["label"] for one in found["corrections"]] == ["smudge_cell", None, other]
    for one in found["corrections"]:
        assert (one["predicted"], one["model"]) == (cell["class"], recogniser.version)
        assert one["made"].endswith("Z")
    listed = client.get(f"/v1/samples/{sample}/cells", params={"show": "corrected", "class": other}).json()
    assert listed["count"] == listed["sample"]["corrected"] == 1
    assert client.put(place, json={"label": "unicorn"}).status_code == 422
    assert client.put("/v1/cells/999/label", json={"label": other}).status_code == 404
    assert client.get(f"/v1/cells/{10**18}").status_code == 404


def test_what_is_taken_away_is_a_table_and_a_lab_that_fit_reads(
    client: TestClient, images: list[Path], tmp_path: Path, recogniser: RunRecogniser
) -> None:
    files = [("=1+1.png", images[0].read_bytes()), *((path.name, path.read_bytes()) for path in images[1:5])]
    told = send(client, *files).json()
    first, second = (cell["id"] for cell in told["cells"][:2])
    client.put(f"/v1/cells/{first}/label", json={"label": "monocyte"})
    client.put(f"/v1/cells/{second}/label", json={"label": "lymphocyte_atypical"})
    place = f"/v1/samples/{told['sample']['id']}"
    table = list(csv.DictReader(io.StringIO(client.get(f"{place}/cells.csv").text)))
    assert [row["path"] for row in table] == ["'=1+1.png", *(path.name for path in images[1:5])]
    assert [row["label"] for row in table] == ["monocyte", "lymphocyte_atypical", "", "", ""]
    assert table[0]["class"] == "monocyte"
    assert table[2]["class"] == table[2]["predicted"]
    assert float(table[2][table[2]["class"]]) == pytest.approx(float(table[2]["probability"]))
    assert {row["model"] for row in table} == {recogniser.version}
    with zipfile.ZipFile(io.BytesIO(client.get(f"{place}/lab.zip").content)) as archive:
        archive.extractall(tmp_path / "lab")
    lab = read_domain(tmp_path / "lab" / "manifest.csv", name="checked")
    assert lab.labels.tolist() == ["monocyte", "lymphocyte_atypical", None, None, None]
    assert len(lab.left_out) == 0
    for number, path in enumerate(images[:5]):
        assert (lab.load(number) == np.asarray(Image.open(path).convert("RGB"))).all()


@pytest.mark.posix
def test_a_folder_of_the_server_is_picked_by_name(serve: Serve, rendered: Path, tmp_path: Path, folder: Path) -> None:
    place = tmp_path / "lab"
    place.mkdir()
    for number, path in enumerate(sorted((rendered / "dune" / "images").iterdir())[:3]):
        (place / f"{number}.png").write_bytes(path.read_bytes())
    (tmp_path / "secret.png").write_bytes(path.read_bytes())
    (place / "out.png").symlink_to(tmp_path / "secret.png")
    (place / "broken.png").write_bytes(b"x")
    client = serve(allowed={"lab": place})
    assert client.get("/v1/model").json()["folders"] == ["lab"]
    told = client.post("/v1/folders/lab/cells", params={"wait": 30}).json()
    assert [cell["name"] for cell in told["cells"]] == ["0.png", "1.png", "2.png"]
    assert {one["name"]: one["reason"] for one in told["sample"]["left_out"]} == {
        "broken.png": "not a readable jpg, png, bmp, tiff, webp or gif image",
        "out.png": "is a link that leads out of the folder given: put the file or folder itself there",
    }
    assert client.post("/v1/folders/other/cells").status_code == 404
    assert client.post("/v1/folders/..%2F/cells").status_code == 404
    exported = client.get(f"/v1/samples/{told['sample']['id']}/lab.zip").content
    assert len(zipfile.ZipFile(io.BytesIO(exported)).namelist()) == 4
    assert client.delete(f"/v1/samples/{told['sample']['id']}").status_code == 204
    assert len(list(place.iterdir())) == 5  # the server's own images stay


def test_a_sample_that_is_removed_is_gone(client: TestClient, images: list[Path], folder: Path) -> None:
    told = send(client, ("a.png", images[0].read_bytes())).json()
    assert len(list((folder / "samples").iterdir())) == 1
    assert client.delete(f"/v1/samples/{told['sample']['id']}").status_code == 204
    assert list((folder / "samples").iterdir()) == []
    assert client.get("/v1/samples").json() == []
    assert client.get(f"/v1/cells/{told['cells'][0]['id']}").status_code == 404
    assert client.delete(f"/v1/samples/{told['sample']['id']}").status_code == 404


def test_cells_of_another_lab_are_adapted_to_as_a_whole(
    client: TestClient, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dorl.classification.views.MIN_ADAPTED_CELLS", 20)
    files = [(path.name, path.read_bytes()) for path in images]
    plain = send(client, *files).json()
    monkeypatch.setattr("dorl.classification.unlike.Unlike.of_another_lab", lambda self, X: True)
    adapted = send(client, *files).json()
    assert (plain["sample"]["adapted"], adapted["sample"]["adapted"]) == (False, True)
    before, after = ([cell["probability"] for cell in told["cells"]] for told in (plain, adapted))
    assert before != after


def test_openapi_and_page_load_nothing_from_elsewhere(client: TestClient) -> None:
    spec = client.get("/v1/openapi.json").json()
    assert {"/v1/cells", "/v1/health", "/v1/model"} <= spec["paths"].keys()
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for word in ("http://", "https://", "<style", "style=", "onclick="):
        assert word not in page.text
    for name in ("style.css", "page.js", "icon.svg"):
        assert client.get(f"/static/{name}").status_code == 200
        assert f"/static/{name}" in page.text
    assert client.get("/docs").status_code == 404
    assert client.get("/v1/health").json()["status"] == "ok"
