"""How the benchmark reads h2load and ghz, and holds h2load against what the server has counted."""

from __future__ import annotations

import json

import pytest
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from benchmarks import serving_load_grpc
from benchmarks.serving_load import Load
from benchmarks.serving_load_grpc import Counted
from serving.model_server.errors import Code
from serving.model_server.metrics import Metrics

H2LOAD = """
finished in 2.01s, 50.00 req/s, 207.07KB/s
requests: 100 total, 100 started, 100 done, {good} succeeded, {bad} failed, 0 errored, 0 timeout
status codes: {good} 2xx, 0 3xx, 0 4xx, {bad} 5xx
"""
METRICS = """# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} 4
:tensorflow:serving:request_count{model_name="m",status="CANCELLED"} 32
:tensorflow:serving:request_count{model_name="m",status="OK"} 70
:tensorflow:serving:request_count{model_name="m",status="UNAVAILABLE"} 3
:tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="GRPC",le="+Inf"} 60
:tensorflow:serving:request_latency_sum{model_name="m",API="Predict",entrypoint="GRPC"} 12345.5
:tensorflow:serving:request_latency_count{model_name="m",API="Predict",entrypoint="GRPC"} 60
:tensorflow:serving:request_latency_count{model_name="m",API="predict",entrypoint="REST"} 10
"""


def log(good, bad=0):
    """Returns the lines of so many requests, the slowest of which took as many ms as there are good ones."""
    slow_first = [f"17952664510\t200\t{1000 * number}" for number in range(good, 0, -1)]
    return "".join(f"{line}\n" for line in [*slow_first, *["17952664510\t-1\t9999999"] * bad])


def read(good=100, bad=0, answered=100, refused=0):
    output, lines = H2LOAD.format(good=good, bad=bad), log(good, bad)
    return serving_load_grpc.read_h2load(output, lines, Counted(answered=answered, refused=refused), 0.25)


def test_figures_of_h2load_are_read_with_their_units():
    assert read() == Load(requests=100, rate=50.0, p50_ms=50.0, p99_ms=99.0, errors=0, load_cpu_s=0.25)


def test_calls_that_were_answered_after_h2load_went_are_no_errors():
    assert read(answered=132).errors == 0


def test_what_the_server_refused_is_an_error_though_h2load_saw_200():
    assert read(answered=90, refused=10).errors == 10
    assert read(answered=132, refused=10).errors == 10


def test_what_the_server_has_not_counted_is_an_error():
    assert read(answered=60).errors == 40
    assert read(answered=0, refused=132).errors == 100


def test_requests_that_fail_for_h2load_are_errors_and_have_no_latency():
    load = read(good=90, bad=10, answered=90)
    assert (load.requests, load.errors, load.p99_ms) == (100, 10, 90.0)


def test_h2load_without_answers_is_told_with_what_it_said():
    with pytest.raises(SystemExit, match="must print its figures and see answers, and printed:\n\nfinished in"):
        read(good=0)
    with pytest.raises(SystemExit, match="could not connect"):
        serving_load_grpc.read_h2load("could not connect", log(1), Counted(answered=0, refused=0), 0.0)


def test_only_answers_over_grpc_and_what_no_client_cancelled_are_counted():
    assert serving_load_grpc.read_counters(METRICS) == Counted(answered=60, refused=7)
    assert serving_load_grpc.read_counters("") == Counted(answered=0, refused=0)


def test_the_counters_are_those_that_our_server_exports():
    metrics = Metrics()
    for code, entrypoint in ((Code.OK, "GRPC"), (Code.OK, "REST"), (Code.INVALID_ARGUMENT, "GRPC")):
        metrics.request("m", "Predict", entrypoint, code, 0.001)
    assert serving_load_grpc.read_counters(metrics.render().decode()) == Counted(answered=1, refused=1)


def test_a_percentile_is_a_value_that_was_seen():
    assert serving_load_grpc.percentile([1.0], 99) == 1.0
    assert serving_load_grpc.percentile([1.0, 2.0], 50) == 1.0
    assert serving_load_grpc.percentile([float(number) for number in range(1, 1001)], 99) == 990.0


def test_the_body_is_one_request_as_grpc_frames_it(tmp_path):
    made = serving_load_grpc.files(tmp_path, "landcover", b"jpeg")
    body = made.body.read_bytes()
    assert body[0] == 0
    assert int.from_bytes(body[1:5], "big") == len(body) - 5
    assert body[5:] == made.message.read_bytes()
    request = PredictRequest.FromString(body[5:])
    assert (request.model_spec.name, request.model_spec.signature_name) == ("landcover", "predict_image")
    assert list(request.inputs["image"].string_val) == [b"jpeg"]


def test_figures_of_ghz_are_read_with_their_units():
    report = {
        "count": 100,
        "rps": 50.0,
        "latencyDistribution": [{"percentage": 50, "latency": 2_000_000}, {"percentage": 99, "latency": 9_000_000}],
        "statusCodeDistribution": {"OK": 98, "Unavailable": 2},
    }
    load = serving_load_grpc.read_ghz(json.dumps(report), 0.5)
    assert load == Load(requests=100, rate=50.0, p50_ms=2.0, p99_ms=9.0, errors=2, load_cpu_s=0.5)
