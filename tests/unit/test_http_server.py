"""The HTTP server: who is let in, what is answered, and that it ends."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from pgmagic.errors import CellError
from pgmagic.http import StatisticsServer
from tests.fake_pools import a_bad_day, statistics


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def fetch(port: int, path: str, *headers: str, method: str = "GET", host: str = "") -> Answer:
    """Ask as a browser would, without any of its scruples; `headers` are whole lines."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", host or f"Host: 127.0.0.1:{port}", *headers]
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
    try:
        answer = (await reader.read()).decode()
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    status, *fields = head.split("\r\n")
    pairs = (field.split(": ", 1) for field in fields)
    return Answer(int(status.split()[1]), {name.lower(): text for name, text in pairs}, body)


@pytest.fixture
async def server() -> AsyncIterator[StatisticsServer]:
    """A server of three pools, one of them cut off."""
    server = StatisticsServer(a_bad_day)
    await server.start()
    yield server
    await server.stop()


async def test_health_and_metrics_are_served(server):
    health = await fetch(server.port, "/health")
    assert (health.status, health.json["status"]) == (200, "degraded")
    metrics = await fetch(server.port, "/metrics")
    assert set(metrics.json) == {each.database for each in a_bad_day()}
    one = await fetch(server.port, "/metrics/sales")
    assert one.json == metrics.json["sales"]
    assert one.json["in_use"] == 8


async def test_all_circuits_open_is_a_503():
    server = StatisticsServer(lambda: [statistics(breaker="open")])
    await server.start()
    try:
        assert (await fetch(server.port, "/health")).status == 503
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
async def test_the_form_is_negotiated(server, accept, kind):
    for path in ("/metrics", "/metrics/sales"):
        answer = await fetch(server.port, path, f"Accept: {accept}")
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["vary"] == "Accept"
        assert "sales" in answer.body
        assert ("events" in answer.body) == (path == "/metrics")


async def test_the_names_of_this_machine_are_let_in(server):
    for name in ("127.0.0.1", "localhost", "LocalHost", "[::1]"):
        answer = await fetch(server.port, "/health", host=f"Host: {name}:{server.port}")
        assert answer.status == 200, name


FOREIGN = [
    ("Host: evil.example:{port}", 403),
    ("Host: evil.example", 403),
    ("Host: 127.0.0.1", 403),
    ("Host: 127.0.0.1:1", 403),
    ("Host: 127.0.0.1:{port}.evil.example", 403),
    ("Host: user@127.0.0.1:{port}", 403),
    ("Host: ", 403),
    ("X-Forwarded-Host: 127.0.0.1:{port}", 400),
    ("Host: evil.example\r\nHost: 127.0.0.1:{port}", 400),
    ("Host: 127.0.0.1:{port}\r\nHost: evil.example", 400),
    ("Host: evil.example\r\nX-Forwarded-Host: 127.0.0.1:{port}", 403),
]


async def test_no_other_host_is_served(server):
    for host, status in FOREIGN:
        answer = await fetch(server.port, "/metrics", host=host.format(port=server.port))
        assert answer.status == status, host
        assert "sales" not in answer.body


async def test_there_is_nothing_but_get(server):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = await fetch(server.port, "/metrics", "Content-Length: 0", method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET"), method


async def test_no_other_origin_may_read(server):
    answer = await fetch(server.port, "/metrics", "Origin: http://evil.example")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert not {"server", "x-powered-by"} & answer.headers.keys()


async def test_there_are_no_other_pages(server):
    for path in ("/", "/docs", "/openapi.json", "/metrics/nobody", "/metrics/a/b"):
        answer = await fetch(server.port, path)
        assert answer.status == 404, path
        assert "nobody" not in answer.body


async def test_nothing_is_told_in_the_words_of_others(server):
    hidden = [query.first_line for each in a_bad_day() for query in each.running]
    hidden += [session.name for each in a_bad_day() for session in each.sessions]
    hidden += [each.last_error.message for each in a_bad_day() if each.last_error]
    assert hidden
    for path in ("/health", "/metrics", "/metrics/sales"):
        for accept in ("*/*", "text/plain", "application/openmetrics-text"):
            body = (await fetch(server.port, path, f"Accept: {accept}")).body
            assert not [text for text in hidden if text in body]


async def test_it_listens_on_this_machine_only(server):
    listener = socket.create_server(("127.0.0.2", server.port))  # it would be taken otherwise
    listener.close()
    assert server.url == f"http://127.0.0.1:{server.port}"


async def test_starting_twice_is_starting_once(server):
    assert await server.start() == server.url


async def test_it_leaves_the_interrupt_to_the_notebook():
    before = signal.getsignal(signal.SIGINT)
    server = StatisticsServer(tuple)
    await server.start()
    await fetch(server.port, "/health")
    assert signal.getsignal(signal.SIGINT) is before
    await server.stop()
    assert signal.getsignal(signal.SIGINT) is before


async def test_it_ends_and_leaves_nothing_behind():
    before = asyncio.all_tasks()
    server = StatisticsServer(tuple)
    await server.start()
    port = server.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)  # a client that only waits
    await fetch(port, "/health")
    assert await server.stop()
    assert not await server.stop()
    assert server.url is None
    assert await reader.read() == b""
    writer.close()
    assert asyncio.all_tasks() == before
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_it_can_be_stopped_before_it_has_begun():
    server = StatisticsServer(tuple)
    await server.start()
    assert await server.stop()


async def test_a_taken_port_is_a_clear_error(server):
    with pytest.raises(CellError, match=f"port {server.port} cannot be used"):
        await StatisticsServer(tuple).start(server.port)


@pytest.mark.parametrize("port", [-1, 65536])
async def test_a_port_that_is_none_is_a_clear_error(port):
    with pytest.raises(CellError, match="cannot be used"):
        await StatisticsServer(tuple).start(port)


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn"])
async def test_a_missing_extra_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "pgmagic.http.application", raising=False)
    with pytest.raises(CellError, match=missing) as error:
        await StatisticsServer(tuple).start()
    assert error.value.hint == "pip install 'pgmagic[http]'"
