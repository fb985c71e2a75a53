"""Which findings of an audit are let pass, why, and until when: `requirements/known-vulnerabilities.toml`."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap.console import SetupError

_KEYS = {"id", "package", "reason", "expires"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One vulnerability of one package."""

    package: str
    version: str
    ids: tuple[str, ...]  # its own first, then its aliases
    fixed_in: tuple[str, ...]  # versions; () where there is none yet


@dataclass(frozen=True, kw_only=True)
class Known:
    """One vulnerability that is let pass."""

    id: str
    package: str
    reason: str
    expires: datetime.date  # the last day on which it is

    def is_about(self, finding: Finding) -> bool:
        """Whether the finding is this one, by whichever of its names."""
        return self.id in finding.ids and self.package.lower() == finding.package.lower()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to say, and how many findings were not let pass."""

    lines: tuple[str, ...]
    refused: int


def read(file: Path) -> list[Known]:
    """Reads the list.

    Raises:
        SetupError: it is not TOML, or an entry lacks a reason or an end.
    """
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"{file} must be TOML: {error}.") from error
    entries = found.get("known", [])
    for entry in entries:
        is_complete = set(entry) == _KEYS and all(entry.values()) and type(entry["expires"]) is datetime.date
        if not is_complete:
            raise SetupError(
                f"each [[known]] of {file} needs {', '.join(sorted(_KEYS))}, none empty and expires a day "
                f"(2027-03-01), got {entry}."
            )
    if unknown := set(found) - {"known"}:
        raise SetupError(f"{file} holds [[known]] and nothing else, got {', '.join(sorted(unknown))}.")
    return [Known(**entry) for entry in entries]


def judge(findings: Iterable[Finding], allowed: Sequence[Known], today: datetime.date) -> Verdict:
    """Holds findings against the list.

    Args:
        findings: of all packages; the same one may come from several lock files.
        allowed: what is let pass until its day.
        today: in UTC.
    """
    lines, refused, used = [], 0, set()
    for finding in sorted(set(findings), key=lambda each: (each.package, each.ids)):
        title = f"{finding.package} {finding.version}: {' = '.join(finding.ids)}"
        matching = [each for each in allowed if each.is_about(finding)]
        used |= set(matching)
        valid = [each for each in matching if each.expires >= today]
        if valid:
            lines.append(f"{title} is let pass until {valid[0].expires}: {valid[0].reason}")
            continue
        refused += 1
        remedy = f"fixed in {', '.join(finding.fixed_in)}" if finding.fixed_in else "there is no fixed version yet"
        ended = f"; it was let pass until {matching[0].expires}" if matching else ""
        lines.append(f"{title}: {remedy}{ended}")
    lines += [
        f"{each.package}: {each.id} is let pass but not found any more; take it out of the list"
        for each in allowed
        if each not in used
    ]
    if refused:
        lines.append(f"{refused} vulnerabilities. Upgrade, or let one pass with a reason: known-vulnerabilities.toml")
    elif not lines:
        lines.append("no known vulnerabilities")
    return Verdict(lines=tuple(lines), refused=refused)
