"""How long an operation goes on trying while a server is away, or others are in its way: for backends over a network."""

from __future__ import annotations

import asyncio
import random


class Patience:
    """Pauses that grow from one length to another, until the time is up. They count from its making."""

    def __init__(self, seconds: float, pause: float, longest: float) -> None:
        self._end = asyncio.get_running_loop().time() + seconds
        self._pause = pause
        self._longest = longest

    async def again(self) -> bool:
        """True behind a pause; False if the time is up."""
        left = self._end - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        # Not by the runtime's clock: servers come back in real time, also where a test's clock stands still.
        await asyncio.sleep(min(left, self._pause * (0.5 + random.random())))
        self._pause = min(self._pause * 2, self._longest)
        return True
