"""Bodies of requests that are no uploads: read before anything is answered, as far as they are short and quick."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from anyio import fail_after

from dorl.serving.limits import Limits, Refused, in_words

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

#: routes that read their bodies bit by bit, within limits of their own (`multipart`)
UPLOADS = ("/v1/cells", "/v1/fields")


def is_upload(scope: Scope) -> bool:
    """Whether a request brings images."""
    return scope["method"] == "POST" and scope["path"].rstrip("/") in UPLOADS


async def read_body(receive: Receive, headers: Mapping[str, str], limits: Limits) -> Receive:
    """Read a whole body, and give a `receive` that has it at hand.

    Raises
    ------
    Refused
        If it has too many bytes (413), or takes too long (408).
    """
    too_large = Refused(413, f"the request is over {in_words(limits.body)}: send less")
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.body:
        raise too_large
    body = bytearray()
    try:
        with fail_after(limits.body_seconds):
            while (message := await receive())["type"] == "http.request":
                body += message.get("body", b"")
                if len(body) > limits.body:
                    raise too_large
                if not message.get("more_body", False):
                    message = {"type": "http.request", "body": bytes(body), "more_body": False}
                    break
    except TimeoutError as error:
        raise Refused(408, f"the request took more than {limits.body_seconds:g} s: send it again") from error
    kept: list[Message] = [message]  # the whole body, or that its sender is gone

    async def again() -> Message:
        return kept.pop() if kept else await receive()

    return again
