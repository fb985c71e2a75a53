from __future__ import annotations

import pytest

from pipeline import energy


def test_estimate_is_seconds_times_watts_and_says_so():
    assert energy.estimate(10.0, 6.0) == energy.Energy(energy_j=60.0, energy_source="estimate")


def test_counters_of_packages_are_summed_without_their_parts(tmp_path):
    for name, microjoules in (("intel-rapl:0", 2_000_000), ("intel-rapl:1", 500_000), ("intel-rapl:0:0", 9)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{microjoules}\n")
    assert energy.package_joules(tmp_path) == pytest.approx(2.5)


def test_no_counter_is_none_rather_than_zero(tmp_path):
    assert energy.package_joules(tmp_path) is None


def test_measured_energy_is_shared_by_processor_time():
    assert energy.share(100.0, 1.0, 4.0) == energy.Energy(energy_j=25.0, energy_source="counter")
