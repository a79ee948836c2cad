"""Faults of operators: what somebody does to a store behind its back, and what a program sees of it.

Each fault is a test of its own, in `tests/backends/test_operator_faults_*.py` or `tests/bus/test_operator_faults_*.py`, and a
row of docs/faults.md, which `python .ci/faults.py` makes from the tests:

    @situation(sees="StoreDamaged: … the table 'events' is missing…", then="Restore a backup.")
    def test_a_dropped_table(path: str) -> None:
        \"\"\"Somebody drops the table of the events.

        What else there is to say about the test goes below the first line, which is the situation.
        \"\"\"

The text in `sees` is not a claim: the test fails unless goes_lite has made that error, or logged that line, while it ran.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import re
from collections.abc import Callable, Generator
from typing import Any, TypeVar, cast

from goes_lite.errors import GoesError

Test = TypeVar("Test", bound=Callable[..., Any])

NOTHING = "nothing"
"""How `sees` begins where the program goes on; the test asserts that it does."""

_recordings: list[list[str]] = []


def situation(*, sees: str | tuple[str, ...], then: str) -> Callable[[Test], Test]:
    """Mark the test of a fault; the first line of its docstring is the situation. The arguments are literals.

    sees  what the user sees, or several such texts: an error as `StoreFull: the message`, a line of the log as
          `log: the message`, with … for what varies; or `nothing`, alone or followed by `: ` and what happens instead.
    then  what holds then, and what to do about it.
    """
    wanted = (sees,) if isinstance(sees, str) else sees

    def mark(test: Test) -> Test:
        assert (test.__doc__ or "").strip(), f"{test.__name__} needs a docstring, whose first line is the situation"
        assert then, "say what holds then"

        @functools.wraps(test)
        async def run_async(*args: Any, **kwargs: Any) -> None:
            with _judged(wanted):
                await test(*args, **kwargs)

        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            with _judged(wanted):
                test(*args, **kwargs)

        return cast("Test", run_async if inspect.iscoroutinefunction(test) else run)

    return mark


def saw(error: str, message: str) -> None:
    """Note an error of another process, which a test has from there: the name of its class, and its text."""
    for recording in _recordings:
        recording.append(f"{error}: {message}")


@contextlib.contextmanager
def _judged(wanted: tuple[str, ...]) -> Generator[None]:
    """Fail unless each text was seen by the end of the block."""
    with _recording() as seen:
        yield
    for text in wanted:
        if text.partition(":")[0] != NOTHING:
            pattern = re.compile(".*".join(map(re.escape, text.split("…"))), re.DOTALL)
            assert any(map(pattern.fullmatch, seen)), "\n".join([f"nobody saw {text!r}, but:", *dict.fromkeys(seen)])


@contextlib.contextmanager
def _recording() -> Generator[list[str]]:
    """Yield a list to which the errors that goes_lite makes, and the warnings that it logs, are added."""
    seen: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(f"log: {record.getMessage()}")

    def init(error: GoesError, *args: Any) -> None:
        super(GoesError, error).__init__(*args)
        seen.append(f"{type(error).__name__}: {error}")

    listener, logger = Listener(logging.WARNING), logging.getLogger("goes_lite")
    logger.addHandler(listener)
    _recordings.append(seen)
    kept = GoesError.__dict__.get("__init__")
    assert kept is None, "errors have a constructor of their own, or two recordings run at a time"
    setattr(GoesError, "__init__", init)  # noqa: B010 - a type checker would want the class to declare it
    try:
        yield seen
    finally:
        delattr(GoesError, "__init__")
        _recordings.remove(seen)
        logger.removeHandler(listener)
