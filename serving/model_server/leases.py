"""Who uses a loaded version at the moment, so that it is not unloaded under a request."""

from __future__ import annotations

import threading
from types import TracebackType

from serving.model_server.servable import Servable


class Held:
    """A loaded version and the number of requests that use it."""

    __slots__ = ("_count", "_is_closed", "_lock", "_unused", "servable")

    def __init__(self, servable: Servable) -> None:
        self.servable = servable
        self._lock = threading.Lock()
        self._count = 0
        self._is_closed = False
        self._unused = threading.Event()

    def acquire(self) -> bool:
        """Counts one more user; False once the version is being unloaded."""
        with self._lock:
            if self._is_closed:
                return False
            self._count += 1
            return True

    def share(self) -> None:
        """Counts one more user beside one that there is: also while the version is being unloaded."""
        with self._lock:
            self._count += 1

    def release(self) -> None:
        """Counts one user less."""
        with self._lock:
            self._count -= 1
            if self._is_closed and self._count == 0:
                self._unused.set()

    def close(self) -> None:
        """Lets no new user in."""
        with self._lock:
            self._is_closed = True
            if self._count == 0:
                self._unused.set()

    def wait_until_unused(self, timeout_s: float | None = None) -> bool:
        """Waits for the last user, after `close`; False if some are left when the time is over."""
        return self._unused.wait(timeout_s)


class Lease:
    """The right to use a version until it is released; a context manager, or call `release`."""

    __slots__ = ("_held", "servable")

    def __init__(self, held: Held) -> None:
        self._held: Held | None = held
        self.servable = held.servable

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.servable.name

    @property
    def version(self) -> int:
        """Number of the version."""
        return self.servable.version

    def again(self) -> Lease:
        """Returns another lease of the version, for a computation that may outlive the one who holds this."""
        if self._held is None:
            raise ValueError(f"a lease that was released cannot be shared, got one of {self.name}, {self.version}")
        self._held.share()
        return Lease(self._held)

    def release(self) -> None:
        """Gives the version back; more than once does no harm."""
        held, self._held = self._held, None
        if held is not None:
            held.release()

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
