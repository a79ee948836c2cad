"""Common middleware for command buses.

    from goes_lite.commands import middleware

    db.commands.use(middleware.logging(), middleware.timing(histogram.observe))
    db.commands.use(middleware.retry(3, on=StoreUnavailable, runtime=db.runtime), around="dispatch")

Each function returns a middleware for both the async and the blocking face. Your own is a function of the command and of
what comes next, see `CommandBus.use`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from logging import INFO, WARNING, Logger, getLogger
from typing import Any, TypeAlias
from uuid import NAMESPACE_OID, uuid5

from goes_lite.commands._bus import Proceed
from goes_lite.commands._command import DispatchedCommand
from goes_lite.errors import CommandRejected, ConcurrencyError, ConfigError
from goes_lite.errors.functions import both_faces, check_function, check_result
from goes_lite.runtime import Runtime
from goes_lite.runtime.backoff import Backoff, check_backoff
from goes_lite.runtime.face import call

MiddlewareFunction: TypeAlias = Callable[[DispatchedCommand[Any], Proceed], Awaitable[Any]]


def logging(logger: Logger | None = None, level: int = INFO) -> MiddlewareFunction:
    """Log each handled command with its duration in seconds, and each failed one as a warning.

    To the logger "goes_lite.commands" by default. The data of commands is not logged, since it may be private.
    """
    out = getLogger("goes_lite.commands") if logger is None else logger

    @both_faces
    async def log(command: DispatchedCommand[Any], proceed: Proceed) -> Any:
        begun = time.monotonic()
        try:
            result = await proceed(command)
        except BaseException as exc:
            took = time.monotonic() - begun
            out.log(WARNING, "%s %s failed after %.3f s: %r", command.name, command.id, took, exc)
            raise
        out.log(level, "%s %s handled in %.3f s", command.name, command.id, time.monotonic() - begun)
        return result

    return log


def timing(report: Callable[[str, float, BaseException | None], object]) -> MiddlewareFunction:
    """Call a function with the name of each command, its duration in seconds, and its error (None if it succeeded)."""
    check_function("report", report, awaited=True)

    @both_faces
    async def measure(command: DispatchedCommand[Any], proceed: Proceed) -> Any:
        begun = time.monotonic()
        try:
            result = await proceed(command)
        except BaseException as exc:
            await call(report, command.name, time.monotonic() - begun, exc)
            raise
        await call(report, command.name, time.monotonic() - begun, None)
        return result

    return measure


def retry(
    attempts: int = 3,
    *,
    runtime: Runtime,
    on: type[Exception] | tuple[type[Exception], ...] = ConcurrencyError,
    backoff: Callable[[int], float] | None = None,
) -> MiddlewareFunction:
    """Retry a command that raises one of these errors, up to so many attempts in all, with growing pauses.

    (Handlers of aggregates retry after a conflict anyway.) `runtime` is that of the handle.
    """
    if type(attempts) is not int or attempts < 1:
        raise ConfigError(f"attempts must be an int ≥ 1, not {attempts!r:.80}")
    pause = Backoff(0.01, maximum=1.0) if backoff is None else check_backoff(backoff)

    @both_faces
    async def again(command: DispatchedCommand[Any], proceed: Proceed) -> Any:
        for attempt in range(1, attempts):
            try:
                return await proceed(command)
            except on:
                await runtime.sleep(pause(attempt))
        return await proceed(command)

    return again


def timeout(seconds: float, *, runtime: Runtime) -> MiddlewareFunction:
    """Give each command a deadline, unless it has an earlier one: for `around="dispatch"`."""
    if type(seconds) not in (int, float) or not seconds >= 0:
        raise ConfigError(f"a timeout must be a number of seconds ≥ 0, not {seconds!r:.80}")

    @both_faces
    async def limit(command: DispatchedCommand[Any], proceed: Proceed) -> Any:
        deadline = runtime.clock.now() + timedelta(seconds=seconds)
        if command.deadline is None or deadline < command.deadline:
            command = command._replace(deadline=deadline)
        return await proceed(command)

    return limit


def authorise(allowed: Callable[[DispatchedCommand[Any]], object]) -> MiddlewareFunction:
    """Reject each command for which the function returns false: CommandRejected, with the code "not_authorised".

    The actor is `command.context.actor`. What the function raises propagates.
    """
    check_function("allowed", allowed, awaited=True)

    @both_faces
    async def permit(command: DispatchedCommand[Any], proceed: Proceed) -> Any:
        if not await call(allowed, command):
            actor = command.context.actor
            raise CommandRejected(
                "not_authorised", f"{actor or 'nobody'!r} may not do {command.name!r}", details={"actor": actor}
            )
        return await proceed(command)

    return permit


def validate(check: Callable[[Any], object], *, code: str = "not_valid") -> MiddlewareFunction:
    """Check the data of each command with a function; a ValueError becomes a CommandRejected with that code."""
    check_function("check", check, awaited=True)

    @both_faces
    async def examine(command: DispatchedCommand[Any], proceed: Proceed) -> Any:
        try:
            await call(check, command.data)
        except ValueError as exc:
            raise CommandRejected(code, str(exc)) from exc
        return await proceed(command)

    return examine


def deduplicate(key: Callable[[DispatchedCommand[Any]], str | None]) -> MiddlewareFunction:
    """Make commands of one name with the same key count once, by an id derived from the key: for `around="dispatch"`.

    For example the key of a request that clients repeat. Commands with the key None always count.
    """
    check_function("key", key)

    @both_faces
    async def identify(command: DispatchedCommand[Any], proceed: Proceed) -> Any:
        found = key(command)
        check_result("key", found)
        if found is not None:
            command = command._replace(id=uuid5(NAMESPACE_OID, f"{command.name}\n{found}"), once=True)
        return await proceed(command)

    return identify
