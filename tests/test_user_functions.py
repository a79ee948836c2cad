"""Functions of the program, wherever one can be given: those that would never run are refused, whatever one raises is a failure.

Two tables: places × kinds of functions, and places where a function runs in the background × what it raises.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any, cast

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.codec import FunctionCodec
from goes_lite.commands import middleware
from goes_lite.errors import CodecError, ConfigError, GoesError
from goes_lite.errors.functions import form_of

registry = goes.Registry()
AT_ONCE = goes.Retry(2, backoff=lambda attempt: 0.0)
MEMORY = "sqlite:///:memory:"


@pytest.fixture(autouse=True, scope="module")
def _little_to_collect() -> None:
    """Hundreds of tests below collect: what other files have left behind is not looked at each time."""
    gc.collect()
    gc.freeze()


OPTIONS: dict[str, dict[str, Any]] = {"inline": {}, "loop thread": {"inline": False}}
"""Of the blocking face: how a file is used, and how a server."""


@registry.event("noted", schema=2)
@dataclass(frozen=True)
class Noted:
    number: int


@registry.commands.event("note")
@dataclass(frozen=True)
class Note:
    id: str
    number: int = 1


def noted(number: int = 1) -> goes.Event[Noted]:
    return goes.Event(Noted(number), registry=registry)


# --- functions that would never run -------------------------------------------------------------------------------------


async def coroutine(*_: object) -> None:
    pass


def generator(*_: object) -> Iterator[None]:
    yield


async def async_generator(*_: object) -> AsyncIterator[None]:
    yield


class Asynchronous:
    async def __call__(self, *_: object) -> None:
        pass

    async def method(self, *_: object) -> None:
        pass


def to_a_coroutine(*_: object) -> Any:
    return coroutine()


def to_a_generator(*_: object) -> Any:
    return generator()


KINDS: dict[str, Any] = {
    "coroutine function": coroutine,
    "callable object": Asynchronous(),
    "function to a coroutine": to_a_coroutine,
    "generator function": generator,
    "function to a generator": to_a_generator,
    "async generator function": async_generator,
}


@pytest.mark.parametrize(
    ("function", "form"),
    [
        (coroutine, "a coroutine"),
        (partial(partial(coroutine), 1), "a coroutine"),
        (Asynchronous(), "a coroutine"),
        (Asynchronous().method, "a coroutine"),
        (staticmethod(generator), "a generator"),
        (async_generator, "an async generator"),
        (print, ""),
        (Asynchronous, ""),
        (5, ""),
    ],
)
def test_the_form_of_a_function(function: Any, form: str) -> None:
    assert form_of(function) == form


class Notes(goes.Aggregate, name="notes", registry=registry):
    total: int = 0

    @goes.handles(Note, create=True)
    def note(self, command: Note) -> None:
        self.record(Noted(command.number))

    @goes.applies(Noted)
    def _noted(self, event: goes.Event[Noted]) -> None:
        self.total += event.data.number


def subclass(base: type[Any], body: dict[str, Any], **arguments: Any) -> Any:
    return cast(Any, type(base))("Made", (base,), body, **arguments)


def as_method(function: Any) -> Any:
    """A new function that a class can have as a method, for decorators to mark: what is none already is called by one."""
    if isinstance(function, FunctionType):
        return FunctionType(function.__code__, function.__globals__, closure=function.__closure__)

    def method(*arguments: Any) -> Any:  # a method is bound
        return function(*arguments)

    return method


def giving(value: Any) -> Callable[..., Any]:
    def function(*_: object) -> Any:
        return value

    return function


def skips(self: Any, event: Any, tx: Any) -> None:
    pass


def keeps(self: Any, model: Any, event: Any) -> Any:
    return model


def ignores(self: Any, message: Any) -> None:
    pass


def starts(self: Any, id: str) -> Noted:
    return Noted(0)


def processing(db: BlockingDatabase, handler: Any, **options: Any) -> None:
    db.events.append([noted()])
    with db.processor("p", handler, retry=AT_ONCE, **options) as processor:
        processor.wait_for(1, 60)


def projecting(db: BlockingDatabase, projection: Any) -> None:
    db.events.append([goes.Event(Noted(1), aggregate=("notes", "1"), version=1, registry=registry)])
    with db.projection(projection, retry=AT_ONCE) as processor:
        processor.wait_for(1, 60)


def method_of_projection(db: BlockingDatabase, f: Any) -> None:
    projecting(db, subclass(goes.Projection, {"on": goes.projects(Noted)(as_method(f))}, name="made")())


def whole(name: str) -> Callable[[BlockingDatabase, Any], None]:
    def place(db: BlockingDatabase, f: Any) -> None:
        body = {"on": goes.projects(Noted)(as_method(skips)), name: as_method(f)}
        projecting(db, subclass(goes.Projection, body, name="made")())

    return place


def of_documents(**more: Any) -> Any:
    body = {"on": goes.projects(Noted)(as_method(keeps)), "model": Noted, "initial": starts}
    return subclass(goes.ModelProjection, {**body, **more}, name="documents")()


def bus_handler(db: BlockingDatabase, f: Any) -> None:
    handling = db.bus.handle(["*"], f, max_attempts=1)
    db.events.append([noted()])
    while not handling.failures and not db.bus.dead_letters():
        gc.collect()
    raise handling.errors[0].error


def worker(db: BlockingDatabase, register: Callable[[], object]) -> None:
    register()
    id = db.commands.dispatch_async(Note("1"))
    with db.commands.worker(attempts=1):
        db.commands.outcome(id, 10)


def on_commit(db: BlockingDatabase, f: Any) -> None:
    raised: list[BaseException] = []
    with db.transaction() as tx:
        tx.on_commit(f)
        tx.on_commit(lambda: raised.append(ConfigError("the others run")))
    raise raised[0]


def served(db: BlockingDatabase, **options: Any) -> None:
    db.commands.serve(Notes, **options)
    db.commands.dispatch(Note("1"))


def reported(db: BlockingDatabase, hook: str, f: Any) -> None:
    """A hook after the commit: its error is reported."""
    errors: list[Exception] = []
    options: dict[str, Any] = {hook: f}
    notes = db.repository(Notes, on_error=lambda what, error: errors.append(error), **options)
    notes.use("1", lambda a: a.record(Noted(1)), create=True)
    if hook == "after_delete":
        notes.delete("1")
    raise errors[0]


def upcasting(db: BlockingDatabase, f: Any) -> None:
    own = goes.Registry()
    own.register("noted", Noted, schema=2)
    own.upcast("noted", 1)(f)
    own.decode("noted", "json", 1, '{"number":1}')


def coding(db: BlockingDatabase, encode: Any, decode: Any) -> None:
    own = goes.Registry(codec=FunctionCodec("own", encode, decode, text=True))
    own.register("noted", Noted)
    goes.Event(Noted(1), registry=own)
    own.decode("noted", "own", 1, "x")


def made_decider(decide: Any, evolve: Any) -> None:
    own: Any = goes.Decider(
        "d", initial=Noted(0), decide=decide, evolve=evolve, events=[Noted], registry=registry
    )  # fmt: skip
    own.aggregate("1").decide(Note("1"))


def applying(db: BlockingDatabase, f: Any) -> None:
    body = {"_on": goes.applies(Noted)(as_method(f))}
    subclass(goes.Aggregate, body, name="made", registry=registry)("1").record(Noted(1))


def restoring(db: BlockingDatabase, f: Any) -> None:
    body = {"_on": goes.applies(Noted)(as_method(ignores)), "snapshot_state": as_method(f)}
    made = subclass(goes.Aggregate, body, name="made", registry=registry)
    errors: list[Exception] = []
    notes = db.repository(made, snapshots=goes.Every(1), on_error=lambda what, error: errors.append(error))
    notes.use("1", lambda a: a.record(Noted(1)), create=True)
    raise errors[0]


def deciding(db: BlockingDatabase, evolve: Any, decide: Any) -> None:
    db.events.append([noted()])
    db.decide(goes.DecisionModel(goes.EventQuery(["noted"]), 0, evolve), decide=decide)


def looking_up(db: BlockingDatabase, f: Any) -> None:
    projecting(db, goes.Lookup("keys", {Noted: f}))


def rebuilding(db: BlockingDatabase, **callbacks: Any) -> None:
    db.events.append([goes.Event(Noted(1), aggregate=("notes", "1"), version=1, registry=registry)])
    with db.projection(of_documents()) as processor:
        processor.wait_for(1, 60)
    db.projection(of_documents()).rebuild(**callbacks)


def commanding(db: BlockingDatabase, f: Any, **options: Any) -> None:
    db.commands.handle(Note, f, **options)
    db.commands.dispatch(Note("1"))


def of_aggregate(db: BlockingDatabase, f: Any) -> None:
    db.commands.serve(subclass(Notes, {"note": goes.handles(Note, create=True)(as_method(f))}, name="m"))
    db.commands.dispatch(Note("1"))


def through(db: BlockingDatabase, f: Any, around: Any = "handling") -> None:
    db.commands.use(f, around=around)
    served(db)


def cleared(db: BlockingDatabase, f: Any) -> None:
    whole("clear")(db, f)
    db.projection(of_documents(clear=as_method(f))).rebuild()


def folded(db: BlockingDatabase, f: Any) -> None:
    db.events.append([goes.Event(Noted(1), aggregate=("notes", "1"), version=1, registry=registry)])
    db.live(of_documents(on=goes.projects(Noted)(as_method(f))))


def keyed(db: BlockingDatabase, f: Any) -> None:
    body = {"note": goes.handles(Note, id=f, create=True)(as_method(ignores))}
    db.commands.serve(subclass(Notes, body, name="keyed"))
    db.commands.dispatch(Note("1"))


def scheduled(f: Any, **members: Any) -> Any:
    return type("Custom", (), {"due": as_method(f), **members})()


PLACES: dict[str, Callable[[BlockingDatabase, Any], object]] = {
    "applier": applying,
    "snapshot_state": restoring,
    "processor": processing,
    "processor, transactional": lambda db, f: processing(db, f, transactional=True),
    "processor, batched": lambda db, f: processing(db, f, batched=True),
    "schedule of a processor": lambda db, f: processing(db, print, schedule=scheduled(f, minds_when=False)),
    "method of a projection": method_of_projection,
    "create": whole("create"),
    "clear": cleared,
    "method of documents": lambda db, f: projecting(db, of_documents(on=goes.projects(Noted)(as_method(f)))),
    "initial": lambda db, f: projecting(db, of_documents(initial=as_method(f))),
    "method of documents, live": folded,
    "lookup": looking_up,
    "bus": bus_handler,
    "command": commanding,
    "command, transactional": lambda db, f: commanding(db, f, transactional=True),
    "command, in a worker": lambda db, f: worker(db, lambda: db.commands.handle(Note, f)),
    "command, of an aggregate": of_aggregate,
    "id of a command": keyed,
    "middleware": through,
    "middleware around dispatch": lambda db, f: through(db, f, "dispatch"),
    "deduplicate": lambda db, f: through(db, middleware.deduplicate(f), "dispatch"),
    "use": lambda db, f: db.repository(Notes).use("1", f, create=True),
    "before_save": lambda db, f: db.repository(Notes, before_save=f).use(
        "1", lambda a: a.record(Noted(1)), create=True
    ),
    "before_save of a command": lambda db, f: served(db, before_save=f),
    "after_save": lambda db, f: reported(db, "after_save", f),
    "after_delete": lambda db, f: reported(db, "after_delete", f),
    "schedule of snapshots": lambda db, f: reported(db, "snapshots", scheduled(f)),
    "change of a model": lambda db, f: db.models_of("m", Noted).use("1", f, default=Noted(0)),
    "on_commit": on_commit,
    "evolve of a decision": lambda db, f: deciding(db, f, giving([])),
    "decide of a decider": lambda db, f: made_decider(f, giving(Noted(0))),
    "evolve of a decider": lambda db, f: made_decider(giving([Noted(1)]), f),
    "progress": lambda db, f: rebuilding(db, progress=f),
    "accept": lambda db, f: rebuilding(db, accept=f),
    "upcaster": upcasting,
    "encode": lambda db, f: coding(db, f, giving(Noted(1))),
    "decode": lambda db, f: coding(db, giving("x"), f),
    "backoff": lambda db, f: goes.Retry(backoff=f),
    "backoff of the bus": lambda db, f: db.bus.handle(["*"], print, backoff=f),
    "backoff of a worker": lambda db, f: db.commands.worker(backoff=f),
}
ITERATES = {"decide of a decider": "generator"}
"""Where what a generator yields is used."""
AT_CALLS_ONLY_LOGGED = ("backoff", "backoff of the bus", "backoff of a worker", "on_commit")
"""What is called later: a function that makes a coroutine is logged there, and replaced by the default."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_what_would_never_run_is_refused(place: str, kind: str) -> None:
    """At the registration, or at the first call. Nobody warns of a coroutine that was never awaited."""
    if kind.startswith("function to") and place in AT_CALLS_ONLY_LOGGED:
        pytest.skip("called in the background only: see the tests of failures")
    if place in ITERATES and kind in ("generator function", "function to a generator"):
        pytest.skip("what it yields is used")
    function = KINDS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with goes.blocking.connect(MEMORY, registry=registry) as db, pytest.raises(GoesError) as caught:
            PLACES[place](db, function)
        gc.collect()
        told = " ".join(str(error) for error in chain_of(caught.value))
        assert "coroutine" in told or "generator" in told or "async" in told or "yield" in told, told


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_generators_are_fine_where_what_they_yield_is_used() -> None:
    """The events of a decision and of a decider, the keys of an event, the rows of a projection."""
    with goes.blocking.connect(MEMORY, registry=registry) as db:
        model = goes.DecisionModel(goes.EventQuery(["noted"]), 0, lambda state, event: state + 1)

        def decide(count: int) -> Iterator[goes.Event[Noted]]:
            yield noted(count)

        db.decide(model, decide=decide)
        assert [event.data for event in db.events.query()] == [Noted(0)]

        def keys(event: goes.Event[Noted]) -> Iterator[str]:
            yield from ("a", "b")

        def counts(self: Any, model: Noted, event: goes.Event[Noted]) -> Noted:
            return Noted(model.number + 1)

        both = of_documents(on=goes.projects(Noted, key=keys)(counts))
        assert db.live(both) == {"a": Noted(1), "b": Noted(1)}


