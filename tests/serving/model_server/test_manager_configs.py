"""What a manager does with a `ModelServerConfig`: models that come and go, labels, waiting, polling."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.model_server.errors import Code, ServingError
from serving.model_server.manager import State
from tests.serving.model_server.managers import versions


def test_a_model_that_leaves_the_configuration_is_unloaded_and_its_states_stay_known(server, tmp_path):
    one = server()
    both = {"m": versions(tmp_path / "m", 1), "n": versions(tmp_path / "n", 1)}
    one.apply(both)
    one.wait(v1="AVAILABLE")
    one.wait("n", v1="AVAILABLE")

    one.apply({"n": both["n"]})
    one.wait(v1="END")
    assert one.manager.models() == ["n"]
    with pytest.raises(ServingError, match=r"Latest\(m\)"):
        one.manager.lease("m")
    one.apply(both)
    one.wait(v1="AVAILABLE")
    assert one.manager.models() == ["m", "n"]


def test_labels_name_versions(server, tmp_path):
    one = server()
    base = {"m": versions(tmp_path, 1, 2)}
    policy = "model_version_policy { all { } }"
    one.apply(base, policy)
    one.wait(v1="AVAILABLE", v2="AVAILABLE")

    one.apply(base, policy + 'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }')
    assert [one.answer(label="stable"), one.answer(label="canary")] == [2, 3]
    one.apply(base, policy + 'version_labels { key: "stable" value: 2 }')
    assert one.answer(label="stable") == 3
    with pytest.raises(ServingError, match=r"^Unrecognized servable version label: canary$"):
        one.answer(label="canary")


def test_a_label_for_a_version_that_does_not_answer_is_refused_and_nothing_changes(server, tmp_path):
    one = server()
    base = {"m": versions(tmp_path, 1)}
    one.apply(base)
    one.wait(v1="AVAILABLE")

    with pytest.raises(ServingError) as caught:
        one.apply(base | {"n": tmp_path}, 'version_labels { key: "stable" value: 5 }')
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert str(caught.value) == (
        "Request to assign label to version 5 of model m, which is not currently available for inference"
    )
    assert one.manager.models() == ["m"]


def test_early_labels_are_allowed_by_the_flag_but_a_label_that_works_is_not_moved_early(server, tmp_path):
    one = server(are_early_labels_allowed=True)
    base = {"m": versions(tmp_path, 1)}
    one.apply(base, 'version_labels { key: "stable" value: 1 }')
    one.wait(v1="AVAILABLE")

    assert one.answer(label="stable") == 2
    with pytest.raises(ServingError, match="which is not currently available"):
        one.apply(base, 'version_labels { key: "stable" value: 2 }')
    one.apply(base, 'version_labels { key: "next" value: 2 }')
    with pytest.raises(ServingError, match=r"Specific\(m, 2\)"):
        one.answer(label="next")


def test_applying_waits_until_a_new_model_answers(server, tmp_path):
    one = server(poll_wait_s=0)
    one.manager.apply(one.config_of({"m": versions(tmp_path, 1)}))

    assert one.answer() == 2


def test_applying_tells_of_a_new_model_that_cannot_be_loaded(server, tmp_path):
    one = server(poll_wait_s=0)
    one.broken = {3}

    with pytest.raises(ServingError) as caught:
        one.manager.apply(one.config_of({"m": versions(tmp_path, 3)}))
    assert caught.value.code is Code.UNKNOWN
    assert str(caught.value) == (
        "1 model(s) did not become available: {{{name: m version: 3} due to error: DATA_LOSS: version 3 is broken}, }"
    )


def test_applying_waits_no_longer_than_it_may(server, tmp_path):
    one = server()

    with pytest.raises(ServingError, match=r"did not become available in 0.01 s: m") as caught:
        one.manager.apply(one.config_of({"m": tmp_path}), timeout_s=0.01)
    assert caught.value.code is Code.DEADLINE_EXCEEDED


def test_a_model_that_another_configuration_takes_away_is_not_waited_for(server, tmp_path):
    one = server()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(one.manager.apply, one.config_of({"m": tmp_path}))
        one.until(lambda: one.manager.models() == ["m"])
        one.apply({"n": versions(tmp_path / "n", 1)})
        assert waiting.result(30) is None
    one.wait("n", v1="AVAILABLE")


def test_another_configuration_ends_the_wait_for_a_model_that_does_not_come(server, tmp_path):
    one = server()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(one.manager.apply, one.config_of({"m": tmp_path}))
        one.until(lambda: one.manager.models() == ["m"])
        one.apply({"m": tmp_path})  # the same is no other
        assert not waiting.done()
        one.apply({"m": tmp_path, "n": versions(tmp_path / "n", 1)})
        with pytest.raises(ServingError, match="another configuration was applied before") as caught:
            waiting.result(30)
    assert caught.value.code is Code.ABORTED
    one.wait("n", v1="AVAILABLE")


def test_stopping_ends_the_wait_for_a_model(server, tmp_path):
    one = server()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(one.manager.apply, one.config_of({"m": tmp_path}))
        one.until(lambda: one.manager.models() == ["m"])
        one.manager.stop(10)
        with pytest.raises(ServingError, match="the server is stopping"):
            waiting.result(30)


def test_with_a_poll_interval_new_versions_are_found_without_being_told(server, tmp_path):
    one = server(poll_wait_s=0.005)
    one.manager.apply(one.config_of({"m": versions(tmp_path, 1)}))
    versions(tmp_path, 2)

    one.wait(v1="END", v2="AVAILABLE")


def test_without_a_poll_interval_a_configuration_looks_once(server, tmp_path):
    one = server(poll_wait_s=0)
    config = one.config_of({"m": versions(tmp_path, 1)})
    one.manager.apply(config)
    versions(tmp_path, 2)
    assert one.states() == {1: State.AVAILABLE}

    one.manager.apply(config)
    one.wait(v1="END", v2="AVAILABLE")


def test_what_goes_with_a_configuration_is_told_when_it_is_right_and_before_its_models_are_loaded(server, tmp_path):
    (tmp_path / "1").mkdir()
    one, told = server(), []
    one.gates[1] = threading.Event()
    one.apply({"m": tmp_path}, on_accept=lambda: told.append("m"))
    assert (told, one.loaded) == (["m"], [])
    one.gates[1].set()
    one.wait(v1="AVAILABLE")
    with pytest.raises(ServingError, match="a model name must be"):
        one.apply({"..": tmp_path}, on_accept=lambda: told.append(".."))
    one.manager.apply(type(one.config_of({}))(), on_accept=lambda: told.append("nothing"))
    assert told == ["m"]


def test_an_empty_configuration_changes_nothing(server, tmp_path, config_of):
    one = server()
    one.apply({"m": versions(tmp_path, 1)})
    one.wait(v1="AVAILABLE")
    empty = config_of({})
    empty.Clear()

    one.manager.apply(empty)
    assert one.answer() == 2
