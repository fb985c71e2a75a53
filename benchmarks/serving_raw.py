"""How fast TensorFlow alone answers, in one process: prints images per second at some sizes of batches, as JSON.

Usage: `python -m benchmarks.serving_raw VERSION_DIR PICTURES_DIR SECONDS`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.model import Model

BATCHES = (32, 1)


def pictures(folder: Path, count: int) -> list[bytes]:
    """Returns the bytes of so many JPEGs below a folder, evenly spread over its sorted files.

    Raises:
        SystemExit: there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    if not found:
        raise SystemExit(f"there must be JPEGs below {folder}, and there are none; name another folder with --pictures")
    step = max(1, len(found) // count)
    return [path.read_bytes() for path in found[::step][:count]]


def middle(jpegs: Sequence[bytes]) -> bytes:
    """Returns the picture of middle size: the one to ask for again and again where only one can be asked for."""
    return sorted(jpegs, key=len)[len(jpegs) // 2]


def measure(model: Model, jpegs: Sequence[bytes], batch: int, seconds: float) -> dict[str, float]:
    """Answers batches for some seconds; returns images per second and CPU seconds per image."""
    batches = [[jpegs[(start + item) % len(jpegs)] for item in range(batch)] for start in range(0, len(jpegs), batch)]
    for warm in batches[:8]:
        model.arrays(warm)
    done, began, cpu_began = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        model.arrays(batches[done % len(batches)])
        done += 1
    items = done * batch
    return {
        "rate": items / (time.perf_counter() - began),
        "cpu_s_each": (time.process_time() - cpu_began) / items,
    }


def main(version: str, folder: str, seconds: str) -> None:
    """Measures and prints."""
    jpegs = pictures(Path(folder), 256)
    model = Model(version)
    print(json.dumps({str(batch): measure(model, jpegs, batch, float(seconds)) for batch in BATCHES}))


if __name__ == "__main__":
    main(*sys.argv[1:])
