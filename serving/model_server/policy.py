"""Which version is loaded or unloaded next, so that a model that answers never stops answering.

The rules are those of TensorFlow Serving's availability-preserving policy: the old version goes when a new one answers.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection


class Phase(enum.Enum):
    """Where a version is between being wanted and being gone."""

    NEW = enum.auto()
    LOADING = enum.auto()
    READY = enum.auto()
    UNLOADING = enum.auto()
    ERROR = enum.auto()


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A version as the policy sees it.

    Attributes:
        version: its number.
        phase: where it is.
        is_wanted: whether the configuration and the folder ask for it.
    """

    version: int
    phase: Phase
    is_wanted: bool


@dataclasses.dataclass(frozen=True)
class Action:
    """What to do next.

    Attributes:
        version: with which version.
        is_load: True to load it, False to unload it.
    """

    version: int
    is_load: bool


def next_action(versions: Collection[Snapshot]) -> Action | None:
    """Decides the next step for one model.

    Args:
        versions: all versions of the model that are wanted or still here.

    Returns:
        The lowest version that is no longer wanted, to be unloaded, if a wanted one answers, if none is wanted, or if
        another unwanted one goes on answering; else the highest new one, to be loaded; else None.
    """
    wanted = [one for one in versions if one.is_wanted]
    answering = [one for one in wanted if one.phase is Phase.READY]
    unwanted = [one.version for one in versions if not one.is_wanted and one.phase is Phase.READY]
    if unwanted and (not wanted or answering or len(unwanted) > 1):
        return Action(min(unwanted), is_load=False)
    new = [one.version for one in wanted if one.phase is Phase.NEW]
    return Action(max(new), is_load=True) if new else None
