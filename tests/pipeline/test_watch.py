"""When a run is due, with a clock of its own and data that are but words."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applications.data_fingerprint import fingerprint
from pipeline import watch as module
from pipeline.config import RunConfig
from pipeline.watch import End, Look, Watch, World, follow, look_at

GONE = Look(problem="there is no 'chips'.")


def data(digest: str) -> Look:
    return Look(digest=digest, files=1200, size_mib=3.25)


def test_the_first_run_waits_until_nothing_has_changed_for_the_time_to_settle():
    watch = Watch(60)
    assert watch.look(0, data("a")) == ["found 1,200 files (3.2 MiB)"]
    assert not watch.is_due(0)
    watch.look(59, data("a"))
    assert not watch.is_due(59)
    watch.look(60, data("a"))
    assert watch.is_due(60)


def test_files_that_go_on_arriving_are_told_once_and_put_the_run_off():
    watch = started(60)
    watch.end()
    told = [watch.look(100 + 10 * step, data(f"b{step}")) for step in range(5)]
    first = "the data changed: 1,200 files (3.2 MiB); a run starts when nothing changes for 60 s"
    assert told == [[first], [], [], [], []]
    watch.look(199, data("b4"))
    assert not watch.is_due(199)
    watch.look(200, data("b4"))
    assert watch.is_due(200)


def test_a_change_during_a_run_leads_to_the_next_one():
    watch = started(5)
    assert watch.look(100, data("b")) == ["the data changed: 1,200 files (3.2 MiB); the next run takes that in"]
    watch.look(200, data("b"))
    assert not watch.is_due(200), "a run goes on"
    watch.end()
    assert watch.is_due(200)


def test_a_change_that_is_undone_during_a_run_leads_to_a_run_too():
    watch = started(5)
    watch.look(100, data("b"))
    watch.look(101, data("a"))
    watch.end()
    assert watch.is_due(200), "the run may have read what was there in between"


def test_without_a_change_no_second_run_is_due():
    watch = started(5)
    watch.end()
    assert watch.look(10_000, data("a")) == []
    assert not watch.is_due(10_000)


def test_data_that_cannot_be_used_are_told_once_and_start_nothing():
    watch = Watch(5)
    assert watch.look(0, GONE) == ["no run can start: there is no 'chips'."]
    assert watch.look(10, GONE) == []
    assert not watch.is_due(10)
    assert watch.look(20, dataclasses.replace(GONE, problem="it is empty.")) == ["no run can start: it is empty."]
    assert watch.look(30, data("a")) == ["the data can be used again: 1,200 files (3.2 MiB)"]
    assert not watch.is_due(30)
    assert watch.is_due(35)


def test_a_run_that_never_read_the_data_leaves_them_new():
    watch = started(5)
    watch.end(is_taken_in=False)
    assert watch.is_due(100)


def test_who_holds_the_output_folder_is_told_once():
    watch = Watch(0)
    watch.look(0, data("a"))
    told = "a run is due, but the output folder is in use by process 7; it starts when that ends"
    assert [watch.postpone(who) for who in ("process 7", "process 7", "process 8")] == [
        [told],
        [],
        [told.replace("7", "8")],
    ]
    assert watch.is_due(1)


@pytest.mark.parametrize(("now", "delay_s"), [(0.0, 10), (45.0, 10), (57.5, 2.5), (61.0, 10)])
def test_the_look_at_which_a_run_can_start_comes_as_early_as_it_may(now, delay_s):
    watch = Watch(60)
    watch.look(0, data("a"))
    assert watch.delay_s(10, now) == delay_s


@given(
    st.lists(
        st.tuples(st.floats(0.1, 30), st.sampled_from("abcd-"), st.sampled_from(["goes on", "ends"])), max_size=60
    ),
    st.floats(0, 40),
)
def test_no_run_starts_within_the_time_to_settle_and_every_change_is_followed_by_one(looks, settle_s):
    watch, now, changed_at, pending, before = Watch(settle_s), 0.0, 0.0, False, ""
    calm = [(settle_s + 1, looks[-1][1] if looks and looks[-1][1] != "-" else "z", "ends")] * 3
    for wait_s, content, run in [*looks, *calm]:
        now += wait_s
        watch.look(now, GONE if content == "-" else data(content))
        if content != before:
            changed_at, before = now, content
            pending = pending or content != "-"
        if watch.is_running and run == "ends":
            watch.end()
        if watch.is_due(now):
            assert now - changed_at >= settle_s
            assert content != "-"
            assert pending, "nothing changed since the last run"
            watch.start()
            pending = False
    assert not pending


def started(settle_s: float) -> Watch:
    """A watch whose first run goes on, on data "a"."""
    watch = Watch(settle_s)
    watch.look(0, data("a"))
    watch.look(settle_s, data("a"))
    assert watch.is_due(settle_s)
    assert watch.start() == ["a run starts on 1,200 files (3.2 MiB)"]
    return watch


class Fake:
    """A world in which data change and runs end at given times, in seconds."""

    def __init__(self, changes: dict[float, str], ends: list[tuple[float, End]], look_s: float = 0.0) -> None:
        self.now, self.said, self.starts, self.looks, self.shown = 0.0, [], [], [], 0
        self.changes, self.ends, self.look_s, self.holder = changes, list(ends), look_s, ""
        self.world = World(
            look=self.look,
            start=self.start,
            holder=lambda: self.holder,
            clock=lambda: self.now,
            sleep=self.sleep,
            say=self.said.append,
            show=self.show,
        )

    def look(self) -> Look:
        self.looks.append(self.now)
        self.now += self.look_s
        return data(self.changes[max(at for at in self.changes if at <= self.now)])

    def start(self) -> Fake:
        self.starts.append(self.now)
        return self

    def wait(self, timeout_s: float) -> End | None:
        left_s = self.starts[-1] + self.ends[0][0] - self.now
        self.sleep(min(timeout_s, max(left_s, 0)))
        return self.ends.pop(0)[1] if left_s <= timeout_s else None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > 1000:
            raise KeyboardInterrupt

    def show(self) -> None:
        self.shown += 1


DONE = End(code=0, words="run is complete.")


def test_new_data_lead_to_a_run_each_until_there_were_enough():
    fake = Fake({0: "a", 100: "b", 120: "c"}, [(30, DONE), (30, dataclasses.replace(DONE, code=1))])
    assert follow(fake.world, Watch(25), every_s=10, runs=2) == 1
    assert fake.starts == [25, 150], "the run ends at 55 s; looks at 105 s and 125 s find the changes"
    assert fake.said[-3:] == [
        "the data changed: 1,200 files (3.2 MiB); a run starts when nothing changes for 25 s",
        "a run starts on 1,200 files (3.2 MiB)",
        "run is complete.",
    ]


def test_a_run_that_had_nothing_to_do_is_not_counted():
    idle = End(code=0, words="nothing has changed", is_counted=False)
    fake = Fake({0: "a", 100: "b"}, [(1, idle), (1, DONE)])
    assert follow(fake.world, Watch(0), every_s=10, runs=1) == 0
    assert fake.starts == [0, 101], "the first run ended at 1 s, and looks come every 10 s after that"


def test_a_failed_run_is_not_repeated_before_the_data_change_again():
    fake = Fake({0: "a", 500: "b"}, [(1, End(code=1, words="the run failed")), (1, DONE)])
    follow(fake.world, Watch(0), every_s=10, runs=2)
    assert fake.starts == [0, 501]


def test_a_run_that_found_the_folder_taken_is_tried_again():
    taken = End(code=1, words="taken", is_counted=False, is_taken_in=False)
    fake = Fake({0: "a"}, [(1, taken), (1, DONE)])
    assert follow(fake.world, Watch(0), every_s=10, runs=1) == 0
    assert fake.starts == [0, 1]


def test_while_another_holds_the_output_folder_nothing_starts():
    fake = Fake({0: "a"}, [])
    fake.holder = "process 7"
    with pytest.raises(KeyboardInterrupt):
        follow(fake.world, Watch(0), every_s=10)
    assert fake.starts == []
    assert len([line for line in fake.said if "process 7" in line]) == 1
    assert fake.shown > 90


def test_slow_looks_leave_as_long_a_pause():
    fake = Fake({0: "a"}, [], look_s=40)
    fake.holder = "process 7"
    with pytest.raises(KeyboardInterrupt):
        follow(fake.world, Watch(0), every_s=10)
    assert fake.looks[:3] == [0, 80, 160]


@pytest.fixture
def config(tmp_path):
    (tmp_path / "1").mkdir()
    return RunConfig(application="test/chips", data=str(tmp_path / "{SPAN}"))


def test_a_look_sees_every_span(config, tmp_path):
    assert look_at(config).problem == f"there are no files in {str(tmp_path / '{SPAN}')!r} yet"
    (tmp_path / "1" / "a.jpg").write_bytes(b"x" * 1024)
    first = look_at(config)
    assert (first.files, first.problem) == (1, "")
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "a.jpg").write_bytes(b"x" * 1024)
    both = look_at(config)
    assert (both.files, both.size_mib) == (2, 2 / 1024)
    assert both.digest != first.digest


def test_a_look_at_a_plain_folder_is_the_fingerprint_that_a_run_takes(config, tmp_path):
    (tmp_path / "1" / "a.jpg").write_bytes(b"x")
    plain = dataclasses.replace(config, data=str(tmp_path / "1"))
    assert look_at(plain).digest == fingerprint(str(tmp_path / "1")).digest


def test_a_look_turns_whatever_is_wrong_into_words(config, tmp_path, monkeypatch):
    assert "there is no" in look_at(dataclasses.replace(config, data=str(tmp_path / "absent"))).problem

    def outage(*_):
        raise RuntimeError("503\nservice unavailable")

    monkeypatch.setattr(module, "fingerprint_of", outage)
    assert look_at(config).problem == "RuntimeError: 503"
