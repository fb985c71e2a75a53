from __future__ import annotations

import errno
import os
import signal
import sys
import time

import pytest

from applications import progress
from applications.errors import StageError
from pipeline import stage_process
from pipeline.stage_process import Usage, fork_stage


def finish(process):
    messages = []
    while not process.has_closed:
        messages += process.read()
        time.sleep(0.005)
    _, status, account = os.wait4(process.pid, 0)
    os.close(process.pipe)
    return messages, status, account


def test_result_and_progress_reach_the_parent_and_prints_the_log(tmp_path):
    def work():
        sys.stdout.write("hello from the stage\n")
        progress.report("epoch", done=1, total=3)
        return {"state": "done", "outputs": {}}

    messages, status, _ = finish(fork_stage("train", work, tmp_path / "logs/train.log"))
    assert messages == [{"kind": "epoch", "done": 1, "total": 3}, {"kind": "result", "state": "done", "outputs": {}}]
    assert status == 0
    assert "hello from the stage" in (tmp_path / "logs/train.log").read_text()


def test_our_error_is_told_as_it_is_even_when_wrapped(tmp_path):
    def work():
        try:
            raise StageError("7 of 9 images are bad; raise ingest.max_bad_share.")
        except StageError as error:
            raise RuntimeError("[while running 'Map']") from error

    messages, status, _ = finish(fork_stage("ingest", work, tmp_path / "ingest.log"))
    assert messages == [
        {"kind": "error", "text": "7 of 9 images are bad; raise ingest.max_bad_share.", "expected": True}
    ]
    assert os.waitstatus_to_exitcode(status) == 1


def test_a_foreign_error_is_told_with_its_type_and_its_traceback_is_in_the_log(tmp_path):
    messages, _, _ = finish(fork_stage("ingest", lambda: {"x": {}["a"]}, tmp_path / "ingest.log"))
    assert messages == [{"kind": "error", "text": "KeyError: 'a'", "expected": False}]
    assert "Traceback" in (tmp_path / "ingest.log").read_text()


def test_a_stage_and_its_children_can_be_stopped(tmp_path):
    process = fork_stage("train", lambda: {"slept": time.sleep(60)}, tmp_path / "train.log")
    time.sleep(0.2)
    process.stop(signal.SIGTERM)
    messages, status, _ = finish(process)
    assert messages == []
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_usage_tells_processor_time_and_memory(tmp_path):
    def work():
        block = bytearray(64 << 20)
        block[::4096] = b"x" * len(block[::4096])
        return {"sum": sum(range(2_000_000))}

    _, _, account = finish(fork_stage("work", work, tmp_path / "work.log"))
    usage = Usage.of(account)
    assert usage.cpu_s > 0
    assert usage.peak_memory_mib > 64


@pytest.mark.parametrize(("error", "text"), [(StageError("stop"), "stop"), (KeyError("a"), "KeyError: 'a'")])
def test_error_text_is_for_people(error, text):
    assert stage_process.error_text(error) == text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space is left on the disk; free some"),
        (RuntimeError("query: database or disk is full"), "no space is left on the disk; free some"),
        (PermissionError(errno.EACCES, "Permission denied", "/o/x"), "a file or folder cannot be written; change"),
    ],
)
def test_trouble_with_the_disk_says_what_to_do(error, words):
    assert stage_process.error_text(error).startswith(words)
    assert str(error) in stage_process.error_text(error)


def test_a_long_foreign_text_is_cut():
    assert len(stage_process.error_text(ValueError("x" * 5000))) < 700
