from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.model_server.errors import Code, ServingError
from serving.model_server.events import LoadAttempt, StateChange
from serving.model_server.manager import Manager, State, VersionStatus
from serving.model_server.sources import Folders
from tests.serving.model_server.managers import X, versions


def test_the_newest_version_answers_unless_another_is_asked_for(server, tmp_path):
    one = server()
    one.apply({"m": versions(tmp_path, 1, 2, 10)}, "model_version_policy { all { } }")
    one.wait(v1="AVAILABLE", v2="AVAILABLE", v10="AVAILABLE")

    assert [one.answer(), one.answer(version=2), one.answer(version=1)] == [11, 3, 2]
    assert [status.version for status in one.manager.status("m")] == [10, 2, 1]
    assert one.manager.models() == ["m"]
    assert one.manager.is_ready


@pytest.mark.parametrize(
    ("which", "code", "text"),
    [
        ({}, Code.NOT_FOUND, "Servable not found for request: Latest(other)"),
        ({"version": 3}, Code.NOT_FOUND, "Servable not found for request: Specific(other, 3)"),
        ({"label": "stable"}, Code.INVALID_ARGUMENT, "Unrecognized servable version label: stable"),
    ],
)
def test_what_is_not_there_is_told_as_tensorflow_serving_does(server, which, code, text):
    with pytest.raises(ServingError) as caught:
        server().manager.lease("other", **which)

    assert (caught.value.code, str(caught.value)) == (code, text)


def test_a_request_without_a_name_is_refused(server):
    with pytest.raises(ServingError, match=r"^ModelSpec has no name specified.$"):
        server().manager.lease("")


def test_states_of_what_is_unknown_are_not_found(server, tmp_path):
    one = server()
    one.apply({"m": versions(tmp_path, 1)})
    one.wait(v1="AVAILABLE")

    with pytest.raises(ServingError, match=r"^Could not find any versions of model x$"):
        one.manager.status("x")
    with pytest.raises(ServingError, match=r"^Could not find version 7 of model m$"):
        one.manager.status("m", version=7)
    assert one.manager.status("m", version=1) == [VersionStatus(1, State.AVAILABLE)]


def test_the_old_version_answers_until_the_new_one_does(server, tmp_path):
    one = server()
    one.gates[2] = threading.Event()
    one.apply({"m": versions(tmp_path, 1)})
    one.wait(v1="AVAILABLE")

    versions(tmp_path, 2)
    one.manager.poll()
    one.wait(v1="AVAILABLE", v2="LOADING")
    assert one.answer() == 2
    one.gates[2].set()
    one.wait(v1="END", v2="AVAILABLE")
    assert one.answer() == 3
    assert one.servables[1].is_closed


def test_a_broken_version_is_told_and_gets_no_request(server, tmp_path):
    one = server()
    one.broken = {2}
    one.apply({"m": versions(tmp_path, 1)})
    one.wait(v1="AVAILABLE")

    versions(tmp_path, 2)
    one.manager.poll()
    one.wait(v2="END")

    assert one.manager.status("m", version=2) == [VersionStatus(2, State.END, Code.DATA_LOSS, "version 2 is broken")]
    assert one.answer() == 2
    with pytest.raises(ServingError, match=r"Specific\(m, 2\)"):
        one.answer(version=2)


def test_a_broken_version_is_tried_again_when_it_comes_back(server, tmp_path):
    one = server()
    one.broken = {1}
    one.apply({"m": versions(tmp_path, 1)})
    one.wait(v1="END")
    one.broken = set()
    one.manager.poll()
    assert one.loaded == []

    shutil.rmtree(tmp_path / "1")
    one.manager.poll()
    versions(tmp_path, 1)
    one.manager.poll()
    one.wait(v1="AVAILABLE")


def test_a_version_that_was_taken_back_stops_answering(server, tmp_path):
    one = server()
    one.apply({"m": versions(tmp_path, 1, 2)})
    one.wait(v2="AVAILABLE")

    shutil.rmtree(tmp_path / "2")
    one.manager.poll()
    one.wait(v1="AVAILABLE", v2="END")
    assert one.answer() == 2


