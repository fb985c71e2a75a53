from __future__ import annotations

from serving.model_server.errors import Code
from serving.model_server.metrics import Counter, Histogram, Metrics


def test_counters_are_written_as_tensorflow_serving_writes_them():
    metrics = Metrics()
    metrics.request("m", "predict", "REST", Code.OK, 0.0)
    metrics.request("m", "predict", "REST", Code.NOT_FOUND, 0.0)
    page = metrics.render().decode().splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in page
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 1' in page
    assert ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"} 1' in page


def test_only_the_latency_of_answered_requests_counts_in_microseconds():
    metrics = Metrics()
    metrics.request("m", "predict", "REST", Code.OK, 15e-6)
    metrics.request("m", "predict", "REST", Code.INTERNAL, 1.0)
    page = metrics.render().decode().splitlines()
    labels = 'model_name="m",API="predict",entrypoint="REST"'
    assert f':tensorflow:serving:request_latency_bucket{{{labels},le="10"}} 0' in page
    assert f':tensorflow:serving:request_latency_bucket{{{labels},le="18"}} 1' in page
    assert f':tensorflow:serving:request_latency_bucket{{{labels},le="+Inf"}} 1' in page
    assert f":tensorflow:serving:request_latency_sum{{{labels}}} 15" in page
    assert f":tensorflow:serving:request_latency_count{{{labels}}} 1" in page


def test_latency_has_the_34_buckets_of_tensorflow_serving():
    metrics = Metrics()
    metrics.request("m", "", "REST", Code.OK, 0.0)
    buckets = [line for line in metrics.render().decode().splitlines() if "request_latency_bucket" in line]
    assert len(buckets) == 34
    assert 'le="32.4"' in buckets[2]


def test_buckets_are_cumulative_and_a_bound_belongs_to_its_bucket():
    histogram = Histogram("h", bounds=(1.0, 2.0))
    for value in (1.0, 1.5, 2.0, 9.0):
        histogram.observe(value=value)
    assert list(histogram.lines()) == [
        'h_bucket{le="1"} 1',
        'h_bucket{le="2"} 3',
        'h_bucket{le="+Inf"} 4',
        "h_sum{} 13.5",
        "h_count{} 4",
    ]


def test_label_values_are_escaped():
    counter = Counter("c", "path")
    counter.add('a"b\\c\nd')
    assert list(counter.lines()) == ['c{path="a\\"b\\\\c\\nd"} 1']


def test_gauges_are_read_when_the_page_is_made():
    metrics, now = Metrics(), {("m",): 1.0}
    metrics.watch("earthloop_serving_queue_items", "model_name", read=lambda: now)
    now[("m",)] = 7
    assert 'earthloop_serving_queue_items{model_name="m"} 7' in metrics.render().decode()


def test_the_process_tells_its_memory_and_time():
    page = Metrics().render().decode()
    assert "# TYPE process_cpu_seconds_total counter" in page
    assert "process_resident_memory_bytes{} " in page
