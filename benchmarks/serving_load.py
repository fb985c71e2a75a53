"""The load of `benchmarks/serving.py`: wrk for REST and ghz for gRPC, both compiled; their figures read."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HELP = {
    "wrk": "install it (apt-get install wrk, brew install wrk)",
    "ghz": "install it (go install github.com/bojand/ghz/cmd/ghz@latest, brew install ghz)",
}
_MICROS = 1_000.0
_NANOS = 1e6

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


def program(name: str) -> str:
    """Returns the path of a load generator.

    Raises:
        SystemExit: it is not installed.
    """
    found = shutil.which(name) or shutil.which(name, path=str(Path.home() / "go" / "bin"))
    if found is None:
        raise SystemExit(f"the benchmark needs {name}, which is not on the PATH; {HELP[name]}")
    return found


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
    done = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=False)
    return read_wrk(done.stdout + done.stderr)


def read_wrk(output: str) -> Load:
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
    )


def ghz_files(folder: Path, model: str, jpegs: Sequence[bytes]) -> tuple[Path, Path]:
    """Writes the descriptors of the service and one request, for the picture of middle size; returns both files.

    One, because ghz would otherwise make each request anew from JSON, which costs it more than the server the answer.
    """
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow_serving.apis import predict_pb2

    protoset, data = folder / "serving.protoset", folder / "request.bin"
    protoset.write_bytes(_descriptors(predict_pb2.DESCRIPTOR))
    jpeg = sorted(jpegs, key=len)[len(jpegs) // 2]
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "predict_image"
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[jpeg])
    tensor.tensor_shape.dim.add(size=1)
    request.inputs["image"].CopyFrom(tensor)
    data.write_bytes(request.SerializeToString())
    return protoset, data


def _descriptors(messages: Any) -> bytes:
    """Returns the file of the messages, what it stands on, and the service, whose module needs an older protobuf."""
    from google.protobuf import descriptor_pb2

    found = descriptor_pb2.FileDescriptorSet()

    def add(file: Any) -> None:
        if file.name not in {known.name for known in found.file}:
            for needed in file.dependencies:
                add(needed)
            file.CopyToProto(found.file.add())

    add(messages)
    service = found.file.add(name="service.proto", package="tensorflow.serving", syntax="proto3")
    service.dependency.append(messages.name)
    types = {"input_type": ".tensorflow.serving.PredictRequest", "output_type": ".tensorflow.serving.PredictResponse"}
    service.service.add(name="PredictionService").method.add(name="Predict", **types)
    return bytes(found.SerializeToString())


def grpc(files: tuple[Path, Path], port: int, clients: int, seconds: float) -> Load:
    """Calls Predict from so many clients, each with a connection of its own.

    Raises:
        SystemExit: ghz failed.
    """
    protoset, data = files
    command = [
        *(program("ghz"), "--insecure", "--protoset", str(protoset), "--binary-file", str(data)),
        *("--call", "tensorflow.serving.PredictionService/Predict"),
        *("--format", "json"),
        *("-c", str(clients), "--connections", str(clients), "-z", f"{seconds:.0f}s", "--duration-stop", "wait"),
    ]
    done = subprocess.run([*command, f"127.0.0.1:{port}"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"ghz must end well, and said:\n{done.stderr[-2000:]}")
    return read_ghz(done.stdout)


def read_ghz(output: str) -> Load:
    """Reads the report that ghz writes as JSON."""
    report = json.loads(output)
    latencies = {point["percentage"]: point["latency"] / _NANOS for point in report["latencyDistribution"] or ()}
    good = report["statusCodeDistribution"].get("OK", 0)
    return Load(
        requests=report["count"],
        rate=report["rps"],
        p50_ms=latencies.get(50, 0.0),
        p99_ms=latencies.get(99, 0.0),
        errors=report["count"] - good,
    )
