"""What a suite is made of: rules, the hook that says which backend they are about, and how a rule is run.

A rule is one behaviour: an `async def test_…` in a suite, over the async protocols, whose docstring begins with its id.
It becomes a plain test when its class is made, so pytest alone runs it, with or without any plugin for async tests:
on the async face in an event loop of its own, and on the blocking face through a layer that gives `await` to what has
none, where it has to reach its end without suspending. Either way it runs in a thread of its own, so a rule that hangs
fails and says where. A rule that drives many runs by itself, each in an event loop of its own, is a plain `def test_…`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, ClassVar, cast

import pytest

from goes_lite.runtime import drive
from goes_lite_conformance import report
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.storage import Declared, Storage
from goes_lite_conformance.rule import _ID, PATIENCE, Face, Rule, rule_of

GRACE = 2.0
"""Seconds that a stuck rule has to close what it opened, once it is cancelled."""

CHOICE = pytest.StashKey[Callable[[str, Sequence[tuple[str, str]]], Sequence[tuple[str, str]]]]()
"""Where a conftest.py leaves, in the stash of the config, how some of the (variant, face) of a rule are chosen for a run."""


class Contract:
    """Base of every suite. A subclass says one thing: the URL of a backend, on a fresh storage.

    class Acme(Contract):
        def url(self, storage: Storage) -> str:
            return f"acme://{storage.folder}/log"

    class TestEvents(Acme, EventStoreTests): ...
    """

    faces: ClassVar[tuple[Face, ...]] = ("async", "blocking")
    """The faces that the rules run on: "async", "blocking", and "loop" (an embedded backend on a loop thread)."""

    variants: ClassVar[tuple[str, ...]] = ("",)
    """Every rule runs once for each; `Storage.variant` is the one."""

    options: ClassVar[dict[str, Any]] = {}
    """Further options for `connect`."""

    def url(self, storage: Storage) -> str:
        """The URL of a storage: `connect` opens a new handle on it each time. Called again, it is the same storage."""
        raise NotImplementedError(
            f"{type(self).__name__} must define url(self, storage), which says how its backend is opened"
        )

    def bus(self, storage: Storage) -> str | None:
        """The URL of a separate bus for the storage, for suites about the bus; None for the bus of the backend."""
        return None

    async def erase(self, storage: Storage) -> None:
        """Remove what a test left in a storage. The folder `storage.folder` is removed anyway."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, member in list(vars(cls).items()):
            if name.startswith("test_") and (inspect.iscoroutinefunction(member) or _is_plain_rule(member)):
                setattr(cls, name, _plain(member))
        _check_names(cls)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Every rule on every face of every variant, unless a conftest.py has chosen some of them."""
        if "place" not in metafunc.fixturenames:
            return
        report.attach(metafunc.config)
        faces = getattr(metafunc.function, "faces", None) or self.faces
        places = [(variant, face) for variant in self.variants for face in faces if face in self.faces]
        if (choose := metafunc.config.stash.get(CHOICE, None)) and places:
            places = list(choose(metafunc.function.rule.id, places))
        metafunc.parametrize("kind", places, ids=["-".join(filter(None, place)) for place in places])

    @pytest.fixture
    def place(self, kind: tuple[str, Face], request: pytest.FixtureRequest) -> Iterator[Place]:
        """An empty storage, and the face through which a rule works on it."""
        variant, face = kind
        rule: Rule = request.function.rule
        declared = declared_by(type(self), variant)
        if missing := rule.needs - declared.abilities:
            excuse = ", ".join(sorted(missing))
            request.node.user_properties.append((report.EXCUSE, excuse))
            pytest.skip(f"not applicable without the ability {excuse}")
        with tempfile.TemporaryDirectory(prefix="goes-", ignore_cleanup_errors=True) as folder:
            place = Place(self, Storage.fresh(Path(folder), variant), face, declared, _rounds(request))
            try:
                yield place
            finally:
                place.end()
                asyncio.run(self.erase(place.storage))


_declared: dict[tuple[type[Contract], str], Declared] = {}


def declared_by(suite: type[Contract], variant: str) -> Declared:
    """Return what a handle on a storage of that kind declares; looked up once."""
    if (suite, variant) not in _declared:
        hook = suite()
        with tempfile.TemporaryDirectory(prefix="goes-", ignore_cleanup_errors=True) as folder:
            place = Place(hook, Storage.fresh(Path(folder), variant), "async", Declared(), 1)

            async def look() -> Declared:
                async with place.open() as db:
                    return Declared(frozenset(db.abilities), db.durability)

            _declared[suite, variant] = in_thread(lambda: asyncio.run(look()), PATIENCE)
            asyncio.run(hook.erase(place.storage))
    return _declared[suite, variant]


def _check_names(suite: type[Contract]) -> None:
    """Raise TypeError if two parts of a suite have a rule of the same name: one of them would be lost."""
    owners: dict[str, type] = {}
    for part in suite.__mro__:
        for name, member in vars(part).items():
            owner = owners.setdefault(name, part) if hasattr(member, "rule") else part
            if not issubclass(owner, part):
                raise TypeError(f"{suite.__qualname__}: {owner.__qualname__} and {part.__qualname__} both have {name}")


def _rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--rounds", default=1) or 1)


def _is_plain_rule(member: object) -> bool:
    """Whether it is a function with the id of a rule that is not a test yet."""
    return inspect.isfunction(member) and not hasattr(member, "rule") and bool(_ID.match(inspect.getdoc(member) or ""))


def _plain(test: Callable[..., Coroutine[Any, Any, None] | None]) -> Callable[..., None]:
    """Return the test that pytest sees: a function that runs the rule on the face of its place."""
    rule = rule_of(test)
    parameters = list(inspect.signature(test).parameters.values())
    names = [parameter.name for parameter in parameters]

    @functools.wraps(test)
    def run(self: Contract, place: Place, **arguments: Any) -> None:
        __tracebackhide__ = True

        async def with_handle(body: Callable[..., Coroutine[Any, Any, None]]) -> None:
            if "db" not in names:
                await body(self, **arguments)
                return
            async with place.open() as db:
                await body(self, db=db, **arguments)

        if "place" in names:
            arguments["place"] = place
        coroutine = with_handle(test) if inspect.iscoroutinefunction(test) else None
        seconds = test.__dict__.get("patience", PATIENCE) * place.rounds
        ends: list[Callable[[], object]] = []
        try:
            in_thread(
                lambda: _run(place, coroutine, ends) if coroutine else test(self, **arguments), seconds, coroutine, ends
            )
        except BaseException as error:
            error.add_note(f"{rule.id}: {rule.text}")
            error.__traceback__ = _since(test.__code__, error.__traceback__)
            raise

    own = [parameter for parameter in parameters if parameter.name not in ("db", "place")]
    asked = inspect.Parameter("place", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__dict__.update(rule=rule, __signature__=inspect.Signature([own[0], asked, *own[1:]]))
    del run.__dict__["__wrapped__"]  # or pytest would look at the signature of the coroutine function
    return run


def _run(place: Place, test: Coroutine[Any, Any, None], ends: list[Callable[[], object]]) -> None:
    """Run a rule on the face of the place; add to `ends` what cancels it from another thread, if it can be cancelled."""
    __tracebackhide__ = True
    if place.face != "async":
        drive(test)
        return

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), cast("asyncio.Task[None]", asyncio.current_task())
        ends.append(lambda: loop.call_soon_threadsafe(task.cancel))
        await test
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left running: {left}"

    asyncio.run(main())


def _since(code: CodeType, found: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that begins in the rule, or all of it."""
    part = found
    while part is not None and part.tb_frame.f_code is not code:
        part = part.tb_next
    return part or found


