"""Decides what happens next in a simulated run, by random numbers of its seed: who goes on, what goes wrong, how time passes."""

from __future__ import annotations

import asyncio
import math
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, NamedTuple, TypeAlias

from goes_lite.database import Database
from goes_lite.errors import StoreClosed
from goes_lite.runtime import Signal
from goes_lite.testing.clock import FakeClock
from goes_lite.testing.simulation.faults import JUMPS, Faults
from goes_lite.testing.simulation.loop import SimulatedLoop
from goes_lite.testing.simulation.store import Held, SimulatedBackend

Program: TypeAlias = Callable[[Database], Awaitable[object]]
"""A coroutine function of an open database: it runs from its start to its end, or until it crashes and starts again."""

OPERATION = 0.005
"""Seconds that an operation takes at most."""
PAUSE = 30.0
"""Seconds for which a stalled program gets no turn, or a crashed one is gone, at most."""
SHOWN = 25
"""How many of the last commits and faults the message of a failure shows."""
ROUNDS = 100
"""How often the tasks of a crashed program are cancelled; those that ignore that have no store any more anyway."""


class Turn(NamedTuple):
    """Someone who waits for a turn."""

    of: Instance
    what: str
    within: Held | None
    given: asyncio.Future[None]


class Instance:
    """One copy of a program, which may run many times."""

    def __init__(self, name: str, program: Program, *, crashes: bool) -> None:
        self.name = name
        self.program = program
        self.crashes = crashes
        self.backend: SimulatedBackend | None = None
        self.tasks: list[asyncio.Task[Any]] = []
        self.starts: float | None = 0.0
        """When it starts (again); None while it runs and after its end."""
        self.stalled = 0.0
        """Until when it gets no turn."""
        self.cancelled = 0


of: ContextVar[Instance | None] = ContextVar("of", default=None)
"""The instance that the running code is part of."""


