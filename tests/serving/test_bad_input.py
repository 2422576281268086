"""What no one should send: refused with one line, nothing written elsewhere, and the next good request works."""

from __future__ import annotations

import asyncio
import io
import struct
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from dorl.serving.app import make_app
from dorl.serving.limits import Limits
from dorl.serving.model import RunRecogniser

from .asking import ADDRESS, png, send, zipped


@pytest.fixture
def refused(client: TestClient, images: list[Path], folder: Path, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Send files that must be refused; gives the line. Afterwards a good image works, and nothing else is there."""

    def ask(*files: tuple[str, bytes], status: int = 400) -> str:
        answer = send(client, *files)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        detail = answer.json()["detail"]
        assert "\n" not in detail
        assert str(tmp_path) not in detail
        return detail

    yield ask
    assert list((folder / "samples").iterdir()) == []
    assert client.get("/v1/samples").json() == []
    assert send(client, ("good.png", images[0].read_bytes())).status_code == 200
    assert {path.name for path in tmp_path.iterdir()} == {"page"}
    assert {path.name for path in folder.iterdir()} <= {"samples", "page.sqlite", "page.sqlite-wal", "page.sqlite-shm"}


def test_what_is_no_image(refused: Callable[..., str]) -> None:
    assert (
        refused(("a.png", b"hello"))
        == "no image that can be used: a.png: not a readable jpg, png, bmp, tiff, webp or gif image"
    )
    assert refused(("a.png", b"")) == "no image that can be used: a.png: the file is empty"
    assert "and 1 more" in refused(("a.png", b""), ("b.png", b"x"))


def test_an_image_whose_pixels_break_off(refused: Callable[..., str], images: list[Path]) -> None:
    assert "damaged or truncated" in refused(("a.png", images[0].read_bytes()[:2000]))


def test_a_hundred_megapixels_in_fifty_kilobytes(refused: Callable[..., str]) -> None:
    bomb = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < 50_000
    assert refused(("bomb.png", bomb.getvalue())) == "no image that can be used: bomb.png: over 64 megapixels"
    # below what is read elsewhere, above the limit of this page
    assert "over 1 megapixels" in refused(("large.png", png(2000, 2000)))


def test_an_image_of_too_many_bytes(refused: Callable[..., str]) -> None:
    assert "over 488 kB" in refused(("a.bmp", b"BM" + bytes(600_000)))


def test_a_zip_that_names_places_outside(refused: Callable[..., str], images: list[Path], tmp_path: Path) -> None:
    good = images[0].read_bytes()
    for name in ("../evil.png", "a/../../evil.png", "/tmp/evil.png", "C:/evil.png", "..\\evil.png"):
        line = refused(("slide.zip", zipped({"good.png": good, name: good})))
        assert "names a place outside" in line
    assert not (tmp_path / "evil.png").exists()


def test_a_zip_bomb(refused: Callable[..., str]) -> None:
    many = zipped({f"{number}.png": bytes(400_000) for number in range(30)})
    assert len(many) < 30_000
    assert "unpacks to over 1 MB" in refused(("bomb.zip", many), status=413)
    one = zipped({"huge.png": bytes(50_000_000)})
    assert "over" in refused(("bomb.zip", one))
    nested = zipped({"a.zip": one})
    assert "no image in the zip" in refused(("bomb.zip", nested))


def test_a_zip_that_lies_about_its_sizes(refused: Callable[..., str]) -> None:
    data = bytearray(zipped({"a.png": bytes(3_000_000)}))
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", 100)  # the size that the list of contents gives
    refused(("lies.zip", bytes(data)))


def test_damaged_encrypted_and_odd_zips(refused: Callable[..., str], images: list[Path]) -> None:
    good = zipped({"a.png": images[0].read_bytes()})
    assert "damaged zip" in refused(("cut.zip", good[:-40]))
    assert "damaged zip" in refused(("cut.zip", good[:4]))
    secret = bytearray(good)
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        secret[secret.index(mark) + place] |= 1
    assert "encrypted" in refused(("secret.zip", bytes(secret)))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", images[0].read_bytes())
    assert "ordinary zip" in refused(("lzma.zip", packed.getvalue()))


def test_too_many_images_and_too_long_a_list_of_contents(refused: Callable[..., str]) -> None:
    image = png(8, 8)
    assert "over 40" in refused(("many.zip", zipped({f"{i}.png": image for i in range(41)})), status=413)
    assert "more than 40 files" in refused(*((f"{i}.png", image) for i in range(41)), status=413)
    data = bytearray(zipped({"a.png": image}))
    data[-10:-6] = struct.pack("<I", 2**31)
    assert "too many files" in refused(("list.zip", bytes(data)), status=413)


def test_too_large_a_request(refused: Callable[..., str], client: TestClient) -> None:
    assert "over 3 MB" in refused(("a.bin", bytes(5_000_000)), status=413)

    def chunks() -> Iterator[bytes]:  # without a length that could be looked at before
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        for _ in range(100):
            yield bytes(100_000)

    answer = client.post("/v1/cells", content=chunks(), headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 413


def test_requests_that_are_no_uploads(refused: Callable[..., str], client: TestClient) -> None:
    assert client.post("/v1/cells").status_code == 415
    assert client.post("/v1/cells", content=b"x", headers={"content-type": "image/png"}).status_code == 415
    odd = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/v1/cells", content=b"not at all", headers=odd).status_code == 400
    assert client.post("/v1/cells", content=b"--x--\r\n", headers=odd).status_code == 400
    assert client.post("/v1/cells", data={"files": "words"}, files={"other": ("", b"")}).status_code == 400


def test_a_name_that_leads_away_is_only_a_name(client: TestClient, images: list[Path], tmp_path: Path) -> None:
    names = ["../../evil.png", "/etc/evil.png", "C:\\temp\\evil.png", "<b>evil</b>.png", "e" * 1400 + ".png"]
    told = send(client, *((name, images[0].read_bytes()) for name in names)).json()
    shown = [cell["name"] for cell in told["cells"]]
    assert shown[:4] == ["evil.png", "etc/evil.png", "evil.png", "<b>evil</b>.png"]
    assert len(shown[4]) == 1000
    assert list(tmp_path.rglob("*evil*")) == []


def test_a_slow_upload_ends(recogniser: RunRecogniser, folder: Path) -> None:
    app = make_app(recogniser, folder, limits=Limits(seconds=0.2))

    async def slow() -> int:
        async def body() -> AsyncIterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
            await asyncio.sleep(5)

        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as asking,
        ):
            headers = {"content-type": "multipart/form-data; boundary=x"}
            return (await asking.post("/v1/cells", content=body(), headers=headers)).status_code

    assert asyncio.run(slow()) == 408
    assert list((folder / "samples").iterdir()) == []


def test_a_thousand_requests_at_the_same_time(recogniser: RunRecogniser, images: list[Path], folder: Path) -> None:
    app = make_app(recogniser, folder, limits=Limits(requests=16, uploads=2, waiting=10))
    image = images[0].read_bytes()

    async def storm() -> tuple[list[int], int]:
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as asking,
        ):

            async def one() -> int:
                answer = await asking.post("/v1/cells", params={"wait": 0}, files={"files": ("a.png", image)})
                return answer.status_code

            states = await asyncio.gather(*(one() for _ in range(1000)))
            for _ in range(600):
                if (await asking.get("/v1/health")).json()["waiting"] == 0:
                    break
                await asyncio.sleep(0.05)
            after = await asking.post("/v1/cells", params={"wait": 30}, files={"files": ("a.png", image)})
            return states, after.status_code

    states, after = asyncio.run(storm())
    assert set(states) == {202, 429} or set(states) == {200, 202, 429}
    assert states.count(429) > 500
    assert after == 200
