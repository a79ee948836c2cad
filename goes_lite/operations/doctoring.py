"""Look at what a store runs on: what a backend knows of itself, and what is the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from goes_lite.contract.backend import Backend
from goes_lite.contract.findings import CLOCK_SKEW, Finding
from goes_lite.errors import CodecError, StoreDamaged

DESCRIPTORS = 512
"""With fewer files, a program with some connections soon cannot open another one."""
RELEASED = datetime(2025, 1, 1, tzinfo=timezone.utc)
"""A clock before this time is wrong."""


async def doctor(db: Backend) -> list[Finding]:
    """Look at what a store runs on, and return what should be otherwise: each with a code, a sentence and what helps.

    It is quick, whatever the size of the store, and changes nothing. `verify` looks at what is stored.
    """
    return [*await db.examine(), *await _clock(db), *await _consumers(db), *_limits()]


async def _clock(db: Backend) -> list[Finding]:
    now = db.runtime.clock.now()
    found: list[Finding] = []
    fix = "set the clock, and let the machine keep it: timedatectl set-ntp true"
    if now < RELEASED:
        found.append(Finding("clock-wrong", f"the clock says {now:%Y-%m-%d %H:%M}: events get wrong times", fix))
    head = await db.events.head()
    try:
        last = [event.time async for event in db.events.stored(after=max(0, head - 1), upto=head)]
    except (CodecError, StoreDamaged):  # which verify says
        return found
    for time in last:
        if (ahead := (time - now).total_seconds()) > CLOCK_SKEW:
            text = f"the last event was recorded {ahead:.0f} seconds from now: this clock is behind, or that of its writer ahead"
            found.append(Finding("clock-skew", text, fix))
    return found


async def _consumers(db: Backend) -> list[Finding]:
    """Tell which consumers will refuse to run."""
    head = await db.events.head()
    return [
        Finding(
            "consumer-mismatched",
            f"the consumer {name!r} will refuse to run: "
            + (
                f"it is at position {position}, past the head {head}"
                if store == db.identity
                else f"its position {position} is of the store {store}, and this is {db.identity}"
            ),
            "reset it in the program: processor.reset()",
        )
        for name, position, store, _ in await db.checkpoints.all()
        if store != db.identity or position > head
    ]


def _limits() -> Iterator[Finding]:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        yield Finding(
            "few-descriptors",
            f"a process may open {soft} files: each connection to a store takes up to three",
            "ulimit -n 4096, or LimitNOFILE=4096 for a service",
        )
