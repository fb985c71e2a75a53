"""How a client reaches a server, and how long and how often it tries."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable
from pathlib import Path

from applications.errors import ConfigError
from serving.client.errors import ClientError

SCHEMES = ("grpc", "grpcs", "http", "https", "unix")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retries:
    """How often a request that a server had no room for, or that never reached one, is sent again.

    Attributes:
        attempts: sent at most so many times; 1 never again.
        first_s: seconds before the second attempt, at most; each further wait may be twice as long.
        longest_s: seconds that no wait exceeds.
    """

    attempts: int = 5
    first_s: float = 0.1
    longest_s: float = 5.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.attempts < 1 or self.first_s < 0 or self.longest_s < self.first_s:
            raise ConfigError(
                "retries need attempts of 1 or more and 0 <= first_s <= longest_s (seconds), got "
                f"attempts={self.attempts}, first_s={self.first_s}, longest_s={self.longest_s}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What all requests of a client share.

    Attributes:
        timeout_s: seconds for one request, its retries included.
        retries: of requests that may be sent again.
        rows_per_request: items sent together; more make several requests.
        concurrent: requests an asynchronous client has under way at once.
        token: bearer token; "" for none.
        ca_file: certificates to trust instead of the system's, PEM.
        cert_file: the client's own certificate for mutual TLS, PEM.
        key_file: its key, PEM.
        max_message_bytes: of one answer over gRPC.
    """

    timeout_s: float = 30.0
    retries: Retries = dataclasses.field(default_factory=Retries)
    rows_per_request: int = 32
    concurrent: int = 4
    token: str = dataclasses.field(default="", repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    max_message_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.timeout_s <= 0 or self.rows_per_request < 1 or self.concurrent < 1:
            raise ConfigError(
                "timeout_s must be above 0, rows_per_request and concurrent 1 or more, got "
                f"timeout_s={self.timeout_s}, rows_per_request={self.rows_per_request}, concurrent={self.concurrent}."
            )
        if (self.cert_file is None) != (self.key_file is None):
            raise ConfigError(
                f"cert_file and key_file belong together, got cert_file={self.cert_file} and key_file={self.key_file}. "
                "Give both, or neither."
            )


def split_target(target: str) -> tuple[str, str]:
    """Splits an address into scheme and rest.

    Args:
        target: `host:port` or `grpc://host:port`, `grpcs://…` with TLS, `unix:/path/of/socket`, `http://…`, `https://…`.

    Raises:
        ConfigError: another scheme, or gRPC without a port, for which there is no usual one.
    """
    if target.startswith("unix:"):
        return "unix", target.removeprefix("unix:")
    scheme, sign, rest = target.partition("://")
    if not sign:
        scheme, rest = "grpc", target
    if scheme not in SCHEMES or not rest:
        raise ConfigError(
            f"a server's address must begin with {'://, '.join(SCHEMES[:-1])}:// or unix:, or be host:port for gRPC; "
            f"got {target!r}."
        )
    if scheme in {"grpc", "grpcs"} and ":" not in rest.rpartition("]")[2]:
        raise ConfigError(f"a server's address for gRPC must have a port, such as {rest}:8500, got {target!r}.")
    return scheme, rest.rstrip("/")


class Attempts:
    """The tries of one request: how much time is left, and how long to wait before the next."""

    def __init__(self, options: Options, *, is_safe: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts the clock.

        Args:
            options: time and tries.
            is_safe: whether sending the request twice does no harm.
            clock: seconds.
        """
        self._retries = options.retries
        self._is_safe = is_safe
        self._clock = clock
        self._deadline_s = clock() + options.timeout_s
        self._made = 0

    @property
    def remaining_s(self) -> float:
        """Seconds left for the request."""
        return max(self._deadline_s - self._clock(), 0.001)

    def wait_after(self, error: ClientError) -> float:
        """Returns the seconds to wait after a failed attempt.

        The wait is drawn at random, so that many clients that were refused together do not come back together.

        Raises:
            ClientError: the one given, when the request must not or need not be sent again.
        """
        self._made += 1
        if not self._is_safe or not error.may_retry or self._made >= self._retries.attempts:
            raise error
        longest_s = min(self._retries.longest_s, self._retries.first_s * 2 ** (self._made - 1))
        wait_s = random.uniform(longest_s / 2, longest_s)
        if wait_s >= self._deadline_s - self._clock():
            raise error
        return wait_s
