"""The routes of the API, all below /v1."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

import dorl
from dorl.errors import InputError
from dorl.serving import answers
from dorl.serving.cells import Order, Show
from dorl.serving.export import write_lab, write_table
from dorl.serving.guard import COOKIE, cookie, same
from dorl.serving.intake import Place, Taken, take_folder, take_uploaded
from dorl.serving.limits import Refused, in_words
from dorl.serving.multipart import new_folder, receive
from dorl.serving.recogniser import PICTURES
from dorl.serving.server import Server
from dorl.taxonomy import CLASSES, NODES

#: keys of the classes, in their order; o and u are commands of the page, and a class beyond these has no key
KEYS = "1234567890abcdefghijklm"
#: cells in one answer, and seconds that an answer may be waited for
MOST, LONGEST = 500, 60
#: seconds between two looks whether a sample is done
STEP = 0.05

_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}
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
                            "description": "Images (jpg, png, bmp, tiff), and zips of images.",
                        }
                    },
                    "required": ["files"],
                }
            }
        },
    }
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "No image that can be used; the reason is given."},
    413: {"description": "Over a limit."},
    429: {"description": "Too much at the same time; try again."},
}

#: of a sample, a cell or a row
Number = Annotated[int, InPath(ge=0, lt=2**63)]
Wait = Annotated[float, Query(ge=0, le=LONGEST, description="Seconds to wait for all cells; 202 where they aren't.")]


def add_routes(app: FastAPI, server: Server) -> None:
    """Give an application the routes of a server."""
    api = APIRouter(prefix="/v1")
    _about(api, server)
    _samples(api, server)
    _cells(api, server)
    app.include_router(api)


def _about(api: APIRouter, server: Server) -> None:
    recogniser = server.recogniser

    @api.get("/health")
    def health() -> answers.Health:
        """Whether the server works."""
        return answers.Health(version=dorl.__version__, waiting=server.samples.load()[0])

    @api.get("/model")
    def model() -> answers.Model:
        """The run that looks at cells."""
        keys = KEYS.ljust(len(recogniser.classes))
        classes = [answers.Class(name=n, key=k.strip()) for n, k in zip(recogniser.classes, keys, strict=False)]
        others = [name for name in (*CLASSES, *NODES) if name != "cell" and name not in recogniser.classes]
        limits = {name: getattr(server.limits, name) for name in ("images", "upload", "image", "pixels")}
        return answers.Model(
            name=recogniser.name,
            version=recogniser.version,
            classes=classes,
            other_classes=list(dict.fromkeys(others)),
            folders=sorted(server.allowed),
            limits=limits,
            facts=recogniser.facts,
        )

    @api.post("/session", status_code=204)
    def begin_session(given: answers.Token, request: Request, response: Response) -> None:
        """Give the token once, for a cookie that stands for it."""
        if server.token is None:
            return
        if not same(given.token, server.token):
            raise Refused(401, "this is not the token that the server was started with")
        response.set_cookie(
            COOKIE, cookie(server.token), httponly=True, samesite="strict", secure=request.url.scheme == "https"
        )

    @api.get("/training/{row}.jpg", responses=_JPEG, response_class=Response)
    def training_picture(row: Number) -> Response:
        """A training cell, cut out, by its row in the run's cell store."""
        try:
            return _jpeg(recogniser.training_picture(row))
        except InputError as error:
            raise Refused(404, str(error)) from error


