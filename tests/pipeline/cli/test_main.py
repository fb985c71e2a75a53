from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys

import click
import pytest

from applications import discovery
from pipeline.cli import main as entry
from pipeline.cli.main import COMMANDS, cli

HEAVY = ("tensorflow", "tfx", "apache_beam", "ml_metadata", "keras", "numpy", "pandas", "matplotlib", "rich")
PROBE = """
import json, sys
from pipeline.cli.main import main
code = main(sys.argv[1:])
sys.stderr.write("\\n" + json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def commands(command=cli, words=("earthloop",)):
    context = click.Context(command, info_name=words[-1])
    yield words, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*words, name))


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_every_help_shows_a_line_to_run(words, invoke):
    text = invoke.invoke(cli, [*words[1:], "--help"]).output
    line = next(line.strip() for line in text.splitlines() if line.startswith("    earthloop "))
    assert line.split()[: len(words)] == list(words)


@pytest.mark.parametrize("words", [["--help"], ["list"], ["describe", "satellite/landcover"], ["runs"]])
def test_light_commands_import_nothing_heavy_and_answer_at_once(words, project, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(project)}
    taken = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", PROBE, *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert not set(HEAVY) & set(modules)
    assert min(taken) < 0.3  # seconds of processor time: what it takes on a machine that is not busy


def test_an_unknown_command_is_answered_with_the_near_one(earthloop):
    code, text = earthloop("rnu")
    assert code == 2
    assert "no command 'rnu'; there are: list, describe" in text
    assert "Did you mean 'run'?" in text


def test_an_unknown_application_is_answered_with_the_near_one(earthloop):
    for words in (["describe"], ["run"], ["report"], ["runs"], ["doctor"], ["synthesize"]):
        code, text = earthloop(*words, "satelite/landcover")
        assert (code, "Did you mean 'satellite/landcover'?" in text) == (2, True), words


def test_bad_usage_exits_with_two(earthloop):
    assert earthloop("run")[0] == 2
    assert earthloop("run", "satellite/landcover", "--nonsense")[0] == 2
    code, text = earthloop("report")
    known = ", ".join(discovery.names())
    assert (code, text.rstrip()) == (
        2,
        f"Error: the command needs an application or --out DIR, got neither; the applications are {known}.",
    )


def test_a_fault_of_ours_is_one_sentence_and_a_traceback_only_with_debug(earthloop, monkeypatch):
    monkeypatch.setattr("applications.discovery.names", lambda: 1 / 0)
    code, text = earthloop("list")
    assert code == 1
    assert "a fault of Earthloop" in text
    assert "ZeroDivisionError" in text
    assert "Traceback" not in text
    assert "Traceback" in earthloop("list", "--debug")[1]


def test_a_full_disk_is_a_sentence_wherever_it_is_met(earthloop, monkeypatch):
    def fill():
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/file")

    monkeypatch.setattr("applications.discovery.names", fill)
    code, text = earthloop("list")
    assert (code, text.startswith("Error: no space left on the disk of /somewhere/file.")) == (1, True)


def test_list_and_describe_show_every_application_and_setting(earthloop):
    _, listed = earthloop("list")
    assert "satellite/landcover" in listed
    code, text = earthloop("describe", "satellite/landcover")
    assert code == 0
    assert "AnnualCrop, Forest" in text
    assert f"  learning_rate: {discovery.load('satellite/landcover').train.learning_rate}" in text
    assert "Next: earthloop run satellite/landcover" in text


def test_the_list_of_commands_is_complete():
    found = {words[1] for words, _ in commands() if len(words) == 2}
    assert found == set(COMMANDS)


def test_ctrl_c_anywhere_exits_with_130(earthloop, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("applications.discovery.names", interrupt)
    assert earthloop("list") == (130, "\nInterrupted.\n")
    assert entry.main(["--help"]) == 0