def test_the_async_face_awaits_coroutine_functions_and_refuses_generators() -> None:
    async def main() -> None:
        async with goes.connect(MEMORY, registry=registry) as db:
            done: list[object] = []

            async def does(*arguments: object) -> None:
                done.append(len(done))

            notes = db.repository(Notes, after_save=does)
            await notes.use("1", lambda a: cast(None, a.record(Noted(1))), create=True)
            await notes.use("1", does)
            async with db.transaction() as tx:
                tx.on_commit(does)
                tx.on_commit(lambda: done.append("plain"))
            db.commands.handle(Note, does)
            await db.commands.dispatch(Note("1"))
            async with db.processor("p", does) as processor:
                await processor.wait_for(1, 60)
            assert done == [0, 1, 2, "plain", 4, 5]
            for place in (
                lambda: db.processor("p", generator),
                lambda: db.processor("p", async_generator),
                lambda: db.repository(Notes, after_save=generator),
                lambda: db.bus.handle(["*"], generator),
                lambda: db.commands.use(async_generator),
            ):
                with pytest.raises(ConfigError, match="generator function"):
                    place()
            for late in (generator, to_a_generator):
                with pytest.raises(ConfigError, match="returned a generator"):
                    await notes.use("1", late)

    asyncio.run(main())


