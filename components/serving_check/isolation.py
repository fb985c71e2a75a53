"""Starts the clean process, waits for it, and reads what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.serving_check import clean_process, requests
from components.serving_check.requests import Item

BATCH_SIZE = 32  # items, except where a call says otherwise
_KEPT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR")  # of the environment


class CleanProcessError(Exception):
    """The clean process did not come to an end by itself, or not well; the text says how."""


def ask(
    model: Path,
    calls: Mapping[str, Sequence[Item]],
    signatures: Mapping[str, str],
    batch_sizes: Mapping[str, int],
    timeout_s: float,
) -> dict[str, Any]:
    """Has a fresh Python with only TensorFlow load a model and answer requests.

    Args:
        model: folder of the SavedModel.
        calls: name of a call to its items; the first is also timed.
        signatures: signature to its input, `examples` or `image`.
        batch_sizes: items per batch of a call; 32 where it is not named.
        timeout_s: seconds after which the process is killed.

    Returns:
        What `clean_process.main` writes, and `threads`.

    Raises:
        CleanProcessError: it took too long, or ended with an error.
    """
    with tempfile.TemporaryDirectory(prefix="serving-check-") as folder:
        answer = Path(folder) / "answer.json"
        task = {
            "model": str(model.resolve()),
            "answer": str(answer),
            "threads": fair_threads(),
            "signatures": dict(signatures),
            "calls": _write_calls(Path(folder), calls, signatures, batch_sizes),
        }
        task_path = Path(folder) / "task.json"
        task_path.write_text(json.dumps(task), encoding="utf-8")
        run_script(Path(clean_process.__file__), task_path, timeout_s)
        return {**json.loads(answer.read_text(encoding="utf-8")), "threads": task["threads"]}


def run_script(script: Path, task: Path, timeout_s: float) -> None:
    """Runs a script in an isolated interpreter (`-I`): no environment, no user site, no folder of ours on its path."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(script), str(task)],
            env=environment,
            cwd=task.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CleanProcessError(
            f"must load and answer within serving_check.timeout_s={timeout_s:g} (seconds), but was still running and "
            "was stopped. Raise serving_check.timeout_s if the model is large or the machine is busy"
        ) from error
    if done.returncode < 0:
        raise CleanProcessError(
            f"was killed by signal {-done.returncode}; signal 9 mostly means that memory ran out. "
            "Give the machine more memory or make the model smaller"
        )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise CleanProcessError(f"ended with exit code {done.returncode}: {lines[-1][:500] if lines else 'no message'}")


def fair_threads() -> int:
    """Returns half of the cores this process may use, at least one: another stage may run at the same time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)


def _write_calls(
    folder: Path, calls: Mapping[str, Sequence[Item]], signatures: Mapping[str, str], batch_sizes: Mapping[str, int]
) -> list[dict[str, Any]]:
    written = []
    for number, (name, items) in enumerate(calls.items()):
        records = {}
        for signature, argument in signatures.items():
            path = folder / f"{number}-{signature}.tfrecord"
            requests.write(path, (item.image if argument == "image" else item.example for item in items))
            records[signature] = str(path)
        written.append({"name": name, "batch_size": batch_sizes.get(name, BATCH_SIZE), "records": records})
    return written
