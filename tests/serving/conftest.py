"""A page over a small run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dorl.serving.app import make_app
from dorl.serving.limits import Limits
from dorl.serving.model import RunRecogniser

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
def opened(folder: Path) -> Iterator[Callable[..., TestClient]]:
    """Start a page over what it is given to recognise by; gives a client. With `alone`, those before it end first."""
    with ExitStack() as clients:

        def start(by: Any, *, alone: bool = False, **options: Any) -> TestClient:
            if alone:
                clients.close()
            return clients.enter_context(TestClient(make_app(by, folder, **options), base_url=ADDRESS))

        yield start


@pytest.fixture
def serve(recogniser: RunRecogniser, opened: Callable[..., TestClient]) -> Callable[..., TestClient]:
    """Start a page over the small run; gives a client."""
    return partial(opened, recogniser)


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    """A page with limits that a test can reach."""
    return serve(limits=Limits(images=40, upload=4_000_000, unpacked=2_000_000, image=500_000, pixels=1_000_000))
