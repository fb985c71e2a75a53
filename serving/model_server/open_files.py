"""How many files and connections the system lets this process have open."""

from __future__ import annotations

import contextlib
import logging

_LOG = logging.getLogger(__name__)
_ENOUGH = 65_536


def raise_limit() -> int | None:
    """Asks for as many as the system allows without a privilege, up to 65,536.

    Returns:
        How many there may be now; None where there is no such limit.
    """
    try:
        import resource
    except ImportError:  # no Unix
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def most_connections(wanted: int) -> int:
    """Returns how many connections one transport may hold, so that files can still be opened: a new version's, a log's.

    Args:
        wanted: where the system allows that.

    Returns:
        At most a third of what may be open.
    """
    limit = raise_limit()
    if limit is None or wanted <= limit // 3:
        return wanted
    _LOG.warning(
        "at most %d connections are accepted, not %d: the system allows %d open files. Raise that with ulimit -n.",
        limit // 3, wanted, limit,
    )  # fmt: skip
    return limit // 3
