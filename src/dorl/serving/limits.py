"""How much is taken from others before a request is refused."""

from __future__ import annotations

from dataclasses import dataclass

MB = 2**20


class Refused(Exception):  # noqa: N818 - a request's answer, not a fault
    """A request that can't be answered: the HTTP status (4xx), and one line that says why and how to mend it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Limits:
    """Limits on requests.

    Parameters
    ----------
    images : int
        Of one sample.
    upload : int
        Bytes of one request's body.
    unpacked : int
        Bytes of all images of one upload, once its zips are unpacked.
    image : int
        Bytes of one image.
    pixels : int
        Of one image.
    seconds : float
        In which an upload must be whole.
    body, body_seconds : int, float
        Bytes of the body of a request that is no upload, and seconds in which it must be whole.
    requests, uploads : int
        That are being answered at the same time; more get 429.
    waiting : int
        Images that wait to be looked at; while there are more, new ones get 429.
    disk : int
        Bytes of all images that are kept.
    """

    images: int = 5000
    upload: int = 1024 * MB
    unpacked: int = 2048 * MB
    image: int = 32 * MB
    pixels: int = 25_000_000
    seconds: float = 300.0
    body: int = 64 * 1024
    body_seconds: float = 10.0
    requests: int = 64
    uploads: int = 4
    waiting: int = 20_000
    disk: int = 20_480 * MB


def in_words(count: int) -> str:
    """Bytes as a whole number of MB, or of kB below one."""
    return f"{count // MB} MB" if count >= MB else f"{max(1, count // 1024)} kB"
