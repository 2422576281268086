"""A page that listens, and a browser's view of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI

from dorl.commands.serve import listen


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """Let an application listen; gives its address."""
    import uvicorn

    with listen("127.0.0.1", 0) as opened:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def watched(browser: Any, address: str) -> Iterator[Any]:
    """The page at desktop width; any fault in its scripts, and any request to another host, fails the test."""
    from playwright.sync_api import expect

    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    # what the server refuses, the browser counts as an error of its own
    refused = "Failed to load resource"
    opened.on(
        "console", lambda line: faults.append(line.text) if line.type == "error" and refused not in line.text else 0
    )
    opened.on("request", lambda request: faults.append(request.url) if not request.url.startswith(address) else None)
    opened.goto(address)
    expect(opened.locator("#files")).to_be_enabled()
    yield opened
    opened.close()
    assert faults == []
