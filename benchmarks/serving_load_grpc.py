"""The load of `benchmarks/serving.py` over gRPC: h2load, which knows HTTP/2 alone and so costs little, and ghz.

h2load sends one body again and again and does not look at `grpc-status`. What the server itself counts as answered is
therefore held against what h2load has seen end.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import math
import re
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving_load import Load, ended, program

METRICS = "/monitoring/prometheus/metrics"
_METHOD = "tensorflow.serving.PredictionService/Predict"
_SETTLED_S = 0.2  # the counters stand still for so long when what was cut off has ended
_MICROS = 1_000.0
_NANOS = 1e6
_ANSWERED = re.compile(r'^:tensorflow:serving:request_latency_count\{.*entrypoint="GRPC"\} (\S+)$', re.MULTILINE)
# CANCELLED is what h2load's last calls end with, since it stops in their middle; it counts such an answer itself.
_REFUSED = re.compile(
    r'^:tensorflow:serving:request_count\{.*status="(?!OK"|CANCELLED")\w+"\} (\S+)$', re.MULTILINE
)  # fmt: skip
_RATE = re.compile(r"^finished in \S+, ([\d.]+) req/s", re.MULTILINE)
_REQUESTS = re.compile(r"^requests: .* (\d+) succeeded, (\d+) failed,", re.MULTILINE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Files:
    """What the load generators read: one call, since neither makes calls of several pictures fast enough."""

    protoset: Path  # the descriptors of the service
    message: Path  # a serialized PredictRequest
    body: Path  # the same as gRPC frames it
    log: Path  # where h2load leaves a line for each request


def files(folder: Path, model: str, jpeg: bytes) -> Files:
    """Writes what the load generators need to ask a model for one picture."""
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow_serving.apis import predict_pb2

    made = Files(
        protoset=folder / "serving.protoset",
        message=folder / "request.bin",
        body=folder / "request.grpc",
        log=folder / "h2load.log",
    )
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "predict_image"
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[jpeg])
    tensor.tensor_shape.dim.add(size=1)
    request.inputs["image"].CopyFrom(tensor)
    message = request.SerializeToString()
    made.protoset.write_bytes(_descriptors(predict_pb2.DESCRIPTOR))
    made.message.write_bytes(message)
    made.body.write_bytes(struct.pack(">BI", 0, len(message)) + message)  # not compressed, and how long it is
    return made


def _descriptors(messages: Any) -> bytes:
    """Returns the file of the messages, what it stands on, and the service, whose module needs an older protobuf."""
    from google.protobuf import descriptor_pb2

    found = descriptor_pb2.FileDescriptorSet()

    def add(file: Any) -> None:
        """Adds a file once, after those it needs."""
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counted:
    """What our server has counted since it started."""

    answered: int  # calls over gRPC that ended with OK
    refused: int  # requests that ended otherwise and were not cancelled by their client


def read_counters(page: str) -> Counted:
    """Reads the page that our server has for Prometheus."""
    return Counted(
        answered=sum(int(float(value)) for value in _ANSWERED.findall(page)),
        refused=sum(int(float(value)) for value in _REFUSED.findall(page)),
    )


def counted(rest_port: int) -> Counted:
    """Asks our server what it has counted, as soon as that stands still.

    Raises:
        SystemExit: it has no such page.
    """
    before: Counted | None = None
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", rest_port, timeout=20)
        connection.request("GET", METRICS)
        answer = connection.getresponse()
        page = answer.read().decode("utf-8", "replace")
        connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise SystemExit(f"{METRICS} must be answered with 200, got {answer.status}; see --monitoring_config_file")
        now = read_counters(page)
        if now == before:
            return now
        before = now
        time.sleep(_SETTLED_S)


def h2load(made: Files, ports: tuple[int, int], clients: int, seconds: float) -> Load:
    """Calls Predict from so many clients, each with a connection of its own and one call at a time.

    There is no warm-up within: the server counts that too, and its counters could not be held against h2load's.

    Args:
        made: of `files`.
        ports: of our server, for REST and for gRPC.
        clients: connections.
        seconds: for so long.

    Raises:
        SystemExit: h2load failed, or no call ended.
    """
    made.log.unlink(missing_ok=True)  # h2load would append
    before = counted(ports[0])
    done = ended(
        [
            *(program("h2load"), "-t1", "-m1", f"-c{clients}", f"-D{seconds:.0f}", f"--log-file={made.log}"),
            *("-H", "content-type: application/grpc", "-H", "te: trailers", "-d", str(made.body)),
            f"http://127.0.0.1:{ports[1]}/{_METHOD}",
        ]
    )
    after = counted(ports[0])
    if not done.is_well or not made.log.is_file():
        raise SystemExit(f"h2load must end well, and said:\n{(done.output + done.said)[-2000:]}")
    during = Counted(answered=after.answered - before.answered, refused=after.refused - before.refused)
    return read_h2load(done.output, made.log.read_text(encoding="ascii"), during, done.cpu_s)


def read_h2load(output: str, log: str, during: Counted, cpu_s: float) -> Load:
    """Reads what h2load prints and the line it writes for each request.

    Errors are requests that failed for h2load; and those that ended with 200, but not with OK for the server: what it
    refused or, if that is more, what it has not counted at all.

    Args:
        output: of h2load.
        log: start (µs since 1970), status and duration (µs) of every request, separated by tabs.
        during: what the server has counted meanwhile.
        cpu_s: CPU seconds of h2load.

    Raises:
        SystemExit: there are no figures, or no request ended.
    """
    rate, requests = _RATE.search(output), _REQUESTS.search(output)
    lines = [line.split("\t") for line in log.splitlines()]
    times_ms = sorted(int(line[2]) / _MICROS for line in lines if line[1] == "200")
    if not rate or not requests or not times_ms:
        raise SystemExit(f"h2load must print its figures and see answers, and printed:\n{output[-2000:]}")
    succeeded, failed = int(requests[1]), int(requests[2])
    return Load(
        requests=succeeded + failed,
        rate=float(rate[1]),
        p50_ms=percentile(times_ms, 50),
        p99_ms=percentile(times_ms, 99),
        errors=failed + min(succeeded, max(during.refused, succeeded - during.answered, 0)),
        load_cpu_s=cpu_s,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Returns the smallest of some ordered values that so many percent do not exceed."""
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def ghz(made: Files, port: int, clients: int, seconds: float) -> Load:
    """Calls Predict from so many clients, each with a connection of its own.

    Raises:
        SystemExit: ghz failed.
    """
    command = [
        *(program("ghz"), "--insecure", "--protoset", str(made.protoset), "--binary-file", str(made.message)),
        *("--call", _METHOD),
        *("--format", "json"),
        *("-c", str(clients), "--connections", str(clients), "-z", f"{seconds:.0f}s", "--duration-stop", "wait"),
    ]
    done = ended([*command, f"127.0.0.1:{port}"])
    if not done.is_well:
        raise SystemExit(f"ghz must end well, and said:\n{done.said[-2000:]}")
    return read_ghz(done.output, done.cpu_s)


def read_ghz(output: str, cpu_s: float) -> Load:
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
        load_cpu_s=cpu_s,
    )