def test_an_emptied_folder_unloads_all_and_a_missing_one_nothing(server, tmp_path):
    one = server()
    base = versions(tmp_path / "m", 1)
    one.apply({"m": base})
    one.wait(v1="AVAILABLE")

    base.rename(tmp_path / "away")
    one.manager.poll()
    assert one.states() == {1: State.AVAILABLE}
    base.mkdir()
    one.manager.poll()
    one.wait(v1="END")
    assert not one.manager.is_ready


def test_a_missing_folder_of_one_model_does_not_keep_others_from_loading(server, tmp_path):
    one = server()
    one.apply({"gone": tmp_path / "gone", "m": versions(tmp_path / "m", 1)})
    one.wait(v1="AVAILABLE")

    assert not one.manager.is_ready
    assert one.manager.models() == ["gone", "m"]


def test_a_version_is_not_unloaded_under_a_request(server, tmp_path):
    one = server()
    one.apply({"m": versions(tmp_path, 1)})
    one.wait(v1="AVAILABLE")
    lease = one.manager.lease("m")
    again = lease.again()

    versions(tmp_path, 2)
    one.manager.poll()
    one.wait(v1="UNLOADING", v2="AVAILABLE")
    assert (lease.version, lease.name) == (1, "m")
    assert one.answer() == 3
    with pytest.raises(ServingError, match=r"Specific\(m, 1\)"):
        one.manager.lease("m", version=1)
    lease.release()
    lease.release()
    assert lease.servable.run("serving_default", X)["y"].tolist() == [2]
    assert one.states()[1] is State.UNLOADING
    again.release()
    one.wait(v1="END")
    assert lease.servable.is_closed


def test_a_version_wanted_again_while_it_is_unloaded_comes_back(server, tmp_path):
    one = server()
    one.apply({"m": versions(tmp_path, 1)})
    one.wait(v1="AVAILABLE")
    lease = one.manager.lease("m")
    (tmp_path / "1").rename(tmp_path / "hidden")
    one.manager.poll()
    one.wait(v1="UNLOADING")

    (tmp_path / "hidden").rename(tmp_path / "1")
    one.manager.poll()
    assert one.states() == {1: State.UNLOADING}
    lease.release()
    one.wait(v1="AVAILABLE")
    assert one.loaded == [("m", 1), ("m", 1)]


def test_a_version_that_is_no_longer_wanted_when_it_is_loaded_never_answers(server, tmp_path):
    one = server()
    one.gates[1] = threading.Event()
    one.apply({"m": versions(tmp_path, 1)})
    one.wait(v1="LOADING")
    shutil.rmtree(tmp_path / "1")
    one.manager.poll()
    one.gates[1].set()
    one.wait(v1="END")

    assert one.manager.status("m") == [VersionStatus(1, State.END, Code.CANCELLED, "Loading of servable cancelled")]
    assert one.servables[1].is_closed
    assert State.AVAILABLE not in [event.status.state for event in one.events if isinstance(event, StateChange)]


def test_a_load_that_fails_is_tried_again_and_says_why_meanwhile(server, tmp_path):
    one = server(max_load_retries=1, retry_interval_s=3600)
    one.broken = {1}
    one.apply({"m": versions(tmp_path, 1)})
    one.until(lambda: one.manager.status("m")[0].code is Code.DATA_LOSS)

    assert one.manager.status("m") == [VersionStatus(1, State.LOADING, Code.DATA_LOSS, "version 1 is broken")]
    shutil.rmtree(tmp_path / "1")
    one.manager.poll()
    assert one.states() == {1: State.END}


def test_retries_end_with_a_version_that_loads_or_after_the_last_one(server, tmp_path):
    mended = server(max_load_retries=3, retry_interval_s=-1)
    failures = iter([{1}, {1}, set()])
    loads = mended.load

    def load(*arguments):
        mended.broken = next(failures)
        return loads(*arguments)

    mended.manager._lifecycle._load = load
    mended.apply({"m": versions(tmp_path / "mended", 1)})
    mended.wait(v1="AVAILABLE")
    hopeless = server(max_load_retries=2, retry_interval_s=-1)
    hopeless.broken = {1}
    hopeless.apply({"m": versions(tmp_path / "hopeless", 1)})
    hopeless.wait(v1="END")

    attempts = [
        [event.error is None for event in one.events if isinstance(event, LoadAttempt)] for one in (mended, hopeless)
    ]
    assert attempts == [[False, False, True], [False, False, False]]


