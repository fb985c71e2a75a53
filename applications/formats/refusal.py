"""A file that did not become an example, and why."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

Reason = Literal[
    "unreadable",
    "truncated",
    "wrong mode",
    "zero bytes",
    "too many pixels",
    "not an image",
    "duplicate in another class",
]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refusal:
    """One quarantined file.

    Attributes:
        origin: path of the file relative to the data path, with "/" on every system.
        reason: one of `REASONS`.
        detail: what was found, for a person.
        bytes: size of the file, bytes.
        sha256: 64 hexadecimal digits of its content; "" where the file could not be read at all.
    """

    origin: str
    reason: Reason
    detail: str
    bytes: int
    sha256: str

    def to_dict(self) -> dict[str, str | int]:
        """The line of `refused.jsonl` as a dictionary."""
        return dataclasses.asdict(self)


class Refused(Exception):
    """Raised while one item is read; caught at the item, so it never ends a run."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail
