"""Workers: the same answers as without them, errors that keep their sentence, and none that outlives its master."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from applications.errors import DataError, StageError, UnknownName
from applications.formats import workers


def double_and_place(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def refuse_seven(number: int) -> int:
    if number == 7:
        raise DataError("seven is not allowed. Leave it out.")
    return number


def die_at_seven(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("parts", [0, 1, 2, 7, 100])
def test_answers_come_in_the_order_of_the_parts(count: int, parts: int) -> None:
    with workers.at_hand(count):
        answers = workers.spread(double_and_place, range(parts))
    assert [answer for answer, _ in answers] == [2 * part for part in range(parts)]
    assert len({process for _, process in answers}) == min(parts, max(count, 1))
    assert (os.getpid() in {process for _, process in answers}) == (count == 0 and parts > 0)


def test_an_error_in_a_worker_is_the_error_and_the_workers_go_on() -> None:
    with workers.at_hand(2):
        with pytest.raises(DataError, match=r"^seven is not allowed\. Leave it out\.$"):
            workers.spread(refuse_seven, range(20))
        assert workers.spread(refuse_seven, range(7)) == list(range(7))


def test_a_killed_worker_is_told_with_the_signal_and_what_to_do() -> None:
    with (
        workers.at_hand(2),
        pytest.raises(StageError, match=r"one ended by signal 9 \(SIGKILL\).*too little memory: free some, and run"),
    ):
        workers.spread(die_at_seven, range(20))
    assert workers.spread(refuse_seven, [1]) == [1]


def test_no_worker_is_left_behind() -> None:
    with workers.at_hand(2):
        processes = {process for _, process in workers.spread(double_and_place, range(10))}
    assert len(processes) == 2
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_workers_end_with_a_master_that_is_killed() -> None:
    master = textwrap.dedent("""
        import os, signal
        from applications.formats import workers
        with workers.at_hand(3):
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    with subprocess.Popen([sys.executable, "-c", master], stdout=subprocess.PIPE) as run:
        run.communicate(timeout=60)  # the pipe ends when the last process that holds it does
    assert run.returncode == -signal.SIGKILL


def test_a_machine_of_one_core_and_a_process_with_threads_get_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    for cores, count in ((1, 0), (2, 2), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert workers.useful() == count
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert workers.useful() == 0


def test_files_are_read_alike_with_workers_and_without(shared_data: Path) -> None:
    from applications import discovery
    from applications.formats.image_files import FileReader
    from applications.formats.image_folder import list_files

    application = discovery.load("satellite/landcover")
    source = discovery.source(application)
    path = str(shared_data / "eurosat_rgb")
    reader = FileReader(path, application, source.group)
    files = [*list(list_files(path))[::100], b"Forest/missing.jpg"]
    with workers.at_hand(2):
        found = workers.spread(reader.read, files)
    assert found == [reader.read(file) for file in files]


def refuse_name(part: int) -> int:
    raise UnknownName("class", f"number{part}", ("number1", "number9"))


class Odd(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def refuse_oddly(part: int) -> int:
    raise Odd(part, part)


def test_our_errors_come_back_as_they_are():
    with workers.at_hand(2), pytest.raises(UnknownName, match="no class 'number2'"):
        workers.spread(refuse_name, [2, 3])


def test_an_error_that_cannot_travel_comes_back_as_its_text():
    with workers.at_hand(2), pytest.raises(StageError, match="Odd: 4 and 4"):
        workers.spread(refuse_oddly, [4, 5])
