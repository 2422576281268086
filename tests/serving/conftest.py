"""A page over a small run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dorl.pipeline.recognition import RunRecogniser
from dorl.serving.app import make_app
from dorl.serving.limits import Limits

from .asking import ADDRESS


@pytest.fixture(scope="session")
def recogniser(fitted: Path) -> RunRecogniser:
    """The small run of all tests."""
    return RunRecogniser(fitted, device="cpu")


@pytest.fixture(scope="session")
def images(rendered: Path) -> list[Path]:
    """Thirty cells."""
    return sorted((rendered / "dune" / "images").iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the page."""
    return tmp_path / "page"


@pytest.fixture
def serve(recogniser: RunRecogniser, folder: Path) -> Iterator[Callable[..., TestClient]]:
    """Start a page; gives a client."""
    opened: list[TestClient] = []

    def start(**options: object) -> TestClient:
        client = TestClient(make_app(recogniser, folder, **options), base_url=ADDRESS)  # type: ignore[arg-type]
        client.__enter__()
        opened.append(client)
        return client

    yield start
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    """A page with limits that a test can reach."""
    return serve(limits=Limits(images=40, upload=4_000_000, unpacked=2_000_000, image=500_000, pixels=1_000_000))