# --- what a function raises ---------------------------------------------------------------------------------------------


def exits(*_: object) -> Any:
    sys.exit(3)


def interrupts(*_: object) -> Any:
    raise KeyboardInterrupt


def closes(*_: object) -> Any:
    raise GeneratorExit


def cancels(*_: object) -> Any:
    async def main() -> None:
        task = asyncio.ensure_future(asyncio.sleep(9))
        task.cancel()
        await task

    if threaded():
        asyncio.run(main())
    raise asyncio.CancelledError


def threaded() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


RAISES = [exits, interrupts, closes, cancels]


def failing(raises: Any, calls: list[object], good: Any = None) -> Any:
    """A function that raises when it is called for the first two times."""

    def function(*arguments: object) -> Any:
        calls.append(arguments)
        if len(calls) <= 2:
            raises()
        return good

    return function


BACKGROUND: dict[str, Callable[[Any, Any], Any]] = {
    "handler": lambda db, f: db.processor("p", f, retry=AT_ONCE),
    "transactional": lambda db, f: db.processor("p", f, retry=AT_ONCE, transactional=True),
    "batched": lambda db, f: db.processor("p", f, retry=AT_ONCE, batched=True),
    "projection": lambda db, f: db.projection(
        subclass(goes.Projection, {"on": goes.projects(Noted)(f)}, name="p")(), retry=AT_ONCE
    ),
    "documents": lambda db, f: db.projection(of_documents(on=goes.projects(Noted)(f)), retry=AT_ONCE),
    "key": lambda db, f: db.projection(of_documents(on=goes.projects(Noted, key=f)(as_method(keeps))), retry=AT_ONCE),
    "lookup": lambda db, f: db.projection(goes.Lookup("keys", {Noted: f}), retry=AT_ONCE),
    "create": lambda db, f: db.projection(
        subclass(goes.Projection, {"on": goes.projects(Noted)(as_method(skips)), "create": f}, name="p")()
    ),
    "schedule": lambda db, f: db.processor("p", giving(None), schedule=scheduled(f, minds_when=False)),
}


