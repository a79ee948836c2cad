"""An invalid value, and the words in which it is reported."""

from __future__ import annotations


class Problem(Exception):
    """An invalid value; each enclosing container adds its step of the path (innermost first)."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.path: list[str] = []

    def where(self) -> str:
        """Return the path, such as `$.items[2].price`."""
        return "$" + "".join(reversed(self.path))


def mismatch(expected: str, got: object) -> Problem:
    """Return the problem of a value of the wrong type."""
    return Problem(f"expected {expected}, got {'None' if got is None else type(got).__name__}")


def shown(value: object) -> str:
    """Return a shortened value for a message."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  (an integer of too many digits, a custom __repr__)
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else f"{text[:59]}…"


def key_step(key: object) -> str:
    """Return one step of a path into a dict."""
    return f".{key}" if isinstance(key, str) and key.isidentifier() and len(key) <= 60 else f"[{shown(key)}]"
