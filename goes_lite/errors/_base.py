"""The base of every error of goes_lite."""

from __future__ import annotations

from typing import Any


def shown(value: object, limit: int = 120) -> str:
    """Return a shortened repr: an error about a 50 MB payload must not be a 50 MB message."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def plain(text: str) -> str:
    """Return the text with an escape for everything that could move a cursor, break a line or turn its direction."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _rebuild(cls: type[GoesError], args: tuple[Any, ...], attributes: dict[str, Any]) -> GoesError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error


class GoesError(Exception):
    """Base of every error that goes_lite raises on purpose."""

    def __str__(self) -> str:
        # What is printed or logged may hold values from anywhere: escape sequences of terminals, a whole file as a name.
        text = super().__str__()
        if len(text) > 2000:
            text = f"{text[:1000]}…{text[-900:]}"
        if text.isprintable():
            return text
        return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries (multiprocessing, remote commands); the default would call the constructor with
        # the finished message.
        return _rebuild, (type(self), self.args, self.__dict__)


class Refused(GoesError):
    """Base of errors after which the same may be tried again. Attribute: `tries` (how many were made)."""

    tries = 1

    def after(self, tries: int) -> None:
        """Note that this is the outcome of so many tries, for which the advice is another one."""
        self.tries = tries
        if tries > 1:
            fact = str(self.args[-1]).rpartition(": ")[0]
            self.args = (
                f"after {tries} tries: {fact}: others were faster each time, so pass more tries, or let fewer of them write",
            )