def test_a_slow_load_does_not_keep_another_model_waiting(server, tmp_path):
    one = server(load_threads=1, max_load_retries=1, retry_interval_s=3600)
    one.broken = {1}
    one.apply({"bad": versions(tmp_path / "bad", 1), "m": versions(tmp_path / "m", 2)})

    one.wait("m", v2="AVAILABLE")
    one.wait("bad", v1="LOADING")


def test_events_tell_each_state_once_and_in_order(server, tmp_path):
    one = server()
    one.apply({"m": versions(tmp_path, 1)})
    one.wait(v1="AVAILABLE")
    shutil.rmtree(tmp_path / "1")
    one.manager.poll()
    one.wait(v1="END")

    told = [event.status.state.name for event in one.events if isinstance(event, StateChange)]
    assert told == ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
    (attempt,) = [event for event in one.events if isinstance(event, LoadAttempt)]
    assert (attempt.model, attempt.path, attempt.error) == ("m", tmp_path / "1", None)
    assert attempt.seconds >= 0


def test_a_listener_that_fails_stops_nothing(fake_servable, config_of, until, tmp_path):
    def listener(event):
        raise RuntimeError("no")

    manager = Manager(lambda name, version, folder: fake_servable(name, version), None, listener)
    manager.start()
    manager.apply(config_of({"m": versions(tmp_path, 1)}))
    assert manager.is_ready
    assert manager.stop(10)


def test_stopping_waits_for_requests_and_unloads_everything(server, tmp_path):
    one = server()
    one.apply({"m": versions(tmp_path, 1)})
    one.wait(v1="AVAILABLE")
    lease = one.manager.lease("m")

    assert not one.manager.stop(0.01)
    with pytest.raises(ServingError, match=r"Latest\(m\)"):
        one.manager.lease("m")
    lease.release()
    assert one.manager.stop(10)
    assert one.servables[1].is_closed


def test_states_of_what_is_gone_do_not_grow_for_ever(server, tmp_path):
    one = server()
    one.apply({"m": tmp_path})
    for number in range(1, 131):
        versions(tmp_path, number)
        one.manager.poll()
        one.wait(**{f"v{number}": "AVAILABLE"})
        shutil.rmtree(tmp_path / str(number))
    one.manager.poll()
    one.wait(v130="END")

    assert len(one.states()) <= 101
    assert min(one.states()) > 25


def test_no_request_fails_while_versions_are_swapped(server, tmp_path):
    one = server(poll_wait_s=0.001)
    one.manager.apply(one.config_of({"m": versions(tmp_path, 1)}))
    is_over = threading.Event()

    def ask():
        newest, count = 0.0, 0
        while not is_over.is_set():
            answer = one.answer()
            assert answer >= newest, "an older version answered after a newer one"
            newest, count = answer, count + 1
            time.sleep(0.0001)  # else three threads that never wait starve those that load
        return count

    with ThreadPoolExecutor(3) as threads:
        asking = [threads.submit(ask) for _ in range(3)]
        for number in range(2, 22):
            versions(tmp_path, number)
            shutil.rmtree(tmp_path / str(number - 1))
            one.wait(**{f"v{number}": "AVAILABLE"})
        is_over.set()
        counts = [thread.result() for thread in asking]

    assert all(counts)
    assert one.answer() == 22


def test_a_folder_that_cannot_be_looked_into_does_not_hide_other_models_versions(server, tmp_path, monkeypatch, caplog):
    one = server(poll_wait_s=0.001)
    one.manager.apply(one.config_of({"bad": versions(tmp_path / "bad", 1), "m": versions(tmp_path / "m", 1)}))
    look = Folders.look

    def fail(self, config):
        return 1 / 0 if config.name == "bad" else look(self, config)

    monkeypatch.setattr(Folders, "look", fail)
    one.until(lambda: "looking for versions of model bad failed" in caplog.text)
    versions(tmp_path / "m", 2)
    one.wait("m", v2="AVAILABLE")


def test_a_load_for_which_there_is_no_thread_is_tried_again(server, tmp_path, monkeypatch):
    one = server(max_load_retries=1, retry_interval_s=0.2)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        one.apply({"m": versions(tmp_path, 1)})
    (status,) = one.manager.status("m")
    assert (status.state, status.code) == (State.LOADING, Code.RESOURCE_EXHAUSTED)
    assert status.message == "nothing can load it: can't start new thread"
    one.wait("m", v1="AVAILABLE")
