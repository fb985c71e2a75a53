"""Where our server's time goes under load: CPU of its threads, and which functions hold the interpreter's lock.

The system counts the CPU seconds of each thread. py-spy, which comes in an environment of its own, looks 100 times a
second at who holds the lock, and does not stop the server for it. What threads take beyond the time they hold the lock
is code that needs none: TensorFlow's, and the system's. A thread that waits for a core may hold the lock meanwhile, so
that its time with the lock can be the longer one. Samples go to the innermost function of ours on the stack.
Usage: `python -m benchmarks.serving_profile --model VERSION_DIR --pictures DIR [--way 'gRPC 32']`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import re
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks.serving import WARM_S, Ask, Session, session_of, ways
from benchmarks.serving_load import Load
from benchmarks.serving_servers import environment, started

OURS = "serving/"
SAMPLES_A_S = 100
_FRAME = re.compile(r"(.+) \((.+)\)")
_THREAD = re.compile(r"thread \((\d+)\)(?:: (.*))?")
_UNNAMED = "those without a name, mostly TensorFlow's"
_MOST = 25  # functions that are shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stack:
    """What py-spy saw some times: the thread, and its calls from the outermost to the innermost."""

    thread: int
    name: str
    calls: tuple[str, ...]  # such as "Batcher._work (serving/model_server/batching.py)"
    samples: int


def read_stacks(text: str) -> list[Stack]:
    """Reads what py-spy writes with `--format raw --threads`: a line for each stack and how often it was seen."""
    found = []
    for line in text.splitlines():
        stack, _, samples = line.rpartition(" ")
        first, *calls = stack.split(";")
        if thread := _THREAD.fullmatch(first):
            number, name = int(thread[1]), thread[2] or ""
            found.append(Stack(thread=number, name=name, calls=tuple(calls), samples=int(samples)))
    return found


def where(calls: Sequence[str]) -> str:
    """Returns the innermost call that is ours, and the file of others in which it then was."""
    ours = [at for at, call in enumerate(calls) if _file(call).startswith(OURS)]
    if not ours:
        return calls[-1] if calls else "unknown"
    below = calls[ours[-1] + 1 :]
    return f"{calls[ours[-1]]} → {_file(below[-1])}" if below else calls[ours[-1]]


def _file(call: str) -> str:
    frame = _FRAME.fullmatch(call)
    return frame[2] if frame else ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thread:
    """What the system knows of a thread."""

    name: str
    cpu_s: float


def threads(process: psutil.Process) -> dict[int, Thread]:
    """Returns the threads of a process by their numbers."""
    found, own = {}, process.name()
    for thread in process.threads():
        comm = Path(f"/proc/{process.pid}/task/{thread.id}/comm")
        try:
            name = comm.read_text(encoding="utf-8").strip()
        except OSError:  # it has ended, or there is no /proc
            name = own
        name = _UNNAMED if name == own else name  # it has its parent's name
        found[thread.id] = Thread(name=name, cpu_s=thread.user_time + thread.system_time)
    return found


def table(stacks: Sequence[Stack], used: Mapping[int, Thread], requests: float) -> str:
    """Returns Markdown: each thread's time on a core and with the lock, then functions by the time they hold it.

    Args:
        stacks: seen `SAMPLES_A_S` times a second.
        used: each thread and its CPU seconds over the same time. Threads that Python has not named have the system's
            name; those of one name are one row.
        requests: answered in that time.
    """
    names = {stack.thread: stack.name for stack in stacks if stack.name}
    held: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for stack in stacks:
        held[stack.name] += stack.samples
        places[where(stack.calls)] += stack.samples
    cpu_s: dict[str, float] = {}
    for number, thread in used.items():
        name = names.get(number, thread.name)
        cpu_s[name] = cpu_s.get(name, 0.0) + thread.cpu_s
    ms, lock_ms = 1e3 / requests, 1e3 / requests / SAMPLES_A_S
    busiest = sorted((name for name in cpu_s if cpu_s[name] or held[name]), key=lambda name: -cpu_s[name])
    lines = [
        "| thread | CPU ms per request | ms with the lock |",
        "|---|--:|--:|",
        *(f"| {name} | {cpu_s[name] * ms:.3f} | {held[name] * lock_ms:.3f} |" for name in busiest),
        f"| all | {sum(cpu_s.values()) * ms:.3f} | {held.total() * lock_ms:.3f} |",
        "",
        "| function that holds the lock | ms per request |",
        "|---|--:|",
        *(f"| {place} | {count * lock_ms:.3f} |" for place, count in places.most_common(_MOST)),
    ]
    return "\n".join(lines) + "\n"


def sampled(session: Session, way: str, py_spy: Path) -> str:
    """Loads a fresh server in one way, and returns the table of what was seen.

    Raises:
        SystemExit: there is no such way, or py-spy could not look at the server.
    """
    system, raw = session.systems()["earthloop"], session.work / "profile.folded"
    with started(system, session.version, session.jpegs[0], session.work / "profile.log") as running:
        known = dict(ways(session, system, running))
        if way not in known:
            raise SystemExit(f"there is no way {way!r} to load the server; there are: {'; '.join(known)}")
        known[way](WARM_S)
        command = [
            *(str(py_spy), "record", "--pid", str(running.process.pid), "--rate", str(SAMPLES_A_S)),
            *("--duration", f"{session.seconds:.0f}", "--gil", "--nonblocking", "--threads", "--nolineno"),
            *("--format", "raw", "--output", str(raw)),
        ]
        with loaded(known[way], session.seconds + 2 * WARM_S) as seen:
            before = threads(running.process)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            after = threads(running.process)
    if done.returncode or not raw.is_file():
        raise SystemExit(
            f"py-spy must be allowed to look at the server (as root, or with kernel.yama.ptrace_scope=0), "
            f"and said:\n{(done.stdout + done.stderr)[-2000:]}"
        )
    if seen[0].errors:
        raise SystemExit(f"a profile is made without errors, and {seen[0].errors} of {seen[0].requests} failed")
    none = Thread(name="", cpu_s=0.0)
    used = {
        number: dataclasses.replace(thread, cpu_s=thread.cpu_s - before.get(number, none).cpu_s)
        for number, thread in after.items()
    }
    head = f"{way}: {seen[0].rate:,.0f} requests/s while it was sampled for {session.seconds:g} s.\n\n"
    return head + table(read_stacks(raw.read_text(encoding="utf-8")), used, seen[0].rate * session.seconds)


@contextlib.contextmanager
def loaded(ask: Ask, seconds: float) -> Iterator[list[Load]]:
    """Loads a server for so many seconds, at least as long as the context; then what was seen is in the list."""
    seen: list[Load] = []
    thread = threading.Thread(target=lambda: seen.append(ask(seconds)))
    thread.start()
    try:
        yield seen
    finally:
        thread.join()


def main() -> None:
    """Runs what is asked for, leaves `profile.md` and `profile.folded` in the work folder, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a pushed version")
    parser.add_argument("--pictures", type=Path, required=True, help="folder with JPEGs in it or below it")
    parser.add_argument("--way", default="REST 32", help="such as 'REST 1', 'gRPC 32'; see benchmarks.serving --help")
    parser.add_argument("--seconds", type=float, default=10.0, help="for how long the server is watched")
    parser.add_argument("--server-flag", action="append", default=[], help="a flag more for our server; repeatable")
    parser.add_argument("--work", type=Path, help="folder for logs, py-spy's environment and results")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = (arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
        work.mkdir(parents=True, exist_ok=True)
        session = session_of(arguments, work)
        py_spy = environment(work / "profiler", "requirements-profile.lock").parent / "py-spy"
        text = sampled(session, arguments.way, py_spy)
        (work / "profile.md").write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
