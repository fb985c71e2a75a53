"""A manager over fake models, for the tests of what it loads and what it is told to load."""

from __future__ import annotations

import threading

import numpy as np

from serving.model_server.errors import Code, ServingError
from serving.model_server.manager import Manager, ManagerOptions, State

X = {"x": np.array([1.0], np.float32)}


class Server:
    """A manager over fake models; polls only when it is told to."""

    def __init__(self, fake, config_of, until, **options) -> None:
        self.fake, self.config_of, self.until = fake, config_of, until
        self.loaded: list[tuple[str, int]] = []
        self.servables = {}
        self.broken: set[int] = set()
        self.gates: dict[int, threading.Event] = {}
        self.events = []
        options = {"poll_wait_s": -1, "max_load_retries": 0, "load_threads": 2} | options
        self.manager = Manager(self.load, ManagerOptions(**options), self.events.append)
        self.manager.start()

    def load(self, name, version, folder):
        if version in self.gates:
            self.gates[version].wait()
        if version in self.broken:
            raise ServingError(Code.DATA_LOSS, f"version {version} is broken")
        self.loaded.append((name, version))
        self.servables[version] = self.fake(name, version)
        return self.servables[version]

    def apply(self, models, more="", **keywords):
        """Applies and polls at once, as the watcher would."""
        self.manager.apply(self.config_of(models, more), is_waiting=False, **keywords)
        self.manager.poll()

    def states(self, name="m"):
        try:
            return {one.version: one.state for one in self.manager.status(name)}
        except ServingError:
            return {}

    def wait(self, name="m", **states):
        expected = {int(version[1:]): State[state] for version, state in states.items()}
        self.until(lambda: expected.items() <= self.states(name).items())

    def answer(self, **which):
        with self.manager.lease("m", **which) as lease:
            return float(lease.servable.run("serving_default", X)["y"][0])


def versions(folder, *numbers):
    for number in numbers:
        (folder / str(number)).mkdir(parents=True)
    return folder