RAISING = [("handler", raises) for raises in RAISES] + [(place, exits) for place in BACKGROUND if place != "handler"]


@pytest.mark.parametrize(("place", "raises"), RAISING)
def test_it_counts_as_a_failed_attempt(place: str, raises: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Then the processor is failed, with an error that says so, and the error is in the log: no thread dies in silence."""
    event = goes.Event(Noted(1), aggregate=("notes", "1"), version=1, registry=registry)
    calls: list[object] = []
    with goes.blocking.connect(MEMORY, registry=registry) as db:
        db.events.append([event])
        with BACKGROUND[place](db, failing(raises, calls)) as processor:
            with pytest.raises(GoesError):
                processor.wait_for(1, 60)
            state, error = processor.stats().state, processor.error
    assert state == "failed"
    assert "ended" in caplog.text
    assert any("a function of the program" in str(one) for one in chain_of(error))
    assert len(calls) == (1 if place in ("create", "schedule") else 2)


@pytest.mark.parametrize(("place", "raises"), RAISING)
def test_it_counts_as_a_failed_attempt_on_an_event_loop(place: str, raises: Any) -> None:
    """And the loop goes on, which SystemExit would end."""
    event = goes.Event(Noted(1), aggregate=("notes", "1"), version=1, registry=registry)
    calls: list[object] = []

    async def main() -> None:
        async with goes.connect(MEMORY, registry=registry) as db:
            await db.events.append([event])
            async with BACKGROUND[place](db, failing(raises, calls)) as processor:
                with pytest.raises(GoesError):
                    await processor.wait_for(1, 60)
                assert (await processor.stats()).state == "failed"
                assert any("a function of the program" in str(one) for one in chain_of(processor.error))

    asyncio.run(main())


@pytest.mark.parametrize("raises", [exits, cancels])
@pytest.mark.parametrize("face", OPTIONS)
def test_a_bus_handler_hears_the_next_event(face: str, raises: Any) -> None:
    with goes.blocking.connect(MEMORY, registry=registry, **OPTIONS[face]) as db:
        calls: list[object] = []
        heard = db.bus.subscribe(["*"])
        handling = db.bus.handle(["*"], failing(raises, calls), max_attempts=2, backoff=lambda attempt: 0.0)
        db.events.append([noted(1)])
        db.events.append([noted(2)])
        while len(calls) < 3:
            gc.collect()
        assert (handling.running, handling.failures) == (True, 2)
        assert len(db.bus.dead_letters()) == 1
        heard.close()


@pytest.mark.parametrize(
    ("place", "raises"),
    [("handler", exits), ("handler", cancels), ("method", exits), ("middleware", exits), ("before_save", closes)],
)
@pytest.mark.parametrize("face", OPTIONS)
def test_a_command_worker_goes_on(place: str, raises: Any, face: str) -> None:
    calls: list[object] = []
    function = failing(raises, calls)
    with goes.blocking.connect(MEMORY, registry=registry, **OPTIONS[face]) as db:
        if place == "handler":
            db.commands.handle(Note, function)
        elif place == "method":
            db.commands.serve(subclass(Notes, {"note": goes.handles(Note, create=True)(function)}, name="m"))
        elif place == "middleware":
            db.commands.use(function)
            db.commands.serve(Notes)
        else:
            db.commands.serve(Notes, before_save=function)
        first, second = db.commands.dispatch_async(Note("1")), db.commands.dispatch_async(Note("2"))
        with db.commands.worker(attempts=2, backoff=lambda attempt: 0.0) as worker:
            with suppress(GoesError):
                db.commands.outcome(first, 10)
            with suppress(GoesError):
                db.commands.outcome(second, 10)
            assert worker.running
            assert worker.handled >= 1
            assert "a function of the program" in str(worker.error)


@pytest.mark.parametrize("raises", RAISES)
def test_a_hook_after_the_commit_makes_no_save_fail(raises: Any) -> None:
    """In a thread of a program, where no Ctrl-C arrives."""
    errors: list[Exception] = []
    with goes.blocking.connect(MEMORY, registry=registry, inline=False) as db:
        notes = db.repository(Notes, after_save=raises, on_error=lambda what, error: errors.append(error))
        notes.use("1", lambda a: a.record(Noted(1)), create=True)
        assert notes.fetch("1").version == 1
    assert "a function of the program" in str(errors[0])


@pytest.mark.parametrize("raises", RAISES)
def test_an_upcaster_that_raises_makes_an_event_unreadable(raises: Any) -> None:
    with pytest.raises(CodecError, match="upcaster") if raises is not interrupts else pytest.raises(KeyboardInterrupt):
        upcasting(cast(Any, None), raises)


# --- what comes from outside ----------------------------------------------------------------------------------------------


def test_a_call_in_the_main_thread_is_interrupted() -> None:
    """Ctrl-C, and what a signal handler raises, ends `run`; the processor is stopped, and no event counts as failed."""

    def terminated(number: int, frame: object) -> None:
        sys.exit(7)

    def handler(event: goes.Event[Any]) -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        with goes.blocking.connect(MEMORY, registry=registry) as db:
            db.events.append([noted()])
            for handle, error in ((interrupts, KeyboardInterrupt), (handler, SystemExit)):
                processor = db.processor("p", handle, retry=AT_ONCE)
                with pytest.raises(error):
                    processor.run()
                assert (processor.stats().state, processor.error) == ("stopped", None)
            for raises, error in ((exits, SystemExit), (interrupts, KeyboardInterrupt)):
                with pytest.raises(error):
                    db.repository(Notes).use("1", raises, create=True)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_cancelling_a_processor_stops_it() -> None:
    """Its own task is being cancelled, so that is no failure of the handler."""

    async def main() -> None:
        async with goes.connect(MEMORY, registry=registry) as db:
            await db.events.append([noted()])
            entered = asyncio.Event()

            async def handler(event: goes.Event[Any]) -> None:
                entered.set()
                await asyncio.sleep(60)

            processor = db.processor("p", handler)
            task = asyncio.create_task(processor.run())
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ((await processor.stats()).state, processor.error) == ("stopped", None)

    asyncio.run(main())
