"""Run the HTTP server on a loop that is there already."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING

from pgmagic.database.statistics import DatabaseStatistics
from pgmagic.errors import CellError

if TYPE_CHECKING:
    import uvicorn

__all__ = ["StatisticsServer"]

HOST = "127.0.0.1"
STOP_TIMEOUT = 3.0  # seconds


class StatisticsServer:
    """Serves the health and the metrics of pools to this machine while the loop runs.

    `statistics` is called for each request; nothing is asked of any database.
    """

    def __init__(self, statistics: Callable[[], Sequence[DatabaseStatistics]]) -> None:
        self._statistics = statistics
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.port: int | None = None

    @property
    def url(self) -> str | None:
        """Where it is, None while it does not run."""
        return None if self.port is None else f"http://{HOST}:{self.port}"

    async def start(self, port: int = 0) -> str:
        """Begin to serve and give the URL; 0 is any free port. Does nothing where it runs.

        Raises CellError where the port is taken, or FastAPI or uvicorn is missing.
        """
        if self.url is not None:
            return self.url
        try:
            from pgmagic.http.application import application, server
        except ModuleNotFoundError as error:
            raise CellError(
                f"the HTTP server needs {error.name}, which is not installed",
                hint="pip install 'pgmagic[http]'",
            ) from None
        listener = _listen(port)
        self.port = listener.getsockname()[1]
        self._server = server(application(self._statistics, self.port))
        # In a context of its own: it outlives the cell that starts it.
        self._task = asyncio.get_running_loop().create_task(
            self._server.serve(sockets=[listener]), context=Context()
        )
        return f"http://{HOST}:{self.port}"

    async def stop(self) -> bool:
        """Stop within a few seconds; False where it did not run."""
        server, task = self._server, self._task
        self.port = self._server = self._task = None
        if server is None or task is None:
            return False
        server.should_exit = True
        await asyncio.wait({task}, timeout=STOP_TIMEOUT)
        task.cancel()  # does nothing where it has ended
        return True


def _listen(port: int) -> socket.socket:
    try:
        if port in range(65536):
            return socket.create_server((HOST, port))
    except OSError:
        pass
    raise CellError(f"port {port} cannot be used", hint="--port 0 takes one that is free")
