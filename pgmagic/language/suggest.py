"""Near misses for a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give `; did you mean x?`, or nothing where no known word is near."""
    by_folded = {name.casefold(): name for name in known}
    cutoff = 0.6 if len(word) > 3 else 0.5
    near = get_close_matches(word.casefold(), by_folded, n=1, cutoff=cutoff)
    return f"; did you mean {by_folded[near[0]]}?" if near else ""
