"""Runs whole programs with interleavings, crashes, stalls and clock jumps that a seed decides, and checks invariants.

    async def bills(db):
        await db.projection(Bills()).run()

    for seed in range(100):
        sim = simulate(seed)
        sim.program(place_orders)
        sim.program(bills, copies=2)
        sim.at_end(every_order_is_billed_once)
        sim.run()

The programs are those of the application: nothing is mocked but time, and the store is a real one in memory. They run on
one event loop, which has no threads, and whose time passes only when the simulation says so. Each operation of the store is
a turn; at each turn the seed decides which program goes on, or what goes wrong. So the same seed makes the same run.

`decisions` chooses, `loop` is the event loop, `store` the store that waits for turns, `faults` what goes wrong.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from goes_lite.contract.backend import Backend
from goes_lite.database import Database
from goes_lite.database.connect import find, open_backend
from goes_lite.errors import ConfigError
from goes_lite.errors.functions import check_function
from goes_lite.errors.options import check_flag
from goes_lite.events.context import timed
from goes_lite.events.registry import Registry
from goes_lite.runtime import InlineRuntime, drive
from goes_lite.runtime.face import call
from goes_lite.testing.simulation.decisions import Decisions, Instance, Program, of
from goes_lite.testing.simulation.faults import Faults
from goes_lite.testing.simulation.loop import SimulatedLoop, SimulatedRuntime
from goes_lite.testing.simulation.store import SimulatedBackend

__all__ = ["Check", "Faults", "Program", "Simulation", "simulate"]

Check: TypeAlias = Callable[[Database], Awaitable[object] | object]
"""An invariant: raises AssertionError, or returns False, if it does not hold."""


def simulate(
    seed: int, *, crashes: bool = True, stalls: bool = True, jumps: bool = True, registry: Registry | None = None
) -> Simulation:
    """Prepare a run whose order and faults the seed decides: add programs and invariants, then `run` it.

    Arguments
      crashes   whether programs crash: they end between any two operations of the store, and start again after a while.
      stalls    whether programs get stuck for a while, as by a slow disk, longer than their leases.
      jumps     whether the time of day is set back or forward, by a minute to a day.
      registry  where the events are registered; by default the default registry.

    ConfigError for a wrong argument.
    """
    return Simulation(seed, crashes=crashes, stalls=stalls, jumps=jumps, registry=registry)


class Simulation(Decisions):
    """A run of programs: see `simulate`."""

    def __init__(self, seed: int, *, crashes: bool, stalls: bool, jumps: bool, registry: Registry | None) -> None:
        if type(seed) is not int:
            raise ConfigError(f"seed must be an int, not {seed!r:.80}")
        for name, flag in (("crashes", crashes), ("stalls", stalls), ("jumps", jumps)):
            check_flag(name, flag)
        super().__init__(seed, crashes=crashes, stalls=stalls, jumps=jumps)
        self._registry = registry
        self._always: list[Check] = []
        self._at_end: list[Check] = []
        self._store: Backend

    def __repr__(self) -> str:
        return f"<Simulation {self.seed}: {len(self.trace)} steps, {self.faults}>"

    # --- what runs ----------------------------------------------------------------------------------------------------

    def program(self, program: Program, *, copies: int = 1, crashes: bool = True) -> None:
        """Add a program: a coroutine function of an open database, which other programs have open as well.

        When it returns, it is done. When it crashes, it is called again with a new handle after a while. `copies` of it run at
        the same time, like processes on the same store. With `crashes=False` this one never crashes. An exception fails the
        run.
        """
        if not iscoroutinefunction(program):
            raise ConfigError(f"a program must be a coroutine function of a database, not {program!r:.80}")
        if type(copies) is not int or copies < 1:
            raise ConfigError(f"copies must be an int ≥ 1, not {copies!r:.80}")
        name = program.__name__
        for number in range(1, copies + 1):
            shown = name if copies == 1 else f"{name}#{number}"
            self._instances.append(Instance(shown, program, crashes=crashes))

    def always(self, check: Check) -> None:
        """Add an invariant that holds after every commit: a function of an open database that raises, or returns False."""
        self._always.append(_checked(check))

    def at_end(self, check: Check) -> None:
        """Add an invariant that holds at the end, when all programs have had time to do their work without faults."""
        self._at_end.append(_checked(check))

    def run(self, seconds: float = 10.0, *, calm: float = 60.0) -> None:
        """Run the programs: with faults for so many simulated seconds, then without any for `calm` seconds.

        Idle time costs little. The calm must be longer than the leases of crashed programs, and 30 seconds, which the last
        faults may take. It ends early when all programs have returned.

        AssertionError, which names the seed and shows the last commits and faults, if an invariant does not hold, a program
        raises, or all programs wait for something that cannot happen. ConfigError for a wrong argument, or if it has run.
        """
        for name, value in (("seconds", seconds), ("calm", calm)):
            if type(value) not in (int, float) or not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be a number of seconds ≥ 0, not {value!r:.80}")
        if self.trace:
            raise ConfigError(f"{self!r} has run: make another one with simulate({self.seed})")
        self._storm, self._end = seconds, seconds + calm
        state = random.getstate()
        random.seed(self.seed)  # for pauses between retries
        runtime = InlineRuntime(self.clock)
        found = find("sqlite:///:memory:", None, None, {})
        self._store = drive(open_backend(lambda: found, runtime, registry=self._registry))
        try:
            with asyncio.Runner(loop_factory=self._make_loop) as runner:
                runner.run(self._run())
        finally:
            random.setstate(state)
            drive(self._store.close())
        if self._error is not None:
            raise AssertionError(self._message(self._error)) from self._error

    def _make_loop(self) -> SimulatedLoop:
        self._loop = SimulatedLoop(self.clock, self._decide, self._began)
        return self._loop

    async def _run(self) -> None:
        self._over = self._loop.create_future()
        with self._store.commits.watch(self._commits):
            await self._over
            for instance in self._instances:
                if instance.backend is not None:
                    instance.backend.end()
            for _ in iter(self._leave_dying, False):
                await asyncio.sleep(0)
            if self._error is None:
                self._check(self._at_end, "at the end")

    # --- programs -----------------------------------------------------------------------------------------------------

    def _began(self, task: asyncio.Task[Any]) -> None:
        # Work in the background does not inherit context variables, and callbacks belong to no task.
        parent = asyncio.current_task(self._loop)
        instance = next((one for one in self._instances if parent in one.tasks), of.get())
        if instance is not None:
            backend = instance.backend
            instance.tasks = [*(one for one in instance.tasks if not one.done()), task]
            task.add_done_callback(lambda task: _retrieved(task, backend))

    def _start(self, instance: Instance) -> None:
        instance.starts, instance.tasks, instance.cancelled = None, [], 0
        head = drive(self._store.events.head())
        backend = SimulatedBackend(self._store, self, SimulatedRuntime(self.clock), instance.name, head)
        instance.backend = backend
        token = of.set(instance)
        try:
            with timed(self.clock):
                self._loop.create_task(self._live(instance, backend), name=instance.name)
        finally:
            of.reset(token)

    async def _live(self, instance: Instance, backend: SimulatedBackend) -> None:
        db = Database(backend)
        try:
            await instance.program(db)
            await db.close()
            self._note(instance.name, "is done")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - it fails the run, unless the program has crashed
            if not backend.closed:
                self._note(instance.name, f"raises {type(exc).__name__}")
                self._fail(exc)
        finally:
            backend.end()

    def _check_commit(self) -> None:
        self._check(self._always, "after this commit")

    # --- failures -----------------------------------------------------------------------------------------------------

    def _check(self, checks: list[Check], when: str) -> None:
        db = Database(self._store)
        for check in checks:
            name = getattr(check, "__name__", repr(check))
            try:
                if drive(call(check, db)) is False:
                    raise AssertionError(f"{name} does not hold")
            except Exception as exc:  # noqa: BLE001 - raised at the end of the run
                self._note("", f"{when}, {name} does not hold")
                self._fail(exc)

    def _message(self, error: BaseException) -> str:
        return "\n".join(
            [
                f"seed {self.seed}: {type(error).__name__}: {error}",
                f"The last commits and faults of {len(self.trace)} steps, which simulate({self.seed}) repeats:",
                *self._shown,
            ]
        )


def _checked(check: Check) -> Check:
    check_function("an invariant", check, awaited=True)
    return check


def _retrieved(task: asyncio.Task[Any], backend: SimulatedBackend | None) -> None:
    """Take note of what a task of a crashed program raised, which nobody awaits."""
    if not task.cancelled() and (backend is None or backend.closed):
        task.exception()
