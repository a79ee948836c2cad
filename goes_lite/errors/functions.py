"""Functions of the program: which of them can be called where, and what it means when one raises.

Rule of this file: a function that would never run (a generator function, a coroutine function that nothing awaits) is
refused, when it is registered or at its first call. Whatever a function raises, also SystemExit, is its failure; only what
comes from outside ends the work: the cancellation of its own task, and signals of the main thread.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType, TracebackType
from typing import Any, TypeVar, cast

from goes_lite.errors._backends import ConfigError
from goes_lite.errors._base import GoesError

F = TypeVar("F")

LAZY: tuple[type[Any], ...] = (CoroutineType, GeneratorType, AsyncGeneratorType)
"""Results that mean that nothing has run yet."""
_PARTIAL: type[partial[Any]] = partial  # isinstance() with the class itself makes the type of a result unknown

# The flags of inspect, whose import would double the import time of goes_lite.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200
_WAITING = _GENERATOR | _COROUTINE | _ASYNC_GENERATOR
_BOTH_FACES = "__goes_both_faces__"


def both_faces(function: F) -> F:
    """Mark a coroutine function that awaits goes_lite alone: the blocking face can run it, too."""
    vars(function)[_BOTH_FACES] = True
    return function


def is_for_both_faces(function: object) -> bool:
    """Whether the function is marked with `both_faces`."""
    return getattr(getattr(function, "__func__", function), _BOTH_FACES, False) is True


def form_of(function: object) -> str:
    """Return what a call makes: "", "a coroutine", "a generator" or "an async generator" (then it runs nothing yet)."""
    while isinstance(function, _PARTIAL):
        function = function.func
    if is_for_both_faces(function):
        return ""
    function = getattr(function, "__func__", function)  # of a method
    code: Any = getattr(function, "__code__", None)
    if code is None:  # an instance with __call__, which may be a partial itself
        called = getattr(type(function), "__call__", None)  # noqa: B004
        if isinstance(called, _PARTIAL):
            return form_of(cast("object", called))
        code = getattr(called, "__code__", None)
    flags: Any = getattr(code, "co_flags", 0)
    if not isinstance(flags, int):
        return ""
    if flags & _ASYNC_GENERATOR:
        return "an async generator"
    if flags & _COROUTINE:
        return "a coroutine"
    return "a generator" if flags & _GENERATOR else ""


def check_function(
    what: str,
    function: object,
    *,
    awaited: bool = False,
    iterated: bool = False,
    error: Callable[[str], Exception] = ConfigError,
) -> None:
    """Raise the error unless `function` can be called as `what`: where coroutines are awaited, or generators iterated."""
    if not callable(function):
        raise error(f"{what} must be a function, not {function!r:.80}")
    form = form_of(function)
    if form and not (awaited and form == "a coroutine") and not (iterated and form != "a coroutine"):
        raise error(
            f"{what} must be a plain function{' or a coroutine function' * awaited}, not {_shown(form, function)}"
        )


def check_result(what: str, result: object, error: Callable[[str], Exception] = ConfigError) -> None:
    """Raise the error for a coroutine or generator: nothing has run. It is closed, so that nobody warns of it as well."""
    if not isinstance(result, LAZY) and not hasattr(type(result), "__await__"):
        return
    form = "a generator" if isinstance(result, GeneratorType) else "a coroutine"
    form = "an async generator" if isinstance(result, AsyncGeneratorType) else form
    if isinstance(result, CoroutineType | GeneratorType):
        result.close()
    raise error(
        f"{what} returned {form} ({result!r:.120}), which nothing runs here: call it in a plain function that returns the result"
    )


def _shown(form: str, function: object) -> str:
    if form == "a coroutine":
        return (
            f"the coroutine function {function!r:.120}, which nothing awaits here: remove async (or use the async face)"
        )
    return f"{form} function, whose call runs nothing: remove yield from {function!r:.120}"


# --- failures ---------------------------------------------------------------------------------------------------------


class Carried(BaseException):
    """Carries an exception that is no Exception through an event loop, which SystemExit would end."""

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception
        super().__init__(exception)


def failure(exc: BaseException) -> Exception:
    """Return what a function of the program raised as an error; raise `exc` again if it comes from outside."""
    if isinstance(exc, Exception):
        return exc
    error = escaped(exc)
    if error is None or _is_interrupt(exc):
        raise exc
    return error


def error_text(error: BaseException, limit: int = 2000) -> str:
    """Return an error as text that can be stored and shown: its type and its message, at most so many characters."""
    return f"{type(error).__name__}: {error}"[:limit].encode("utf-8", "replace").decode()


def escaped(exc: BaseException) -> Exception | None:
    """Return the error that tells of an exception; None if the running task is being cancelled, or its event loop is gone."""
    if isinstance(exc, Exception):
        return exc
    cause = exc.exception if isinstance(exc, Carried) else exc
    asyncio = sys.modules.get("asyncio")  # not imported without an event loop
    text = f"a function of the program raised {cause!r:.200}, which is no Exception: raise an Exception instead"
    if cause is exc and asyncio is not None:
        if isinstance(exc, asyncio.CancelledError):
            task = _current_task(asyncio)
            if task is not None and task.cancelling():
                return None
            text = (
                f"a function of the program did not catch the cancellation of something that it awaited: {exc!r:.200}"
            )
        elif isinstance(exc, GeneratorExit) and _is_abandoned(exc):
            return None
    error = GoesError(text)
    error.__cause__ = cause
    return error


def _current_task(asyncio: Any) -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop is running in this thread
        return None


def _is_abandoned(exc: GeneratorExit) -> bool:
    """Whether a coroutine is being closed where it waits, instead of its function raising this."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is None or bool(trace.tb_frame.f_code.co_flags & _WAITING and not _raises(trace))


def _raises(trace: TracebackType) -> bool:
    import dis

    opcode = dis.opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]]
    return opcode in ("RAISE_VARARGS", "RERAISE")


def _is_interrupt(exc: BaseException) -> bool:
    """Whether Ctrl-C or a signal handler of the program raised it, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return False
    import signal

    if isinstance(exc, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return True
    handlers = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    trace = exc.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _code(handler: Any) -> object:
    while isinstance(handler, _PARTIAL):
        handler = handler.func
    return getattr(getattr(handler, "__func__", handler), "__code__", None)
