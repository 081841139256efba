"""The pools as HTML. Everything that comes from a server or a user is escaped here."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from pgmagic.database.statistics import BUSY, SLOW_ACQUIRE_MS, DatabaseStatistics, Sample
from pgmagic.notebook import sparkline
from pgmagic.notebook.activity import Activity, activities
from pgmagic.notebook.style import STALE_AFTER, STYLE
from pgmagic.notebook.visible import escaped
from pgmagic.units import NOTHING, count, counted, milliseconds

__all__ = ["History", "activity_html", "pools_html", "render_html"]

History: TypeAlias = Mapping[str, Sequence[Sample]]

COLUMNS = (
    ("database", "left", ""),
    ("in use", "left", "connections in use, of the most that the pool opens"),
    ("last minute", "left", "connections in use during the last minute"),
    ("idle", "", "connections that are open and free"),
    ("waiting", "", "requests that wait for a connection"),
    ("acquire p50", "", "what half of the requests waited at most for an open connection"),
    ("p95", "", "what 95 % of the requests waited at most"),
    ("requests", "", "requests for a connection since the pool was made"),
    ("errors", "", "requests that got no connection"),
    ("breaker", "left", ""),
)
BREAKERS = {"closed": ("ok", "●"), "half-open": ("warn", "◐"), "open": ("bad", "■")}
BRIEF = 200  # characters of an error that are shown


def render_html(
    statistics: Sequence[DatabaseStatistics],
    history: History,
    *,
    now: float,
    when: datetime,
) -> str:
    """Draw everything as it is at one instant, complete with its style sheet."""
    pools = pools_html(statistics, history, now=now, when=when)
    going_on = activity_html(activities(statistics))
    if going_on:
        going_on = f'<div class="pgm-going-on">{going_on}</div>'
    return f'{STYLE}<div class="pgm-frame">{pools}{going_on}</div>'


def pools_html(
    statistics: Sequence[DatabaseStatistics],
    history: History,
    *,
    now: float,
    when: datetime,
    live: bool = False,
) -> str:
    """Draw a table of all pools.

    `now` is of the monotonic clock of the history, `when` the same instant on the wall. A live
    drawing says so when it has not been replaced for some seconds; a static one says of when it is.
    """
    if statistics:
        head = "".join(_heading(*column) for column in COLUMNS)
        body = "".join(_rows(each, history.get(each.database, ()), now) for each in statistics)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    else:
        table = "<header>No pool is open yet: the first query on a database opens it.</header>"
    return (
        f'<section class="pgm card{" live" if live else ""}"'
        ' aria-label="PostgreSQL connection pools">'
        f'{_header(statistics)}<div class="fading">{table}</div>{_footer(when, live)}</section>'
    )


def activity_html(activities: Sequence[Activity], *, live: bool = False) -> str:
    """Draw what goes on as a table, one row of a fixed height each; "" for nothing."""
    if not activities:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><bdi>{escaped(each.database)}</bdi></th>'
        f'<td class="left{" bad" if each.alarming else ""}">{each.kind}</td>'
        f'<td class="what">{_what(each)}</td><td class="dim">{escaped(each.since)}</td></tr>'
        for each in activities
    )
    head = "".join(
        f'<th scope="col">{title}</th>' for title in ("database", "kind", "what", "time")
    )
    return (
        f'<section class="pgm activity{" live" if live else ""}" aria-label="What goes on">'
        f'<div class="fading"><table><thead class="unseen"><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _what(activity: Activity) -> str:
    text = escaped(activity.what)
    return f"<code><bdi>{text}</bdi></code>" if activity.code else f"<bdi>{text}</bdi>"


def _header(statistics: Sequence[DatabaseStatistics]) -> str:
    in_use = sum(each.in_use for each in statistics)
    limit = sum(each.max_size for each in statistics)
    requests = sum(each.requests_num for each in statistics)
    return (
        '<header><span class="title">PostgreSQL pools</span><span class="dim">'
        f"{_bold(counted(len(statistics), 'database'))} · <b>{count(in_use)}</b> of "
        f"<b>{count(limit)}</b> connections in use · {_bold(counted(requests, 'request'))}</span>"
        f'<span class="chips">{_chips(statistics)}</span></header>'
    )


def _bold(counted: str) -> str:
    number, _, noun = counted.partition(" ")
    return f"<b>{number}</b> {noun}"


def _chips(statistics: Sequence[DatabaseStatistics]) -> str:
    """Name what somebody should look at; nothing where all is well."""
    return " ".join(
        f'<span class="chip {_severity(each)}">{"■" if each.breaker == "open" else "⚠"} '
        f"<bdi>{escaped(each.database)}</bdi> {escaped(each.alerts[0].partition(':')[0])}</span>"
        for each in statistics
        if each.alerts
    )


def _severity(statistics: DatabaseStatistics) -> str:
    return "bad" if statistics.breaker == "open" else "warn"


def _heading(text: str, side: str, about: str) -> str:
    side = f' class="{side}"' if side else ""
    about = f' title="{about}"' if about else ""
    return f'<th scope="col"{side}{about}>{text}</th>'


def _rows(each: DatabaseStatistics, history: Sequence[Sample], now: float) -> str:
    hot = " hot" if each.utilisation >= BUSY else ""
    name = escaped(each.database)
    peaks = sparkline.levels(history, now)
    spark = sparkline.svg(
        peaks, each.max_size, f"{name}: at most {max(peaks)} in use during the last minute"
    )
    cells = (
        _left(_use(each)),
        _left(spark),
        _right(count(each.idle)),
        _right(count(each.waiting), "warn" if each.waiting else ""),
        _acquire(each.acquire_p50_ms),
        _acquire(each.acquire_p95_ms),
        _right(count(each.requests_num)),
        _right(count(each.requests_errors), "bad" if each.requests_errors else ""),
        _left(_breaker(each)),
    )
    row = (
        f'<tr class="database{hot}"><th scope="row" title="{name}"><bdi>{name}</bdi></th>'
        f"{''.join(cells)}</tr>"
    )
    notes = [f'<span class="{_severity(each)}">{escaped(alert)}</span>' for alert in each.alerts]
    if each.last_error is not None:
        notes.append(_last_error(each))
    return row + "".join(
        f'<tr class="note"><td></td><td colspan="{len(COLUMNS) - 1}">{note}</td></tr>'
        for note in _lines(notes)
    )


def _lines(notes: Iterable[str]) -> list[str]:
    """Put all notes of a database into one row."""
    text = "<br>".join(notes)
    return [text] if text else []


def _left(html: str) -> str:
    return f'<td class="left">{html}</td>'


def _right(text: str, look: str = "") -> str:
    return f'<td><b class="{look}">{text}</b></td>' if look else f"<td>{text}</td>"


def _use(each: DatabaseStatistics) -> str:
    used = 100 * each.in_use / each.max_size
    idle = 100 * each.idle / each.max_size
    return (
        f'<span class="use"><span class="bar" role="meter" aria-valuemin="0"'
        f' aria-label="{escaped(each.database)}: connections in use"'
        f' aria-valuemax="{each.max_size}" aria-valuenow="{each.in_use}">'
        f'<i style="width:{used:.0f}%"></i><u style="width:{idle:.0f}%"></u></span>'
        f"{each.in_use} / {each.max_size}</span>"
    )


def _acquire(value: float | None) -> str:
    if value is None:
        return f'<td class="dim">{NOTHING}</td>'
    if value > SLOW_ACQUIRE_MS:
        return _right(f"⚠ {milliseconds(value)}", "warn")
    return _right(milliseconds(value))


def _breaker(each: DatabaseStatistics) -> str:
    look, mark = BREAKERS[each.breaker]
    return f'<span class="{look}">{mark} {each.breaker}</span>'


def _last_error(each: DatabaseStatistics) -> str:
    assert each.last_error is not None
    clock = each.last_error.when.astimezone().strftime("%H:%M:%S")
    look = "bad" if each.breaker == "open" else "dim"
    return (
        f'<span class="{look}">last error at {clock}: '
        f"<bdi>{escaped(each.last_error.message, BRIEF)}</bdi></span>"
    )


def _footer(when: datetime, live: bool) -> str:
    if live:
        told = (
            f'<span class="now">updated {when:%H:%M:%S}, every second</span>'
            f'<span class="gone" role="status">kernel gone: as it was at {when:%H:%M:%S}</span>'
        )
    else:
        told = f"<span>as it was at {when:%Y-%m-%d %H:%M:%S}</span>"
    return (
        f"<footer>{told}"
        '<span><span class="key used"></span>in use</span>'
        '<span><span class="key idle"></span>open, idle</span>'
        '<span><span class="key left"></span>not opened</span>'
        f'<span class="stale">no update for {STALE_AFTER} s: kernel busy or gone</span></footer>'
    )
