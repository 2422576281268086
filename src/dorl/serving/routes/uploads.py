"""The routes that take images: of single cells, or smear fields, sent or picked from a folder of the server."""

from __future__ import annotations

import asyncio
import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from dorl.serving import schemas
from dorl.serving.limits import Refused, in_words
from dorl.serving.routes.answers import MAX_ANSWERED_CELLS, cells_answer, sample_answer
from dorl.serving.server import Server
from dorl.serving.uploads.intake import Place, Upload, take_folder, take_uploaded
from dorl.serving.uploads.multipart import new_folder, receive

#: seconds that an answer may be waited for, and between two looks whether a sample is done
MAX_WAIT, STEP = 60, 0.05

_FILES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "Images (jpg, png, bmp, tiff, webp, gif), and zips of images.",
                        }
                    },
                    "required": ["files"],
                }
            }
        },
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.CellsOfSample},
    400: {"description": "No image that can be used; the reason is given."},
    413: {"description": "Over a limit."},
    429: {"description": "Too much at the same time; try again."},
}

Wait = Annotated[float, Query(ge=0, le=MAX_WAIT, description="Seconds to wait for all cells; 202 where they aren't.")]


def add_uploads(api: APIRouter, server: Server) -> None:
    """Give a router the routes that take images."""

    @api.post("/cells", openapi_extra=_FILES, responses=_ANSWERS)
    async def add_cells(request: Request, response: Response, wait: Wait = 30) -> schemas.CellsOfSample:
        """Send images of single cells, or zips of them, as a new sample, and get its cells."""
        return await _upload(server, request, response, wait, fields=False)

    @api.post("/fields", openapi_extra=_FILES, responses=_ANSWERS)
    async def add_fields(request: Request, response: Response, wait: Wait = 30) -> schemas.CellsOfSample:
        """Send smear fields, or zips of them, as a new sample, and get the white cells that are found in them."""
        return await _upload(server, request, response, wait, fields=True)

    @api.post("/folders/{name}/cells", responses=_ANSWERS)
    async def add_folder(name: str, response: Response, wait: Wait = 0) -> schemas.CellsOfSample:
        """Take the images of a folder of the server, and those below it, as a new sample of single cells."""
        return await _pick(server, name, response, wait, fields=False)

    @api.post("/folders/{name}/fields", responses=_ANSWERS)
    async def add_folder_of_fields(name: str, response: Response, wait: Wait = 0) -> schemas.CellsOfSample:
        """Take the images of a folder of the server, and those below it, as a new sample of smear fields."""
        return await _pick(server, name, response, wait, fields=True)


async def _upload(
    server: Server, request: Request, response: Response, wait: float, *, fields: bool
) -> schemas.CellsOfSample:
    _check_load(server)
    if server.receiving >= server.limits.uploads:
        raise Refused(429, "too many uploads at the same time: try again in a few seconds")
    server.receiving += 1
    folder = new_folder(server.places.samples)
    try:
        files = await receive(request, folder, server.limits)
        upload = await run_in_threadpool(take_uploaded, files, folder, server.limits)
        name = files[0].name if len(files) == 1 else f"{len(files)} files"
        sample = await run_in_threadpool(server.enter, name, upload, Place(folder.name, None), fields=fields)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        server.receiving -= 1
    return await _when_done(server, sample, wait, response)


async def _pick(server: Server, name: str, response: Response, wait: float, *, fields: bool) -> schemas.CellsOfSample:
    if name not in server.allowed:
        raise Refused(404, f"no folder {name[:100]!r} is allowed here (dorl serve --allow NAME=FOLDER)")
    _check_load(server)
    upload = await run_in_threadpool(take_folder, server.allowed[name], server.limits)
    # what is cut out of fields is kept here: nothing is written into a folder of the server
    own = new_folder(server.places.samples) if fields else None
    if own is not None:
        own.mkdir()
    place = Place("" if own is None else own.name, name)
    sample = await run_in_threadpool(server.enter, name, upload, place, fields=fields)
    return await _when_done(server, sample, wait, response)


def _check_load(server: Server) -> None:
    waiting, kept = server.samples.load()
    if waiting >= server.limits.waiting:
        raise Refused(429, f"{waiting} images are waiting already: try again later")
    if kept >= server.limits.disk:
        raise Refused(413, f"over {in_words(server.limits.disk)} of images are kept: remove samples")


async def _when_done(server: Server, sample: int, wait: float, response: Response) -> schemas.CellsOfSample:
    """The cells of a sample once they are all there; with 202 those that are there when the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wait
    while not server.worker.is_done(sample) and loop.time() < end:
        await asyncio.sleep(STEP)
    found = await run_in_threadpool(sample_answer, server, sample)
    if found.state != "done":
        response.status_code = 202
    elif not (found.images or found.fields):  # what could be told of no header
        await run_in_threadpool(server.drop, sample)
        Upload([], [(one.name, one.reason) for one in found.left_out]).require_one()
    response.headers["location"] = f"/v1/samples/{sample}"
    return await run_in_threadpool(cells_answer, server, found, most=MAX_ANSWERED_CELLS)
