"""The load of `benchmarks/serving.py` over REST, by wrk; and what all load generators have in common."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

HELP = {
    "wrk": "install it (apt-get install wrk, brew install wrk)",
    "h2load": "install it (apt-get install nghttp2-client, brew install nghttp2)",
    "ghz": "install it (go install github.com/bojand/ghz/cmd/ghz@latest, brew install ghz)",
}
_MICROS = 1_000.0

# Pictures are asked for in turn; the requests are made before the first is sent. Prints one line of JSON at the end.
_LUA = """
local requests, at = {{}}, 0
function init(args)
  for line in io.lines("{bodies}") do
    requests[#requests + 1] = wrk.format("POST", "{path}", {{["Content-Type"] = "application/json"}}, line)
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('FIGURES {{"requests": %d, "us": %d, "p50": %f, "p99": %f, "errors": %d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """What a load generator saw: requests per second, latencies in milliseconds, requests that failed."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    errors: int
    load_cpu_s: float  # CPU seconds of the load generator itself, which the server could not have


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ended:
    """A load generator that has ended."""

    is_well: bool
    output: str
    said: str  # on its other output
    cpu_s: float


def program(name: str) -> str:
    """Returns the path of a load generator.

    Raises:
        SystemExit: it is not installed.
    """
    found = installed(name)
    if found is None:
        raise SystemExit(f"the benchmark needs {name}, which is not on the PATH; {HELP[name]}")
    return found


def installed(name: str) -> str | None:
    """Returns the path of a program that is on the PATH or in Go's own folder; None if it is in neither."""
    return shutil.which(name) or shutil.which(name, path=str(Path.home() / "go" / "bin"))


def ended(command: Sequence[str]) -> Ended:
    """Runs a load generator to its end. No other child may end meanwhile: its CPU seconds would be counted, too."""
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = os.times()
    return Ended(
        is_well=done.returncode == 0,
        output=done.stdout,
        said=done.stderr,
        cpu_s=after.children_user + after.children_system - before.children_user - before.children_system,
    )


def wrk_script(folder: Path, name: str, path: str, bodies: Sequence[bytes]) -> Path:
    """Writes what wrk needs to send these bodies to a path; returns the script. A body has no line breaks."""
    lines = folder / f"{name}.bodies"
    lines.write_bytes(b"\n".join(bodies) + b"\n")
    script = folder / f"{name}.lua"
    script.write_text(_LUA.format(bodies=lines, path=path), encoding="utf-8")
    return script


def rest(script: Path, port: int, clients: int, seconds: float) -> Load:
    """Sends requests over so many connections, each waiting for its answer before it asks again.

    Raises:
        SystemExit: wrk failed.
    """
    command = [program("wrk"), "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "30s", "-s", str(script)]
    done = ended([*command, f"http://127.0.0.1:{port}"])
    return read_wrk(done.output + done.said, done.cpu_s)


def read_wrk(output: str, cpu_s: float) -> Load:
    """Reads the line that our script for wrk prints.

    Raises:
        SystemExit: it is not there.
    """
    lines = [line for line in output.splitlines() if line.startswith("FIGURES ")]
    if not lines:
        raise SystemExit(f"wrk must print its figures, and printed:\n{output}")
    figures = json.loads(lines[0].removeprefix("FIGURES "))
    return Load(
        requests=figures["requests"],
        rate=figures["requests"] / (figures["us"] / 1e6),
        p50_ms=figures["p50"] / _MICROS,
        p99_ms=figures["p99"] / _MICROS,
        errors=figures["errors"],
        load_cpu_s=cpu_s,
    )
