"""Registered handlers: what their return and their exceptions mean, and how they stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_bus import Handling
from goes_lite.errors import ConfigError, InvalidQueryError
from goes_lite.events.event import Event
from goes_lite_conformance.event_bus._given import RecordingHandler, handler, take, take_texts
from goes_lite_conformance.harness.asserts import each_refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place, until
from goes_lite_conformance.harness.samples import A, B, count, note, story
from goes_lite_conformance.rule import only


def soon(_: int) -> float:
    """A backoff that hardly waits."""
    return 0.001


class HandlerRules(Contract):
    """Rules EB-HANDLE."""

    async def test_a_handler_gets_each_event_in_order(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-001: A handler is called with each event that its names cover, one at a time, in order."""
        recorder = RecordingHandler(place)
        handling = db.bus.handle(["sample.noted"], recorder)
        await db.bus.publish([note("0"), count(7), *(note(str(n)) for n in range(1, 10))])
        assert await recorder.after_done(10) == [str(n) for n in range(10)]
        await handling.stop()
        assert (handling.running, handling.failures, list(handling.errors)) == (False, 0, [])

    async def test_a_coroutine_function_is_awaited(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-002: A coroutine function is awaited; the next event follows when it has returned."""
        log: list[str] = []

        async def handle(event: Event[Any]) -> None:
            log.append(f"begin {event.data.text}")
            if place.face == "async":
                await asyncio.sleep(0)
            log.append(f"end {event.data.text}")

        handling = db.bus.handle(["*"], handle)
        await db.bus.publish([note("1"), note("2")])
        await until(place, lambda: len(log) >= 4)
        await handling.stop()
        assert log == ["begin 1", "end 1", "begin 2", "end 2"]

    async def test_a_return_is_an_ack(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-003: An event that a handler has returned from is not delivered again, to any member of its group."""
        recorder = RecordingHandler(place)
        handling = db.bus.handle(["*"], recorder, group="g")
        await db.bus.publish([note("1"), note("2")])
        await recorder.after_done(2)
        await handling.stop()
        member = db.bus.subscribe(["*"], group="g")
        await db.bus.publish([note("3")])
        assert await take_texts(member, 1) == ["3"]

    async def test_an_exception_is_a_nak(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-004: An event that the handler raises on is handled again, until it does not raise."""
        recorder = RecordingHandler(place, lambda event: len(recorder.calls) < 3)
        handling = db.bus.handle(["*"], recorder, backoff=soon)
        await db.bus.publish([note("1")])
        assert await recorder.after_done(1) == ["1"]
        await handling.stop()
        assert recorder.calls == ["1", "1", "1"]
        assert handling.failures == 2

    async def test_the_backoff_is_asked_for_each_attempt(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-005: The wait before a retry is what `backoff` returns for the attempt that failed, counted from 1."""
        asked: list[int] = []

        def backoff(attempt: int) -> float:
            asked.append(attempt)
            return 0.001

        recorder = RecordingHandler(place, lambda event: len(recorder.calls) < 4)
        handling = db.bus.handle(["*"], recorder, backoff=backoff)
        await db.bus.publish([note("1")])
        await recorder.after_done(1)
        await handling.stop()
        assert asked == [1, 2, 3]

    async def test_others_are_handled_while_one_waits(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-006: While an event waits for a retry, events of other aggregates, or of none, are handled."""
        recorder = RecordingHandler(place, lambda event: event.data.text == "a-1" and recorder.calls.count("a-1") == 1)
        handling = db.bus.handle(["*"], recorder, backoff=lambda _: 0.1)
        await db.bus.publish([*story(A, 1), *story(B, 2), note("none")])
        assert await recorder.after_done(4) == ["b-1", "b-2", "none", "a-1"]
        await handling.stop()

    async def test_an_aggregate_is_handled_in_order(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-007: With `max_pending=1`, later events of an aggregate wait until its earlier one is handled."""
        recorder = RecordingHandler(place, lambda event: event.data.text == "a-1" and recorder.calls.count("a-1") < 3)
        handling = db.bus.handle(["*"], recorder, max_pending=1, backoff=lambda _: 0.02)
        await db.bus.publish(story(A, 3))
        assert await recorder.after_done(3) == ["a-1", "a-2", "a-3"]
        await handling.stop()

    async def test_failures_are_told(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-008: Each failure is counted, and the latest ones are listed with event, attempt, error and time."""
        recorder = RecordingHandler(place, lambda event: event.data.text == "bad" and recorder.calls.count("bad") < 3)
        handling = db.bus.handle(["*"], recorder, backoff=soon)
        bad = note("bad")
        await db.bus.publish([bad, note("good")])
        await recorder.after_done(2)
        assert handling.failures == 2
        assert [(failure.event, failure.attempt, str(failure.error)) for failure in handling.errors] == [
            (bad, 1, "no bad"), (bad, 2, "no bad"),
        ]  # fmt: skip
        assert all(failure.time.tzinfo is not None for failure in handling.errors)
        await handling.stop()

    async def test_handlers_do_not_disturb_each_other(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-009: A handler that fails, or is slow, does not delay another."""
        gate = _GatedHandler(place)
        failing, good = RecordingHandler(place, lambda _: True), RecordingHandler(place)
        handlings = [
            db.bus.handle(["*"], failing, backoff=soon, max_attempts=3),
            db.bus.handle(["*"], gate.handler),
            db.bus.handle(["*"], good),
        ]
        await db.bus.publish([note(str(n)) for n in range(5)])
        assert await good.after_done(5) == [str(n) for n in range(5)]
        gate.open()
        for handling in handlings:
            await handling.stop()

    async def test_handlers_of_a_group_share(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-010: Exactly one handler of a group receives each event."""
        handlers = [RecordingHandler(place) for _ in range(3)]
        handlings = [db.bus.handle(["*"], recorder, group="g", max_pending=1) for recorder in handlers]
        await db.bus.publish([note(str(n)) for n in range(30)])
        await until(place, lambda: sum(len(recorder.done) for recorder in handlers) >= 30)
        for handling in handlings:
            await handling.stop()
        assert sorted(text for recorder in handlers for text in recorder.calls) == sorted(str(n) for n in range(30))

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def test_stop_lets_the_event_at_hand_finish(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-011: Stopping waits for the current event, and takes no further one; the rest stays with the group."""
        gate = _GatedHandler(place)
        handling = db.bus.handle(["*"], gate.handler, group="g")
        await db.bus.publish([note("1"), note("2")])
        await until(place, lambda: gate.entered == 1)
        stopping = place.alongside(handling.stop())
        await until(place, lambda: not handling.running)
        assert not stopping.ended
        gate.open()
        await stopping.result()
        assert (handling.running, gate.left) == (False, 1)
        assert await take_texts(db.bus.subscribe(["*"], group="g"), 1) == ["2"]

    async def test_stopping_twice_is_fine(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-012: A handler runs until it is stopped; stopping it again is fine."""
        handling = db.bus.handle(["*"], RecordingHandler(place))
        assert handling.running
        await handling.stop()
        await handling.stop()
        assert not handling.running

    @only("async")
    async def test_stop_has_a_time_limit(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-013: A handler that awaits for longer than `stop(timeout)` is cancelled, and its event goes back."""
        begun = asyncio.Event()

        async def handle(event: Event[Any]) -> None:
            begun.set()
            await asyncio.Event().wait()

        handling = db.bus.handle(["*"], handle, group="g")
        await db.bus.publish([note("1")])
        await begun.wait()
        await handling.stop(0.01)
        assert not handling.running
        (again,) = await take(db.bus.subscribe(["*"], group="g"), 1)
        assert (again.event.data.text, again.attempt) == ("1", 2)

    async def test_closing_the_bus_stops_its_handlers(self, place: Place) -> None:
        """EB-HANDLE-014: Closing the backend lets handlers finish their current event, and stops them."""
        gate = _GatedHandler(place)
        async with place.open() as db:
            handling = db.bus.handle(["*"], gate.handler)
            await db.bus.publish([note("1")])
            await until(place, lambda: gate.entered == 1)
            gate.open()
        assert (handling.running, gate.left) == (False, 1)

    async def test_wrong_handlers_are_refused(self, db: Backend) -> None:
        """EB-HANDLE-015: A handler that is not callable, wrong names and wrong options raise at once."""

        def handle(names: Any = ("*",), handler: Any = print, **options: Any) -> Callable[[], Any]:
            async def call() -> None:
                db.bus.handle(names, handler, **options)

            return call

        await each_refused(
            ConfigError,
            {
                "not callable": handle(handler="print"),
                "max_attempts=0": handle(max_attempts=0),
                "max_attempts=1.5": handle(max_attempts=1.5),
                "max_pending=0": handle(max_pending=0),
                "ack_wait=0": handle(ack_wait=0),
                "group=''": handle(group=""),
            },
        )
        await each_refused(InvalidQueryError, {"no names": handle(names=[]), "a wrong pattern": handle(names=["a*"])})

    # --- working with the backend -------------------------------------------------------------------------------------

    async def test_a_handler_may_use_the_handle(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-016: A handler may read, append and publish, and the resulting events are delivered as usual."""
        recorder = RecordingHandler(place)

        async def forward(event: Event[Any]) -> None:
            number = await db.events.count()
            await db.events.append([note(f"appended {number}")])
            await db.bus.publish([note(f"published {number}")])

        handlings = [
            db.bus.handle(["sample.counted"], handler(place, forward)),
            db.bus.handle(["sample.noted"], recorder),
        ]
        await db.bus.publish([count(1), count(2)])
        assert sorted(await recorder.after_done(4)) == ["appended 0", "appended 1", "published 0", "published 1"]
        for handling in handlings:
            await handling.stop()

    async def test_a_handler_slower_than_its_ack_wait(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-017: An event that takes longer than `ack_wait` goes to another member; the late return does no harm."""
        gate = _GatedHandler(place)
        handling = db.bus.handle(["*"], gate.handler, group="g", ack_wait=0.05)
        await db.bus.publish([note("1")])
        await until(place, lambda: gate.entered == 1)
        async with db.bus.subscribe(["*"], group="g") as other:
            assert await take_texts(other, 1) == ["1"]
        gate.open()
        await db.bus.publish([note("2")])
        await until(place, lambda: gate.left == 2)
        assert handling.running
        await handling.stop()

    async def test_what_waits_to_be_tried_again_is_left(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-018: An event that waits for a retry when its handler is stopped stays with the group, attempts counted."""
        recorder = RecordingHandler(place, lambda _: True)
        handling = db.bus.handle(["*"], recorder, group="g", backoff=lambda _: 0.1)
        await db.bus.publish([note("1")])
        await recorder.after_calls(1)
        await handling.stop()
        (again,) = await take(db.bus.subscribe(["*"], group="g"), 1)
        assert (again.event.data.text, again.attempt, again.redelivered) == ("1", 2, True)

    @only("blocking", "loop")
    async def test_stop_leaves_a_handler_that_blocks(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-019: A handler that blocks for longer than `stop(timeout)` is not waited for, and gets no further event."""
        gate = _GatedHandler(place)
        handling = db.bus.handle(["*"], gate.handler, group="g")
        await db.bus.publish([note("1"), note("2")])
        await until(place, lambda: gate.entered == 1)
        await handling.stop(0.01)
        assert (handling.running, gate.left) == (False, 0)
        gate.open()
        await handling.stop()
        await until(place, lambda: gate.left == 1)
        assert gate.entered == 1

    async def test_a_handler_stops_itself(self, place: Place, db: Backend) -> None:
        """EB-HANDLE-020: A handler may stop itself: its return settles the current event, and it gets no further one."""
        texts: list[str] = []
        handlings: list[Handling] = []

        async def handle(event: Event[Any]) -> None:
            await handlings[0].stop()
            texts.append(event.data.text)

        handlings.append(db.bus.handle(["*"], handler(place, handle), group="g"))
        await db.bus.publish([note("1"), note("2")])
        await until(place, lambda: bool(texts))
        await handlings[0].stop()
        assert (texts, handlings[0].running, handlings[0].failures) == (["1"], False, 0)
        assert await take_texts(db.bus.subscribe(["*"], group="g"), 1) == ["2"]


class _GatedHandler:
    """A handler that waits until it is opened."""

    def __init__(self, place: Place) -> None:
        self._async = place.face == "async"
        self._open = threading.Event()
        self._awaited = asyncio.Event()
        self.entered = 0
        self.left = 0

    def handler(self, event: Event[Any]) -> Any:
        self.entered += 1
        return self._wait() if self._async else self._block()

    async def _wait(self) -> None:
        await self._awaited.wait()
        self.left += 1

    def _block(self) -> None:
        self._open.wait()
        self.left += 1

    def open(self) -> None:
        """Let it continue, now and from now on."""
        self._open.set()
        if self._async:
            self._awaited.set()
