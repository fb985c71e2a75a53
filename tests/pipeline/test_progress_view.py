from __future__ import annotations

import io

import pytest

from pipeline.progress_view import LiveView, PlainView, Progress, StageLine, duration, fitting, open_view, progress_text


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


EVENTS = [
    {"event": "server", "state": "importing"},
    {"event": "plan", "stages": ["ingest", "train", "push"]},
    {"event": "stage", "stage": "ingest", "state": "running"},
    {"event": "stage", "stage": "ingest", "state": "cached", "wall_s": 0.21, "peak_memory_mib": 310.4},
    {"event": "stage", "stage": "train", "state": "running"},
    {
        "event": "progress",
        "stage": "train",
        "kind": "epoch",
        "done": 3,
        "total": 30,
        "val_accuracy": 0.7123,
        "left_s": 130.2,
    },
]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (9.96, "10.0 s"),
        (42.4, "42 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"kind": "epoch", "done": 1, "total": 9, "loss": 0.5}, "epoch 1/9, loss 0.500"),
        ({"kind": "items", "done": 40, "total": 200}, "items 40/200"),
        ({"kind": "items", "done": 40, "total": None}, "items 40"),
        ({"kind": "note", "text": "Pushed version 3."}, "Pushed version 3."),
    ],
)
def test_progress_is_told_in_words(event, text):
    assert progress_text(event) == text


def test_plain_lines_have_no_control_characters():
    stream = io.StringIO()
    view = PlainView(stream)
    for event in [*EVENTS, {"event": "stage", "stage": "train", "state": "failed", "wall_s": 61.0, "error": "NaN"}]:
        view.take(event)
    assert stream.getvalue().splitlines() == [
        "starting: importing TFX takes some seconds",
        "stages: ingest, train, push",
        "ingest         running",
        "ingest         cached (0.2 s, 310 MiB)",
        "train          running",
        "train          epoch 3/30, val_accuracy 0.712, 2 min 10 s left",
        "train          failed (1 min 01 s): NaN",
    ]


def test_items_are_told_at_most_every_five_seconds_and_at_the_end():
    clock, stream = Clock(), io.StringIO()
    view = PlainView(stream, clock)
    for done in range(1, 101):
        clock.now += 0.125
        view.take({"event": "progress", "stage": "ingest", "kind": "items", "done": done, "total": 100})
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["1/100", "41/100", "81/100", "100/100"]


def test_stages_that_run_or_were_stopped_are_unfinished():
    progress = Progress()
    for event in EVENTS:
        progress.take(event)
    assert progress.unfinished() == ["train"]
    progress.take({"event": "stage", "stage": "train", "state": "interrupted"})
    assert progress.unfinished() == ["train"]


def test_the_clock_of_a_running_stage_goes_on():
    clock = Clock()
    progress = Progress(clock)
    progress.take({"event": "stage", "stage": "train", "state": "running"})
    clock.now += 7
    assert progress.elapsed_s(progress.stages["train"]) == 7


def test_a_terminal_gets_a_table_that_is_left_on_the_screen():
    stream = Terminal()
    view = open_view(stream)
    assert isinstance(view, LiveView)
    for event in EVENTS:
        view.take(event)
    view.close()
    last = stream.getvalue().rpartition("stage")[2]
    for words in (
        "↺ ingest",
        "0.2 s",
        "310 MiB",
        "▸ train",
        "epoch 3/30, val_accuracy 0.712, 2 min 10 s left",
        "· push",
    ):
        assert words in last
    assert isinstance(open_view(io.StringIO()), PlainView)


def test_a_small_window_shows_what_runs_rather_than_what_is_over():
    states = ["done", "cached", "done", "running", "failed", "waiting", "waiting"]
    lines = [StageLine(str(number), state=state) for number, state in enumerate(states)]
    assert [line.name for line in fitting(lines, 7)] == list("0123456")
    assert [line.name for line in fitting(lines, 5)] == list("23456")
    assert [line.name for line in fitting(lines, 2)] == list("34")
    assert [line.name for line in fitting(lines, -1)] == ["3"]


def test_a_long_error_is_one_line_as_it_happens():
    stream = io.StringIO()
    PlainView(stream).take(
        {"event": "stage", "stage": "validate", "state": "failed", "error": "2 anomalies:\n  one\n  two"}
    )
    assert stream.getvalue() == "validate       failed: 2 anomalies:\n"