class Decisions(ABC):
    """The state of a run, and what is decided by it."""

    def __init__(self, seed: int, *, crashes: bool, stalls: bool, jumps: bool) -> None:
        self.seed = seed
        self.clock = FakeClock()
        """The clock of all programs, which shows the same time of day to all of them."""
        self.random = random.Random(f"{seed} programs")
        """Random numbers for programs, the same ones for the same seed."""
        self.trace: list[str] = []
        """Each step: the simulated second, the program, and what it did or what went wrong."""
        self.held: Held | None = None
        """The transaction that is open."""
        self._choice = random.Random(seed)
        self.faults = Faults.drawn(self._choice, crashes=crashes, stalls=stalls, jumps=jumps)
        """What goes wrong in this run, and how often."""
        self._instances: list[Instance] = []
        self._turns: list[Turn] = []
        self._commits = Signal()
        self._checked = 0
        self._error: BaseException | None = None
        self._shown: deque[str] = deque(maxlen=SHOWN)
        self._storm = self._end = 0.0
        self._latest = self.clock.now()
        self._calm = False
        self._rounds = 0
        self._loop: SimulatedLoop
        self._over: asyncio.Future[None]

    @abstractmethod
    def _start(self, instance: Instance) -> None:
        """Start a program."""

    @abstractmethod
    def _check_commit(self) -> None:
        """Check the invariants that hold after every commit."""

    async def turn(self, backend: SimulatedBackend, what: str, within: Held | None) -> None:
        """Wait until the simulation lets this handle do its next step. Raises StoreClosed if its program crashes before."""
        instance = next((one for one in self._instances if one.backend is backend), None)
        if instance is None:
            raise StoreClosed(backend.location)  # of a program that has crashed
        turn = Turn(instance, what, within, self._loop.create_future())
        self._turns.append(turn)
        try:
            await turn.given
        finally:
            if turn in self._turns:
                self._turns.remove(turn)

    # --- decisions ----------------------------------------------------------------------------------------------------

    def _decide(self, timer: float | None) -> None:
        """Decide what happens next: nobody can go on without it."""
        if self._over.done():
            self._wait_for_ends(timer)
            return
        if self._commits.count != self._checked and self.held is None:
            self._checked = self._commits.count
            self._check_commit()
        now = self.clock.monotonic()
        if now >= self._storm and not self._calm:
            self._calm = True
            self.clock.set(max(self._latest, self.clock.now()))  # else leases of that time would be held for so long
            self._note("", "no more faults")
        if self._error is not None or now >= self._end or all(self._ended(one) for one in self._instances):
            self._over.set_result(None)
            return
        if self._leave_dying():
            return
        for instance in self._instances:
            if instance.starts is not None and instance.starts <= now and self.held is None:
                self._note(instance.name, "starts")
                self._start(instance)
                return
        ready = [
            turn
            for turn in self._turns
            if turn.of.stalled <= now and not turn.given.done() and (self.held is None or turn.within is self.held)
        ]
        if ready and now < self._storm and self._go_wrong(now):
            return
        if not ready or (now < self._storm and self._choice.random() < self.faults.slow):
            self._pass_time(timer, now, waits=bool(ready))
            return
        turn = self._choice.choice(ready)
        self._note(turn.of.name, turn.what, shown=turn.what.endswith(": done") and not turn.what.startswith("leases"))
        self.clock.advance(self._choice.uniform(0, OPERATION))
        turn.given.set_result(None)

    def _ended(self, instance: Instance) -> bool:
        return instance.starts is None and all(task.done() for task in instance.tasks)

    def _go_wrong(self, now: float) -> bool:
        """Let something go wrong, sometimes."""
        luck = self._choice.random()
        crashing = [
            one for one in self._instances if one.crashes and one.backend is not None and not one.backend.closed
        ]
        if crashing and luck < self.faults.crash:
            self._crash(self._choice.choice(crashing), now + self._pause())
            return True
        luck -= self.faults.crash
        awake = [one for one in self._instances if one.stalled <= now]
        if awake and 0 <= luck < self.faults.stall:
            stalled = self._choice.choice(awake)
            stalled.stalled = now + self._pause()
            self._note(stalled.name, f"stalls until {stalled.stalled:.3f}")
            return True
        luck -= self.faults.stall
        if 0 <= luck < self.faults.jump:
            seconds = self._choice.choice(JUMPS)
            self._latest = max(self._latest, self.clock.now())
            self.clock.set(self.clock.now() + timedelta(seconds=seconds))
            self._note("clock", f"jumps by {seconds:+g} s to {self.clock.now()}")
            return True
        return False

    def _pause(self) -> float:
        """Return how long a fault lasts: as often some milliseconds as many seconds."""
        return math.exp(self._choice.uniform(math.log(0.01), math.log(PAUSE)))

    def _pass_time(self, timer: float | None, now: float, *, waits: bool) -> None:
        """Let time pass until the next moment at which anything happens, or for less if programs wait for their turn."""
        moments = self._moments(timer)
        for instance in self._instances:
            moments += [moment - now for moment in (instance.stalled, instance.starts or 0.0) if moment > now]
        if not moments and not waits:
            waiting = ", ".join(f"{turn.of.name} ({turn.what})" for turn in self._turns)
            self._fail(
                AssertionError(f"everything waits forever{' for the open transaction: ' * bool(waiting)}{waiting}")
            )
            return
        seconds = min(moments, default=1.0)
        if waits:
            seconds = min(seconds, self._choice.expovariate(5))
        self.clock.advance(max(seconds, 1e-6))

    def _moments(self, timer: float | None) -> list[float]:
        """Return the seconds until anything happens that waits for time."""
        return [left for left in (*self.clock.waiters, timer) if left is not None]

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _crash(self, instance: Instance, starts: float | None) -> None:
        self._note(instance.name, "crashes" if starts is None else f"crashes, and starts again at {starts:.3f}")
        backend, instance.backend, instance.starts = instance.backend, None, starts
        if backend is not None:
            backend.end()
        self._cancel(instance)

    def _cancel(self, instance: Instance) -> None:
        instance.cancelled += 1
        for task in instance.tasks:
            if not task.done():
                task.cancel()

    def _leave_dying(self) -> bool:
        """Wait for the tasks of programs that have crashed to notice; True if there is something to wait for."""
        for instance in self._instances:
            alive = instance.backend is not None and not instance.backend.closed
            if alive or instance.cancelled > ROUNDS or all(task.done() for task in instance.tasks):
                continue
            self._cancel(instance)
            return True
        return False

    def _wait_for_ends(self, timer: float | None) -> None:
        """Let the last tasks end, which may take time; those that never do are told."""
        self._rounds += 1
        moments = self._moments(timer)
        if self._rounds > ROUNDS or not moments:
            raise RuntimeError("a task of a program goes on although it was cancelled")
        self.clock.advance(max(min(moments), 1e-6))

    # --- what is told ----------------------------------------------------------------------------------------------

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error

    def _note(self, who: str, what: str, *, shown: bool = True) -> None:
        step = f"{self.clock.monotonic():10.3f}  {who}  {what}"
        self.trace.append(step)
        if shown:
            self._shown.append(step)
