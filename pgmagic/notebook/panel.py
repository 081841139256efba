"""The panel of all pools: live in a notebook, a picture where nobody looks."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypedDict
from uuid import uuid4

from IPython.core.getipython import get_ipython
from IPython.display import display, update_display

from pgmagic.database.statistics import DatabaseStatistics, Sample
from pgmagic.notebook.activity import Action, activities
from pgmagic.notebook.drawing import History, pools_html, render_html
from pgmagic.notebook.drawing_text import render_text
from pgmagic.notebook.front_end import FrontEnd, front_end
from pgmagic.notebook.panel_widgets import PanelWidgets
from pgmagic.notebook.visible import visible

__all__ = ["PoolPanel"]

logger = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds between two redraws


class _Instant(TypedDict):
    now: float
    when: datetime


class PoolPanel:
    """Shows what every pool does, once a second, until it is frozen.

    `read` gives the statistics of all pools, `history` the recent samples of one database.
    `cancel` is called with a database and the id of a query, `retry` with a database, both on
    `loop`; without them there are no such buttons. Nothing runs before `show` or after `freeze`.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[DatabaseStatistics]],
        *,
        loop: asyncio.AbstractEventLoop,
        history: Callable[[str], Sequence[Sample]] | None = None,
        retry: Callable[[str], object] | None = None,
        cancel: Callable[[str, int], object] | None = None,
    ) -> None:
        self._read = read
        self._history = history
        self._retry = retry
        self._cancel = cancel
        self._loop = loop
        self._display_id = uuid4().hex
        self._widgets: PanelWidgets | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is shown and follows the pools."""
        return self._widgets is not None

    def show(self) -> None:
        """Display the panel: live where somebody looks, else as it is now."""
        still = self._still()
        if front_end(get_ipython()) is not FrontEnd.LIVE:
            display(still, raw=True)
            return
        self._widgets = PanelWidgets(self._act)
        self._redraw(self._widgets)
        # Front ends prefer the widget; what cannot draw it finds the picture beside it.
        display(still | self._widgets.mimebundle(), raw=True, display_id=self._display_id)
        self._loop.call_soon_threadsafe(self._start)

    def freeze(self) -> None:
        """Replace the live panel by a picture of this instant, which a saved notebook keeps."""
        if self._widgets is None:
            return
        widgets, self._widgets = self._widgets, None
        if self._task is not None:
            self._task.cancel()
        update_display(self._still(), raw=True, display_id=self._display_id)
        widgets.close()

    def _start(self) -> None:
        if self._widgets is not None:
            self._task = self._loop.create_task(self._follow(self._widgets))

    async def _follow(self, widgets: PanelWidgets) -> None:
        try:
            while True:
                await asyncio.sleep(INTERVAL)
                self._redraw(widgets)
        except Exception:
            # The panel stands still then, and says so itself. No cell fails because of it.
            logger.exception("the panel of the pools has stopped")

    def _redraw(self, widgets: PanelWidgets) -> None:
        statistics = self._read()
        verbs = {"cancel": self._cancel, "retry": self._retry}
        widgets.draw(
            pools_html(statistics, self._recent(statistics), **_instant(), live=True),
            activities(statistics),
            [visible(f"{each.database}: {alert}") for each in statistics for alert in each.alerts],
            offered={verb for verb, callback in verbs.items() if callback is not None},
        )

    def _act(self, action: Action) -> None:
        # Some front ends deliver clicks in a thread of their own.
        if action.query is not None and self._cancel is not None:
            self._loop.call_soon_threadsafe(self._cancel, action.database, action.query)
        elif action.query is None and self._retry is not None:
            self._loop.call_soon_threadsafe(self._retry, action.database)

    def _still(self) -> dict[str, str]:
        statistics = self._read()
        recent, instant = self._recent(statistics), _instant()
        return {
            "text/html": render_html(statistics, recent, **instant),
            "text/plain": render_text(statistics, recent, **instant),
        }

    def _recent(self, statistics: Sequence[DatabaseStatistics]) -> History:
        if self._history is None:
            return {}
        return {each.database: self._history(each.database) for each in statistics}


def _instant() -> _Instant:
    return {"now": time.monotonic(), "when": datetime.now()}
