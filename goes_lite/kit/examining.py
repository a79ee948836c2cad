"""What several backends find when they examine what a store runs on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from goes_lite.contract.findings import CLOCK_SKEW, Finding


def clock_findings(server: datetime, here: datetime) -> Iterator[Finding]:
    """Yield what to say about the time at a server and here (both aware), if they differ by more than `CLOCK_SKEW`."""
    ahead = (server - here).total_seconds()
    if abs(ahead) > CLOCK_SKEW:
        yield Finding(
            "clock-skew",
            f"the clock of the server is {abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} the one here, which "
            "gives events their times",
            "set the clock that is wrong, and let the machine keep it: timedatectl set-ntp true",
        )


def durability_findings(durability: str) -> Iterator[Finding]:
    """Yield what to say about the `durability` of an address, if it is less than full."""
    if durability != "full":
        yield Finding(
            "durability",
            f"the address says durability={durability!r}: after a power failure, acknowledged events can be gone",
            "leave out durability in the URL, in goes.toml and in connect()",
        )
