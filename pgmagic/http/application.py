"""The three pages, and who may see them. Imports FastAPI and uvicorn: see `serving`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pgmagic.database.statistics import DatabaseStatistics
from pgmagic.http.exposition import as_json, as_prometheus, health
from pgmagic.http.negotiation import preferred

__all__ = ["application", "server"]

JSON, TEXT, OPENMETRICS = "application/json", "text/plain", "application/openmetrics-text"
VERSIONS = {TEXT: "0.0.4", OPENMETRICS: "1.0.0"}

# No page of another origin may read an answer, and nobody keeps one.
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def application(statistics: Callable[[], Sequence[DatabaseStatistics]], port: int) -> FastAPI:
    """Serve `/health`, `/metrics` and `/metrics/{database}` of what `statistics` gives."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(LoopbackOnly, port=port)

    @app.get("/health")
    async def show_health() -> Response:
        told = health(statistics())
        down = told["status"] == "unavailable"
        return JSONResponse(told, status_code=503 if down else 200, headers=HEADERS)

    @app.get("/metrics")
    async def show_metrics(request: Request) -> Response:
        every = statistics()
        return _answer(request, every, {each.database: as_json(each) for each in every})

    @app.get("/metrics/{database}")
    async def show_database(request: Request, database: str) -> Response:
        for each in statistics():
            if each.database == database:
                return _answer(request, [each], as_json(each))
        raise HTTPException(404, "no pool of that name is in use")

    return app


def _answer(request: Request, chosen: Sequence[DatabaseStatistics], told: object) -> Response:
    accept = request.headers.get("accept", "")
    form = preferred(accept, (JSON, TEXT, OPENMETRICS))
    headers = HEADERS | {"Vary": "Accept"}
    if form == JSON:
        return JSONResponse(told, headers=headers)
    text = as_prometheus(chosen, openmetrics=form == OPENMETRICS)
    kind = f"{form}; version={VERSIONS[form]}; charset=utf-8"
    return Response(text, headers=headers | {"Content-Type": kind})


class LoopbackOnly:
    """Refuses what is no GET, and what was not addressed to this machine by its own name.

    A page from elsewhere can reach a loopback address by a DNS name of its own (DNS rebinding),
    but its requests carry that name in their Host header.
    """

    def __init__(self, app: ASGIApp, *, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: ASGIApp = self._app
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) != 1:
            answer = JSONResponse({"detail": "one Host header is needed"}, 400, HEADERS)
        elif hosts[0].lower() not in self._hosts:
            answer = JSONResponse({"detail": "this host is not served"}, 403, HEADERS)
        elif scope["method"] != "GET":
            allow = HEADERS | {"Allow": "GET"}
            answer = JSONResponse({"detail": "there is nothing but GET"}, 405, allow)
        await answer(scope, receive, send)


def server(app: FastAPI) -> uvicorn.Server:
    """Make a server for the loop that runs, which is not its own."""
    return _GuestServer(
        uvicorn.Config(
            app,
            access_log=False,
            date_header=False,
            http="h11",
            lifespan="off",
            log_config=None,
            log_level="critical",  # a malformed request is no news for a notebook
            server_header=False,
            timeout_graceful_shutdown=1,
            ws="none",
        )
    )


class _GuestServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the notebook: an interrupt is meant for a cell."""
        yield
