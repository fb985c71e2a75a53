from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from pipeline import runner_process
from pipeline.runner_process import Outcome, RunnerProcess


@pytest.fixture
def run(tmp_path):
    def call(script, on_event=lambda event: None):
        runner = RunnerProcess(
            log=tmp_path / "runner.log", environment=os.environ, command=(sys.executable, "-u", "-c", script)
        )
        return runner.run(tmp_path / "request.json", on_event)

    return call


def test_events_come_in_order_and_other_lines_go_to_the_log(run, tmp_path):
    seen = []
    outcome = run(
        "import sys\n"
        'print(\'{"event": "plan", "stages": []}\')\n'
        "print('hello'); print('[1]'); print('oops', file=sys.stderr)\n"
        'print(\'{"event": "end", "state": "failed", "error": "why"}\')',
        seen.append,
    )
    assert outcome == Outcome(state="failed", error="why")
    assert seen == [{"event": "plan", "stages": []}]
    assert sorted((tmp_path / "runner.log").read_text().splitlines()) == ["[1]", "hello", "oops"]


def test_a_runner_that_ends_without_saying_so_has_failed(run, tmp_path):
    outcome = run("raise SystemExit(7)")
    assert outcome.state == "failed"
    assert outcome.error == (
        f"the local runner ended with status 7 before the run was over; its log is {tmp_path / 'runner.log'}"
    )


def test_the_request_is_the_last_argument(run):
    outcome = run(
        "import json, sys; print(json.dumps({'event': 'end', 'state': 'complete', 'error': sys.argv[-1][-12:]}))"
    )
    assert outcome == Outcome(state="complete", error="request.json")


def test_a_runner_that_will_not_stop_is_made_to(run, monkeypatch):
    monkeypatch.setattr(runner_process, "GRACE_S", 0.3)
    pids = []

    def on_event(event):
        pids.append(event["pid"])
        threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()

    begin = time.monotonic()
    outcome = run(
        "import json, os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(json.dumps({'event': 'note', 'pid': os.getpid()}))\n"
        "time.sleep(60)",
        on_event,
    )
    assert outcome == Outcome(state="interrupted")
    assert time.monotonic() - begin < 5
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
