"""Our model server against TensorFlow in the process and against LitServe, BentoML and plain asyncio.

All run in one session on one machine with the same SavedModel and the same pictures, one at a time and in turn, so the
figures to quote are the ratios. wrk and ghz share the cores with the servers.
Usage: `python -m benchmarks.serving --model VERSION_DIR --pictures DIR [--rounds N] [--only NAMES] [--memory N]`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import serving_load as load
from benchmarks.serving_raw import pictures
from benchmarks.serving_report import machine, report
from benchmarks.serving_servers import ROOT, Running, System, peers_environment, started, systems

CLIENTS = (1, 32)  # one first: BentoML keeps the patience that many clients have taught it
PEERS = ("litserve", "bentoml", "asyncio")
PICTURES = 256
WARM_S = 2.0  # seconds of load before figures count
MEMORY_CHUNK_S = 20.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """What one benchmark asks for."""

    version: Path
    folder: Path
    work: Path
    seconds: float
    jpegs: list[bytes]


def say(text: str) -> None:
    """Prints one line of progress with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def measured(running: Running, ask: Any) -> dict[str, Any]:
    """Runs one load; returns its figures with the server's CPU seconds per request and peak memory."""
    cpu_s = running.cpu_s()
    with running.watched() as samples:
        seen: load.Load = ask()
    used_s = running.cpu_s() - cpu_s
    return {
        **dataclasses.asdict(seen),
        "cpu_s_each": used_s / max(1, seen.requests),
        "peak_memory_mib": max(samples),
    }


def visit(session: Session, system: System) -> Iterator[tuple[str, dict[str, Any]]]:
    """Starts a server and loads it in every way it offers; yields the name of each way and its figures."""
    script = load.wrk_script(session.work, system.name, system.path, [system.body(jpeg) for jpeg in session.jpegs])
    log = session.work / f"{system.name}.log"
    with started(system, session.version, session.jpegs[0], log) as running:
        for clients in CLIENTS:
            load.rest(script, running.rest_port, clients, WARM_S)
            yield (
                f"{system.name} REST {clients}",
                measured(running, lambda n=clients: load.rest(script, running.rest_port, n, session.seconds)),
            )
        if system.has_grpc:
            files = load.ghz_files(session.work, session.version.parent.name, session.jpegs)
            for clients in CLIENTS:
                load.grpc(files, running.grpc_port, clients, WARM_S)
                yield (
                    f"{system.name} gRPC {clients}",
                    measured(running, lambda n=clients: load.grpc(files, running.grpc_port, n, session.seconds)),
                )


def raw(session: Session) -> Iterator[tuple[str, dict[str, Any]]]:
    """Measures TensorFlow alone, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.serving_raw", str(session.version), str(session.folder)]
    with (session.work / "raw.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            [*command, str(session.seconds)], stdout=subprocess.PIPE, stderr=log, text=True, check=True, cwd=ROOT
        )
    for batch, figures in json.loads(done.stdout).items():
        yield f"raw batch {batch}", {**figures, "errors": 0}


def rounds(session: Session, names: list[str], count: int, extra: list[str]) -> list[dict[str, dict[str, Any]]]:
    """Visits everything so many times, backwards every second time; returns the figures of each round."""
    python = peers_environment(session.work / "peers") if set(names) & set(PEERS) else None
    known = {system.name: system for system in systems(session.version, python, extra)}
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


def memory(session: Session, requests: int, extra: list[str]) -> list[tuple[int, float]]:
    """Sends so many requests from 32 clients; returns resident memory (MiB) after each piece of them."""
    system = systems(session.version, None, extra)[0]
    script = load.wrk_script(session.work, system.name, system.path, [system.body(jpeg) for jpeg in session.jpegs])
    with started(system, session.version, session.jpegs[0], session.work / "memory.log") as running:
        sent, samples = 0, []
        while sent < requests:
            seen = load.rest(script, running.rest_port, max(CLIENTS), MEMORY_CHUNK_S)
            if seen.errors or not seen.requests:
                raise SystemExit(f"memory is measured without errors, and {seen.errors} of {seen.requests} failed")
            sent += seen.requests
            samples.append((sent, running.resident_mib()))
            say(f"memory  {sent:>9} requests  {samples[-1][1]:7.1f} MiB")
    return samples


def parsed() -> argparse.Namespace:
    """Returns the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, required=True, help="folder of a pushed version")
    parser.add_argument("--pictures", type=Path, required=True, help="folder with JPEGs in it or below it")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is visited")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each load")
    parser.add_argument("--only", default=f"raw,earthloop,{','.join(PEERS)}", help="what to visit; '' for nothing")
    parser.add_argument("--memory", type=int, default=0, help="requests over which memory is watched, such as 1000000")
    parser.add_argument("--server-flag", action="append", default=[], help="a flag more for our server; repeatable")
    parser.add_argument("--work", type=Path, help="folder for logs, the peers' environment and results")
    arguments = parser.parse_args()
    if unknown := set(filter(None, arguments.only.split(","))) - {"raw", "earthloop", *PEERS}:
        parser.error(f"--only knows raw, earthloop, {', '.join(PEERS)}, not {', '.join(sorted(unknown))}")
    return arguments


def main() -> None:
    """Runs what is asked for; writes `serving.json` and `serving.md` to the work folder and prints the table."""
    arguments = parsed()
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory())
        work = (arguments.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        session = Session(
            version=arguments.model.resolve(),
            folder=arguments.pictures.resolve(),
            work=work,
            seconds=arguments.seconds,
            jpegs=pictures(arguments.pictures, PICTURES),
        )
        results: dict[str, Any] = {"machine": machine(), "seconds": session.seconds}
        names = [name for name in arguments.only.split(",") if name]
        if names:
            results["rounds"] = rounds(session, names, arguments.rounds, arguments.server_flag)
        if arguments.memory:
            results["memory"] = memory(session, arguments.memory, arguments.server_flag)
        text = report(results)
        (work / "serving.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (work / "serving.md").write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
