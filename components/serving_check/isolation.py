"""Starts the clean process, hands it its task, and reads what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from components.serving_check import clean_process, requests
from components.serving_check.requests import Item

BATCH_SIZE = 32  # items, except where a call says otherwise
SCRIPT = Path(clean_process.__file__)
_KEPT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR")  # of the environment


class CleanProcessError(Exception):
    """The clean process did not come to an end by itself, or not well; the text says how."""


class CleanProcess:
    """A fresh, isolated Python (`-I`): no environment, no user site, no folder of ours on its path.

    It imports TensorFlow from the moment it is made, which takes seconds, so that its task can be put together
    meanwhile. Leaving its context ends it, whether it got a task or not.
    """

    def __init__(self, timeout_s: float, script: Path = SCRIPT) -> None:
        """Starts the process.

        Args:
            timeout_s: seconds it may take once it has its task.
            script: what it runs.
        """
        self._timeout_s = timeout_s
        self._folder = tempfile.TemporaryDirectory(prefix="serving-check-")
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(script)],
            env=environment,
            cwd=self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the process if it still runs, and removes its files."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def ask(
        self,
        model: Path,
        calls: Mapping[str, Sequence[Item]],
        signatures: Mapping[str, str],
        batch_sizes: Mapping[str, int],
    ) -> dict[str, Any]:
        """Has the process load a model and answer requests; once only.

        Args:
            model: folder of the SavedModel.
            calls: name of a call to its items.
            signatures: signature to its input, `examples` or `image`.
            batch_sizes: items per batch of a call; 32 where it is not named.

        Returns:
            What `clean_process.main` writes, and `threads`.

        Raises:
            CleanProcessError: it took too long, or ended with an error.
        """
        folder = Path(self._folder.name)
        answer = folder / "answer.json"
        task = {
            "model": str(model.resolve()),
            "answer": str(answer),
            "threads": fair_threads(),
            "signatures": dict(signatures),
            "calls": _write_calls(folder, calls, signatures, batch_sizes),
        }
        self.hand_over(json.dumps(task))
        return {**json.loads(answer.read_text(encoding="utf-8")), "threads": task["threads"]}

    def hand_over(self, task: str) -> None:
        """Writes the task to the process's standard input and waits for its end."""
        try:
            _, errors = self._process.communicate(task, timeout=self._timeout_s)
        except subprocess.TimeoutExpired as error:
            raise CleanProcessError(
                f"must load and answer within serving_check.timeout_s={self._timeout_s:g} (seconds), but was still "
                "running and was stopped. Raise serving_check.timeout_s if the model is large or the machine is busy"
            ) from error
        code = self._process.returncode
        if code < 0:
            raise CleanProcessError(
                f"was killed by signal {-code}; signal 9 mostly means that memory ran out. "
                "Give the machine more memory or make the model smaller"
            )
        if code:
            lines = [line for line in errors.splitlines() if line.strip()]
            raise CleanProcessError(f"ended with exit code {code}: {lines[-1][:500] if lines else 'no message'}")


def fair_threads() -> int:
    """Returns half of the cores this process may use, at least one: another stage may run at the same time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)


def _write_calls(
    folder: Path, calls: Mapping[str, Sequence[Item]], signatures: Mapping[str, str], batch_sizes: Mapping[str, int]
) -> list[dict[str, Any]]:
    written = []
    for number, (name, items) in enumerate(calls.items()):
        files = {}
        for signature, argument in signatures.items():
            path = folder / f"{number}-{signature}"
            sizes = requests.write(path, (item.image if argument == "image" else item.example for item in items))
            files[signature] = {"path": str(path), "sizes": sizes}
        written.append({"name": name, "batch_size": batch_sizes.get(name, BATCH_SIZE), "requests": files})
    return written
