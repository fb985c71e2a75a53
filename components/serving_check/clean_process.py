"""Loads a SavedModel as a server does and answers requests; run as a script with nothing but TensorFlow beside it.

`python -I clean_process.py` imports TensorFlow, then reads the task's JSON from standard input and writes the answers'
JSON. It judges nothing.
"""

from __future__ import annotations

import gc
import importlib.abc
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FOREIGN = (  # what a server does not have: our code, the training stack, Keras, what TensorFlow imports where it can
    "apache_beam",
    "applications",
    "components",
    "evaluation",
    "googleapiclient",
    "h5py",
    "keras",
    "pipeline",
    "schemas",
    "scipy",
    "serving",
    "sklearn",
    "tensorflow_data_validation",
    "tensorflow_model_analysis",
    "tensorflow_transform",
    "tf_keras",
    "tfx",
    "tfx_bsl",
    "trainer",
    "transform",
)

Rows = dict[str, list[Any]]
Ask = Callable[[list[bytes]], dict[str, np.ndarray]]


class Absent(importlib.abc.MetaPathFinder):
    """Makes the packages a server does not have absent here too, and remembers which ones were asked for."""

    def __init__(self) -> None:
        self.asked_for: set[str] = set()

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuses a foreign package; leaves every other one to the usual finders."""
        package = fullname.partition(".")[0]
        if package not in FOREIGN:
            return
        self.asked_for.add(package)
        raise ModuleNotFoundError(f"No module named {fullname!r}: it is absent on purpose", name=fullname)


def main() -> None:
    """Does the task that comes by standard input.

    It has `model` (folder), `answer` (file to write), `threads` (count), `signatures` (name to its input's name)
    and `calls` (name, `batch_size` in items, and `requests`: signature to the file of its inputs, one after the other,
    and their sizes in bytes).
    """
    gc.disable()  # importing and loading make much and leave no rubbish; looking for it takes a fifth of their time
    tf = import_tensorflow()
    absent = Absent()
    sys.meta_path.insert(0, absent)
    task = json.load(sys.stdin)
    tf.config.threading.set_intra_op_parallelism_threads(task["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(task["threads"])
    started = time.perf_counter()
    loaded = tf.saved_model.load(task["model"])
    answer: dict[str, Any] = {
        "load_s": time.perf_counter() - started,
        "signatures": {name: _describe(signature) for name, signature in loaded.signatures.items()},
        "answers": {},
        "errors": {},
        "latency_ms": {},
        "throughput_per_s": {},
    }
    gc.freeze()
    gc.enable()
    for name, argument in task["signatures"].items():
        if name in loaded.signatures:
            _exercise(tf, _caller(tf, loaded.signatures[name], argument), name, task["calls"], answer)
    answer["memory_mib"] = peak_memory_mib()
    answer["foreign_modules"] = sorted(absent.asked_for | set(foreign_modules()))
    answer["versions"] = {"tensorflow": tf.__version__, "python": platform.python_version(), "numpy": np.__version__}
    Path(task["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def import_tensorflow() -> Any:
    """Imports TensorFlow as if nothing foreign were installed; Keras and what it imports would double the time."""
    sys.modules.update(dict.fromkeys(FOREIGN))  # type: ignore[arg-type]  # None is Python's mark of an absent module
    import tensorflow as tf

    for name in FOREIGN:
        del sys.modules[name]
    return tf


def foreign_modules() -> list[str]:
    """Names the loaded packages that a model server does not have."""
    return sorted({name.partition(".")[0] for name in sys.modules} & set(FOREIGN))


def peak_memory_mib() -> float:
    """Returns the highest resident memory of this process so far, in MiB.

    On Linux from `/proc`: `getrusage` would count the parent's memory from before this program was started.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _describe(signature: Any) -> dict[str, dict[str, list[Any]]]:
    """Lists a signature's inputs and outputs: name to [dtype, shape], with None for a free dimension."""
    inputs = {name: _spec(spec) for name, spec in signature.structured_input_signature[1].items()}
    return {"inputs": inputs, "outputs": {name: _spec(spec) for name, spec in signature.structured_outputs.items()}}


def _spec(spec: Any) -> list[Any]:
    return [spec.dtype.name, None if spec.shape.rank is None else spec.shape.as_list()]


def _caller(tf: Any, signature: Any, argument: str) -> Ask:
    """Makes a function from a list of inputs to arrays by output name."""

    def call(batch: list[bytes]) -> dict[str, np.ndarray]:
        """Answers one batch."""
        return {name: tensor.numpy() for name, tensor in signature(**{argument: tf.constant(batch, tf.string)}).items()}

    return call


def _exercise(tf: Any, call: Ask, name: str, calls: list[dict[str, Any]], answer: dict[str, Any]) -> None:
    """Makes all calls to one signature and takes their times; an error is an answer too."""
    seconds: dict[int, list[float]] = {}
    for each in calls:
        try:
            rows = _rows(call, _requests(**each["requests"][name]), each["batch_size"], seconds)
            answer["answers"].setdefault(each["name"], {})[name] = rows
        except (tf.errors.OpError, TypeError, ValueError) as error:
            answer["errors"].setdefault(each["name"], {})[name] = str(error)[:500]
    if 1 in seconds:
        answer["latency_ms"][name], answer["throughput_per_s"][name] = measured(seconds)


def _requests(path: str, sizes: Sequence[int]) -> list[bytes]:
    with Path(path).open("rb") as file:
        return [file.read(size) for size in sizes]


def _rows(call: Ask, requests: list[bytes], batch_size: int, seconds: dict[int, list[float]]) -> Rows:
    """Answers all requests in batches, output name to one entry per request; adds each batch's time by its size."""
    rows: Rows = {}
    for start in range(0, len(requests), batch_size):
        batch = requests[start : start + batch_size]
        started = time.perf_counter()
        found = call(batch)
        seconds.setdefault(len(batch), []).append(time.perf_counter() - started)
        for output, array in found.items():
            rows.setdefault(output, []).extend(_plain(array.tolist()))
    return rows


def _plain(value: Any) -> Any:
    """Turns bytes in nested lists into text."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def measured(seconds: Mapping[int, list[float]]) -> tuple[dict[str, float], float]:
    """Sums up the times of one signature's calls.

    Args:
        seconds: of each call, by the number of items in it, in the order in which they were made; the first of every
            size is a warm-up, and left out where there are others.

    Returns:
        Latency of one item in milliseconds (p50, p99), and throughput in items a second in the largest batches.
    """
    singles = seconds[1][1:] or seconds[1]
    largest = max(seconds)
    batches = seconds[largest][1:] or seconds[largest]
    latency = {"p50": float(np.percentile(singles, 50)) * 1000, "p99": float(np.percentile(singles, 99)) * 1000}
    return latency, largest / float(np.median(batches))


if __name__ == "__main__":
    main()
