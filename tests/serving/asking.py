"""Files to send to the page, and sending them."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image

ADDRESS = "http://127.0.0.1"


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip of files by their names, as they are."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def png(width: int, height: int) -> bytes:
    """A white picture."""
    made = io.BytesIO()
    Image.new("L", (width, height), 255).save(made, "PNG")
    return made.getvalue()


def send(client: TestClient, *files: tuple[str, bytes], wait: float = 30) -> Any:
    """Upload files by name."""
    parts = [("files", (name, data)) for name, data in files]
    return client.post("/v1/cells", params={"wait": wait}, files=parts)


def send_fields(client: TestClient, *files: tuple[str, bytes], wait: float = 60) -> Any:
    """Upload smear fields by name."""
    parts = [("files", (name, data)) for name, data in files]
    return client.post("/v1/fields", params={"wait": wait}, files=parts)
