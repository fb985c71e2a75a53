from __future__ import annotations

import pytest

from pipeline.partial_run import reused, running, upstream_of
from pipeline.stage_names import STAGES

UPSTREAM = upstream_of([name for name in STAGES if name != "tune"])
DATA = ["spans", "ingest", "schema", "statistics", "validate", "transform"]


@pytest.mark.parametrize(
    ("given", "expected", "taken"),
    [
        (("", ""), list(UPSTREAM), []),
        (("ingest", ""), list(UPSTREAM), []),
        (("ingest", "transform"), ["spans", "ingest", "schema", "transform"], []),
        (("transform", "transform"), ["schema", "transform"], ["spans", "ingest"]),
        (("train", "train"), ["train"], DATA),
        (("train", ""), [name for name in UPSTREAM if name not in (*DATA, "split-audit")], ["split-audit", *DATA]),
        (("report", ""), ["report"], [name for name in UPSTREAM if name != "report"]),
    ],
)
def test_a_run_from_a_stage_runs_what_depends_on_it_and_takes_over_what_that_depends_on(given, expected, taken):
    assert running(UPSTREAM, *given) == expected
    assert sorted(reused(UPSTREAM, *given)) == sorted(taken)


def test_a_run_from_training_looks_for_the_baseline_anew_but_one_from_the_verdict_does_not():
    assert "baseline" in running(UPSTREAM, "train")
    assert "baseline" not in running(UPSTREAM, "evaluate")
    assert "baseline" in reused(UPSTREAM, "evaluate")
