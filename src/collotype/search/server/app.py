"""The application: the API and the web page behind the middleware."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import Response

import collotype
from collotype.runtime.errors import UserError
from collotype.search.library import IndexLibrary, QueryError
from collotype.search.server.api import EVERYWHERE, api, service_of
from collotype.search.server.compatible_api import router as compatible_router
from collotype.search.server.metrics import MeasuredRequests
from collotype.search.server.middleware import PAGE, Guard, RefusedError
from collotype.search.server.service import Service
from collotype.search.server.settings import ServerSettings

LOG = logging.getLogger(__name__)


def create_app(library: IndexLibrary, folder: Path | None, settings: ServerSettings | None = None) -> FastAPI:
    """The application over a library.

    Args:
        folder: that of the index, which keeps uploads; without one the server is read-only.
    """
    settings = settings or ServerSettings()
    if folder is None:
        settings = replace(settings, read_only=True)
    service = Service(library, folder, settings)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        if not settings.read_only:
            await asyncio.to_thread(service.intake.start)
        yield
        await asyncio.to_thread(service.stop)

    app = FastAPI(
        title="Collotype",
        summary="Search in documents: finds pages, and the region of the page that matches.",
        version=collotype.__version__,
        lifespan=running,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=EVERYWHERE,
    )
    app.state.service = service
    app.exception_handler(RefusedError)(refused)
    app.exception_handler(QueryError)(nothing_asked)
    app.exception_handler(UserError)(user_error_response)
    app.exception_handler(RequestValidationError)(misspelled)
    app.exception_handler(HTTPException)(unknown)
    app.include_router(api)
    app.include_router(compatible_router)
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    app.add_middleware(Guard, settings=settings, refused=lambda reason: service.metrics.refused.labels(reason).inc())
    app.add_middleware(MeasuredRequests, metrics=service.metrics)
    return app


async def refused(request: Request, error: RefusedError) -> Response:
    service_of(request).metrics.refused.labels(error.reason).inc()
    return error.response()


async def nothing_asked(request: Request, error: QueryError) -> Response:
    return JSONResponse({"error": str(error)}, 422)


async def user_error_response(request: Request, error: UserError) -> Response:
    """What the owner of the index can mend, such as a full disk: the log has it."""
    LOG.error("%s", error)
    return JSONResponse({"error": "The server failed to do this; see its log."}, 503)


async def misspelled(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": f"{where}: {first['msg']}."}, 422)


async def unknown(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": f"{error.detail}."}, error.status_code, error.headers)
