"""The figures the applications promise, on real photographs; skipped where they are not there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def run(application, data, out):
    words = [sys.executable, "-m", "pipeline.cli.main", "run", application, "--data", str(data), "--out", str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    [metrics] = (out / "artifacts" / "bless" / "verdict").glob("*/metrics.json")
    return done.stdout, json.loads(metrics.read_text())


def test_land_cover_is_right_nine_times_in_ten(shared_data, tmp_path):
    printed, metrics = run("satellite/landcover", shared_data / "eurosat_rgb", tmp_path / "out")
    assert "Blessed:" in printed
    assert metrics["metrics"]["accuracy"]["value"] >= 0.90


def test_debris_material_is_told_well_above_the_most_frequent_class(shared_data, tmp_path):
    _, metrics = run("ocean/debris_material", shared_data / "trashnet", tmp_path / "out")
    assert metrics["metrics"]["accuracy"]["low"] >= 0.65  # the most frequent class is 0.24; hand-made features 0.757
