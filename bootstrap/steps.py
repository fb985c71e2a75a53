"""The steps of set-up, in order; each runs only where its marker is missing or no longer true."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootstrap import environment, packages
from bootstrap.console import Programs, say, timed
from bootstrap.machine import CACHE_GB, ENVIRONMENT_GB, check_disk, read_machine, runtime_release
from bootstrap.runtime import ensure_runtime
from bootstrap.stamp import LOCK, STEPS, Stamp
from bootstrap.tools import NotReached, Tools

_RESYNC_GB = 1.5


def set_up(root: Path, base: Path) -> None:
    """Brings `.venv` in line with the checkout; safe to interrupt at any moment and to call twice at once.

    Args:
        root: the checkout.
        base: a complete CPython 3.11, the one that runs this.

    Raises:
        SetupError: what stands in the way, in plain words.
    """
    start = time.monotonic()
    release = runtime_release(read_machine())
    with only_one(root) as lock:
        stamp = Stamp(root)
        due = first_due(stamp, base)
        if due is None:
            return
        if due == "environment" and os.path.lexists(stamp.venv):
            with timed("room for a new .venv"):
                environment.make_room(stamp.venv)
        _check_disks(root, due)
        programs = Programs(lock)
        tools = Tools(root, base, programs)
        tools.ensure()
        todo = STEPS[STEPS.index(due) :]
        if "environment" in todo:
            _environment(stamp, tools, release)
        if "packages" in todo:
            _packages(stamp, tools)
        _project(stamp, tools)
    say(f"complete after {time.monotonic() - start:.1f} s")


def first_due(stamp: Stamp, base: Path) -> str | None:
    """Returns the step to begin with, or None; says why where the reason is not plain."""
    due = stamp.first_due(base)
    if due != "environment" and stamp.was_interrupted("packages"):
        say("the last set-up was interrupted while it installed packages: .venv is built anew from what was downloaded")
        return "environment"
    if due == "environment" and stamp.read("environment"):
        say("the interpreter, the system or the place of this checkout has changed: .venv is built anew")
    return due


@contextmanager
def only_one(root: Path) -> Iterator[int]:
    """Holds the checkout's set-up lock; waits for another set-up, or for what a killed one left running.

    Yields:
        The lock's file descriptor, for the programs that must not outlive the lock.
    """
    (root / ".setup").mkdir(exist_ok=True)
    descriptor = os.open(root / ".setup" / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this checkout is running; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _check_disks(root: Path, due: str) -> None:
    check_disk(root, ENVIRONMENT_GB if due == "environment" else _RESYNC_GB)
    cache = uv_cache()
    if due == "environment" and cache.stat().st_dev != root.stat().st_dev:
        check_disk(cache, CACHE_GB)


def uv_cache() -> Path:
    """Returns the folder, or its nearest parent that exists, where uv keeps what it downloads."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("UV_CACHE_DIR") or caches / "uv").absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _environment(stamp: Stamp, tools: Tools, release: str | None) -> None:
    runtime = None if release is None else ensure_runtime(stamp.root, release, tools.programs)
    with timed(f"environment (.venv, Python {sys.version.split()[0]} of {tools.base})"):
        stamp.begin("environment")
        environment.build(stamp.venv, tools.base, runtime, tools.program("patchelf"), tools.programs)
        stamp.write("environment", tools.base)


def _packages(stamp: Stamp, tools: Tools) -> None:
    with timed(f"packages ({LOCK})"):
        stamp.begin("packages")
        try:
            packages.sync(tools, stamp.venv / "bin" / "python", stamp.root / LOCK)
        except NotReached:
            stamp.forget("packages")  # uv fetches all before it changes anything
            raise
        stamp.write("packages", tools.base)


def _project(stamp: Stamp, tools: Tools) -> None:
    with timed("project (editable)"):
        stamp.begin("project")
        packages.add_project(tools, stamp.venv / "bin" / "python", stamp.root)
        stamp.write("project", tools.base)
