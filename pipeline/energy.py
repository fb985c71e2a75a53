"""Energy of a stage: from the processor's own counter where it can be read, else an estimate that says so."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

_COUNTERS = Path("/sys/class/powercap")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Energy:
    """Joules and where the figure comes from."""

    energy_j: float
    energy_source: Literal["counter", "estimate"]


def estimate(cpu_s: float, watts_per_core: float) -> Energy:
    """Estimates energy as processor seconds times the watts of one busy core."""
    return Energy(energy_j=round(cpu_s * watts_per_core, 3), energy_source="estimate")


def package_joules(root: Path = _COUNTERS) -> float | None:
    """Reads the sum of the processor packages' counters in joules, or None where there is none to read.

    The counters (Linux `intel-rapl`) cover the whole machine, so they can only be shared out over the
    stages that ran; `share` does that by processor time.
    """
    total_uj = 0
    found = False
    for counter in sorted(root.glob("intel-rapl:[0-9]*/energy_uj")):
        if counter.parent.name.count(":") > 1:  # a part of a package, already in its sum
            continue
        try:
            total_uj += int(counter.read_text())
        except (OSError, ValueError):
            return None
        found = True
    return total_uj / 1e6 if found else None


def share(joules: float, cpu_s: float, all_cpu_s: float) -> Energy:
    """Gives a stage its part of measured joules, by its part of all processor seconds in that time."""
    part = cpu_s / all_cpu_s if all_cpu_s > 0 else 0.0
    return Energy(energy_j=round(joules * part, 3), energy_source="counter")