def in_thread(
    work: Callable[[], Any],
    seconds: float,
    coroutine: Coroutine[Any, Any, Any] | None = None,
    ends: Sequence[Callable[[], object]] = (),
) -> Any:
    """Run the work in a thread of its own and return or raise its outcome; AssertionError if it hangs, with the place.

    If the work is to run a coroutine in an event loop, and it waits, that is where the coroutine waits. What hangs is
    ended, if it has said how, so that it closes what it has opened.
    """
    __tracebackhide__ = True
    outcome: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="rule", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        frame = sys._current_frames().get(thread.ident or 0)
        stack = list(_awaiting(coroutine)) or (traceback.extract_stack(frame) if frame else [])
        where = "".join(traceback.format_list(stack))
        for end in ends:
            with suppress(RuntimeError):  # the loop is closed: the rule has just ended
                end()
            thread.join(GRACE)
        raise AssertionError(f"it hangs: after {seconds:g} s it is still at\n{where}")
    if errors:
        raise errors[0]
    return outcome[0]


def _awaiting(coroutine: Any) -> Iterator[traceback.FrameSummary]:
    """Yield where a coroutine is suspended, down to what it waits for; nothing if it is running."""
    while inspect.iscoroutine(coroutine) and coroutine.cr_suspended and (frame := coroutine.cr_frame):
        yield traceback.FrameSummary(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        coroutine = coroutine.cr_await