def _samples(api: APIRouter, server: Server) -> None:
    @api.post("/cells", openapi_extra=_FILES, responses={202: {"model": answers.CellsOfSample}, **_REFUSALS})
    async def add_cells(request: Request, response: Response, wait: Wait = 30) -> answers.CellsOfSample:
        """Send images or zips of images as a new sample, and get its cells."""
        _check_load(server)
        if server.receiving >= server.limits.uploads:
            raise Refused(429, "too many uploads at the same time: try again in a few seconds")
        server.receiving += 1
        folder = new_folder(server.places.samples)
        try:
            files = await receive(request, folder, server.limits)
            taken = await run_in_threadpool(take_uploaded, files, folder, server.limits)
            name = files[0].name if len(files) == 1 else f"{len(files)} files"
            sample = await run_in_threadpool(server.enter, name, taken, Place(folder.name, None))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            server.receiving -= 1
        return await _when_done(server, sample, wait, response)

    @api.post("/folders/{name}/cells", responses={202: {"model": answers.CellsOfSample}, **_REFUSALS})
    async def add_folder(name: str, response: Response, wait: Wait = 0) -> answers.CellsOfSample:
        """Take the images of a folder of the server, and those below it, as a new sample."""
        if name not in server.allowed:
            raise Refused(404, f"no folder {name[:100]!r} is allowed here (dorl serve --allow NAME=FOLDER)")
        _check_load(server)
        taken = await run_in_threadpool(take_folder, server.allowed[name], server.limits)
        sample = await run_in_threadpool(server.enter, name, taken, Place("", name))
        return await _when_done(server, sample, wait, response)

    @api.get("/samples")
    def list_samples() -> list[answers.Sample]:
        """All samples, the newest first."""
        return [answers.Sample(**found) for found in server.samples.every()]

    @api.get("/samples/{sample}")
    def get_sample(sample: Number) -> answers.Sample:
        """How far a sample is, and what was found in it."""
        return _sample(server, sample)

    @api.delete("/samples/{sample}", status_code=204)
    def drop_sample(sample: Number) -> None:
        """Remove a sample: its uploaded images, its cells and their corrections."""
        if not server.drop(sample):
            raise Refused(404, f"no sample {sample}")

    @api.get("/samples/{sample}/cells")
    def list_cells(
        sample: Number,
        order: Order = "given",
        show: Show = "all",
        of_class: Annotated[str | None, Query(alias="class")] = None,
        start: Annotated[int, Query(ge=0, le=10**9)] = 0,
        most: Annotated[int, Query(ge=1, le=MOST)] = 60,
    ) -> answers.CellsOfSample:
        """Cells of a sample that have been looked at, in an order, with a filter."""
        found = _sample(server, sample)
        count, cells = server.cells.some(sample, order=order, show=show, of_class=of_class, start=start, most=most)
        return answers.CellsOfSample(sample=found, count=count, cells=[_cell(server, cell) for cell in cells])

    @api.get("/samples/{sample}/cells.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
    def export_table(sample: Number) -> Response:
        """A sample's cells as a table."""
        _sample(server, sample)
        text = write_table(server.cells.rows(sample), server.recogniser.classes)
        return Response(text, media_type="text/csv; charset=utf-8", headers=_download(f"sample-{sample}.csv"))

    @api.get(
        "/samples/{sample}/lab.zip", response_class=Response, responses={200: {"content": {"application/zip": {}}}}
    )
    def export_lab(sample: Number) -> FileResponse:
        """A sample's images with a manifest of the classes that a person gave: a lab that dorl fit reads."""
        place = server.samples.place(sample)
        rows = server.cells.rows(sample)
        if place is None:
            raise Refused(404, f"no sample {sample}")
        with tempfile.NamedTemporaryFile(dir=server.folder, suffix=".zip", delete=False) as file:
            path = Path(file.name)
            try:
                write_lab(rows, place, server.places, file)
            except BaseException:
                path.unlink()
                raise
        gone = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(
            path, media_type="application/zip", headers=_download(f"sample-{sample}.zip"), background=gone
        )


def _cells(api: APIRouter, server: Server) -> None:
    @api.get("/cells/{cell}")
    def get_cell(cell: Number) -> answers.CellInFull:
        """A cell in full."""
        found = server.cells.get(cell)
        if found is None:
            raise Refused(404, f"no cell {cell}")
        if found.pop("model") != server.recogniser.version:
            found["neighbours"] = []  # rows of another run's store
        return answers.CellInFull(**_named(server, found))

    @api.get("/cells/{cell}/{kind}.jpg", responses=_JPEG, response_class=Response)
    def picture(cell: Number, kind: str) -> Response:
        """A picture of a cell: image, outlined, segmented or reconstruction."""
        data = server.cells.picture(cell, kind) if kind in PICTURES else None
        if data is None:
            raise Refused(404, f"no such picture of cell {cell}: there are {', '.join(PICTURES)}")
        return _jpeg(data)

    @api.put("/cells/{cell}/label", status_code=204)
    def correct(cell: Number, given: answers.Label) -> None:
        """Give a cell a class: correct the classifier, or say that it is right."""
        if given.label not in NODES or given.label == "cell":
            raise Refused(422, f"{given.label[:100]!r} is no class; known are {', '.join(NODES[1:])}")
        if not server.cells.correct(cell, given.label):
            raise Refused(404, f"no cell {cell}")

    @api.delete("/cells/{cell}/label", status_code=204)
    def take_back(cell: Number) -> None:
        """Take a cell's class back; that it was given stays in its history."""
        if not server.cells.correct(cell, None):
            raise Refused(404, f"no cell {cell}")


def _check_load(server: Server) -> None:
    waiting, kept = server.samples.load()
    if waiting >= server.limits.waiting:
        raise Refused(429, f"{waiting} images are waiting already: try again later")
    if kept >= server.limits.disk:
        raise Refused(413, f"over {in_words(server.limits.disk)} of images are kept: remove samples")


async def _when_done(server: Server, sample: int, wait: float, response: Response) -> answers.CellsOfSample:
    """The cells of a sample once they are all there; with 202 those that are there when the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wait
    while not server.worker.is_done(sample) and loop.time() < end:
        await asyncio.sleep(STEP)
    found = await run_in_threadpool(_sample, server, sample)
    if found.state != "done":
        response.status_code = 202
    elif not found.images:  # what could be told of no header
        await run_in_threadpool(server.drop, sample)
        Taken([], [(one.name, one.reason) for one in found.left_out]).require_one()
    response.headers["location"] = f"/v1/samples/{sample}"
    count, cells = await run_in_threadpool(server.cells.some, sample, most=MOST)
    return answers.CellsOfSample(sample=found, count=count, cells=[_cell(server, cell) for cell in cells])


def _sample(server: Server, sample: int) -> answers.Sample:
    found = server.samples.describe(sample)
    if found is None:
        raise Refused(404, f"no sample {sample}")
    return answers.Sample(**found)


def _named(server: Server, cell: dict[str, Any]) -> dict[str, Any]:
    """A cell with its probabilities by the names of the classes; none where another run's classes said them."""
    values, classes = cell["probabilities"], server.recogniser.classes
    named = dict(zip(classes, values, strict=True)) if len(values) == len(classes) else {}
    return {**cell, "probabilities": named}


def _cell(server: Server, cell: dict[str, Any]) -> answers.Cell:
    return answers.Cell(**_named(server, cell))


def _jpeg(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg")


def _download(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}
