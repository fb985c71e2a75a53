"""The learning rate over a training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.schedules import WarmUpCosine


def rates(peak: float, steps: int, warmup_share: float) -> np.ndarray:
    """Returns the rate of every step."""
    schedule = WarmUpCosine(peak, steps, warmup_share)
    return np.array([float(schedule(step)) for step in range(steps)])


def test_rate_rises_to_its_peak_and_falls_to_a_thousandth() -> None:
    found = rates(0.4, 101, 0.1)
    assert found[0] == pytest.approx(0.4 / 11.1)
    assert found.argmax() in (10, 11)
    assert found.max() == pytest.approx(0.4, rel=0.01)
    assert found[-1] == pytest.approx(0.0004, rel=0.5)


def test_halfway_down_the_rate_is_half_the_peak() -> None:
    assert float(WarmUpCosine(1.0, 100, 0.0)(50)) == pytest.approx(0.5, abs=0.01)


def test_the_rate_stays_at_its_lowest_after_the_last_step() -> None:
    assert float(WarmUpCosine(1.0, 10, 0.1)(1000)) == pytest.approx(0.001)


@given(peak=st.floats(1e-5, 1), steps=st.integers(1, 60), share=st.floats(0, 0.9))
@settings(max_examples=20, deadline=None)
def test_the_rate_is_above_zero_and_at_most_the_peak(peak: float, steps: int, share: float) -> None:
    found = rates(peak, steps, share)
    assert np.all(found > 0)
    assert np.all(found <= peak * 1.0001)


def test_the_schedule_survives_a_round_trip() -> None:
    schedule = WarmUpCosine(0.3, 20, 0.2)
    assert float(WarmUpCosine.from_config(schedule.get_config())(7)) == float(schedule(7))
