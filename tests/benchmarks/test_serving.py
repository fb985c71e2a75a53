"""How the benchmark of the servers reads its load generators and judges what it has seen; nothing is measured here."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest

from benchmarks import serving, serving_load, serving_load_grpc, serving_raw, serving_report, serving_servers
from serving.model_server import config_files

PICTURES = {"count": 256, "mean_bytes": 3000.4, "one_bytes": 2900}
MACHINE = {"cpu": "x", "cores": 2, "python": "3.11", "tensorflow": "2", "grpcio": "1", "numpy": "2"}


class Resident:
    """A server whose memory grows by 1 MiB whenever one looks."""

    rest_port, grpc_port = 1, 2

    def __init__(self):
        self.mib = 499.0

    def resident_mib(self):
        self.mib += 1
        return self.mib


def a_session(folder):
    jpegs = [b"333", b"1", b"22"]
    return serving.Session(version=folder / "m" / "1", folder=folder, work=folder, seconds=1.0, jpegs=jpegs)


def a_load(requests, rate, errors=0):
    return serving_load.Load(requests=requests, rate=rate, p50_ms=1.0, p99_ms=2.0, errors=errors, load_cpu_s=0.1)


def seen(rate, p50_ms=10.0, p99_ms=20.0, errors=0):
    return {
        "rate": rate,
        "p50_ms": p50_ms,
        "p99_ms": p99_ms,
        "errors": errors,
        "cpu_s_each": 0.001,
        "load_cpu_s_each": 0.0001,
    }


def a_round(ours=800.0, raw=1000.0, errors=0):
    return {
        "raw batch 32": {"rate": raw, "errors": 0},
        "raw batch 1": {"rate": 400.0, "errors": 0},
        "earthloop REST 32": seen(ours, errors=errors),
        "earthloop REST 1": seen(300.0),
        "earthloop REST 32, one picture": seen(750.0),
        "earthloop REST 1, one picture": seen(300.0),
        "earthloop gRPC 32": seen(900.0, p99_ms=26.0),
        "earthloop gRPC 1": seen(299.0),
        "earthloop gRPC 32, by ghz": seen(400.0),
        "litserve REST 32": seen(100.0),
        "bentoml REST 32": seen(380.0),
        "asyncio REST 32": seen(5_000.0),
    }


def judged(rounds, memory=None):
    return {name: (value, is_met) for name, value, _, is_met in serving_report.verdicts(rounds, memory or {})}


def test_figures_of_wrk_are_read_with_their_units():
    line = 'FIGURES {"requests": 500, "us": 2000000, "p50": 1500.0, "p99": 30000.0, "errors": 3}'
    load = serving_load.read_wrk(f"Running 2s test\n{line}\n", 0.25)
    assert load == serving_load.Load(requests=500, rate=250.0, p50_ms=1.5, p99_ms=30.0, errors=3, load_cpu_s=0.25)


def test_wrk_without_figures_is_told_with_what_it_said():
    with pytest.raises(SystemExit, match="unable to connect"):
        serving_load.read_wrk("unable to connect to 127.0.0.1:1 Connection refused", 0.0)


def test_a_load_generator_that_is_missing_is_named_with_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemExit, match="needs wrk, which is not on the PATH; install it"):
        serving_load.program("wrk")


def test_wrk_sends_each_body_to_the_path(tmp_path):
    script = serving_load.wrk_script(tmp_path, "ours", "/v1/models/m:predict", [b'{"a": 1}', b'{"a": 2}'])
    assert (tmp_path / "ours.bodies").read_bytes() == b'{"a": 1}\n{"a": 2}\n'
    assert 'wrk.format("POST", "/v1/models/m:predict"' in script.read_text()
    assert str(tmp_path / "ours.bodies") in script.read_text()


def test_our_server_is_started_for_the_model_above_the_version(tmp_path):
    [system] = serving_servers.systems(tmp_path / "landcover" / "7", None, ["--enable_batching"])
    command = system.command(1, 2)
    assert {"--rest_api_port=1", "--port=2", "--model_name=landcover", "--enable_batching"} <= set(command)
    assert f"--model_base_path={tmp_path / 'landcover'}" in command
    assert system.path == "/v1/models/landcover:predict"
    [row] = json.loads(system.body(b"jpeg"))["instances"]
    assert base64.b64decode(row["image"]["b64"]) == b"jpeg"


def test_peers_get_the_same_picture_each_in_its_own_form(tmp_path):
    found = {system.name: system for system in serving_servers.systems(tmp_path / "m" / "1", tmp_path / "python")}
    assert list(found) == ["earthloop", "litserve", "bentoml", "asyncio"]
    text = base64.b64encode(b"jpeg").decode()
    assert json.loads(found["litserve"].body(b"jpeg")) == {"image": text} == json.loads(found["asyncio"].body(b"jpeg"))
    assert json.loads(found["bentoml"].body(b"jpeg")) == {"images": [text]}
    assert found["bentoml"].command(5, 6)[-1] == "5"


def test_pictures_are_spread_over_the_sorted_files(tmp_path):
    for number in range(10):
        (tmp_path / "class" / f"{number}.jpg").parent.mkdir(exist_ok=True)
        (tmp_path / "class" / f"{number}.jpg").write_bytes(bytes([number]))
    assert serving_raw.pictures(tmp_path, 5) == [b"\0", b"\2", b"\4", b"\6", b"\x08"]
    with pytest.raises(SystemExit, match="there must be JPEGs below"):
        serving_raw.pictures(tmp_path / "class" / "none", 5)


def test_a_ratio_is_taken_within_rounds_and_to_the_best_of_the_others():
    rounds = [a_round(ours=800, raw=1000), a_round(ours=400, raw=500), a_round(ours=100, raw=1000)]
    assert serving_report.ratio(rounds, "earthloop REST 32", "raw batch 32") == 0.8
    peers = ("litserve REST 32", "bentoml REST 32")
    assert serving_report.ratio([a_round()], "earthloop REST 32", *peers) == pytest.approx(800 / 380)
    assert serving_report.ratio([a_round()], "earthloop REST 32", "absent") is None


def test_targets_are_met_or_missed_as_they_were_seen():
    found = judged([a_round()])
    assert found["REST, 32 clients, to raw at batch 32"] == (0.8, True)
    assert found["REST, 32 clients, to the best of LitServe and BentoML"] == (pytest.approx(2.105, abs=1e-3), True)
    assert found["REST, one client, to raw at batch 1"] == (0.75, True)
    assert found["REST, 32 clients, p99 to p50"] == (2.0, True)
    assert found["errors"] == (0.0, True)
    assert found["gRPC, 32 clients, p99 to p50"] == (2.6, False)
    assert found["gRPC to REST, 32 clients"] == (900 / 750, True)
    assert found["gRPC to REST, one client"] == (pytest.approx(299 / 300), False)
    assert not any("memory" in name for name in found)


def test_one_error_of_ours_misses_the_target_and_those_of_peers_do_not():
    assert judged([a_round(errors=1)])["errors"] == (1.0, False)
    one = a_round()
    one["litserve REST 32"]["errors"] = 5
    assert judged([one])["errors"] == (0.0, True)


def test_growth_is_what_memory_gains_after_it_has_settled():
    settled = [(100_000 * step, 500.0 if step > 2 else 100.0 * step) for step in range(1, 11)]
    assert serving_report.growth_mib(settled) == pytest.approx(0.0, abs=1e-9)
    leaking = [(100_000 * step, 300.0 + 5 * step) for step in range(1, 11)]
    assert serving_report.growth_mib(leaking) == pytest.approx(5.0)
    assert serving_report.growth_mib([(1, 1.0), (2, 2.0)]) is None


def test_memory_is_judged_for_each_transport():
    flat = [(100_000 * step, 500.0) for step in range(11)]
    found = judged([], {"REST 32": flat, "gRPC 32": [(count, 500 + count / 50_000) for count, _ in flat]})
    assert found["growth of memory, REST 32, MiB per 100,000 requests"] == (0.0, True)
    assert found["growth of memory, gRPC 32, MiB per 100,000 requests"] == (pytest.approx(2.0), False)


def test_the_report_shows_medians_and_every_verdict():
    rounds = [a_round(ours=rate) for rate in (700.0, 800.0, 2_900.0)]
    memory = {"gRPC 32": [(0, 500.04), (100_000, 501.0)]}
    results = {"machine": MACHINE, "seconds": 5, "pictures": PICTURES, "rounds": rounds, "memory": memory}
    text = serving_report.report(results)
    assert "REST asks for 256 pictures in turn (mean 3,000 bytes)" in text
    assert "for the one of middle size (2,900 bytes)" in text
    assert "| earthloop REST 32 | 800 | 10.00 | 20.00 | 0 | 1.00 | 0.100 |  |" in text
    assert "- gRPC 32: 500.0 after 0, 501.0 after 100,000" in text
    assert "| REST, 32 clients, to raw at batch 32 | 0.80 | ≥ 0.75 | met |" in text
    assert "| gRPC to REST, one client | 1.00 | ≥ 1 | **missed** |" in text
    assert "| growth of memory, gRPC 32, MiB per 100,000 requests |  | ≤ 1 | not measured |" in text


def test_memory_is_read_after_warm_up_and_after_each_tenth(monkeypatch, tmp_path):
    session = a_session(tmp_path)
    lengths = []

    def ask(seconds):
        lengths.append(seconds)
        return a_load(int(seconds * 100), 100.0)

    monkeypatch.setattr(serving, "ways", lambda *_: iter([("gRPC 32", ask)]))
    monkeypatch.setattr(serving, "started", lambda *_: contextlib.nullcontext(Resident()))
    assert serving.memory(session, "gRPC 32", 10_000) == [(1_000 * tenth, 500.0 + tenth) for tenth in range(11)]
    assert lengths == [serving.MEMORY_WARM_S, *[10] * 10]


def test_memory_is_not_measured_over_errors(monkeypatch, tmp_path):
    loads = iter([a_load(1_000, 100.0), a_load(1_000, 100.0, errors=7)])
    monkeypatch.setattr(serving, "ways", lambda *_: iter([("REST 32", lambda _: next(loads))]))
    monkeypatch.setattr(serving, "started", lambda *_: contextlib.nullcontext(Resident()))
    with pytest.raises(SystemExit, match="without errors, and 7 of 1000 failed"):
        serving.memory(a_session(tmp_path), "REST 32", 10_000)


def test_grpc_is_asked_for_the_picture_that_rest_is_compared_with(monkeypatch, tmp_path):
    monkeypatch.setattr(serving_load, "installed", lambda name: None)
    session = a_session(tmp_path)
    found = dict(serving.ways(session, session.systems()["earthloop"], Resident()))
    assert list(found) == [
        *("REST 1", "REST 32"),
        *("REST 1, one picture", "gRPC 1", "REST 32, one picture", "gRPC 32"),
    ]
    assert len((tmp_path / "earthloop.bodies").read_bytes().splitlines()) == 3
    [line] = (tmp_path / "earthloop-one.bodies").read_bytes().splitlines()
    assert base64.b64decode(json.loads(line)["instances"][0]["image"]["b64"]) == b"22"
    assert b"22" in (tmp_path / "request.bin").read_bytes()


def test_our_server_shows_the_metrics_that_h2load_is_held_against(tmp_path):
    command = a_session(tmp_path).systems()["earthloop"].command(1, 2)
    config = tmp_path / "monitoring.config"
    assert f"--monitoring_config_file={config}" in command
    assert config_files.read_monitoring(config) == config_files.Monitoring(
        is_enabled=True, path=serving_load_grpc.METRICS
    )
