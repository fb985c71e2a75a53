"""Pauses between attempts."""

from __future__ import annotations

import pytest

from pipeline.replay.retries import Retries
from pipeline.replay.spec import Node


def retries(**policy):
    return Retries.of(Node(path="train", task={"retryPolicy": policy}, component={}))


def test_pauses_grow_by_the_factor_until_the_count_is_reached():
    found = retries(maxRetryCount=2, backoffDuration="60s", backoffFactor=2.0, backoffMaxDuration="3600s")
    assert [found.pause_s(attempts, passed_s=100.0) for attempts in (1, 2, 3)] == [60.0, 120.0, None]


def test_without_a_factor_pauses_stay_as_they_are():
    found = retries(maxRetryCount=2, backoffDuration="1.5s", backoffMaxDuration="3600s")
    assert [found.pause_s(attempts, passed_s=0.0) for attempts in (1, 2)] == [1.5, 1.5]


@pytest.mark.parametrize(("passed_s", "pause_s"), [(3540.0, 60.0), (3541.0, None)])
def test_no_attempt_begins_after_the_time_that_is_given_to_all_of_them(passed_s, pause_s):
    found = retries(maxRetryCount=9, backoffDuration="60s", backoffMaxDuration="3600s")
    assert found.pause_s(1, passed_s) == pause_s


def test_a_count_without_an_end_is_no_policy_and_says_so():
    assert retries(maxRetryCount=2).pause_s(1, passed_s=0.1) is None
    assert retries(maxRetryCount=2).why_none.endswith("its retryPolicy has no backoffMaxDuration")
    assert (retries().pause_s(1, 0.0), retries().why_none) == (None, "")
