"""`dorl serve`: the web page and the JSON API of a run."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dorl.domains.domain import is_name
from dorl.domains.readers import at_home
from dorl.errors import InputError
from dorl.run.folder import check_complete, make_folder
from dorl.run.mixes import check_expect
from dorl.runtime.hub import is_on_hub, located, title_of
from dorl.runtime.progress import say

#: environment variable that may hold the token
TOKEN = "DORL_TOKEN"
#: connections that may wait to be answered
BACKLOG = 2048


def serve(
    run: str | Path,
    *,
    out: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow: Sequence[str] = (),
    token: str | None = None,
    classifier: str | None = None,
    adapt: bool = True,
    expect: str | None = None,
    max_images: int = 5000,
    max_megabytes: int = 1024,
    device: str | None = None,
) -> None:
    """Serve a run until it is stopped.

    Parameters
    ----------
    run : str or Path
        That `fit` made, with labels.
    out : str or Path, optional
        Folder for uploads, results and corrections, ``RUN-page`` beside the run by default, and in
        this folder for one of the hub. What an earlier server left
        in it is there again, and unfinished samples go on.
    host : str
        Address to listen on. With any but this machine's own a token is asked for.
    port : int
        0 takes a free one.
    allow : sequence of str
        ``name=folder``: folders of this machine whose images may be picked on the page.
    token : str, optional
        The environment variable DORL_TOKEN otherwise.
    classifier : str, optional
        One of the run's classifiers; its default otherwise.
    adapt : bool
        Let the classifier over views adapt to a sample of a hundred cells or more that look like another lab's.
    expect : str, optional
        The mix of classes that is expected of each sample, as for `predict`.
    max_images, max_megabytes : int
        Of one upload.
    device : str, optional

    Raises
    ------
    InputError
        If the run, the folders, the address or the token can't be used, or the extra ``serve`` isn't installed.
    """
    try:
        import uvicorn

        from dorl.serving.app import make_app
        from dorl.serving.limits import MB, Limits
        from dorl.serving.security import check_token
    except ImportError as error:
        raise InputError("the page needs FastAPI and uvicorn: pip install 'dorl[serve]'") from error
    check_expect(expect)
    name, beside = title_of(run), not is_on_hub(run)
    run = located(run)
    check_complete(run)
    folders = allowed_folders(allow)
    token = token or os.environ.get(TOKEN) or None
    check_token(host, token)
    if max_images < 1 or max_megabytes < 1:
        raise InputError("--max-images and --max-megabytes must be 1 or more")
    place = (run.resolve().parent if beside else Path()) / f"{name}-page" if out is None else Path(out)
    listening = listen(host, port)
    with listening:
        make_folder(place)
        from dorl.serving.model import RunRecogniser

        say("loading the run")
        recogniser = RunRecogniser(run, name=name, classifier=classifier, adapt=adapt, expect=expect, device=device)
        check_expect(expect, recogniser.classes)
        recogniser.look([np.full((64, 64, 3), 128, np.uint8)])  # the first look takes longest
        size = max_megabytes * MB
        limits = replace(Limits(), images=max_images, upload=size, unpacked=2 * size)
        app = make_app(recogniser, place, allowed=folders, token=token, limits=limits)
        shown = f"[{host}]" if ":" in host else host
        say(f"http://{shown}:{listening.getsockname()[1]}: open it in a browser; Ctrl-C stops; kept in {place}")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5, lifespan="on"
        )
        uvicorn.Server(config).run(sockets=[listening])


def allowed_folders(given: Sequence[str]) -> dict[str, Path]:
    """Folders by name, from ``name=folder`` each."""
    found: dict[str, Path] = {}
    for text in given:
        name, mark, folder = text.partition("=")
        if not mark or not is_name(name):
            raise InputError(f"--allow {text}: give NAME=FOLDER, the name of letters, digits, '.', '_' and '-'")
        folder = at_home(folder)
        if name in found:
            raise InputError(f"--allow {text}: the name {name} is given twice")
        if not folder or not Path(folder).is_dir():
            raise InputError(f"--allow {text}: {folder or 'nothing'} is no folder")
        found[name] = Path(folder).resolve()
    return found


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, before the run is loaded, so that a wrong address is told at once."""
    if not 0 <= port <= 65_535:
        raise InputError(f"--port {port}: give 0 to 65535")
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise InputError(
            f"can't listen on {host}, port {port}: {error.strerror}; give another --host or --port"
        ) from error
    return listening
