"""A text that is never shown."""

from typing import Any, Never, TypeVar, final

__all__ = ["Secret", "bare"]

E = TypeVar("E", bound=BaseException)


@final
class Secret:
    """A password on its way to the server: not printed, not pickled, not compared."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Give the text, to the one who hands it to the server."""
        return self.__text

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __repr__(self) -> str:
        return "***"

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: Any) -> "Secret":
        # dataclasses.asdict copies what it finds; this way it finds nothing readable.
        return self

    def __reduce_ex__(self, protocol: Any) -> Never:
        raise TypeError("a secret is not pickled")


def bare(error: E) -> E:
    """Take its frames off an error, and what stands behind it: the driver's hold the password."""
    error.__context__ = None
    return error.with_traceback(None)
