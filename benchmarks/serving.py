"""Our model server against TensorFlow in the process and against LitServe, BentoML and plain asyncio.

All run in one session on one machine with the same SavedModel and the same pictures, one at a time and in turn, so the
figures to quote are the ratios. The load generators share the cores with the servers: wrk for REST and h2load for gRPC,
both in C; what they take is in the table. ghz, in Go, takes several times as much and is shown beside them.
Usage: `python -m benchmarks.serving --model VERSION_DIR --pictures DIR [--rounds N] [--only NAMES] [--memory N]`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import serving_load as load
from benchmarks import serving_load_grpc as load_grpc
from benchmarks.serving_raw import middle, pictures
from benchmarks.serving_report import machine, report
from benchmarks.serving_servers import ROOT, Running, System, environment, started, systems

CLIENTS = (1, 32)  # one first: BentoML keeps the patience that many clients have taught it
PEERS = ("litserve", "bentoml", "asyncio")
PICTURES = 256
WARM_S = 2.0  # seconds of load before figures count
MEMORY_WARM_S = 10.0  # and before memory does
MEMORY_WAYS = ("REST 32", "gRPC 32")
MEMORY_PARTS = 10  # memory is read after each
_EPILOG = """
what is asked for:
  REST N               256 pictures in turn, from N clients, by wrk
  REST N, one picture  the picture of middle size again and again: what gRPC is compared with
  gRPC N               the same picture, by h2load, which sends one body only; its own answers are held against the
                       server's counter of calls that ended with OK, since it does not look at grpc-status
  gRPC 32, by ghz      the same where ghz is installed

--memory starts a server for each of REST and gRPC, and reads its resident memory after warm-up and after each tenth.
`python -m benchmarks.serving_profile --help` says where our server's time goes under the same load.
"""

Ask = Callable[[float], load.Load]  # loads a server for so many seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """What one benchmark asks for."""

    version: Path
    folder: Path
    work: Path
    seconds: float
    jpegs: list[bytes]
    flags: tuple[str, ...] = ()  # further ones for our server

    def systems(self, peers_python: Path | None = None) -> dict[str, System]:
        """Returns the servers by name; ours shows its metrics, which h2load's figures are held against."""
        config = self.work / "monitoring.config"
        path = load_grpc.METRICS
        config.write_text(f'prometheus_config {{ enable: true path: "{path}" }}\n', encoding="utf-8")
        flags = (f"--monitoring_config_file={config}", *self.flags)
        return {system.name: system for system in systems(self.version, peers_python, flags)}


def say(text: str) -> None:
    """Prints one line of progress with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def measured(running: Running, ask: Ask, seconds: float) -> dict[str, Any]:
    """Runs one load; returns its figures with CPU seconds per request and the server's peak memory."""
    cpu_s = running.cpu_s()
    with running.watched() as samples:
        seen = ask(seconds)
    used_s = running.cpu_s() - cpu_s
    return {
        **dataclasses.asdict(seen),
        "cpu_s_each": used_s / max(1, seen.requests),
        "load_cpu_s_each": seen.load_cpu_s / max(1, seen.requests),
        "peak_memory_mib": max(samples),
    }


def ways(session: Session, system: System, running: Running) -> Iterator[tuple[str, Ask]]:
    """Yields each way in which a server can be loaded, by name."""

    def rest(name: str, jpegs: Sequence[bytes], clients: int) -> Ask:
        """Asks for some pictures in turn."""
        script = load.wrk_script(session.work, name, system.path, [system.body(jpeg) for jpeg in jpegs])
        return functools.partial(load.rest, script, running.rest_port, clients)

    for clients in CLIENTS:
        yield f"REST {clients}", rest(system.name, session.jpegs, clients)
    if not system.has_grpc:
        return
    one = middle(session.jpegs)
    files = load_grpc.files(session.work, session.version.parent.name, one)
    ports = (running.rest_port, running.grpc_port)
    for clients in CLIENTS:
        yield f"REST {clients}, one picture", rest(f"{system.name}-one", [one], clients)
        yield f"gRPC {clients}", functools.partial(load_grpc.h2load, files, ports, clients)
    if load.installed("ghz"):
        clients = max(CLIENTS)
        yield f"gRPC {clients}, by ghz", functools.partial(load_grpc.ghz, files, running.grpc_port, clients)


def visit(session: Session, system: System) -> Iterator[tuple[str, dict[str, Any]]]:
    """Starts a server and loads it in every way it offers; yields the name of each way and its figures."""
    with started(system, session.version, session.jpegs[0], session.work / f"{system.name}.log") as running:
        for way, ask in ways(session, system, running):
            ask(WARM_S)
            yield f"{system.name} {way}", measured(running, ask, session.seconds)


