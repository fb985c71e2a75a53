"""`earthloop watch` from its words to its exit code; the runs are real commands over the fake runner."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from pipeline import output_folder
from pipeline.cli import watch as module
from pipeline.output_folder import OutputFolder
from pipeline.watch import Look

APP = "satellite/landcover"
FAKE_RUN = pathlib.Path(__file__).with_name("fake_run.py")
STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  ")


@pytest.fixture
def watch(monkeypatch, project, earthloop, chips):
    """Watches the chips, looking every twentieth of a second; returns the exit code and the watcher's own lines."""
    monkeypatch.setenv("PYTHONPATH", str(project))
    monkeypatch.setattr(module, "RUN", (sys.executable, str(FAKE_RUN)))

    def call(*words):
        code, text = earthloop(
            "watch", APP, "--data", chips, "--out", "o", "--every", 0.05, "--settle", 0.1, *words
        )  # fmt: skip
        return code, [STAMP.sub("", line) for line in text.splitlines() if STAMP.match(line)]

    return call


def test_new_files_lead_to_a_second_run(watch, chips, monkeypatch):
    monkeypatch.setenv("FAKE_NEW", str(chips / "River" / "new.jpg"))
    code, lines = watch("--runs", 2)
    assert code == 0
    assert lines[0] == (
        f"watching {chips}: a look every 0.05 s, a run when nothing has changed for 0.1 s. Ctrl-C ends it."
    )
    assert lines[1:3] == ["found 50 files (0.0 MiB)", "a run starts on 50 files (0.0 MiB)"]
    [changed] = [line for line in lines if line.startswith("the data changed")]
    assert "51 files" in changed
    ended = [line for line in lines if line.startswith("run 2")]
    assert len(ended) == 2
    assert ended[1].endswith(" is complete: blessed, pushed as version 7")


def test_the_run_gets_the_same_words(watch, monkeypatch):
    asked = []

    class Stub:
        def __init__(self, words, **_):
            asked.append(words)

        def wait(self, _timeout):
            return 1

    monkeypatch.setattr(module.subprocess, "Popen", Stub)
    watch("--runs", 1, "--set", "train.epochs=3", "--set", "train.seed=2")
    [words] = asked
    assert words[2:4] == [APP, "--data"]
    assert words[5:] == ["--out", "o", "--set", "train.epochs=3", "--set", "train.seed=2"]


def test_the_home_folder_may_be_short_as_for_a_run(earthloop, chips, monkeypatch):
    monkeypatch.setenv("HOME", str(chips.parent))
    seen = []
    monkeypatch.setattr(module, "look_at", lambda config: seen.append(config.data) or Look(digest="1", files=1))
    monkeypatch.setattr(module, "time", clock_that_stops(1))
    assert earthloop("watch", APP, "--data", f"~/{chips.name}", "--out", "o", "--every", 0.05)[0] == 130
    assert seen == [str(chips)]


def test_a_failed_run_is_said_with_its_exit_code_and_the_watching_goes_on(watch, chips, monkeypatch):
    monkeypatch.setenv("FAKE_SCENARIO", "fails")
    monkeypatch.setenv("FAKE_NEW", str(chips / "River" / "new.jpg"))
    code, lines = watch("--runs", 2)
    assert code == 1
    assert [re.sub(r"run \S+", "run X", line) for line in lines if "exit code" in line] == [
        "run X failed with exit code 1; it is repeated when the data change again"
    ] * 2


def test_where_nothing_changed_since_the_last_run_it_says_so_and_waits(watch, chips, monkeypatch):
    watch("--runs", 1)
    monkeypatch.setattr(module, "time", clock_that_stops(3))
    code, lines = watch()
    assert code == 130
    assert lines[-2:] == ["nothing has changed since the last run; waiting for new data", "watching has ended"]


def test_an_output_folder_in_use_is_waited_for(watch, monkeypatch):
    folder = output_folder.prepare(pathlib.Path("o").absolute())
    monkeypatch.setattr(module, "time", clock_that_stops(5))
    with output_folder.hold(folder, run_id="20260101T000000Z"):
        code, lines = watch()
    assert code == 130
    [told] = [line for line in lines if "in use" in line]
    assert told.startswith(f"a run is due, but the output folder is in use by process {os.getpid()} on ")
    assert told.endswith("(20260101T000000Z); it starts when that ends")


