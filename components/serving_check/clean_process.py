"""Loads a SavedModel as a server does and answers requests; run as a script with nothing but TensorFlow beside it.

`python -I clean_process.py TASK` reads the task's JSON and writes the answers' JSON. It judges nothing.
"""

from __future__ import annotations

import importlib.abc
import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FOREIGN = (  # what a server does not have: our code, the training stack, Keras
    "apache_beam",
    "applications",
    "components",
    "evaluation",
    "keras",
    "pipeline",
    "schemas",
    "serving",
    "tensorflow_data_validation",
    "tensorflow_model_analysis",
    "tensorflow_transform",
    "tf_keras",
    "tfx",
    "tfx_bsl",
    "trainer",
    "transform",
)
LATENCY_CALLS = 100  # of one item, after a warm-up
THROUGHPUT_CALLS = 8  # of one batch of 32
MEASURE_S = 20.0  # seconds after which a measurement ends with the calls it has

Rows = dict[str, list[Any]]


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


def main(task_path: str) -> None:
    """Does what the task says.

    Args:
        task_path: JSON with `model` (folder), `answer` (file to write), `threads` (count),
            `signatures` (name to its input's name) and `calls` (name, `batch_size` in items, and `records`:
            signature to a TFRecord file of its inputs). The first call's items are also used for timing.
    """
    import tensorflow as tf

    own = set(foreign_modules())  # TensorFlow's Python package cannot be imported without Keras
    absent = Absent()
    sys.meta_path.insert(0, absent)
    task = json.loads(Path(task_path).read_text(encoding="utf-8"))
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
    for name, argument in task["signatures"].items():
        if name in loaded.signatures:
            _exercise(tf, _caller(tf, loaded.signatures[name], argument), name, task["calls"], answer)
    answer["memory_mib"] = peak_memory_mib()
    answer["foreign_modules"] = sorted(absent.asked_for | set(foreign_modules()) - own)
    answer["versions"] = {"tensorflow": tf.__version__, "python": platform.python_version(), "numpy": np.__version__}
    Path(task["answer"]).write_text(json.dumps(answer), encoding="utf-8")


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


def _caller(tf: Any, signature: Any, argument: str) -> Callable[[list[bytes]], dict[str, np.ndarray]]:
    """Makes a function from a list of inputs to arrays by output name."""

    def call(batch: list[bytes]) -> dict[str, np.ndarray]:
        """Answers one batch."""
        return {name: tensor.numpy() for name, tensor in signature(**{argument: tf.constant(batch, tf.string)}).items()}

    return call


def _exercise(
    tf: Any,
    call: Callable[[list[bytes]], dict[str, np.ndarray]],
    name: str,
    calls: list[dict[str, Any]],
    answer: dict[str, Any],
) -> None:
    """Makes all calls to one signature, then times it; an error is an answer too."""
    for each in calls:
        records = [record.numpy() for record in tf.data.TFRecordDataset(each["records"][name])]
        try:
            answer["answers"].setdefault(each["name"], {})[name] = _rows(call, records, each["batch_size"])
        except (tf.errors.OpError, TypeError, ValueError) as error:
            answer["errors"].setdefault(each["name"], {})[name] = str(error)[:500]
    if name in answer["answers"].get(calls[0]["name"], {}):
        records = [record.numpy() for record in tf.data.TFRecordDataset(calls[0]["records"][name])]
        answer["latency_ms"][name], answer["throughput_per_s"][name] = _measure(call, records)


def _rows(call: Callable[[list[bytes]], dict[str, np.ndarray]], records: list[bytes], batch_size: int) -> Rows:
    """Answers all records in batches; output name to one entry per record."""
    rows: Rows = {}
    for start in range(0, len(records), batch_size):
        for output, array in call(records[start : start + batch_size]).items():
            rows.setdefault(output, []).extend(_plain(array.tolist()))
    return rows


def _plain(value: Any) -> Any:
    """Turns bytes in nested lists into text."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _measure(
    call: Callable[[list[bytes]], dict[str, np.ndarray]], records: list[bytes]
) -> tuple[dict[str, float], float]:
    """Returns latency in milliseconds of one item (p50, p99) and throughput in items a second at 32 a batch."""
    singles = _time(call, [[record] for record in records], LATENCY_CALLS)
    batch = [records[place % len(records)] for place in range(32)]
    batches = _time(call, [batch], THROUGHPUT_CALLS)
    latency = {"p50": float(np.percentile(singles, 50)) * 1000, "p99": float(np.percentile(singles, 99)) * 1000}
    return latency, 32 / float(np.median(batches))


def _time(call: Callable[[list[bytes]], dict[str, np.ndarray]], batches: list[list[bytes]], calls: int) -> list[float]:
    """Returns seconds per call; the first two are a warm-up and do not count."""
    seconds: list[float] = []
    ends = time.perf_counter() + MEASURE_S
    for place in range(calls + 2):
        started = time.perf_counter()
        call(batches[place % len(batches)])
        seconds.append(time.perf_counter() - started)
        if time.perf_counter() > ends and len(seconds) > 2:  # noqa: PLR2004 - the warm-up
            break
    return seconds[2:]


if __name__ == "__main__":
    main(sys.argv[1])
