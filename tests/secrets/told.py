"""All that somebody may print, log, save or send of what pgmagic gives them."""

import copy
import pickle
import traceback
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from IPython.core.ultratb import FormattedTB

from pgmagic.client import Client
from pgmagic.errors import FanOutError, PgMagicError
from pgmagic.http.exposition import as_json, as_prometheus, health

__all__ = ["MODES", "remains_of", "told_by", "told_by_client", "told_by_frame"]

MODES = ("Plain", "Context", "Verbose", "Minimal", "Docs", "rich")


def told_by(error: BaseException, *modes: str) -> Iterator[Any]:
    """Give all that is told by an error, those of single databases and those behind it included.

    `modes` are those of %xmode and `rich`, which take long; without any it is all of them. Each
    text is made when it is asked for: all those of one error can be larger than the memory.
    """
    for each in _all_of(error):
        yield from _told_by_one(each, modes or MODES)


def _all_of(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and what stands behind it: it is not shown, but some tools look there."""
    if error is not None:
        yield error
        if isinstance(error, FanOutError):
            for failure in error.failures:
                yield from _all_of(failure.error)
        yield from _all_of(error.__cause__ or error.__context__)


def _told_by_one(error: BaseException, modes: tuple[str, ...]) -> Iterator[Any]:
    kind, trace = type(error), error.__traceback__
    yield from (str(error), repr(error), repr(vars(error)), repr(error.args))
    yield from traceback.TracebackException(kind, error, trace, capture_locals=True).format()
    for mode in modes if trace else ():  # else there is no frame that it could show
        if mode == "rich":
            yield _by_rich(error)
            continue
        shown = FormattedTB(mode=mode, theme_name="nocolor")
        # Docs fails by itself where an error has another one behind it, which is told on its own.
        with suppress(AssertionError) if mode == "Docs" else nullcontext():
            yield shown.stb2text(shown.structured_traceback(kind, error, trace))
    with suppress(Exception):
        yield pickle.dumps(error)
    if isinstance(error, PgMagicError):
        yield from (*error.report(), *error._render_traceback_(), repr(copy.copy(error)))


def _by_rich(error: BaseException) -> str:
    """Give what rich would draw: to draw it takes a second, and breaks long lines."""
    if find_spec("rich") is None:
        return ""
    from rich.traceback import Traceback

    trace = Traceback.extract(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_string=None,
        locals_max_length=None,
        locals_hide_dunder=False,
    )
    return repr(trace)


def told_by_frame(frame: Any) -> Iterator[Any]:
    """Give what is told by an answer: its rows, its `attrs`, and both in a pickle."""
    yield from (repr(frame), repr(getattr(frame, "attrs", "")), repr(copy.copy(frame)))
    with suppress(Exception):
        yield pickle.dumps(frame)


def told_by_client(client: Client) -> Iterator[Any]:
    """Give what is told by a client, its settings, pools and statistics, also over HTTP."""
    yield from (repr(client), repr(vars(client)), client.listing().to_json())
    statistics = client.statistics()
    yield from (repr(statistics), *(repr(asdict(each)) for each in statistics))
    yield from (repr(as_json(each)) for each in statistics)
    yield repr(health(statistics))
    yield from (as_prometheus(statistics), as_prometheus(statistics, openmetrics=True))
    for settings in client.databases.values():
        yield from (repr(settings), repr(asdict(settings)), repr(copy.deepcopy(settings)))
        with suppress(Exception):
            yield pickle.dumps(settings)
    for pool in client._pools.values():
        yield from (repr(pool), repr(vars(pool)), repr(vars(pool._connector)))
        with suppress(PgMagicError, TypeError):  # an SSL context is not copied
            yield from (repr(pool.endpoint), repr(asdict(pool.endpoint)))


def remains_of(thing: Any) -> Iterator[Any]:
    """Give what is told of anything that somebody holds."""
    ways = (repr, str, lambda it: repr(vars(it)), lambda it: repr(asdict(it)))
    for way in (*ways, lambda it: repr(copy.copy(it)), pickle.dumps):
        with suppress(Exception):
            yield way(thing)
