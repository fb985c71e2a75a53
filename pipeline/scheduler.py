"""Which stage may start now: the order of a run, without processes or TFX."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

State = Literal["waiting", "running", "done", "failed", "skipped"]


class Schedule:
    """The states of a run's stages.

    A stage may start when all stages it depends on are done; of several, the one with the longest
    chain of stages behind it goes first, then the one named first. Its guards it need not wait for: it is nothing
    to those behind it until they are done, and lost when one of them fails.
    """

    def __init__(
        self,
        upstream: Mapping[str, Sequence[str]],
        *,
        at_once: int,
        skip: Iterable[str] = (),
        guards: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Prepares a run.

        Args:
            upstream: for each stage, in order of the pipeline, the stages it depends on.
            at_once: how many stages may run at the same time, 1 or more.
            skip: stages that are not run; whoever depends on them takes them as done.
            guards: for some stages, those of `upstream` that give them nothing but leave to go on.
        """
        self._upstream = {name: tuple(names) for name, names in upstream.items()}
        self._guards = guards or {}
        self._order = {name: place for place, name in enumerate(self._upstream)}
        self._at_once = at_once
        skipped = set(skip)
        self.states: dict[str, State] = {name: "skipped" if name in skipped else "waiting" for name in self._upstream}
        self._reused = skipped

    @property
    def has_failed(self) -> bool:
        """Whether a stage failed; nothing starts after that."""
        return "failed" in self.states.values()

    @property
    def is_over(self) -> bool:
        """Whether nothing runs and nothing more can start."""
        return "running" not in self.states.values() and not self.startable()

    def startable(self) -> list[str]:
        """Lists the stages to start now, the most urgent first, no more than there is room for."""
        if self.has_failed:
            return []
        room = self._at_once - sum(state == "running" for state in self.states.values())
        ready = [name for name, state in self.states.items() if state == "waiting" and self._is_ready(name)]
        ready.sort(key=lambda name: (-self._chain_length(name), self._order[name]))
        return ready[: max(0, room)]

    @property
    def lost(self) -> list[str]:
        """Running stages behind one that failed: what they make can be of no use."""
        failed = {name for name, state in self.states.items() if state == "failed"}
        running = [name for name, state in self.states.items() if state == "running"]
        return [name for name in running if failed & ancestors(self._upstream, name)]

    def set(self, name: str, state: State) -> None:
        """Notes that a stage is now in `state`."""
        self.states[name] = state

    def _is_ready(self, name: str) -> bool:
        return all(self._is_complete(up) for up in self._upstream[name] if up not in self._guards.get(name, ()))

    def _is_complete(self, name: str) -> bool:
        if name in self._reused:
            return True
        return self.states[name] == "done" and all(self._is_complete(guard) for guard in self._guards.get(name, ()))

    @functools.cache  # noqa: B019 - a schedule lives as long as its run
    def _chain_length(self, name: str) -> int:
        return 1 + max((self._chain_length(down) for down, ups in self._upstream.items() if name in ups), default=0)


def ancestors(upstream: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """Returns every stage that `name` depends on, directly or not, itself included."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        stage = waiting.pop()
        if stage not in found:
            found.add(stage)
            waiting.extend(upstream[stage])
    return found


def descendants(upstream: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """Returns every stage that depends on `name`, directly or not, itself included."""
    return {stage for stage in upstream if name in ancestors(upstream, stage)}
