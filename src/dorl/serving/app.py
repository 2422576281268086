"""The page's server: what it is made of, and how its faults are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

import dorl
from dorl.serving.limits import Limits, Refused
from dorl.serving.recogniser import Recogniser
from dorl.serving.routes import add_routes
from dorl.serving.security import Guard
from dorl.serving.server import Server

STATIC = Path(__file__).parent / "static"


def make_app(
    recogniser: Recogniser,
    folder: str | Path,
    *,
    allowed: Mapping[str, Path] | None = None,
    token: str | None = None,
    limits: Limits | None = None,
) -> FastAPI:
    """The page and the API of a run, as an ASGI application.

    Parameters
    ----------
    recogniser : Recogniser
        `dorl.serving.model.RunRecogniser` of a run.
    folder : str or Path
        For uploads and the database; made if need be.
    allowed : mapping of str to Path, optional
        Folders of the server whose images may be picked, by name.
    token : str, optional
        Asked for where it is given.
    limits : Limits, optional

    Raises
    ------
    InputError
        If the folder's database can't be used, or another server works in it.
    """
    limits = limits or Limits()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(folder, recogniser, limits, token, allowed or {})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        server.tidy()
        server.worker.start()
        yield
        server.worker.stop()
        server.database.close()

    app = FastAPI(
        title="dorl",
        version=dorl.__version__,
        summary="Classes of white blood cells, with what they rest on.",
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # their pages load scripts from other hosts
        redoc_url=None,
    )
    app.add_middleware(Guard, token=token, limits=limits)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    add_routes(app, server)
    app.mount("/static", StaticFiles(directory=STATIC))

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    return app


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    headers = {"retry-after": "5"} if error.status == 429 else None
    return JSONResponse({"detail": error.reason}, error.status, headers)


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": str(error.detail)}, error.status_code, error.headers)


def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Wrong parameters as one line; none of the request is repeated."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("query", "path", "body"))
    return JSONResponse({"detail": f"{where or 'request'}: {first['msg']}"}, 422)
