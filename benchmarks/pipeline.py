"""Our chain against the chain of TFX's tutorials, an unchanged rerun, and growth from 1,000 to 10,000 chips.

All runs happen in one session on one machine, each in a process of its own, so the figures to quote are the
ratios. Usage: `python -m benchmarks.pipeline --data PATH [--epochs N] [--only compare,growth] [--work DIR]`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

APPLICATION = "satellite/landcover"
SPLIT_FOLDERS = {
    "train": "Split-train",
    "eval": "Split-test",
}  # what the tutorials' chain calls them: what we call them
TARGETS = {"chain": 0.45, "rerun": 0.05, "stage time": 10.5, "stage memory": 1.2}
SMALL, LARGE = 1_000, 10_000  # chips


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timed:
    """One command: seconds, and MiB of resident memory at the peak of its largest process."""

    wall_s: float
    peak_memory_mib: float


def run(arguments: list[str], log: Path) -> Timed:
    """Runs a command to its end.

    Raises:
        SystemExit: it failed; its log is named.
    """
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            arguments, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        )
        _, status, account = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(arguments)} failed; see {log}")
    return Timed(wall_s=time.monotonic() - started, peak_memory_mib=account.ru_maxrss / 1024)


def ours(data: Path, out: Path, log: Path, *settings: str) -> Timed:
    """Runs `earthloop run` on some chips."""
    command = [sys.executable, "-m", "pipeline.cli.main", "run", APPLICATION, "--data", str(data), "--out", str(out)]
    for setting in settings:
        command += ["--set", setting]
    return run(command, log)


def newest_record(out: Path) -> dict[str, Any]:
    """Reads the record of the newest run in an output folder."""
    [*_, newest] = sorted((out / "runs").iterdir())
    found: dict[str, Any] = json.loads((newest / "record.json").read_text(encoding="utf-8"))
    return found


def compare(data: Path, work: Path, epochs: int) -> dict[str, Any]:
    """Times our chain, its unchanged rerun, and the tutorials' chain on the same examples and steps."""
    out = work / "ours"
    settings = (
        f"train.epochs={epochs}",
        f"train.patience={epochs}",
        "blessing.at_least=0.0",
        "blessing.worst_class_at_least=0.0",
        "blessing.calibration_error_at_most=1.0",
    )
    first = ours(data, out, work / "ours.log", *settings)
    again = ours(data, out, work / "rerun.log", *settings)
    record = newest_record(out)
    examples = out / record["artifacts"]["ingest"]["examples"][0]
    records = work / "records"
    for theirs, folder in SPLIT_FOLDERS.items():
        shutil.copytree(examples / folder, records / theirs)
    train_items = json.loads((out / record["artifacts"]["split-audit"]["audit"][0] / "audit.json").read_text())[
        "splits"
    ]["train"]["items"]
    batch = record["config"]["train"]["batch_size"]
    steps = epochs * -(-train_items // batch)
    command = [
        sys.executable,
        "-m",
        "benchmarks.vanilla_chain",
        str(records),
        str(work / "vanilla"),
        str(steps),
        str(batch),
    ]
    vanilla = run(command, work / "vanilla.log")
    return {
        "steps": steps,
        "ours_s": first.wall_s,
        "rerun_s": again.wall_s,
        "vanilla_s": vanilla.wall_s,
        "chain": first.wall_s / vanilla.wall_s,
        "rerun": again.wall_s / first.wall_s,
        "ours_stages_s": {stage["name"]: stage["wall_s"] for stage in record["stages"]},
    }


def growth(work: Path) -> dict[str, Any]:
    """Times every stage on 1,000 and on 10,000 synthetic chips, one epoch each."""
    stages = {}
    for items in (SMALL, LARGE):
        data, out = work / f"chips-{items}", work / f"growth-{items}"
        synthesize = [
            sys.executable,
            "-m",
            "pipeline.cli.main",
            "synthesize",
            APPLICATION,
            "--out",
            str(data),
            "--items",
            str(items),
        ]
        run(synthesize, work / f"synthesize-{items}.log")
        settings = (
            "train.epochs=1",
            "local.stages_at_once=1",
            "blessing.at_least=0.0",
            "blessing.worst_class_at_least=0.0",
            "blessing.calibration_error_at_most=1.0",
        )
        ours(data, out, work / f"growth-{items}.log", *settings)
        stages[items] = {stage["name"]: stage for stage in newest_record(out)["stages"]}
    return {
        name: {
            "small_s": small["wall_s"],
            "large_s": stages[LARGE][name]["wall_s"],
            "time": stages[LARGE][name]["wall_s"] / small["wall_s"],
            "small_mib": small["peak_memory_mib"],
            "large_mib": stages[LARGE][name]["peak_memory_mib"],
            "memory": stages[LARGE][name]["peak_memory_mib"] / small["peak_memory_mib"],
        }
        for name, small in stages[SMALL].items()
        if small["wall_s"]
    }


def show_comparison(found: dict[str, Any]) -> None:
    """Prints the comparison against its targets."""
    print(f"same examples, same network, {found['steps']} steps each")
    print(f"  tutorials' chain {found['vanilla_s']:8.1f} s")
    print(
        f"  ours             {found['ours_s']:8.1f} s   ratio {found['chain']:.2f} (target at most {TARGETS['chain']})"
    )
    print(
        f"  unchanged rerun  {found['rerun_s']:8.2f} s   ratio {found['rerun']:.3f} (target at most {TARGETS['rerun']})"
    )
    for stage, seconds in found["ours_stages_s"].items():
        print(f"    {stage:<14}{seconds if seconds is not None else 0:8.1f} s")


def show_growth(found: dict[str, Any]) -> None:
    """Prints each stage's growth against the targets."""
    print(f"from {SMALL} to {LARGE} chips, one stage at a time")
    print(f"(targets: time at most ×{TARGETS['stage time']}, memory at most ×{TARGETS['stage memory']})")
    for name, stage in found.items():
        fits = stage["time"] <= TARGETS["stage time"] and stage["memory"] <= TARGETS["stage memory"]
        times = f"{stage['small_s']:7.1f} s → {stage['large_s']:7.1f} s  ×{stage['time']:5.2f}"
        memory = f"{stage['small_mib']:6.0f} MiB → {stage['large_mib']:6.0f} MiB  ×{stage['memory']:4.2f}"
        print(f"  {name:<14}{times}   {memory}  {'met' if fits else 'MISSED'}")


def main() -> None:
    """Runs what is asked for and prints it; the raw figures go to `results.json` in the work folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="folder of chips, a folder per class (EuroSAT's layout)")
    parser.add_argument("--epochs", type=int, default=2, help="passes over the training split in the comparison")
    parser.add_argument("--only", default="compare,growth", help="what to run, separated by commas")
    parser.add_argument("--work", type=Path, help="folder for outputs; a temporary one is removed at the end")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if "compare" in wanted and arguments.data is None:
        parser.error("compare needs --data, a folder of chips")
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        results: dict[str, Any] = {}
        if "compare" in wanted:
            results["compare"] = compare(arguments.data, work, arguments.epochs)
            show_comparison(results["compare"])
        if "growth" in wanted:
            results["growth"] = growth(work)
            show_growth(results["growth"])
        (work / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