def raw(session: Session) -> Iterator[tuple[str, dict[str, Any]]]:
    """Measures TensorFlow alone, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.serving_raw", str(session.version), str(session.folder)]
    with (session.work / "raw.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            [*command, str(session.seconds)], stdout=subprocess.PIPE, stderr=log, text=True, check=True, cwd=ROOT
        )
    for batch, figures in json.loads(done.stdout).items():
        yield f"raw batch {batch}", {**figures, "errors": 0}


def rounds(session: Session, names: list[str], count: int) -> list[dict[str, dict[str, Any]]]:
    """Visits everything so many times, backwards every second time; returns the figures of each round."""
    python = environment(session.work / "peers", "requirements-serving.lock") if set(names) & set(PEERS) else None
    known = session.systems(python)
    found: list[dict[str, dict[str, Any]]] = []
    for number in range(count):
        figures: dict[str, dict[str, Any]] = {}
        for name in names if number % 2 == 0 else names[::-1]:
            for way, seen in raw(session) if name == "raw" else visit(session, known[name]):
                figures[way] = seen
                latencies = f", p50 {seen['p50_ms']:.2f} ms, p99 {seen['p99_ms']:.2f} ms" if "p50_ms" in seen else ""
                say(f"round {number + 1}/{count}  {way:<20}{seen['rate']:9.1f}/s{latencies}, {seen['errors']} errors")
        found.append(figures)
    return found


def memory(session: Session, way: str, requests: int) -> list[tuple[int, float]]:
    """Sends so many requests to a fresh server; returns resident memory (MiB) after warm-up and after each tenth.

    Raises:
        SystemExit: a request failed.
    """
    system = session.systems()["earthloop"]
    with started(system, session.version, session.jpegs[0], session.work / "memory.log") as running:
        ask = dict(ways(session, system, running))[way]
        rate, sent = ask(MEMORY_WARM_S).rate, 0
        samples = [(sent, running.resident_mib())]
        for part in range(1, MEMORY_PARTS + 1):
            while (left := requests * part / MEMORY_PARTS - sent) > 0:
                seen = ask(max(1, math.ceil(left / rate)))
                if seen.errors or not seen.requests:
                    raise SystemExit(f"memory is measured without errors, and {seen.errors} of {seen.requests} failed")
                rate, sent = seen.rate, sent + seen.requests
            samples.append((sent, running.resident_mib()))
            say(f"memory  {way}  {sent:>9} requests  {samples[-1][1]:7.1f} MiB")
    return samples


def about(jpegs: Sequence[bytes]) -> dict[str, float]:
    """Returns how many pictures there are, and in bytes their mean size and that of the one asked for alone."""
    return {"count": len(jpegs), "mean_bytes": sum(map(len, jpegs)) / len(jpegs), "one_bytes": len(middle(jpegs))}


def session_of(arguments: argparse.Namespace, work: Path) -> Session:
    """Returns what the arguments ask for, with its pictures read."""
    return Session(
        version=arguments.model.resolve(),
        folder=arguments.pictures.resolve(),
        work=work,
        seconds=arguments.seconds,
        jpegs=pictures(arguments.pictures, PICTURES),
        flags=tuple(arguments.server_flag),
    )


def parsed() -> argparse.Namespace:
    """Returns the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of a pushed version")
    parser.add_argument("--pictures", type=Path, required=True, help="folder with JPEGs in it or below it")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is visited")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each load")
    parser.add_argument("--only", default=f"raw,earthloop,{','.join(PEERS)}", help="what to visit; '' for nothing")
    parser.add_argument("--memory", type=int, default=0, help="requests over which memory is watched")
    parser.add_argument("--server-flag", action="append", default=[], help="a flag more for our server; repeatable")
    parser.add_argument("--work", type=Path, help="folder for logs, the peers' environment and results")
    arguments = parser.parse_args()
    if unknown := set(filter(None, arguments.only.split(","))) - {"raw", "earthloop", *PEERS}:
        parser.error(f"--only knows raw, earthloop, {', '.join(PEERS)}, not {', '.join(sorted(unknown))}")
    if arguments.memory or "earthloop" in arguments.only.split(","):
        load.program("h2load")  # before any time is spent
    return arguments


def main() -> None:
    """Runs what is asked for; writes `serving.json` and `serving.md` to the work folder and prints the table."""
    arguments = parsed()
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory())
        work = (arguments.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        session = session_of(arguments, work)
        results: dict[str, Any] = {"machine": machine(), "seconds": session.seconds, "pictures": about(session.jpegs)}
        names = [name for name in arguments.only.split(",") if name]
        if names:
            results["rounds"] = rounds(session, names, arguments.rounds)
        if arguments.memory:
            results["memory"] = {way: memory(session, way, arguments.memory) for way in MEMORY_WAYS}
        text = report(results)
        (work / "serving.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (work / "serving.md").write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