def test_a_run_that_lost_the_race_for_the_folder_is_not_held_against_the_data(tmp_path):
    folder = output_folder.prepare(tmp_path)
    with output_folder.hold(folder):
        end = module.ended(folder, frozenset(), 1)
    assert (end.is_counted, end.is_taken_in) == (False, False)
    assert end.words.startswith(f"the output folder is in use by process {os.getpid()} on ")
    crashed = module.ended(folder, frozenset(), -9)
    assert (crashed.code, crashed.words) == (
        1,
        "the run was ended by signal 9; it is repeated when the data change again",
    )


def test_whatever_ends_the_watcher_ends_its_run_too(watch, monkeypatch):
    done = []

    class Hangs:
        def __init__(self, words, **_):
            done.append("started")

        def wait(self, timeout=None):
            if timeout is not None:
                raise subprocess.TimeoutExpired("run", timeout)

        def terminate(self):
            done.append("terminated")

    def look(_):
        if done:
            raise RuntimeError
        return Look(digest="1", files=1)

    monkeypatch.setattr(module.subprocess, "Popen", Hangs)
    monkeypatch.setattr(module, "look_at", look)
    with contextlib.suppress(RuntimeError):
        watch()
    assert done == ["started", "terminated"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_that_goes_on_in_order(chips, project, tmp_path, number):
    script = (
        "import sys; from pipeline.cli import main, watch; "
        f"watch.RUN = (sys.executable, {str(FAKE_RUN)!r}); sys.exit(main.main(sys.argv[1:]))"
    )
    words = ["watch", APP, "--data", str(chips), "--out", "o", "--every", "0.05", "--settle", "0"]
    environment = {**os.environ, "PYTHONPATH": str(project), "FAKE_SCENARIO": "hangs", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", script, *words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        guard = threading.Timer(60, process.kill)
        guard.start()
        for line in process.stdout:
            if line.startswith("train"):
                process.send_signal(number)
                break
        rest = process.stdout.read()
        code = process.wait()
        guard.cancel()
    assert code == 130
    assert rest.splitlines()[-1].endswith("  watching has ended")
    [record] = OutputFolder(tmp_path / "o").runs.glob("*/record.json")
    assert '"state": "interrupted"' in record.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--every", "0"], "--every must be above 0 seconds, got 0."),
        (["--every", "nan"], "--every must be above 0 seconds, got nan."),
        (["--settle", "-1"], "--settle must be 0 seconds or more, got -1."),
        (["--runs", "-2"], "--runs must be 1 or more runs, got -2."),
        (["--set", "train.epoch=3"], "no train setting 'epoch'"),
    ],
)
def test_values_that_make_no_sense_are_refused(earthloop, words, told):
    code, text = earthloop("watch", APP, "--data", "chips", *words)
    assert code == 2
    assert told in text


def test_a_pattern_that_is_none_and_missing_data_are_refused_at_once(earthloop):
    code, text = earthloop("watch", APP, "--data", "chips/{SPA}")
    assert code == 2
    assert "Did you mean '{SPAN}'" in text
    code, text = earthloop("watch", APP)
    assert code == 2
    assert "watch needs data to look at, got none. Give --data with a folder, a URI or a pattern." in text


class Terminal(io.StringIO):
    """A terminal that keeps what it was sent."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_that_all_is_quiet_and_is_left_to_a_run():
    terminal = Terminal()
    screen = module.Screen(terminal, "chips")
    screen.show(lambda: ", last run blessed")
    assert re.search(r"waiting for new data in chips, last look \d\d:\d\d:\d\dZ, last run", terminal.getvalue())
    assert "\n" not in terminal.getvalue()
    screen.hold()
    before = terminal.getvalue()
    screen.say("the data changed")
    assert terminal.getvalue() == before
    screen.release()
    assert terminal.getvalue().endswith("Z  the data changed\n")


def test_the_quiet_line_knows_how_the_last_run_ended(watch):
    assert module.last_run(OutputFolder(pathlib.Path("o"))) == ""
    watch("--runs", 1)
    assert module.last_run(OutputFolder(pathlib.Path("o"))) == ", last run blessed, pushed as version 7"


def clock_that_stops(sleeps: int):
    """Returns a module `time` whose `sleep` presses Ctrl-C at its last call."""
    left = [sleeps]

    def sleep(seconds: float) -> None:
        threading.Event().wait(seconds)
        left[0] -= 1
        if left[0] <= 0:
            raise KeyboardInterrupt

    return SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
