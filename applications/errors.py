"""The errors a person may meet; each says the rule, the value, the place and the next step."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class EarthloopError(Exception):
    """Base of every error that is the caller's to mend; the command line prints its text and exits with `exit_code`."""

    exit_code = 1


class UsageError(EarthloopError, ValueError):
    """The command was given words it does not understand; exit code 2."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration value is unknown, of the wrong type or out of its range."""


class UnknownName(UsageError, LookupError):
    """A name that is not among the known ones; the text lists them and guesses a typing error."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        self._made_from = (kind, name, tuple(known))
        super().__init__(f"no {kind} {name!r}; there are: {', '.join(known) or 'none'}.{near_name(name, known)}")

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, str, tuple[str, ...]]]:
        """Lets the error pass from one process to another."""
        return UnknownName, self._made_from


class DataError(EarthloopError, ValueError):
    """The data a run was given cannot be used as a whole."""


class DataPathError(DataError, FileNotFoundError):
    """The data path is missing or of the wrong kind (a file where a folder is expected)."""


class OutputError(EarthloopError, OSError):
    """The output folder cannot be used: read-only, full, or held by another run."""


class StageError(EarthloopError, RuntimeError):
    """A stage ran and refused to go on; the text says why and what to do."""


def near_name(name: str, known: Sequence[str]) -> str:
    """Returns " Did you mean 'x'?" for the closest known name, or "" where none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
