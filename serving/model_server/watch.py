"""Looks at the connections of a transport a few times a second: a timer for each request would cost more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Protocol

CHECK_S = 0.25  # between two looks
_POLL_S = 0.02


class Watched(Protocol):
    """A connection."""

    def check(self, now: float) -> None:
        """Ends what has taken too long; `now` is on the loop's clock."""


class Watch:
    """Watches over connections, and waits for the last of them."""

    def __init__(self, connections: Collection[Watched]) -> None:
        """Takes the connections, which come and go."""
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins, on the running loop."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = loop.call_later(CHECK_S, self.start)  # first: a look that fails must not be the last one
        for connection in list(self._connections):
            connection.check(now)

    def stop(self) -> None:
        """Ends."""
        if self._timer is not None:
            self._timer.cancel()

    async def until_empty(self, wait_s: float) -> None:
        """Waits until there is no connection, or the time is over."""
        end_s = time.monotonic() + wait_s
        while self._connections and time.monotonic() < end_s:
            await asyncio.sleep(_POLL_S)
