"""The routes of the API, all below /v1."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

import dorl
from dorl.errors import InputError
from dorl.serving import schemas
from dorl.serving.cells import Order, Show
from dorl.serving.export import write_lab, write_table
from dorl.serving.limits import Refused
from dorl.serving.recogniser import FIELD_PICTURES, PICTURES
from dorl.serving.routes.answers import MAX_ANSWERED_CELLS, as_sample, cells_answer, download, jpeg, sample_answer
from dorl.serving.routes.uploads import add_uploads
from dorl.serving.security import COOKIE, cookie, same
from dorl.serving.server import Server
from dorl.taxonomy import CLASSES, NODES

#: keys of the classes, in their order; o and u are commands of the page, and a class beyond these has no key
KEYS = "1234567890abcdefghijklm"

_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}

#: of a sample, a cell or a row
Number = Annotated[int, InPath(ge=0, lt=2**63)]


def add_routes(app: FastAPI, server: Server) -> None:
    """Give an application the routes of a server."""
    api = APIRouter(prefix="/v1")
    _about(api, server)
    add_uploads(api, server)
    _samples(api, server)
    _cells(api, server)
    app.include_router(api)


def _about(api: APIRouter, server: Server) -> None:
    recogniser = server.recogniser

    @api.get("/health")
    def health() -> schemas.Health:
        """Whether the server works."""
        return schemas.Health(version=dorl.__version__, waiting=server.samples.load()[0])

    @api.get("/model")
    def model() -> schemas.Model:
        """The run that looks at cells."""
        keys = KEYS.ljust(len(recogniser.classes))
        classes = [schemas.Class(name=n, key=k.strip()) for n, k in zip(recogniser.classes, keys, strict=False)]
        others = [name for name in (*CLASSES, *NODES) if name != "cell" and name not in recogniser.classes]
        limits = {name: getattr(server.limits, name) for name in ("images", "upload", "image", "pixels")}
        return schemas.Model(
            name=recogniser.name,
            version=recogniser.version,
            classes=classes,
            other_classes=list(dict.fromkeys(others)),
            folders=sorted(server.allowed),
            limits=limits,
            facts=recogniser.facts,
        )

    @api.post("/session", status_code=204)
    def begin_session(given: schemas.Token, request: Request, response: Response) -> None:
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
            return jpeg(recogniser.training_picture(row))
        except InputError as error:
            raise Refused(404, str(error)) from error


def _samples(api: APIRouter, server: Server) -> None:
    @api.get("/samples")
    def list_samples() -> list[schemas.Sample]:
        """All samples, the newest first."""
        return [as_sample(server, found) for found in server.samples.every()]

    @api.get("/samples/{sample}")
    def get_sample(sample: Number) -> schemas.Sample:
        """How far a sample is, and what was found in it."""
        return sample_answer(server, sample)

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
        field: Annotated[int | None, Query(ge=0, lt=2**63, description="Of this smear field alone.")] = None,
        start: Annotated[int, Query(ge=0, le=10**9)] = 0,
        most: Annotated[int, Query(ge=1, le=MAX_ANSWERED_CELLS)] = 60,
    ) -> schemas.CellsOfSample:
        """Cells of a sample that have been looked at, in an order, with a filter."""
        asked = {"order": order, "show": show, "of_class": of_class, "field": field, "start": start, "most": most}
        return cells_answer(server, sample_answer(server, sample), **asked)

    @api.get("/samples/{sample}/fields")
    def list_fields(sample: Number) -> list[schemas.SmearField]:
        """The smear fields of a sample that have been searched."""
        sample_answer(server, sample)
        return [schemas.SmearField(**found) for found in server.fields.of_sample(sample)]

    @api.get("/samples/{sample}/cells.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
    def export_table(sample: Number) -> Response:
        """A sample's cells as a table."""
        fields = sample_answer(server, sample).kind == "fields"
        text = write_table(server.cells.rows(sample), server.recogniser.classes, fields=fields)
        return Response(text, media_type="text/csv; charset=utf-8", headers=download(f"sample-{sample}.csv"))

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
            path, media_type="application/zip", headers=download(f"sample-{sample}.zip"), background=gone
        )


def _cells(api: APIRouter, server: Server) -> None:
    @api.get("/cells/{cell}")
    def get_cell(cell: Number) -> schemas.CellInFull:
        """A cell in full."""
        found = server.cells.get(cell)
        if found is None:
            raise Refused(404, f"no cell {cell}")
        if found.pop("model") != server.recogniser.version:
            found["neighbours"] = []  # rows of another run's store
        return schemas.CellInFull(**found)

    @api.get("/cells/{cell}/{kind}.jpg", responses=_JPEG, response_class=Response)
    def picture(cell: Number, kind: str) -> Response:
        """A picture of a cell: image, outlined, segmented or reconstruction."""
        data = server.cells.picture(cell, kind) if kind in PICTURES else None
        if data is None:
            raise Refused(404, f"no such picture of cell {cell}: there are {', '.join(PICTURES)}")
        return jpeg(data)

    @api.get("/fields/{field}/{kind}.jpg", responses=_JPEG, response_class=Response)
    def picture_of_field(field: Number, kind: str) -> Response:
        """A picture of a smear field, its longer side at most 1,600 pixels: image or outlined."""
        data = server.fields.picture(field, kind)
        if data is None:
            raise Refused(404, f"no such picture of field {field}: there are {', '.join(FIELD_PICTURES)}")
        return jpeg(data)

    @api.put("/cells/{cell}/label", status_code=204)
    def correct(cell: Number, given: schemas.Label) -> None:
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
