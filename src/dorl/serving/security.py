"""The checks before any request reaches the page: who asks, and how long a body is; and headers on every answer."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from anyio import fail_after

from dorl.errors import InputError
from dorl.serving.limits import Limits, Refused, in_words

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: routes that read their bodies bit by bit, within limits of their own (`multipart`)
UPLOADS = ("/v1/cells", "/v1/fields")

COOKIE = "dorl"
#: characters of the shortest token
SHORTEST = 16
#: what is answered without a token: the page itself, which then asks for it, and whether the server is alive
OPEN = ("/", "/v1/health", "/v1/session")
#: methods that change nothing
SAFE = ("GET", "HEAD", "OPTIONS")

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",  # people's cells are kept on no one's disk but the server's
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether only this very machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_token(host: str, token: str | None) -> None:
    """Refuse to listen beyond this machine without a token, and a token that can be guessed."""
    if token is None and not is_loopback(host):
        raise InputError(
            f"--host {host}: others on the network could use the page; set a token of {SHORTEST} characters or more "
            "in the environment variable DORL_TOKEN (or --token)"
        )
    if token is not None and (len(token) < SHORTEST or not token.isascii() or not token.isprintable()):
        raise InputError(f"the token must have {SHORTEST} characters or more, of ASCII")


class Guard:
    """Refuses strangers, pages of other hosts, and more, longer and slower requests than can be answered.

    Parameters
    ----------
    app : ASGI application
    token : str, optional
        Asked for in ``Authorization: Bearer``, or the cookie that `cookie` gives.
    limits : Limits
        Of requests at the same time, and of the bodies of those that are no uploads.
    """

    def __init__(self, app: App, *, token: str | None, limits: Limits) -> None:
        self._app = app
        self._token = token
        self._limits = limits
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope, headers)
        if refused is None and self._now >= self._limits.requests:
            refused = (429, "too many requests at the same time: try again in a few seconds")
        if refused is not None:
            await _answer(with_headers, *refused)
            return
        self._now += 1
        try:
            if not is_upload(scope):
                receive = await read_body(receive, headers, self._limits)
            await self._app(scope, receive, with_headers)
        except Refused as error:  # of the body alone: the routes' own are answered within
            await _answer(with_headers, error.status, error.reason)
        finally:
            self._now -= 1

    def _refused(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and reason for a request that may not be answered; None for others."""
        host = headers.get("host", "")
        if self._token is None and not is_loopback(_name(host)):
            # a page of another host whose name was made to lead here
            return 400, f"this server answers to 127.0.0.1 and localhost only, not to {host[:100]!r}"
        if scope["method"] not in SAFE:
            origin = headers.get("origin")
            foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
            if foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return 403, "this came from a page of another host, which may not change anything here"
        path = scope["path"]
        if self._token is None or path in OPEN or path.startswith("/static/") or self._known(headers):
            return None
        return 401, "a token is asked for: send it as 'Authorization: Bearer TOKEN'"

    def _known(self, headers: dict[str, str]) -> bool:
        assert self._token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return same(given.strip(), self._token)
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and same(morsel.value, cookie(self._token))


def cookie(token: str) -> str:
    """What the page's cookie holds in place of the token itself."""
    return hmac.new(token.encode(), b"dorl page", hashlib.sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Compare in a time that doesn't tell how much is right."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _name(host: str) -> str:
    """A Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _answer(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 429:
        headers.append((b"retry-after", b"2"))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


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
