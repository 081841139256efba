"""The report of a benchmark: lines for the terminal, tables and a picture for the docs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_contenders import LIMIT
from bench_results import OURS, Race, Standing, Verdict

__all__ = ["as_text", "write_docs"]

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance.md"
PICTURE = DOCS / "pictures" / "performance.svg"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
INK, QUIET, ACCENT = "#333333", "#c4c9cf", "#336791"
DRAWN = ("lineitem", "numeric", "text", "nulls")
LONGEST = 6.0  # ratios that are drawn to scale; a longer bar is cut, and its number stays


def as_text(name: str, race: Race) -> str:
    """Write one race for a terminal."""
    lines = [f"\n{name}: {race.rows:,} rows, {race.about}"]
    for cells in _rows(race):
        contender, seconds, ratio, peak, spread, rounds = cells
        lines.append(
            f"  {contender:<26}{seconds:>11}{ratio:>8}{peak:>11}{spread:>8}   {rounds} rounds"
        )
    lines += [f"  {contender:<26}missing: {why}" for contender, why in race.missing.items()]
    return "\n".join(lines)


def write_docs(
    result: Mapping[str, Any], races: Mapping[str, Race], wanted: Sequence[Verdict]
) -> None:
    """Put the results between the marks of docs/performance.md, and draw the picture."""
    drawn = {name: race for name, race in races.items() if name in DRAWN and race.standings()}
    parts = [BEGIN, *_conditions(result)]
    if drawn:
        _draw(drawn)
        words = "Time of each contender as a multiple of psql's, by table"
        parts.append(f"![{words}]({PICTURE.relative_to(DOCS).as_posix()})")
    for name, race in races.items():
        parts += [f"### {name}", f"{race.rows:,} rows. {race.about[0].upper()}{race.about[1:]}."]
        parts.append(_table(race))
        parts += [f"Missing: {contender} ({why})." for contender, why in race.missing.items()]
    parts += ["### Goals", "\n".join(f"- {verdict}" for verdict in wanted), END]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + "\n\n".join(parts) + after)


def _conditions(result: Mapping[str, Any]) -> Iterator[str]:
    machine = result["machine"]
    yield (
        f"Measured {machine['day']} by `{result['command']}`: scale factor "
        f"{result['scale_factor']:g}, medians of {result['rounds']} rounds."
    )
    left = {name: words for name, words in machine.items() if name != "day"}
    yield "\n".join(f"- {name}: {words}" for name, words in left.items())


def _table(race: Race) -> str:
    head = ["", "time", "to psql", "peak memory", "to its result", "rounds"]
    if LIMIT not in race.measured:
        head[2] = "to the first"
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *_rows(race)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _rows(race: Race) -> Iterator[list[str]]:
    standings = race.standings()
    for one in standings:
        ratio = one.ratio if one.ratio is not None else one.seconds / standings[0].seconds
        yield [
            one.name,
            _time(one.seconds),
            f"{ratio:.2f}",
            "" if one.peak is None else f"{one.peak / 1e6:,.0f} MB",
            "" if one.spread is None or race.rows < 1000 else f"{one.spread:.2f}",
            str(one.rounds),
        ]


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _draw(races: Mapping[str, Race]) -> None:
    """Draw a bar for each contender, a field for each table."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams |= {"svg.hashsalt": "pgmagic", "svg.fonttype": "none", "font.size": 9}
    most = max(len(race.standings()) for race in races.values())
    figure = Figure(figsize=(9, (0.24 * most + 0.7) * ((len(races) + 1) // 2)), layout="tight")
    for number, (name, race) in enumerate(races.items(), 1):
        axes = figure.add_subplot((len(races) + 1) // 2, 2, number)
        shown = [one for one in race.standings() if one.name != LIMIT and one.ratio is not None]
        _bars(axes, name, shown)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None}, facecolor="white")


def _bars(axes: Any, title: str, standings: Sequence[Standing]) -> None:
    names = [one.name for one in standings]
    ratios = [one.ratio or 0.0 for one in standings]
    colours = [ACCENT if name.startswith(OURS) else QUIET for name in names]
    axes.barh(names, [min(ratio, LONGEST) for ratio in ratios], color=colours)
    for place, ratio in enumerate(ratios):
        axes.text(min(ratio, LONGEST) + 0.08, place, f"{ratio:.2f}", va="center", color=INK)
    axes.axvline(1.0, color=INK, linewidth=0.8, linestyle=":")
    axes.set(title=f"{title}, time to psql's", xlim=(0, LONGEST * 1.15))
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False, colors=INK)
