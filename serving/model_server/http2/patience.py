"""What the server remembers of a connection's times, and what follows from them."""

from __future__ import annotations

from serving.model_server.http2.frames import ConnectionFault, Fault
from serving.model_server.http2.limits import Limits

_FORGIVEN_S = 10.0
_QUIET_S = 2.0  # until a client that should have closed is not waited for


class Patience:
    """Times of one connection, on the loop's clock.

    Attributes:
        block_s: when headers began that are not whole; None where they are.
        going_s: when the client was asked to open another connection; None before.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        """Begins with the connection."""
        self.block_s: float | None = None
        self.going_s: float | None = None
        self._limits = limits
        self._start_s = self._idle_s = self._heard_s = now
        self._closing_s: float | None = None
        self._aged_s: float | None = None  # when it was too old
        self._blocked_s: float | None = None  # since when the client takes no bytes
        self._unsent = 0  # bytes, when it was looked at last
        self._pinged_s: float | None = None
        self._bothers = 0.0
        self._forgiven_s = now

    def heard(self, now: float) -> None:
        """The client has sent something."""
        self._heard_s = now
        self._pinged_s = None

    def went_idle(self) -> None:
        """No request is left: since the client was heard, or since one was seen last."""
        self._idle_s = max(self._idle_s, self._heard_s)

    def was_blocked(self, now: float, unsent: int) -> None:
        """The client does not take what is sent to it.

        Args:
            now: on the loop's clock.
            unsent: bytes that wait.
        """
        self._blocked_s, self._unsent = now, unsent

    def was_freed(self) -> None:
        """The client takes what is sent to it."""
        self._blocked_s = None

    def began_closing(self, now: float) -> None:
        """Nothing more is read or written but what waits."""
        if self._closing_s is None:
            self._closing_s = now

    def is_quiet(self, now: float) -> bool:
        """Says whether the client sends nothing more on a connection that it should close."""
        return self._closing_s is not None and now > max(self._closing_s, self._heard_s) + _QUIET_S

    def answered(self) -> None:
        """A request was answered: a bother is made up for."""
        if self._bothers > 0:
            self._bothers -= 1

    def was_bothered(self, what: str) -> None:
        """The client had the server do something that brings nobody on.

        Raises:
            ConnectionFault: it does so too often.
        """
        limit, now = self._limits.max_bothers, self._heard_s
        self._bothers = max(0.0, self._bothers - limit * (now - self._forgiven_s) / _FORGIVEN_S) + 1
        self._forgiven_s = now
        if self._bothers > limit:
            raise ConnectionFault(Fault.ENHANCE_YOUR_CALM, f"{what} too often")

    def is_dead(self, now: float, unsent: int) -> bool:
        """Says whether the client takes nothing, or does not say that it is there, or its last grace is over.

        Args:
            now: on the loop's clock.
            unsent: bytes that wait for the client to take them.
        """
        limits = self._limits
        if self._blocked_s is not None and unsent < self._unsent:  # slowly is well
            self.was_blocked(now, unsent)
        return (
            (self._blocked_s is not None and now > self._blocked_s + limits.write_timeout_s)
            or (self._closing_s is not None and now > self._closing_s + limits.write_timeout_s)
            or (self._pinged_s is not None and now > self._pinged_s + limits.keepalive_timeout_s)
            or (self._aged_s is not None and now > self._aged_s + limits.age_grace_s)
        )

    def is_head_late(self, now: float, *, has_settings: bool) -> bool:
        """Says whether the client's first words, or headers that it has begun, take too long."""
        began_s = self.block_s if has_settings else self._start_s
        return began_s is not None and now > began_s + self._limits.head_timeout_s

    def wants_leave(self, now: float, *, has_streams: bool) -> bool:
        """Says whether the client should be asked to open another connection."""
        if has_streams:
            self._idle_s = now
        if self.going_s is not None:
            return False
        if now > self._start_s + self._limits.max_age_s:
            self._aged_s = now
            return True
        return now > self._idle_s + self._limits.idle_timeout_s

    def wants_ping(self, now: float) -> bool:
        """Says whether the client should be asked if it is there, and takes it that it is."""
        if self._pinged_s is not None or now <= self._heard_s + self._limits.keepalive_s:
            return False
        self._pinged_s = now
        return True
