"""How long an operation retries while a server is away or other writers conflict, for backends over a network."""

from __future__ import annotations

import asyncio
import random


class Patience:
    """Growing pauses between attempts, until `seconds` after its creation."""

    def __init__(self, seconds: float, pause: float, longest: float) -> None:
        self._end = asyncio.get_running_loop().time() + seconds
        self._pause = pause
        self._longest = longest

    async def again(self) -> bool:
        """Pause and return True, or return False if the time is up."""
        left = self._end - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        # Not by the runtime's clock: servers come back in real time, even if a test's clock stands still.
        await asyncio.sleep(min(left, self._pause * (0.5 + random.random())))
        self._pause = min(self._pause * 2, self._longest)
        return True
