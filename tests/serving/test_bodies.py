"""Bodies of requests that are no uploads: too long or too slow ones are refused, whoever sends them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

from dorl.serving.app import make_app
from dorl.serving.limits import Limits

from .asking import ADDRESS, png, send, zipped
from .standin import StandIn

TOKEN = "a-token-that-is-long-enough"
Serve = Callable[..., TestClient]


@pytest.fixture
def serve(opened: Serve) -> Serve:
    """A page without a model."""
    return partial(opened, StandIn())


def test_a_long_body_is_refused_with_and_without_its_length(serve: Serve) -> None:
    client = serve(token=TOKEN)

    def chunks() -> Iterator[bytes]:
        for _ in range(10):
            yield bytes(10_000)

    json = {"content-type": "application/json"}
    for body in (bytes(70_000), chunks()):
        answer = client.post("/v1/session", content=body, headers=json)
        assert answer.status_code == 413
        assert answer.json() == {"detail": "the request is over 64 kB: send less"}
    # nor is it read where nobody asked for a body
    assert client.post("/v1/health", content=bytes(70_000)).status_code == 413
    assert client.post("/v1/session", json={"token": TOKEN}).status_code == 204
    assert client.post("/v1/session", content=b'{"token": "%b"}' % (b"x" * 60_000), headers=json).status_code == 401


def test_a_slow_body_is_refused_and_a_slow_upload_is_not(folder: Path) -> None:
    app = make_app(StandIn(), folder, limits=Limits(body_seconds=0.2))
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'

    async def slow(asking: httpx2.AsyncClient, path: str, kind: str, *parts: bytes) -> httpx2.Response:
        async def body() -> AsyncIterator[bytes]:
            for part in parts:
                yield part
                await asyncio.sleep(0.5)

        return await asking.post(path, content=body(), headers={"content-type": kind})

    async def ask() -> tuple[httpx2.Response, httpx2.Response]:
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as asking,
        ):
            return (
                await slow(asking, "/v1/session", "application/json", b'{"token":', b'"x"}'),
                await slow(asking, "/v1/cells", "multipart/form-data; boundary=x", head, png(16, 16), b"\r\n--x--\r\n"),
            )

    began = time.monotonic()
    session, upload = asyncio.run(ask())
    assert time.monotonic() - began < 10
    assert session.status_code == 408
    assert session.json() == {"detail": "the request took more than 0.2 s: send it again"}
    assert upload.status_code == 200


def test_long_uploads_and_long_waits_are_not_cut(serve: Serve, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    for number in range(3):
        (lab / f"{number}.png").write_bytes(png(400, 400))
    client = serve(allowed={"lab": lab}, limits=Limits(body=1000, body_seconds=0.1))
    noise = zipped({f"{number}.png": png(16, 16) for number in range(60)})
    assert len(noise) > 5000
    assert send(client, ("slide.zip", noise)).status_code == 200
    assert client.post("/v1/folders/lab/cells", params={"wait": 30}).status_code == 200
