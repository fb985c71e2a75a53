"""Stands in for the local runner: same events, same record, no TFX. The scenario comes by an environment variable."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
import time
from typing import Any

from pipeline import outcome
from pipeline.run_record import RunRecord

STAGES = ("ingest", "train", "bless", "push")


def emit(record: RunRecord, **event: Any) -> None:
    record.take(event)
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def run_stage(record: RunRecord, name: str) -> None:
    emit(record, event="stage", stage=name, state="running")
    outputs = {}
    if name == "bless":
        folder = record.folder.artifacts / "bless/verdict/3"
        folder.mkdir(parents=True, exist_ok=True)
        verdict = os.environ.get("FAKE_VERDICT", "blessed")
        (folder / "verdict.json").write_text(
            json.dumps({"verdict": verdict, "sentence": "accuracy 0.91 reaches 0.85."})
        )
        (folder / "metrics.json").write_text('{"metrics": {"accuracy": {"value": 0.91, "low": 0.9, "high": 0.92}}}')
        outputs = {"verdict": [str(folder)]}
    if name == "push":
        version = record.model_folder().path / "7"
        version.mkdir(parents=True, exist_ok=True)
        (version / "saved_model.pb").write_bytes(b"model")
        folder = record.folder.artifacts / "push/pushed_model/4"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pushed.json").write_text(json.dumps({"path": str(version), "version": 7}))
        outputs = {"pushed_model": [str(folder)]}
    if name == "train":
        emit(record, event="progress", stage="train", kind="epoch", done=1, total=2, val_accuracy=0.5, left_s=65)
    emit(record, event="stage", stage=name, state="done", wall_s=1.5, peak_memory_mib=100, outputs=outputs)


def main() -> int:
    scenario = os.environ.get("FAKE_SCENARIO", "complete")
    request = json.loads(pathlib.Path(sys.argv[1]).read_text())
    record = RunRecord.open(request["out"], request["run_id"])
    emit(record, event="server", state="importing")
    sys.stdout.write("a library says something\n")
    emit(record, event="plan", stages=list(STAGES))
    if scenario == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if scenario == "hangs":
        stop: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: stop.append(number))
        emit(record, event="stage", stage="train", state="running")
        while not stop:
            time.sleep(0.02)
        emit(record, event="stage", stage="train", state="interrupted", wall_s=1.0)
        record.finish("interrupted")
        emit(record, event="end", state="interrupted", error="")
        return 130
    if scenario == "fails":
        emit(record, event="stage", stage="train", state="running")
        emit(record, event="stage", stage="train", state="failed", wall_s=1.0, error="the loss is NaN")
        record.finish("failed", error="train: the loss is NaN")
        emit(record, event="end", state="failed", error="train: the loss is NaN. Lower train.learning_rate.")
        return 1
    for name in STAGES:
        run_stage(record, name)
    record.finish("complete", **outcome.of(record))
    emit(record, event="end", state="complete", error="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
