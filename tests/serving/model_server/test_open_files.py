from __future__ import annotations

import resource

import pytest

from serving.model_server.open_files import most_connections


@pytest.fixture
def limit(monkeypatch):
    """Gives the system a limit that can be raised as far as `limit(soft, hard)` says."""
    now = [0, 0]

    def change(_, limits):
        now[:] = limits

    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", change)
    return lambda soft, hard: change(None, (soft, hard)) or now


def test_the_limit_is_raised_as_far_as_the_system_allows(limit):
    now = limit(1024, 1 << 20)
    assert most_connections(4096) == 4096
    assert now == [65_536, 1 << 20]


def test_connections_leave_files_to_a_new_version_and_the_log(limit, caplog):
    limit(256, 1024)
    assert most_connections(4096) == 341
    assert "at most 341 connections are accepted, not 4096: the system allows 1024 open files" in caplog.text


@pytest.mark.parametrize("hard", [resource.RLIM_INFINITY, 12_288])
def test_a_limit_that_is_high_enough_limits_nothing(limit, hard):
    limit(hard, hard)
    assert most_connections(4096) == 4096
