"""Tables and verdicts from the figures of `benchmarks/serving.py`."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

Round = Mapping[str, Mapping[str, Any]]
PEERS = ("litserve", "bentoml")  # plain asyncio is shown, and is nobody's product
FLAT_MIB = 1.0  # growth over 10⁵ requests that is still called flat
SETTLED = 0.2  # this share of the requests comes before memory has settled
FEWEST_SAMPLES = 3  # a line through two points has no error
_REST, _GRPC, _RAW = "earthloop REST", "earthloop gRPC", "raw batch"
_ONE = ", one picture"  # gRPC asks for one alone, and is compared with REST that does


def machine() -> dict[str, Any]:
    """Returns what of this machine the figures depend on."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    versions = {package: metadata.version(package) for package in ("tensorflow", "grpcio", "numpy")}
    return {"cpu": name, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def median(rounds: Sequence[Round], way: str, figure: str) -> float | None:
    """Returns the median of a figure over the rounds that have it; None if none has."""
    values = [found[way][figure] for found in rounds if figure in found.get(way, ())]
    return statistics.median(values) if values else None


def ratio(rounds: Sequence[Round], above: str, *below: str) -> float | None:
    """Returns the median, over the rounds, of one rate divided by the best of others of the same round."""
    values = [
        found[above]["rate"] / max(found[way]["rate"] for way in below if way in found)
        for found in rounds
        if above in found and any(way in found for way in below)
    ]
    return statistics.median(values) if values else None


def spread(rounds: Sequence[Round], way: str) -> float | None:
    """Returns the median, over the rounds, of p99 divided by p50; None if none has them."""
    values = [found[way]["p99_ms"] / found[way]["p50_ms"] for found in rounds if way in found]
    return statistics.median(values) if values else None


def growth_mib(samples: Sequence[tuple[int, float]]) -> float | None:
    """Returns how much memory grows per 10⁵ requests, by least squares over what comes after it has settled.

    Args:
        samples: requests so far and MiB, in order. Fewer than `FEWEST_SAMPLES` after the start give None.
    """
    settled = [(count, mib) for count, mib in samples if count > SETTLED * samples[-1][0]]
    if len(settled) < FEWEST_SAMPLES:
        return None
    slope, _ = statistics.linear_regression(*zip(*settled, strict=True))
    return slope * 1e5


def verdicts(
    rounds: Sequence[Round], memory: Mapping[str, Sequence[tuple[int, float]]]
) -> list[tuple[str, float | None, str, bool]]:
    """Returns each target as its name, what was seen, the limit in words, and whether it is met."""
    ours = [seen for found in rounds for way, seen in found.items() if way.startswith("earthloop")]
    found: list[tuple[str, float | None, Callable[[float], bool], str]] = [
        ("REST, 32 clients, to raw at batch 32", ratio(rounds, f"{_REST} 32", f"{_RAW} 32"), _at_least(0.75), "≥ 0.75"),
        (
            "REST, 32 clients, to the best of LitServe and BentoML",
            ratio(rounds, f"{_REST} 32", *(f"{peer} REST 32" for peer in PEERS)),
            _at_least(2),
            "≥ 2",
        ),
        ("REST, one client, to raw at batch 1", ratio(rounds, f"{_REST} 1", f"{_RAW} 1"), _at_least(0.7), "≥ 0.7"),
        ("REST, 32 clients, p99 to p50", spread(rounds, f"{_REST} 32"), _at_most(2.5), "≤ 2.5"),
        ("gRPC, 32 clients, p99 to p50", spread(rounds, f"{_GRPC} 32"), _at_most(2.5), "≤ 2.5"),
        ("errors", float(sum(seen["errors"] for seen in ours)) if ours else None, _at_most(0), "0"),
        ("gRPC to REST, 32 clients", ratio(rounds, f"{_GRPC} 32", f"{_REST} 32{_ONE}"), _at_least(1), "≥ 1"),
        ("gRPC to REST, one client", ratio(rounds, f"{_GRPC} 1", f"{_REST} 1{_ONE}"), _at_least(1), "≥ 1"),
    ]  # fmt: skip
    for way, samples in memory.items():
        name = f"growth of memory, {way}, MiB per 100,000 requests"
        found.append((name, growth_mib(samples), _at_most(FLAT_MIB), f"≤ {FLAT_MIB:g}"))
    return [(name, seen, limit, seen is not None and meets(seen)) for name, seen, meets, limit in found]


def _at_least(limit: float) -> Callable[[float], bool]:
    return lambda seen: seen >= limit


def _at_most(limit: float) -> Callable[[float], bool]:
    return lambda seen: seen <= limit


def report(results: Mapping[str, Any]) -> str:
    """Returns the figures as Markdown: the machine, medians of every way, memory, each target as met or missed."""
    rounds, memory, asked = results.get("rounds", []), results.get("memory", {}), results["pictures"]
    about = results["machine"]
    versions = ", ".join(f"{name} {about[name]}" for name in ("python", "tensorflow", "grpcio", "numpy"))
    lines = [
        f"{about['cpu']}, {about['cores']} cores; {versions}.",
        f"Medians of {len(rounds)} rounds of {results['seconds']:g} s. REST asks for {asked['count']} pictures in turn "
        f"(mean {asked['mean_bytes']:,.0f} bytes);",
        f"gRPC, and REST where it says so, for the one of middle size ({asked['one_bytes']:,} bytes).",
        *("", *_table(rounds)),
    ]
    if memory:
        lines += ["", "Resident memory, MiB after so many requests:", ""]
    for way, samples in memory.items():
        lines.append(f"- {way}: " + ", ".join(f"{mib:,.1f} after {count:,}" for count, mib in samples))
    lines += ["", "| target | seen | limit | |", "|---|--:|--:|---|"]
    for name, seen, limit, is_met in verdicts(rounds, memory):
        verdict = "not measured" if seen is None else "met" if is_met else "**missed**"
        lines.append(f"| {name} | {_cell(seen, '{:.2f}')} | {limit} | {verdict} |")
    return "\n".join(lines) + "\n"


def _table(rounds: Sequence[Round]) -> list[str]:
    lines = [
        "| | requests/s | p50 ms | p99 ms | errors | CPU ms per request | load generator's | peak MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for way in dict.fromkeys(way for found in rounds for way in found):
        errors = sum(found[way]["errors"] for found in rounds if way in found)
        cells = [
            _cell(median(rounds, way, "rate"), "{:,.0f}"),
            _cell(median(rounds, way, "p50_ms"), "{:.2f}"),
            _cell(median(rounds, way, "p99_ms"), "{:.2f}"),
            str(errors),
            _cell(median(rounds, way, "cpu_s_each"), "{:.2f}", 1e3),
            _cell(median(rounds, way, "load_cpu_s_each"), "{:.3f}", 1e3),
            _cell(median(rounds, way, "peak_memory_mib"), "{:,.0f}"),
        ]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def _cell(value: float | None, form: str, factor: float = 1.0) -> str:
    return "" if value is None else form.format(value * factor)
