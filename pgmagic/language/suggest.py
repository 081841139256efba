"""Near misses for a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word that is most like another, None where none is near."""
    by_folded = {name.casefold(): name for name in known}
    cutoff = 0.6 if len(word) > 3 else 0.5
    near = get_close_matches(word.casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give `; did you mean x?`, or nothing where no known word is near."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near is not None else ""
