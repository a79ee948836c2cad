"""What happens around commands: your own functions, and those that are often wanted."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.commands import middleware
from goes_lite.database import Database
from goes_lite.errors import CommandRejected, CommandTimeout, ConfigError
from goes_lite.testing import FakeClock
from tests.commands.commands_kit import Greet, Order, PlaceOrder, Remind, raised, registry
from tests.conftest_kit import SQLitePlace


def logged(log: list[Any], entry: object, *, keep: bool = False) -> list[Any]:
    """Notes something, and answers the log, or an empty one."""
    log.append(entry)
    return log if keep else []


def test_the_first_is_the_outermost_and_dispatch_lies_around_handling(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, order = db.commands, list[str]()

        def named(name: str) -> Any:
            async def around(command: Any, proceed: Any) -> Any:
                order.append(f"{name} in")
                result = await proceed(command)
                order.append(f"{name} out")
                return [*result, name]

            return around

        commands.use(named("handling 1"), named("handling 2"))
        commands.use(named("dispatch"), around="dispatch")
        commands.handle(Remind, lambda command: [*logged(order, "handler"), "result"])
        assert await commands.dispatch(Remind("ada")) == ["result", "handling 2", "handling 1", "dispatch"]
        names = ["dispatch", "handling 1", "handling 2"]
        assert order == [*(f"{name} in" for name in names), "handler", *(f"{name} out" for name in reversed(names))]

    world.with_handle(test)


def test_it_sees_the_command_and_may_change_it_repeat_it_or_answer_itself(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, seen, got = db.commands, list[Any](), list[Any]()

        async def twice(command: Any, proceed: Any) -> Any:
            seen.append((command.name, command.data, command.once))
            if command.name == "greet":
                return "instead"
            await proceed(command)
            return await proceed(command._replace(data=Remind("bob")))

        commands.use(twice)
        commands.handle(Remind, got.append)
        commands.handle(Greet, got.append)
        await commands.dispatch(Remind("ada"))
        assert await commands.dispatch(Greet("ada")) == "instead"
        assert got == [Remind("ada"), Remind("bob")]
        assert seen == [("remind", Remind("ada"), False), ("greet", Greet("ada"), False)]

    world.with_handle(test)


def test_errors_pass_through_as_they_are(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, seen = db.commands, list[BaseException]()

        async def look(command: Any, proceed: Any) -> Any:
            try:
                return await proceed(command)
            except Exception as exc:
                seen.append(exc)
                raise

        commands.use(look)
        commands.handle(Remind, lambda command: 1 / 0)
        with raised(ZeroDivisionError) as caught:
            await commands.dispatch(Remind("ada"))
        assert seen == [caught.value]

    world.with_handle(test)


def test_a_plain_function_on_an_event_loop_hands_on_what_it_is_to_await() -> None:
    async def test() -> None:
        async with goes.connect("sqlite:///:memory:", registry=registry) as db:
            db.commands.use(lambda command, proceed: proceed(command._replace(data=Remind("bob"))))
            db.commands.handle(Remind, lambda command: command.whom)
            assert await db.commands.dispatch(Remind("ada")) == "bob"

    asyncio.run(test())


def test_what_is_no_middleware(world: SQLitePlace) -> None:
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        with raised(ConfigError, "a middleware must be a function"):
            db.commands.use(5)  # type: ignore[arg-type]
        with raised(ConfigError, "around must be"):
            db.commands.use(print, around="everything")  # type: ignore[arg-type]


# --- those that are shipped -------------------------------------------------------------------------------------------


def test_logging(world: SQLitePlace, caplog: pytest.LogCaptureFixture) -> None:
    """What a command says is not logged."""
    logger = logging.getLogger("test.commands")

    async def test(db: Database) -> None:
        commands = db.commands
        commands.use(middleware.logging(logger))
        commands.handle(Remind, lambda command: None)
        commands.handle(Greet, lambda command: 1 / 0)
        await commands.dispatch(Remind("a secret"))
        with raised(ZeroDivisionError):
            await commands.dispatch(Greet("a secret"))

    with caplog.at_level(logging.INFO, "test.commands"):
        world.with_handle(test)
    done, failed = caplog.records
    assert (done.levelno, failed.levelno) == (logging.INFO, logging.WARNING)
    assert done.getMessage().startswith("remind ")
    assert "failed after" in failed.getMessage()
    assert "ZeroDivisionError" in failed.getMessage()
    assert "secret" not in caplog.text


def test_timing(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, told = db.commands, list[tuple[str, float, Any]]()
        commands.use(middleware.timing(lambda name, seconds, error: told.append((name, seconds, error))))
        commands.handle(Remind, lambda command: None)
        commands.handle(Greet, lambda command: 1 / 0)
        await commands.dispatch(Remind("ada"))
        with raised(ZeroDivisionError) as caught:
            await commands.dispatch(Greet("ada"))
        assert [(name, error) for name, _, error in told] == [("remind", None), ("greet", caught.value)]
        assert all(seconds >= 0 for _, seconds, _ in told)

    world.with_handle(test)


def test_retry(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, calls = db.commands, list[str]()
        commands.use(middleware.retry(3, on=OSError, backoff=lambda attempt: 0, runtime=db.runtime))

        def remind(command: Any) -> str:
            calls.append(command.whom)
            if command.whom == "other":
                raise ValueError
            if len(calls) < 3 or command.whom == "bad":
                raise OSError
            return "done"

        commands.handle(Remind, remind)
        assert await commands.dispatch(Remind("ada")) == "done"
        with raised(OSError):
            await commands.dispatch(Remind("bad"))
        with raised(ValueError):
            await commands.dispatch(Remind("other"))
        assert calls == ["ada"] * 3 + ["bad"] * 3 + ["other"]

    world.with_handle(test)
    with raised(ConfigError):
        middleware.retry(0, runtime=None)  # type: ignore[arg-type]


def test_authorise(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        commands.use(middleware.authorise(lambda command: command.context.actor == "ada"), around="dispatch")
        commands.handle(Remind, lambda command: "done")
        with goes.Context.bind(actor="ada"):
            assert await commands.dispatch(Remind("x")) == "done"
        with (
            goes.Context.bind(actor="bob"),
            raised(CommandRejected, "'bob' may not do 'remind'", code="not_authorised", details={"actor": "bob"}),
        ):
            await commands.dispatch(Remind("x"))
        with raised(CommandRejected, "'nobody' may not"):
            await commands.dispatch(Remind("x"))

    world.with_handle(test)


def test_validate(world: SQLitePlace) -> None:
    def check(command: Any) -> None:
        if not command.whom:
            raise ValueError("nobody to remind")

    async def test(db: Database) -> None:
        commands = db.commands
        commands.use(middleware.validate(check))
        commands.handle(Remind, lambda command: "done")
        assert await commands.dispatch(Remind("x")) == "done"
        with raised(CommandRejected, "nobody to remind", code="not_valid", command="remind") as caught:
            await commands.dispatch(Remind(""))
        assert type(caught.value.__cause__) is ValueError

    world.with_handle(test)


def test_deduplicate(world: SQLitePlace) -> None:
    """By a key of the request, per name; None counts always."""

    async def test(db: Database) -> None:
        commands, calls = db.commands, list[Any]()
        commands.use(middleware.deduplicate(lambda command: command.context.values.get("request")), around="dispatch")
        commands.handle(Remind, lambda command: len(logged(calls, command, keep=True)))
        commands.handle(Greet, lambda command: len(logged(calls, command, keep=True)))
        with goes.Context.bind(request="7"):
            assert [await commands.dispatch(Remind("ada")) for _ in range(3)] == [1, 1, 1]
            assert await commands.dispatch(Greet("ada")) == 2
        assert [await commands.dispatch(Remind("ada")) for _ in range(2)] == [3, 4]

    world.with_handle(test)


# --- deadlines --------------------------------------------------------------------------------------------------------


def test_too_late_it_is_not_begun(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands, calls = db.commands, list[Any]()
        commands.handle(Remind, calls.append)
        with raised(CommandTimeout, "it was not begun", begun=False):
            await commands.dispatch(Remind("ada"), timeout=0)
        past = db.runtime.clock.now() - timedelta(seconds=1)
        with goes.Context.bind(deadline=past), raised(CommandTimeout):
            await commands.dispatch(Remind("ada"), timeout=100)
        assert calls == []
        with raised(ConfigError, "not -1"):
            await commands.dispatch(Remind("ada"), timeout=-1)

    world.with_handle(test)


def test_a_handler_that_hangs_is_cancelled(tmp_path: Path) -> None:
    """By the clock of the handle, with nothing of it stored; what the handler dispatches has the same deadline."""

    async def test() -> None:
        clock, cancelled, deadlines = FakeClock(), list[str](), list[Any]()
        async with goes.connect(tmp_path / "a.db", registry=registry, clock=clock) as db:
            entered = asyncio.Event()

            async def hang(command: Remind, tx: Any) -> None:
                deadlines.append(goes.Context.current().deadline)
                await tx.models.put("reminders", "x", "{}")
                entered.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled.append(command.whom)
                    raise

            async def nested(command: Greet) -> None:
                await db.commands.dispatch(Remind(command.whom))

            db.commands.handle(Remind, hang, transactional=True)
            db.commands.handle(Greet, nested)
            dispatched = asyncio.create_task(db.commands.dispatch(Greet("ada"), timeout=5))
            await entered.wait()
            clock.advance(4.9)
            assert not dispatched.done()
            clock.advance(0.2)
            with raised(CommandTimeout, begun=True):
                await dispatched
            assert cancelled == ["ada"]
            assert deadlines == [clock.now() - timedelta(seconds=0.1)]
            assert await db.models.get("reminders", "x") is None

    asyncio.run(test())


def test_a_timeout_for_all(tmp_path: Path) -> None:
    async def test() -> None:
        clock = FakeClock()
        async with goes.connect(tmp_path / "a.db", registry=registry, clock=clock) as db:
            db.commands.use(middleware.timeout(5, runtime=db.runtime), around="dispatch")

            async def hang(command: Remind) -> None:
                await asyncio.Event().wait()

            db.commands.handle(Remind, hang)
            dispatched = asyncio.create_task(db.commands.dispatch(Remind("ada")))
            await clock.until_waiting()
            clock.advance(5)
            with raised(CommandTimeout):
                await dispatched

    asyncio.run(test())


def test_who_dispatches_may_be_cancelled(tmp_path: Path) -> None:
    async def test() -> None:
        async with goes.connect(tmp_path / "a.db", registry=registry) as db:
            entered = asyncio.Event()

            async def hang(command: Remind) -> None:
                entered.set()
                await asyncio.Event().wait()

            db.commands.handle(Remind, hang)
            db.commands.serve(Order)
            for timeout in (None, 100.0):
                entered.clear()
                dispatched = asyncio.create_task(db.commands.dispatch(Remind("ada"), timeout=timeout))
                await entered.wait()
                dispatched.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await dispatched
            await db.commands.dispatch(PlaceOrder("1", 5), timeout=100)

    asyncio.run(test())
