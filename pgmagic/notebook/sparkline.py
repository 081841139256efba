"""How busy a pool was of late, in the size of a word."""

from collections.abc import Sequence

from pgmagic.database.statistics import Sample

__all__ = ["SECONDS", "blocks", "levels", "svg"]

SECONDS = 60
WIDTH, HEIGHT = 84, 18
BLOCKS = "▁▂▃▄▅▆▇█"


def levels(history: Sequence[Sample], now: float, seconds: int = SECONDS) -> list[int]:
    """Give the most connections in use in each of the last seconds, oldest first.

    A pool is sampled when it changes, so it stays as it was until its next sample. `now` is of
    the same monotonic clock as the samples.
    """
    start = now - seconds
    level, changes = 0, []
    for sample in history:
        if sample.at <= start:
            level = sample.in_use
        elif sample.at <= now:
            changes.append(sample)
    peaks = []
    position = 0
    for second in range(1, seconds + 1):
        peak = level
        while position < len(changes) and changes[position].at <= start + second:
            level = changes[position].in_use
            peak = max(peak, level)
            position += 1
        peaks.append(peak)
    return peaks


def svg(peaks: Sequence[int], limit: int, label: str) -> str:
    """Draw the peaks as a line over an area. `label`, ready for HTML, is read out instead."""
    step = WIDTH / max(1, len(peaks) - 1)
    last = len(peaks) - 1
    line = " ".join(
        f"{i * step:.0f},{HEIGHT - 1 - (HEIGHT - 2) * min(1.0, peak / limit):.1f}"
        for i, peak in enumerate(peaks)
        # Points in the middle of a level line add nothing to it.
        if i in (0, last) or not peaks[i - 1] == peak == peaks[i + 1]
    )
    return (
        f'<svg class="spark" role="img" aria-label="{label}" width="{WIDTH}" height="{HEIGHT}"'
        f' viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<polygon points="0,{HEIGHT} {line} {WIDTH},{HEIGHT}"/><polyline points="{line}"/></svg>'
    )


def blocks(peaks: Sequence[int], limit: int, width: int = 12) -> str:
    """Draw the peaks with block characters, `width` of them, for plain text."""
    per_block = -(-len(peaks) // width)
    groups = [peaks[i : i + per_block] for i in range(0, len(peaks), per_block)]
    highest = len(BLOCKS) - 1
    return "".join(BLOCKS[min(highest, -(-max(group) * highest // limit))] for group in groups)
