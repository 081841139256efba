"""Choose the form of an answer by what the client accepts."""

from collections.abc import Sequence

__all__ = ["preferred"]


def preferred(accept: str, offered: Sequence[str]) -> str:
    """Give the offered media type that an Accept header likes best, the first where it is equal.

    What the header leaves out entirely is given all the same: an answer beats none.
    https://www.rfc-editor.org/rfc/rfc9110#name-accept
    """
    wishes = [_wish(each) for each in accept.split(",") if each.strip()]
    # The most specific range that fits a type says how much it is liked.
    liking = {offer: max(_fit(offer, wishes), default=(0, 0.0))[1] for offer in offered}
    return max(offered, key=lambda offer: liking[offer])


def _wish(text: str) -> tuple[str, float]:
    media_range, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
    return media_range, quality


def _fit(offer: str, wishes: Sequence[tuple[str, float]]) -> list[tuple[int, float]]:
    kind = offer.split("/")[0]
    specific = {offer: 3, f"{kind}/*": 2, "*/*": 1}
    return [(specific[wanted], quality) for wanted, quality in wishes if wanted in specific]
