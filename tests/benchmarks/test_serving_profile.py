"""How what py-spy and the system saw of a server becomes tables."""

from __future__ import annotations

from benchmarks import serving_profile
from benchmarks.serving_profile import Stack, Thread

RAW = """thread (18): MainThread;main (serving/model_server/main.py);Runner.run (asyncio/runners.py) 30
thread (18): MainThread;main (serving/model_server/main.py);read (serving/model_server/rest/reader.py) 10
thread (19): batch-0;Thread.run (threading.py);_work (serving/model_server/batching.py) 20
"""


def test_stacks_are_read_with_their_thread_and_how_often_they_were_seen():
    first, _, last = serving_profile.read_stacks(RAW)
    assert (first.thread, first.name, first.samples) == (18, "MainThread", 30)
    assert first.calls == ("main (serving/model_server/main.py)", "Runner.run (asyncio/runners.py)")
    assert (last.thread, last.name, last.samples) == (19, "batch-0", 20)


def test_lines_that_name_no_thread_are_left_out():
    assert serving_profile.read_stacks("process 7: python;main (x.py) 3\n\n") == []


def test_a_sample_goes_to_our_innermost_function_and_says_whose_code_it_was_in():
    assert serving_profile.where(("a (serving/a.py)", "b (serving/b.py)")) == "b (serving/b.py)"
    assert (
        serving_profile.where(("a (serving/a.py)", "f (json/f.py)", "g (json/g.py)")) == "a (serving/a.py) → json/g.py"
    )
    assert serving_profile.where(("f (threading.py)",)) == "f (threading.py)"
    assert serving_profile.where(()) == "unknown"


def test_times_are_given_in_milliseconds_of_a_request():
    used = {
        18: Thread(name="python", cpu_s=0.5),
        19: Thread(name="python", cpu_s=0.1),
        20: Thread(name="tf_pool", cpu_s=1.0),
        21: Thread(name="tf_pool", cpu_s=1.0),
        22: Thread(name="idle", cpu_s=0.0),
    }
    lines = serving_profile.table(serving_profile.read_stacks(RAW), used, 1_000).splitlines()
    assert lines[2:6] == [
        "| tf_pool | 2.000 | 0.000 |",
        "| MainThread | 0.500 | 0.400 |",
        "| batch-0 | 0.100 | 0.200 |",
        "| all | 2.600 | 0.600 |",
    ]
    assert lines[9:] == [
        "| main (serving/model_server/main.py) → asyncio/runners.py | 0.300 |",
        "| _work (serving/model_server/batching.py) | 0.200 |",
        "| read (serving/model_server/rest/reader.py) | 0.100 |",
    ]


def test_samples_of_one_function_in_several_threads_add_up():
    stacks = [Stack(thread=number, name=f"t{number}", calls=("f (serving/f.py)",), samples=5) for number in (1, 2)]
    used = {number: Thread(name="", cpu_s=1.0) for number in (1, 2)}
    assert serving_profile.table(stacks, used, 100).splitlines()[-1] == "| f (serving/f.py) | 1.000 |"
