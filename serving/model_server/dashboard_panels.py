"""The graphs of the dashboard that `serving.model_server.dashboards` makes: titles, units and PromQL."""

from __future__ import annotations

import dataclasses

_JOB = 'job=~"$job"'
_MODEL = f'{_JOB}, model_name=~"$model"'
_ASKED = 'API=~"(?i:predict|classify|regress)"'  # probes ask for status and metadata and would flatter
_FAILED = f'{_MODEL}, status!="OK"'
_SERVING = ":tensorflow:serving"
_COUNT = f"{_SERVING}:request_count"
_LATENCY = f"{_SERVING}:request_latency"
_SESSION = f"{_SERVING}:batching_session"
_LOADS = ":tensorflow:cc:saved_model:load_attempt_count"
_LOG = f"{_SERVING}:request_log_count"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One graph: PromQL with the legend of its lines, and Grafana's name of the unit."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    note: str = ""


def _rate(metric: str, labels: str) -> str:
    return f"rate({metric}{{{labels}}}[$__rate_interval])"


def _quantile(share: float, metric: str, labels: str, *, by: str = "") -> str:
    return f"histogram_quantile({share}, sum by ({by}le) ({_rate(f'{metric}_bucket', labels)}))"


def _mean(metric: str, labels: str, *, by: str) -> str:
    return f"sum by ({by}) ({_rate(f'{metric}_sum', labels)}) / sum by ({by}) ({_rate(f'{metric}_count', labels)})"


_QUANTILES = tuple(
    (_quantile(share, _LATENCY, f"{_MODEL}, {_ASKED}", by="model_name, "), f"{{{{model_name}}}} p{share * 100:g}")
    for share in (0.5, 0.9, 0.99)
)

REQUESTS = (
    Panel(
        title="Requests by status",
        unit="reqps",
        lines=((f"sum by (model_name, status) ({_rate(_COUNT, _MODEL)})", "{{model_name}} {{status}}"),),
        note="Over REST, questions for status and metadata count too: probes are among them.",
    ),
    Panel(
        title="Share that did not end well",
        unit="percentunit",
        lines=(
            (
                f"sum by (model_name) ({_rate(_COUNT, _FAILED)}) / sum by (model_name) ({_rate(_COUNT, _MODEL)})",
                "{{model_name}}",
            ),
        ),
    ),
    Panel(title="Time to answer", unit="µs", lines=_QUANTILES, note="Of requests that ended well."),
    Panel(
        title="Time to answer by interface, 99th percentile",
        unit="µs",
        lines=((_quantile(0.99, _LATENCY, f"{_MODEL}, {_ASKED}", by="entrypoint, API, "), "{{entrypoint}} {{API}}"),),
    ),
    Panel(
        title="Mean time in TensorFlow",
        unit="µs",
        lines=((_mean(f"{_SERVING}:runtime_latency", _MODEL, by="model_name, API"), "{{model_name}} {{API}}"),),
    ),
    Panel(
        title="tf.Examples",
        unit="ops",
        lines=((f"sum by (model) ({_rate(f'{_SERVING}:request_example_count_total', _JOB)})", "{{model}}"),),
        note="Of the calls Classify and Regress.",
    ),
)

BATCHES = (
    Panel(
        title="Wait for a batch",
        unit="µs",
        lines=tuple(
            (_quantile(share, f"{_SESSION}:queuing_latency", _JOB), f"p{share * 100:g}") for share in (0.5, 0.99)
        ),
    ),
    Panel(
        title="Mean items in a batch",
        unit="short",
        lines=((_mean(f"{_SESSION}:processed_batch_size", _JOB, by="job"), "items"),),
    ),
    Panel(
        title="Batches",
        unit="ops",
        lines=((f"sum by (instance) ({_rate(f'{_SESSION}:wrapped_run_count', _JOB)})", "{{instance}}"),),
    ),
    Panel(
        title="Queue (embedded server)",
        unit="percentunit",
        lines=(
            (
                f"earthloop_serving_queue_items{{{_MODEL}}} / earthloop_serving_queue_capacity_items{{{_MODEL}}}",
                "{{instance}} {{model_name}}",
            ),
        ),
    ),
    Panel(
        title="Turned away by a full queue (embedded server)",
        unit="reqps",
        lines=((f"sum by (model_name) ({_rate('earthloop_serving_queue_full_total', _MODEL)})", "{{model_name}}"),),
    ),
)

MODELS = (
    Panel(
        title="Versions loaded, by number of replicas",
        unit="short",
        lines=((f'count by (model_path) ({_LOADS}{{{_JOB}, status="success"}})', "{{model_path}}"),),
        note="Since the start of each replica; one that was unloaded since counts too.",
    ),
    Panel(
        title="Attempts to load that failed",
        unit="short",
        lines=((f'sum by (instance, model_path) ({_LOADS}{{{_JOB}, status="fail"}})', "{{instance}} {{model_path}}"),),
    ),
    Panel(
        title="Time the newest load took",
        unit="µs",
        lines=((f"max by (model_path) (:tensorflow:cc:saved_model:load_latency{{{_JOB}}})", "{{model_path}}"),),
    ),
    Panel(
        title="Newest version (embedded server)",
        unit="none",
        lines=((f"earthloop_serving_model_version{{{_MODEL}}}", "{{instance}} {{model_name}}"),),
    ),
    Panel(
        title="Ready (embedded server)",
        unit="bool_yes_no",
        lines=((f"earthloop_serving_model_ready{{{_MODEL}}}", "{{instance}} {{model_name}}"),),
    ),
    Panel(
        title="Request log",
        unit="ops",
        lines=(
            (f"sum by (model_name, status_code) ({_rate(_LOG, _MODEL)})", "{{model_name}} {{status_code}}"),
            (
                f"sum by (model_name) ({_rate('earthloop_serving_request_log_dropped_total', _MODEL)})",
                "{{model_name}} lost",
            ),
        ),
    ),
    Panel(
        title="Memory (embedded server)",
        unit="bytes",
        lines=((f"process_resident_memory_bytes{{{_JOB}}}", "{{instance}}"),),
    ),
    Panel(
        title="Cores (embedded server)",
        unit="short",
        lines=((_rate("process_cpu_seconds_total", _JOB), "{{instance}}"),),
    ),
    Panel(title="Answers Prometheus", unit="bool_yes_no", lines=((f"up{{{_JOB}}}", "{{instance}}"),)),
)

SECTIONS = {"Requests": REQUESTS, "Batches": BATCHES, "Models and servers": MODELS}
