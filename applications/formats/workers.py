"""Processes beside this one that share out work on many items, as Python's lock lets but one thread at a time decode.

They are forked before anything else runs. A fork copies no threads, so what a thread had locked at that moment stays
locked in the copy for ever; Beam, gRPC and TensorFlow start threads as soon as they are used, and must not be used in a
worker. Where no workers are at hand (one core, a Beam worker on another machine) `spread` does the work itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from applications.errors import EarthloopError, StageError

_MOST = 8  # with more, the process that takes their answers is what is waited for

_Part = TypeVar("_Part")
_Answer = TypeVar("_Answer")

_ends: list[tuple[Connection, Any]] = []  # of each worker, our end of its pipe and the process
_one_at_a_time = threading.Lock()


def useful() -> int:
    """Returns how many workers this machine has use for; 0 where this process cannot fork any more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST) if cores > 1 and threading.active_count() == 1 else 0


@contextlib.contextmanager
def at_hand(count: int) -> Iterator[None]:
    """Keeps workers for `spread` while the block runs.

    Args:
        count: how many, as `useful` says; with 0 the block does its work itself.
    """
    context = multiprocessing.get_context("fork")
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            to_close = [ours, *(end for end, _ in _ends)]  # else a worker would not see that we have ended
            process = context.Process(target=_serve, args=(theirs, to_close), daemon=True)
            process.start()
            theirs.close()
            _ends.append((ours, process))
        yield
    finally:
        _let_go()


def spread(work: Callable[[_Part], _Answer], parts: Sequence[_Part]) -> list[_Answer]:
    """Does a piece of work on every part, among the workers at hand or else here.

    Args:
        work: a function that can be pickled, or a method of an object that can.
        parts: what it takes.

    Returns:
        Its answers, in the order of the parts.

    Raises:
        StageError: a worker was killed.
        EarthloopError: the first that `work` raised; an error that is not ours comes as a `StageError` with its text.
    """
    if not _ends:
        return [work(part) for part in parts]
    with _one_at_a_time:
        for place, (end, process) in enumerate(_ends):
            with _noticing_death(process):
                end.send((work, parts[place :: len(_ends)]))
        shares = []
        try:
            for end, process in _ends:
                with _noticing_death(process):
                    shares.append(end.recv())
        except BaseException:
            _let_go()  # an answer left in a pipe would be taken for the next one's
            raise
    failed = next((share for share in shares if isinstance(share, Exception)), None)
    if failed is not None:
        raise failed
    return [shares[place % len(shares)][place // len(shares)] for place in range(len(parts))]


def _let_go() -> None:
    """Ends all workers."""
    for end, _ in _ends:
        end.close()
    for _, process in _ends:
        process.join()
    _ends.clear()


def _serve(end: Connection, to_close: Sequence[Connection]) -> None:
    """Does a worker's whole life, which ends with the process that forked it, however that ends."""
    for other in to_close:
        other.close()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            work, parts = end.recv()
            try:
                end.send([work(part) for part in parts])
            except Exception as error:
                ours = isinstance(error, EarthloopError)  # another's may not survive the way through a pipe
                end.send(error if ours else StageError(f"{type(error).__name__}: {error}"))


@contextlib.contextmanager
def _noticing_death(process: Any) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:  # among them the end of a pipe, also within an answer
        process.join()
        code = process.exitcode
        how = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit status {code}"
        raise StageError(
            f"a process that reads files must live until all are read, but one ended {how}. "
            "There was most likely too little memory: free some, and run again."
        ) from error
